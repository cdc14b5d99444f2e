"""A toy representation: a few digits, with every kind of variation and an exact fitness. For tests and for learning.

It needs no model, costs nothing and shows what a representation has to bring: a genome, variations, an evaluation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from llmevo.core import (
    Blobs,
    Context,
    Fitness,
    Individual,
    Usage,
    VariationFailed,
    content_key,
)

BASE = 10


@dataclass(frozen=True)
class Digits:
    """A genome of `len(values)` digits from 0 to 9."""

    values: tuple[int, ...]
    kind: ClassVar[str] = "toy-digits"

    @cached_property
    def key(self) -> str:
        return content_key(["toy-digits", self.values])

    def preview(self) -> str:
        return "".join(map(str, self.values))

    def dump(self, blobs: Blobs) -> dict[str, Any]:
        return {"values": list(self.values)}

    @classmethod
    def load(cls, record: Mapping[str, Any], blobs: Blobs) -> Self:
        return cls(tuple(record["values"]))


Make = Callable[[Sequence[tuple[int, ...]], np.random.Generator], Sequence[int]]


@dataclass(frozen=True)
class Toy:
    """A variation from a plain function of the parents' digits and a generator.

    `fails` is the share of births that are stillborn; `ticks` is how many turns of the event loop it takes at most, drawn from the
    seed, so that births complete in another order than they were planned.
    """

    name: str
    make: Make
    arity: int | None
    picks: bool = False
    reassess: bool = False
    fails: float = 0.0
    ticks: int = 0
    log: list[str] = field(default_factory=list, compare=False, repr=False)
    """Ids of the matings that were really conceived."""

    @property
    def key(self) -> str:
        return f"{self.name}(fails={self.fails:g})" if self.fails else self.name

    async def __call__(self, parents: Sequence[Individual[Digits]], context: Context) -> Digits:
        self.log.append(context.scope)
        await _dawdle(self.ticks, context)
        context.charge(Usage(calls=1, tokens_in=10, tokens_out=5))
        if self.fails and context.seed.fold("fails").rng().random() < self.fails:
            raise VariationFailed(f"{self.name} gave no child")
        values = self.make([parent.genome.values for parent in parents], context.seed.rng())
        return Digits(tuple(int(value) % BASE for value in values))


def fresh(size: int = 6) -> Make:
    """Random digits."""
    return lambda parents, rng: rng.integers(BASE, size=size).tolist()


def mutate(parents: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Sequence[int]:
    """One digit of the first parent changed."""
    child = list(parents[0])
    child[int(rng.integers(len(child)))] += int(rng.integers(1, BASE))
    return child


def cross(parents: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Sequence[int]:
    """Every digit from one of the parents, then one changed."""
    return mutate([tuple(int(rng.choice(column)) for column in zip(*parents, strict=True))], rng)


def differ(parents: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Sequence[int]:
    """Differential evolution: target, a, b, best."""
    target, a, b, best = parents
    moved = [z + (x - y) for x, y, z in zip(a, b, best, strict=True)]
    return [m if rng.random() < 0.5 else t for m, t in zip(moved, target, strict=True)]


def step(parents: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Sequence[int]:
    """A swarm step: self, previous, own best, best, worst."""
    r = rng.random(4)
    rows = zip(*parents, strict=True)
    return [
        x + round(0.4 * r[0] * (x - was) + r[1] * (own - x) + r[2] * (top - x) - 0.3 * r[3] * (low - x))
        for x, was, own, top, low in rows
    ]


@dataclass(frozen=True)
class Distance:
    """Fitness of digits: minus the distance to a target, per digit as cases, for even and odd places as objectives; where they
    live as measures.

    `log` collects what was evaluated. `noise` is the standard deviation of an error drawn from the context's seed.
    """

    target: tuple[int, ...] = (3, 1, 4, 1, 5, 9)
    whole_cohort: bool = False
    noise: float = 0.0
    ticks: int = 0
    log: list[str] = field(default_factory=list, compare=False, repr=False)

    async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> list[Fitness]:
        return [await self._one(genome, context) for genome, context in zip(genomes, contexts, strict=True)]

    async def _one(self, genome: Digits, context: Context) -> Fitness:
        self.log.append(genome.key)
        await _dawdle(self.ticks, context)
        wanted = [str(i) for i in range(len(self.target))] if context.cases is None else context.cases.ids
        errors = context.seed.rng().normal(scale=self.noise, size=len(wanted)).tolist() if self.noise else [0.0] * len(wanted)
        cases = {
            i: -abs(genome.values[int(i)] - self.target[int(i)]) + error for i, error in zip(wanted, errors, strict=True)
        }
        value = sum(cases.values()) / len(cases)
        measures = (float(genome.values[0]), float(genome.values[1]))
        halves = {"even": [s for i, s in cases.items() if int(i) % 2 == 0], "odd": [s for i, s in cases.items() if int(i) % 2]}
        objectives = {name: sum(scores) / max(1, len(scores)) for name, scores in halves.items()}
        usage = Usage(calls=len(cases))
        return Fitness.measured(value, cases=cases, measures=measures, usage=usage, objectives=objectives)


async def _dawdle(ticks: int, context: Context) -> None:
    """A seeded number of turns of the event loop."""
    if ticks:
        for _ in range(int(context.seed.fold("ticks").rng().integers(ticks + 1))):
            await asyncio.sleep(0)
