"""The matrix: every selection and succession over texts, weights and both at once; only founders, variation and evaluation change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from llmevo.breeding import (
    Attraction,
    BestFirst,
    Comma,
    Either,
    Given,
    Joined,
    Lottery,
    PartCrossover,
    Product,
    Roles,
    Tournament,
    always_replace,
    keep_all,
    on,
    one_to_one,
    per_case,
    per_cell,
    rank,
    resource_sharing,
    roulette,
    truncation,
    unchanged,
    uniform,
)
from llmevo.core import Context, Fitness, Individual, Seed, VariationFailed
from llmevo.core.variation import VariationBase
from llmevo.engine import Outcome, evolve, stop
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.strategies import Founding, Genetic, sequence
from llmevo.text import TextGenome, WordEdits
from llmevo.weights.genome import AdapterGenome
from llmevo.weights.variations import Merge
from tests.weights.problem import LEAVES, Near

SEED = Seed.of(11)
KINDS = {one.kind: one for one in (TextGenome, AdapterGenome, Product)}
SELECTIONS = {
    "uniform": uniform, "rank": rank, "roulette": roulette, "tournament": Tournament(2), "best-first": BestFirst(),
    "roles": Roles(("self", "random")), "swarm": Roles(("self", "best")), "attraction": Attraction(),
}  # fmt: skip
SUCCESSIONS: dict[str, Callable[[], Any]] = {
    "truncation": lambda: truncation(5), "one-to-one": one_to_one, "always-replace": always_replace,
    "per-cell": lambda: per_cell(lambda measures: round(measures[0])), "per-case": per_case, "comma": lambda: Comma(4),
    "lottery": lambda: Lottery(5), "keep-all": lambda: keep_all, "unchanged": lambda: unchanged,
    "resource-sharing": lambda: resource_sharing(5),
}  # fmt: skip


@dataclass(frozen=True)
class Words(VariationBase):
    """Half of each text, then an edit."""

    arity: int | None = 2
    key: str = "words"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        a, b = (parent.genome.text.split() for parent in parents)
        text = " ".join([*a[: len(a) // 2], *b[len(b) // 2 :]])
        child: Individual[TextGenome] = Individual("half", TextGenome(text or "the"), Fitness(0.0))
        return await WordEdits(tuple(WANTED), most=2)([child], context)


WANTED = "the cat sat on a warm mat".split()


class Spelled:
    """How many of the wanted words a text holds, less its other words."""

    whole_cohort = False

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, genomes: Sequence[TextGenome], contexts: Sequence[Context]) -> list[Fitness]:
        self.asked += [genome.key for genome in genomes]
        return [self._one(genome.text.split()) for genome in genomes]

    def _one(self, words: list[str]) -> Fitness:
        cases = {wanted: float(wanted in words) - 0.01 * len(words) for wanted in WANTED}
        return Fitness.measured(sum(cases.values()) / len(cases), cases=cases, measures=(float(len(words)),))


class Measured(Near):
    """The weight problem, with where an adapter lives."""

    async def __call__(self, genomes: Sequence[AdapterGenome], contexts: Sequence[Context]) -> list[Fitness]:
        from dataclasses import replace

        scores = await super().__call__(genomes, contexts)
        norms = [sum(float(one.delta().norm()) for one in self.builder.build(genome).values()) for genome in genomes]
        return [replace(score, measures=(norm / 10,)) for score, norm in zip(scores, norms, strict=True)]


@dataclass(frozen=True)
class Problem:
    """All that differs between the representations."""

    founders: tuple[Any, ...]
    variation: Any
    evaluate: Callable[[], Any]


class Together:
    """Both problems at once, each on its part."""

    whole_cohort = False

    def __init__(self) -> None:
        self.words, self.weights = Spelled(), Measured()
        self.asked: list[str] = []

    async def __call__(self, genomes: Sequence[Product], contexts: Sequence[Context]) -> list[Fitness]:
        self.asked += [genome.key for genome in genomes]
        halves = [
            await evaluate([genome.taken(part) for genome in genomes], contexts)
            for part, evaluate in (("prompt", self.words), ("adapter", self.weights))
        ]
        return [self._both(*pair) for pair in zip(*halves, strict=True)]

    def _both(self, words: Fitness, weights: Fitness) -> Fitness:
        cases = {**words.cases, **weights.cases}
        return Fitness.measured(sum(cases.values()) / len(cases), cases=cases, measures=words.measures)


TEXTS = ("the dog ran", "a cat slept", "sat on it", "warm tea and milk", "on a mat")
PROBLEMS = {
    "text": Problem(tuple(Given(TextGenome(text)) for text in TEXTS), Words(), Spelled),
    "weights": Problem(tuple(Given(leaf) for leaf in LEAVES), Merge(), Measured),
    "both": Problem(
        tuple(Joined({"prompt": Given(TextGenome(text)), "adapter": Given(leaf)}) for text, leaf in zip(TEXTS, LEAVES, strict=True)),
        Either([on("prompt", Words()), on("adapter", Merge()), PartCrossover()]),
        Together,
    ),
}


def search(problem: Problem, selection: str, succession: str) -> Any:
    return sequence(
        Founding(problem.founders, seed=SEED),
        Genetic(problem.variation, SELECTIONS[selection], SUCCESSIONS[succession](), seed=SEED),
    )


def go(problem: Problem, selection: str, succession: str, evaluate: Any = None, *, path: Path | None = None, **more: Any) -> Outcome[Any]:
    record = Journal(Database(path), MemoryBlobs(), KINDS)
    options = {"batch": 5, "slots": 1, "stop": [stop.matings(20)], **more}
    try:
        return asyncio.run(evolve(search(problem, selection, succession), evaluate or problem.evaluate(), record, seed=SEED, **options))
    finally:
        record.database.close()


class Killed(BaseException):
    pass


class Dying:
    """One individual at a time; it dies at the n-th."""

    whole_cohort = False

    def __init__(self, inner: Any, after: int) -> None:
        self.inner, self.left = inner, after

    async def __call__(self, genomes: Sequence[Any], contexts: Sequence[Context]) -> list[Fitness]:
        self.left -= 1
        if self.left < 0:
            await asyncio.sleep(0.08)  # what was born is on the disk by now
            raise Killed
        return await self.inner(genomes, contexts)  # type: ignore[no-any-return]


@pytest.mark.parametrize("succession", SUCCESSIONS)
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_selection_with_every_succession(problem: str, selection: str, succession: str) -> None:
    one = PROBLEMS[problem]
    done = go(one, selection, succession)
    assert done.progress.births == 20 and done.best is not None and done.view.population
    founders = max(birth.fitness.value for birth in done.view.hall if not birth.parents) if done.view.hall else 0.0
    assert done.best.fitness.value >= founders
    assert go(one, selection, succession).history == done.history


@pytest.mark.parametrize("problem", PROBLEMS)
def test_killed_at_any_individual_it_continues_and_a_repeated_run_evaluates_nothing(problem: str, tmp_path: Path) -> None:
    one = PROBLEMS[problem]
    whole = go(one, "rank", "truncation")
    for after in (1, 7, 13):
        path, counting = tmp_path / f"{after}.sqlite", one.evaluate()
        with pytest.raises(Killed):
            go(one, "rank", "truncation", Dying(counting, after), path=path)
        before = list(counting.asked)
        again = go(one, "rank", "truncation", counting, path=path)
        assert (again.history, again.best) == (whole.history, whole.best)
        assert len(counting.asked) == len(set(counting.asked)), "nobody is evaluated twice, the killed cohort's included"
        assert len(before) == after
        silent = one.evaluate()
        assert go(one, "rank", "truncation", silent, path=path).history == whole.history and not silent.asked


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_history_does_not_hang_on_what_completes_first(problem: str, slots: int) -> None:
    class Shuffled:
        whole_cohort = False

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def __call__(self, genomes: Sequence[Any], contexts: Sequence[Context]) -> list[Fitness]:
            for _ in range(int(contexts[0].seed.fold("wait").rng().integers(9))):
                await asyncio.sleep(0)
            return await self.inner(genomes, contexts)  # type: ignore[no-any-return]

    one = PROBLEMS[problem]
    plain = go(one, "rank", "truncation", batch=2, slots=slots)
    assert go(one, "rank", "truncation", Shuffled(one.evaluate()), batch=2, slots=slots).history == plain.history


def test_a_merge_of_one_with_itself_is_no_child() -> None:
    """The engine calls a copy a stillbirth; a variation that has nothing to give says so."""
    with pytest.raises(VariationFailed, match="cancel"):
        from llmevo.weights.variations import combination

        combination([LEAVES[0], LEAVES[0]], [1.0, -1.0], "product")
