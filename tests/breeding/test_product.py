"""Genomes of several parts: operators on one of them, whatever the parts are made of."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from llmevo.breeding import Either, Foremost, Given, Joined, PartCrossover, Product, Reassess, on, rank, truncation
from llmevo.core import ConfigError, Context, Fitness, Individual, Seed, StorageError
from llmevo.engine import evolve, stop
from llmevo.report.doctor import examine
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.genomes import Genomes
from llmevo.storage.journal import Journal
from llmevo.strategies import Founding, Genetic, sequence
from llmevo.testing.toy import Digits, Distance, Toy, cross, fresh, mutate
from llmevo.text import TextGenome, WordEdits

PAIR = Product({"digits": Digits((1, 2)), "words": TextGenome("say it")})
KINDS = {one.kind: one for one in (Product, Digits, TextGenome)}


def born(variation: Any, *genomes: Any, seed: int = 0) -> Any:
    parents = [Individual(f"p{i}", one, Fitness(float(i))) for i, one in enumerate(genomes)]
    return asyncio.run(variation(parents, Context(Seed.of(seed), "m")))


def test_a_part_is_varied_and_the_rest_stays() -> None:
    other = PAIR.put("digits", Digits((8, 9)))
    child = born(on("digits", Toy("cross", cross, 2)), PAIR, other)
    assert child.names == PAIR.names and child.taken("words") is PAIR.taken("words") and child.taken("digits") != Digits((1, 2))
    assert on("digits", Toy("cross", cross, 2)).arity == 2
    inner = Product({"first": PAIR, "second": TextGenome("x")})
    deep = born(on("first", on("words", WordEdits(("loudly",)))), inner)
    assert deep.taken("first").taken("digits") == Digits((1, 2)) and deep.taken("first").taken("words") != TextGenome("say it")


def test_the_inner_variation_sees_the_part_with_its_owners_fitness() -> None:
    seen: list[Any] = []

    class Look(Toy):
        async def __call__(self, parents: Any, context: Context) -> Digits:
            seen.extend((one.genome, one.fitness.value) for one in parents)
            return Digits((0,))

    born(on("digits", Look("look", mutate, 2)), PAIR, PAIR.put("digits", Digits((3,))))
    assert seen == [(Digits((1, 2)), 0.0), (Digits((3,)), 1.0)]


def test_what_cannot_be_said_of_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no part 'prompt'; this genome has digits, words"):
        born(on("prompt", WordEdits()), PAIR)
    with pytest.raises(ValueError, match="no part"):
        PAIR.put("new", Digits(()))
    with pytest.raises(ValueError, match="at least one part"):
        Product({})
    with pytest.raises(ConfigError, match="founder"):
        on("digits", Toy("fresh", fresh(), 0))
    with pytest.raises(ConfigError, match="does not make a new part"):
        on("digits", Reassess())
    with pytest.raises(ConfigError, match="same number of parents"):
        Either([WordEdits(), PartCrossover()])
    with pytest.raises(ConfigError, match="needs parents"):
        Joined({"words": WordEdits()})
    with pytest.raises(ConfigError, match="one parent"):
        Foremost(PartCrossover(), 3)


def test_either_draws_each_of_them_and_crossover_mixes_parts() -> None:
    either = Either([on("digits", Toy("mutate", mutate, 1)), on("words", WordEdits(("now",)))])
    changed = {tuple(born(either, PAIR, seed=seed).taken(name) == PAIR.taken(name) for name in PAIR.names) for seed in range(12)}
    assert changed == {(True, False), (False, True)}
    other = Product({"digits": Digits((7,)), "words": TextGenome("other")})
    mixed = {born(PartCrossover(), PAIR, other, seed=seed).key for seed in range(12)}
    assert mixed == {PAIR.put("digits", Digits((7,))).key, PAIR.put("words", TextGenome("other")).key}


def test_parts_are_read_back_and_a_missing_one_is_named() -> None:
    rows: dict[str, tuple[str, str]] = {}
    shelf = Genomes(MemoryBlobs(), KINDS, rows.get, "here", lambda key, kind, record: rows.update({key: (kind, record)}))
    assert shelf.keep(PAIR) == PAIR.key and len(rows) == 3
    shelf.keep(PAIR.put("digits", Digits((5,))))
    assert len(rows) == 5, "the words are written once"
    fresh_shelf = Genomes(MemoryBlobs(), KINDS, rows.get, "here")
    assert fresh_shelf.genome(PAIR.key) == PAIR
    del rows[PAIR.taken("words").key]
    with pytest.raises(StorageError, match="missing from here"):
        Genomes(MemoryBlobs(), KINDS, rows.get, "here").genome(PAIR.key)
    with pytest.raises(StorageError, match="not the record of a product"):
        Product.load({"parts": [1]}, fresh_shelf)


class Pieces:
    """The digits by their distance; the shorter the words the better."""

    whole_cohort = False

    async def __call__(self, genomes: Any, contexts: Any) -> list[Fitness]:
        digits = await Distance((3, 1))([one.taken("digits") for one in genomes], contexts)
        return [Fitness(score.value - len(one.taken("words").text) / 100) for score, one in zip(digits, genomes, strict=True)]


def test_a_run_of_products_is_recorded_continued_and_sound(tmp_path: Path) -> None:
    seed = Seed.of(3)
    founders = [Joined({"digits": Toy(f"f{i}", fresh(2), 0), "words": Given(TextGenome(f"word number {i}"))}) for i in range(4)]
    change = Either([on("digits", Toy("cross", cross, 2)), on("words", Foremost(WordEdits(), 2)), PartCrossover()])

    def go(path: Path | None, limit: int) -> Any:
        database = Database(path)
        try:
            strategy = sequence(Founding(founders, seed=seed), Genetic(change, rank, truncation(4), seed=seed))
            record = Journal(database, MemoryBlobs(), KINDS)
            return asyncio.run(evolve(strategy, Pieces(), record, seed=seed, batch=4, stop=[stop.matings(limit)]))
        finally:
            database.close()

    whole = go(None, 24)
    place = tmp_path / "run.sqlite"
    go(place, 12)
    assert go(place, 24).history == whole.history
    assert whole.best is not None and whole.best.fitness.value > -1
    assert not examine(tmp_path).problems
    database = Database(place)
    kinds = [kind for _, kind, _ in database.rows("genomes")]
    named = [json.loads(record)["parts"] for _, kind, record in database.rows("genomes") if kind == "product"]
    database.close()
    assert set(kinds) == {"product", "text", "toy-digits"} and all(len(parts) == 2 for parts in named)
