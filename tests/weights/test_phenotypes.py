"""Adapters answer and are graded: the same by both ways, each sample once, a failure for one genome only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from llmevo.core import CaseSlice, ConfigError, Context, Fitness, Seed  # noqa: E402
from llmevo.fitness import Case, Evaluator, scorer_named  # noqa: E402
from llmevo.weights.answering import Answering, Resident  # noqa: E402
from llmevo.weights.asking import Asking  # noqa: E402
from llmevo.weights.phenotypes import Adapted, Graded, among_labels, fixed_targets  # noqa: E402
from llmevo.weights.population import Population  # noqa: E402
from llmevo.weights.results import Results  # noqa: E402
from tests.weights.tiny import Maker, Seeded, base  # noqa: E402

BASE = base()
LABELS = ("yes", "now", "may")
CASES = [Case(f"c{i}", f"word {i * 37 % 11}", LABELS[i % 3]) for i in range(9)]
GENOMES = [Seeded(i) for i in range(1, 9)]


def answering(results: Results | None = None) -> Answering:
    return Answering(Resident(Population(BASE)), Maker(BASE), results)


def contexts(count: int, cases: CaseSlice | None = None) -> list[Context]:
    return [Context(Seed.of(i), cases=cases) for i in range(count)]


def score(evaluate: Any, genomes: Sequence[Any] = GENOMES, cases: CaseSlice | None = None) -> list[Fitness]:
    return asyncio.run(evaluate(genomes, contexts(len(genomes), cases)))


def passes(one: Answering) -> int:
    assert isinstance(one.backend, Resident)
    return one.backend.population.passes


def test_labels_are_graded_as_a_scorer_grades_the_answers() -> None:
    one = answering()
    graded = Graded(one, lambda cases: among_labels(Asking(BASE), cases, LABELS), CASES)
    words = Evaluator(Adapted(one, Asking(BASE), labels=LABELS), CASES, scorer_named("exact"))
    fast, slow = score(graded), score(words)
    assert [dict(a.cases) for a in fast] == [dict(b.cases) for b in slow]
    assert len({a.value for a in fast}) > 1
    assert all(a.objectives["exact"] == a.value and a.objectives["likelihood"] < 0 for a in fast)
    assert fast[0].usage.calls == slow[0].usage.calls == len(CASES)


def test_fixed_targets_are_graded_as_a_scorer_grades_decoded_answers() -> None:
    one = answering()
    decoded = asyncio.run(Adapted(one, Asking(BASE), most=4)(GENOMES[:1], CASES, contexts(1)))[0]
    cases = [
        Case(case.id, case.input, (answer, "other") if i % 2 and isinstance(answer, str) else "zzz")
        for i, (case, answer) in enumerate(zip(CASES, decoded, strict=True))
    ]
    graded = Graded(one, lambda some: fixed_targets(Asking(BASE), some), cases)
    words = Evaluator(Adapted(one, Asking(BASE), most=8), cases, scorer_named("exact"))
    assert [dict(a.cases) for a in score(graded)] == [dict(b.cases) for b in score(words)]


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    path = tmp_path / "results"
    one = answering(Results(path))
    graded = Graded(one, lambda cases: among_labels(Asking(BASE), cases, LABELS), CASES)
    some = score(graded, GENOMES[:2], CaseSlice(("c0", "c4")))
    assert list(some[0].cases) == ["c0", "c4"]
    first = score(graded)
    assert {id: first[0].cases[id] for id in ("c0", "c4")} == dict(some[0].cases)
    before = passes(one)
    assert score(graded) == first and passes(one) == before
    likely = Graded(one, lambda cases: among_labels(Asking(BASE), cases, LABELS), CASES, measure="likelihood")
    assert [a.value for a in score(likely)] == [a.objectives["likelihood"] for a in first]
    assert passes(one) == before, "another measure of the same answers is free"
    later = answering(Results(path))
    again = Graded(later, lambda cases: among_labels(Asking(BASE), cases, LABELS), CASES)
    assert score(again) == first and passes(later) == 0, "nor by a later process"
    assert score(Graded(later, lambda c: among_labels(Asking(BASE, "Say:"), c, LABELS), CASES)) != first
    assert passes(later) > 0, "another prompt is another question"


def test_who_cannot_be_built_fails_alone() -> None:
    graded = Graded(answering(), lambda cases: among_labels(Asking(BASE), cases, LABELS), CASES)
    words = Evaluator(Adapted(answering(), Asking(BASE), labels=LABELS), CASES, scorer_named("exact"))
    for evaluate in (graded, words):
        found = score(evaluate, [Seeded(1), Seeded(-1), Seeded(2)])
        assert [one.ok for one in found] == [True, False, True]
        assert found[1].error == "the weights cannot be built: ArithmeticError: a negative seed"


def test_bad_tasks_are_refused_before_anything_is_computed() -> None:
    one = answering()
    with pytest.raises(ConfigError, match="case c1 has no target: give one to every case"):
        Graded(one, lambda cases: fixed_targets(Asking(BASE), cases), [Case("c0", "a", "b"), Case("c1", "a")])
    with pytest.raises(ConfigError, match="case c0: its target is no label; did you mean 'yes'"):
        Graded(one, lambda cases: among_labels(Asking(BASE), cases, LABELS), [Case("c0", "a", "yess")])
    with pytest.raises(ConfigError, match="at least two different ones"):
        Graded(one, lambda cases: among_labels(Asking(BASE), cases, ("yes",)), CASES)
    with pytest.raises(ConfigError, match="at least one case; 0 given"):
        Graded(one, lambda cases: among_labels(Asking(BASE), cases, LABELS), [])
    with pytest.raises(ConfigError, match="measure: 'exakt' is not known; did you mean 'exact'"):
        Graded(one, lambda cases: among_labels(Asking(BASE), cases, LABELS), CASES, measure="exakt")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="has no chat template"):
        Graded(one, lambda cases: among_labels(Asking(BASE, chat=True), cases, LABELS), CASES)
    assert passes(one) == 0


def test_keys_name_what_decides_the_scores() -> None:
    one = answering()

    def key(cases: Sequence[Case] = CASES, prompt: str = "", labels: Sequence[str] = LABELS, **more: Any) -> str:
        return Graded(one, lambda some: among_labels(Asking(BASE, prompt), some, labels), cases, **more).key

    keys = {key(), key(CASES[:5]), key(prompt="Say:"), key(labels=LABELS[::-1]), key(measure="likelihood")}
    assert len(keys) == 5 and key() in keys
    phenotypes = {Adapted(one, Asking(BASE, prompt), labels=labels).key for prompt in ("", "a") for labels in (LABELS, ())}
    assert len(phenotypes) == 4


def test_a_cut_line_of_the_results_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "results"
    results = Results(path)
    results.add("g", "s", {"a": [1.0, -2.5]})
    results.add("g", "s", {"b": 0.5})
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        read = Results(path)
        assert read.of("g", "s").items() <= {"a": [1.0, -2.5], "b": 0.5}.items()
        read.add("g", "s", {"c": 1})
        assert Results(path).of("g", "s")["c"] == 1, cut
    flipped = bytearray(whole)
    flipped[30] ^= 1
    path.write_bytes(bytes(flipped))
    assert dict(Results(path).of("g", "s")) == {"b": 0.5}
