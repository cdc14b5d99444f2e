"""Selection x succession x representation on small problems that cost nothing: texts, adapters, and both in one genome.

A problem is a target that is known: seven words; a hidden mixture of five adapters; both. The score is at most 1. All that differs
between the representations is founders, variation and evaluation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from llmevo.breeding import (
    BestFirst,
    Chain,
    Comma,
    Either,
    Given,
    Joined,
    Tournament,
    always_replace,
    keep_all,
    on,
    one_to_one,
    per_case,
    rank,
    roulette,
    truncation,
    uniform,
)  # fmt: skip
from llmevo.config import KINDS
from llmevo.core import Context, Fitness, Individual, Seed
from llmevo.engine import evolve, stop
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.strategies import Founding, Genetic, sequence
from llmevo.text import TextGenome, WordEdits
from llmevo.text.recombine import Recombine
from llmevo.weights.adapter import Adapter, LowRank, content
from llmevo.weights.build import Builder
from llmevo.weights.genome import AdapterGenome
from llmevo.weights.merge import task_arithmetic
from llmevo.weights.operators import OPERATORS
from llmevo.weights.variations import Merge, Noise

SELECTIONS = {
    "uniform": uniform, "rank": rank, "roulette": roulette, "tournament": Tournament(2), "best first": BestFirst(),

}  # fmt: skip
SUCCESSIONS: dict[str, Callable[[], Any]] = {
    "truncation": lambda: truncation(8), "comma": lambda: Comma(8), "one to one": one_to_one,
    "always replace": always_replace, "per case": per_case, "keep all": lambda: keep_all,
}  # fmt: skip
REPRESENTATIONS = ("text", "adapter", "both")
FOUNDERS, BATCH, EVALUATIONS = 8, 8, 96
WANTED = "the small cat sat on warm mats".split()
SHAPES = {"layers.0.q_proj": (16, 16), "layers.1.v_proj": (8, 16)}


def _adapter(number: int) -> Adapter:
    made = {}
    for module, (out, into) in SHAPES.items():
        rng = Seed.of(number).fold(module).rng()
        down, up = rng.normal(size=(2, into)), rng.normal(size=(out, 2))
        made[module] = LowRank(torch.from_numpy(down.astype("float32")), torch.from_numpy(up.astype("float32")))
    return made


def experts() -> tuple[dict[str, Adapter], list[AdapterGenome]]:
    """Noisy copies of one adapter: mixing the right ones pays."""
    signal, made = _adapter(100), []
    for i in range(5):
        noise = _adapter(i)
        made.append({n: LowRank(one.down + 0.4 * noise[n].down, one.up + 0.4 * noise[n].up) for n, one in signal.items()})
    leaves = [AdapterGenome.expert(f"expert{i}", content(one)) for i, one in enumerate(made)]
    return {leaf.settings["content"]: one for leaf, one in zip(leaves, made, strict=True)}, leaves


EXPERTS, LEAVES = experts()
BUILDER = Builder(EXPERTS, OPERATORS)
TARGET = {name: one.delta() for name, one in task_arithmetic(list(EXPERTS.values()), weights=[0.5, 0.4, 0.0, 0.3, -0.2], rank=10).items()}


def words_score(genome: TextGenome) -> dict[str, float]:
    """Per wanted word whether it is there; every word too many costs a little."""
    words = genome.text.split()
    return {wanted: float(wanted in words) - 0.02 * max(0, len(words) - len(WANTED)) for wanted in WANTED}


def weights_score(genome: AdapterGenome) -> dict[str, float]:
    """Per module and group of rows: 1 less the relative distance to the hidden mixture."""
    made, cases = BUILDER.build(genome), {}
    for name, wanted in TARGET.items():
        there = made[name].delta()
        for row in range(4):
            cases[f"{name}/{row}"] = 1 - float((there[row::4] - wanted[row::4]).norm() / wanted[row::4].norm())
    return cases


class Scored:
    """The mean over the cases of one problem, or of both."""

    whole_cohort = True

    def __init__(self, representation: str) -> None:
        self.representation = representation

    async def __call__(self, genomes: Sequence[Any], contexts: Sequence[Context]) -> list[Fitness]:
        return [self._one(genome) for genome in genomes]

    def _one(self, genome: Any) -> Fitness:
        if self.representation == "both":
            halves = [words_score(genome.taken("prompt")), weights_score(genome.taken("adapter"))]
            value = sum(sum(half.values()) / len(half) for half in halves) / 2
            return Fitness.measured(value, cases={**halves[0], **halves[1]})
        cases = words_score(genome) if self.representation == "text" else weights_score(genome)
        return Fitness.measured(sum(cases.values()) / len(cases), cases=cases)


@dataclass(frozen=True)
class Words:
    """A founder: three words drawn from the wanted ones and as many others."""

    arity = 0
    picks = reassess = False
    key = "words"
    others = tuple("a dog runs under cold rain every".split())

    async def __call__(self, parents: Sequence[Individual[Any]], context: Context) -> TextGenome:
        drawn = context.seed.rng().choice([*WANTED, *self.others], size=3, replace=False)
        return TextGenome(" ".join(map(str, drawn)))


def problem(representation: str) -> tuple[list[Any], Any]:
    """Founders and variation."""
    texts: Any = Chain((Recombine(arity=3, rate=0.5), WordEdits(tuple(WANTED + list(Words.others)), most=1)))
    weights: Any = Chain((Merge(arity=3), Noise(0.1, 0.5)))
    if representation == "text":
        return [Words()] * FOUNDERS, texts
    leaves = [Given(LEAVES[i % len(LEAVES)]) if i < len(LEAVES) else None for i in range(FOUNDERS)]
    mixed = [one or _mixed() for one in leaves]
    if representation == "adapter":
        return mixed, weights
    founders = [Joined({"prompt": Words(), "adapter": one}) for one in mixed]
    return founders, Either([on("prompt", texts), on("adapter", weights)])


def _mixed() -> Any:
    from llmevo.weights.variations import Mixed

    return Mixed(tuple(LEAVES))


def search(representation: str, selection: str, succession: str, seed: int) -> dict[str, Any]:
    """One run: the best score at a quarter, half and the whole of the evaluations."""
    root = Seed.of(seed).fold(representation)
    founders, variation = problem(representation)
    strategy: Any = sequence(
        Founding(founders, seed=root), Genetic(variation, SELECTIONS[selection], SUCCESSIONS[succession](), seed=root)
    )
    track: list[tuple[int, float]] = []
    database = Database(None)
    try:
        done = asyncio.run(
            evolve(
                strategy, Scored(representation), Journal(database, MemoryBlobs(), KINDS), seed=root, batch=BATCH,
                stop=[stop.evaluations(EVALUATIONS - BATCH + 1), stop.matings(4 * EVALUATIONS), stop.barren(60)],
                on_cohort=lambda told: track.append((told.progress.evaluations, _best(told.progress.best))),
            )
        )  # fmt: skip
    finally:
        database.close()

    def at(evaluations: int) -> float:
        return max((value for count, value in track if count <= evaluations), default=0.0)

    assert done.best is not None, done.reason
    return {
        "study": "matrix", "representation": representation, "selection": selection, "succession": succession, "seed": seed,
        "evaluations": done.progress.evaluations, "quarter": at(EVALUATIONS // 4), "half": at(EVALUATIONS // 2),
        "whole": done.best.fitness.value,
    }  # fmt: skip


def _best(one: Individual[Any] | None) -> float:
    return 0.0 if one is None else one.fitness.value


def planned(seeds: int, smoke: bool) -> list[tuple[str, str, str, int]]:
    """(representation, selection, succession, seed), seeds outermost: a study that is broken off has whole seeds."""
    selections = list(SELECTIONS)[:2] if smoke else list(SELECTIONS)
    successions = list(SUCCESSIONS)[:2] if smoke else list(SUCCESSIONS)
    return [(one, s, u, seed) for seed in range(seeds) for one in REPRESENTATIONS for s in selections for u in successions]


def column(rows: Sequence[dict[str, Any]], at: str = "whole") -> np.ndarray:
    """Seeds by one case."""
    return np.array([[row[at]] for row in sorted(rows, key=lambda row: row["seed"])])
