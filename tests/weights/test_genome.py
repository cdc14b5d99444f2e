from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
import torch

from llmevo.core import ConfigError, Genome, StorageError, canonical, content_key
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.genomes import Genomes
from llmevo.testing.contracts import check_genome
from llmevo.testing.toy import Digits
from llmevo.weights.adapter import LowRank, checked, content
from llmevo.weights.genome import AdapterGenome
from tests.weights.helpers import adapter, builder, pool


class Record(Genomes):
    """A record in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, str]] = {}
        super().__init__(MemoryBlobs(), {"adapter": AdapterGenome, "toy-digits": Digits}, self.rows.get, "the record")

    def write(self, genome: Genome) -> str:
        text = canonical(genome.dump(self))
        self.rows[genome.key] = (genome.kind, text)
        self.wrote(genome.key)
        return text

    def again(self) -> Record:
        other = Record()
        other.rows.update(self.rows)
        return other


def test_it_keeps_the_contract() -> None:
    _, (a, b, *_) = pool()
    child = AdapterGenome("merge", [a, b], {"weights": [0.25, 0.75]}, seed=7)
    halves = {"weights": [0.5, 0.5]}
    others = [
        a,
        b,
        AdapterGenome("merge", [b, a], child.settings, seed=7),
        AdapterGenome("merge", [a, b], halves, seed=7),
        AdapterGenome("merge", [a, b], child.settings, seed=8),
        AdapterGenome("merge", [a, b], child.settings),
        AdapterGenome("noise", [child], {"sigma": 0.1}, seed=1),
    ]
    check_genome(child, others)
    check_genome(AdapterGenome("noise", [child], {"sigma": 0.1}, seed=1), [child])
    check_genome(a, [b])


def test_a_name_is_not_content() -> None:
    assert AdapterGenome.expert("x", "b2:" + 32 * "0") == AdapterGenome.expert("y", "b2:" + 32 * "0")
    assert "\n" not in AdapterGenome.expert("bad\nname", "b2:" + 32 * "0").preview()


def test_a_record_names_its_ancestors_and_finds_them_again() -> None:
    record = Record()
    _, leaves = pool()
    line = [*leaves]
    for leaf in leaves:
        record.write(leaf)
    for i in range(3000):
        inner = AdapterGenome("merge", [line[-1], line[-2]], {"weights": [0.5, 0.5]})
        line.append(AdapterGenome("noise", [inner], {"sigma": 0.001}, seed=i))
        assert len(record.write(line[-1])) < 200
    again = record.again()
    back = [again.genome(one.key) for one in line]
    assert back == line and back[-1].parents[0].parents[0] is back[-2]  # type: ignore[attr-defined]


def test_four_hundred_moves_of_a_swarm_fit_into_100_kb() -> None:
    record = Record()
    _, people = pool(40)
    written = sum(len(record.write(one)) for one in people)
    for step in range(10):
        moved = []
        for i, me in enumerate(people):
            parents = [me, people[i - 1], people[i - 2], people[0], people[39]]
            weights = [1 / (3 + i), -0.123456789012 * step, 0.1, 0.3333333333333333, -0.07]
            moved.append(AdapterGenome("linear", parents, {"weights": weights}))
        written += sum(len(record.write(one)) for one in moved)
        people = moved
    assert 400 * 100 < written < 100_000, f"{written} bytes"


def test_four_hundred_mixtures_of_ten_experts_fit_into_100_kb() -> None:
    """The coefficients of a search differ, the experts do not: they are named once."""
    import asyncio

    from llmevo.core import Context, Seed
    from llmevo.weights.distributions import Combined

    experts = tuple(AdapterGenome.expert(f"an expert of a longer name {i}", content_key([i])) for i in range(10))
    rng, record = Seed.of(1).rng(), Record()
    start = (0.1,) * 10
    genomes = []
    for i in range(400):
        vector = start if not i else tuple(round(float(x), 4) for x in rng.uniform(-1.5, 1.5, 10))
        genomes.append(asyncio.run(Combined(experts, vector, first=start)((), Context(Seed.of(i)))))
    size = sum(len(record.write(one)) for one in genomes)
    assert size < 100_000, size
    again = record.again()
    assert [again.genome(one.key) for one in genomes] == genomes
    assert again.genome(genomes[-1].key).parents == experts  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "record", [{}, {"recipe": []}, {"recipe": 3}, {"recipe": ["merge", [7]]}, {"recipe": ["a", [], {}, "zz"]}, {"recipe": ["a", ["?"]]}]
)
def test_a_damaged_record_is_named(record: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match=r"adapter genome|missing"):
        AdapterGenome.load(record, Record())


def test_an_ancestor_of_another_kind_is_refused() -> None:
    record = Record()
    record.write(Digits((1, 2)))
    child = AdapterGenome("merge", [AdapterGenome("x")])
    text = json.loads(canonical(child.dump(record)))
    name = AdapterGenome.expert("", Digits((1, 2)).key).settings["content"]
    text["recipe"][1] = [name]
    with pytest.raises(StorageError, match="no adapter genome"):
        AdapterGenome.load(text, record)


def test_the_builder_builds_once_and_again_when_it_had_to_forget(tmp_path: Path) -> None:
    experts, (a, *_) = pool(1)
    line = [a]
    for i in range(50):
        line.append(AdapterGenome("scaled", [line[-1]], {"by": 1.0 + i / 100}))
    roomy, tight = builder(experts), builder(experts, keep=1)
    for _ in range(2):
        roomy.build(line[-1])
    assert roomy.built == 50
    assert roomy.build(line[20]) is roomy.build(line[20]), "kept"
    for one in (line[-1], line[3], line[-1]):
        assert content(tight.build(one)) == content(roomy.build(one))
    assert tight.built > 50
    assert roomy.build(a) is experts[a.settings["content"]]


def test_the_builder_names_what_is_not_there() -> None:
    experts, (a, *_) = pool(1)
    with pytest.raises(ConfigError, match="operator 'melt'; known: scaled"):
        builder(experts).build(AdapterGenome("melt", [a]))
    with pytest.raises(ConfigError, match="expert lost of a recipe is not loaded"):
        builder(experts).build(AdapterGenome.expert("lost", "b2:" + 32 * "0"))


def test_checked_names_the_tensor() -> None:
    good = adapter(1)
    assert list(checked(dict(reversed(good.items())))) == sorted(good)
    name = "layers.0.q_proj"
    for bad, word in (
        (LowRank(good[name].down * float("nan"), good[name].up), "down of layers.0.q_proj holds NaN"),
        (LowRank(good[name].down, good[name].up * float("inf")), "up of layers.0.q_proj holds NaN"),
        (LowRank(good[name].down.double(), good[name].up), "down of layers.0.q_proj is a torch.float64"),
        (LowRank(good[name].down, good[name].up[:, :1]), "do not fit"),
    ):
        with pytest.raises(ConfigError, match=word):
            checked({**good, name: bad})
    with pytest.raises(ConfigError, match="no module"):
        checked({})
    assert torch.equal(good[name].delta(), good[name].up @ good[name].down)
