"""Resource sharing (M2N2, arXiv 2508.16204): a case that few solve is worth more, and a mate covers what the first parent lacks."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from llmevo.breeding.selection import distinct
from llmevo.breeding.succession import Compete, standings
from llmevo.core import G, Individual, View


def shared(field: Sequence[Individual[Any]]) -> list[float]:
    """What each one gets when every case's worth is shared out among those that solve it, by their scores on it.

    Scores are shifted so that the worst of each case is 0 where they go below. Without cases in common it is the plain score.
    """
    scores = _table(field)
    if scores is None:
        return [one.fitness.value for one in field]
    return (scores / _demand(scores)).sum(axis=1).tolist()  # type: ignore[no-any-return]


def resource_sharing(size: int) -> Compete:
    """The best `size` by shared worth live on: specialists that solve what nobody else does stay beside the generalists."""
    if size < 1:
        raise ValueError(f"a population has at least one member, not {size}")

    def worth(field: Sequence[Individual[Any]]) -> list[Mapping[Hashable, Any]]:
        return [{None: (standing[:2], own)} for standing, own in zip(standings(field), shared(field), strict=True)]

    return Compete(worth, keep=size)


@dataclass(frozen=True)
class Attraction:
    """Two parents: the first by its shared worth, the second by what it adds on the cases where the first is weak."""

    seated: ClassVar[bool] = False

    def __call__(
        self, view: View[G], n: int, arity: int | None, rng: np.random.Generator
    ) -> list[tuple[Individual[G], ...]]:
        pool = distinct(view.population)
        if not pool:
            return []
        size = 2 if arity is None else arity
        scores, worth = _table(pool), np.asarray(shared(pool))
        tuples = []
        for _ in range(n):
            first = _drawn(worth, rng)
            chosen = [first]
            while len(chosen) < size:
                adds = worth if scores is None else (np.maximum(scores - scores[chosen].max(axis=0), 0) / _demand(scores)).sum(axis=1)
                free = np.asarray([i not in chosen for i in range(len(pool))])
                chosen.append(_drawn(np.where(free, adds, 0.0), rng, free) if free.any() else first)
            tuples.append(tuple(pool[i] for i in chosen))
        return tuples


def _table(field: Sequence[Individual[Any]]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Scores by individual and case, at least 0; None when they have no case in common."""
    common = set(field[0].fitness.cases) if field else set()
    for one in field[1:]:
        common &= set(one.fitness.cases)
    if not common:
        return None
    names = sorted(common)
    table = np.asarray([[one.fitness.cases[name] for name in names] for one in field])
    floor: np.ndarray[Any, np.dtype[np.float64]] = np.minimum(table.min(axis=0), 0.0)
    return np.asarray(table - floor, dtype=float)


def _demand(scores: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    total = scores.sum(axis=0)
    return np.where(total > 0, total, 1.0)


def _drawn(
    weights: np.ndarray[Any, np.dtype[np.float64]], rng: np.random.Generator, free: np.ndarray[Any, np.dtype[np.bool_]] | None = None
) -> int:
    """A place with probability proportional to its weight; evenly among the free ones when all weigh nothing."""
    positive = np.where(np.isfinite(weights), np.maximum(weights, 0.0), 0.0)
    total = math.fsum(positive)
    if total <= 0:
        positive = np.ones(len(weights)) if free is None else free.astype(float)
        total = math.fsum(positive)
    place = int(np.searchsorted(np.cumsum(positive / total), rng.random(), side="right"))
    return min(place, int(np.flatnonzero(positive)[-1]))
