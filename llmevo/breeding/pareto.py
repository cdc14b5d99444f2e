"""Several objectives: who dominates whom, fronts, crowding, and NSGA-II (Deb et al., 2002) as a competition for places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from llmevo.breeding.selection import Tournament
from llmevo.breeding.succession import Compete, standings
from llmevo.core import ConfigError, G, Individual

Points = npt.NDArray[np.float64]


def dominance(points: Points, violations: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Entry [i, j]: whether i dominates j. Rows of `points` are objectives, higher is better.

    Constraint domination (Deb, 2000): less violation dominates; among equals, whoever is nowhere worse and somewhere better does.
    """
    shortfall = np.asarray(violations, dtype=float)
    nowhere_worse = np.all(points[:, None, :] >= points[None, :, :], axis=2)
    somewhere_better = np.any(points[:, None, :] > points[None, :, :], axis=2)
    less, equal = shortfall[:, None] < shortfall[None, :], shortfall[:, None] == shortfall[None, :]
    return np.asarray(less | (equal & nowhere_worse & somewhere_better))


def fronts(points: Points, violations: Sequence[float] | None = None) -> list[list[int]]:
    """The non-dominated sort: the indices of every front, the best front first, each in the order of the points."""
    count = len(points)
    beats = dominance(points, [0.0] * count if violations is None else violations)
    above = beats.sum(axis=0)  # how many of those that are left dominate each
    left = np.ones(count, dtype=bool)
    found: list[list[int]] = []
    while left.any():
        front = np.flatnonzero(left & (above == 0))
        found.append(front.tolist())
        left[front] = False
        above = above - beats[front].sum(axis=0)
    return found


def crowding(points: Points) -> Points:
    """How much room each point of one front has: the sum over the objectives of the gap between its neighbours, as a share of the range.

    The first and the last of an objective have infinite room. An objective in which all are equal says nothing. Of points that are
    equal in everything the first keeps its room, the others have none.
    """
    room = np.zeros(len(points))
    _, firsts = np.unique(points, axis=0, return_index=True)
    kept = np.sort(firsts)
    for values in points[kept].T:
        order = np.argsort(values, kind="stable")
        span = values[order[-1]] - values[order[0]]
        if span <= 0 or not np.isfinite(span):
            continue
        room[kept[order[0]]] = room[kept[order[-1]]] = np.inf
        room[kept[order[1:-1]]] += (values[order[2:]] - values[order[:-2]]) / span
    if len(kept) == 1:
        room[kept] = np.inf
    return room


def objectives(field: Sequence[Individual[Any]]) -> Points:
    """The objectives of a field, a row each, in the order of their names; `value` (on common cases) where there are none.

    Raises `ConfigError` when they do not all have the same ones.
    """
    names = sorted({name for one in field for name in one.fitness.objectives})
    lacking = next((one for one in field if len(one.fitness.objectives) != len(names)), None)
    if lacking is not None:
        raise ConfigError(f"a fitness has the objectives {', '.join(lacking.fitness.objectives) or 'none'}, others have {', '.join(names)}")
    if not names:
        return np.asarray([[value] for _, _, value in standings(field)], dtype=float).reshape(len(field), 1)
    return np.asarray([[one.fitness.objectives[name] for name in names] for one in field], dtype=float)


def places(field: Sequence[Individual[Any]]) -> list[tuple[int, float]]:
    """The crowded comparison as sort keys, larger is better: first the front, then the room within it."""
    if not field:
        return []
    points = objectives(field)
    keys = [(0, 0.0)] * len(field)
    for rank, front in enumerate(fronts(points, [one.fitness.violation for one in field])):
        for i, room in zip(front, crowding(points[front]).tolist(), strict=True):
            keys[i] = (-rank, room)
    return keys


def nondominated(size: int) -> Compete:
    """NSGA-II: the best fronts live on, of the front that does not fit those with the most room. Ties go to the incumbents."""
    if size < 1:
        raise ValueError(f"a population has at least one member, not {size}")
    return Compete(lambda field: [{None: place} for place in places(field)], keep=size)


def crowded_tournament(size: int = 2) -> Tournament:
    """Every role is won by the contestant on the better front, or with more room on the same one."""
    return Tournament(size, order=places)


def frontier(field: Sequence[Individual[G]]) -> list[Individual[G]]:
    """The valid individuals that nobody dominates, one for each point of the objectives, in the order of the points.

    Where nobody is valid: of those with the least violation. It looks at one after another, so a whole run may be given.
    """
    scored = [one for one in field if one.fitness.ok]
    least = min((one.fitness.violation for one in scored), default=0.0)
    scored = [one for one in scored if one.fitness.violation == least]
    points, best = objectives(scored), np.empty(0, dtype=int)
    for i, point in enumerate(points):
        if not np.all(points[best] >= point, axis=1).any():
            best = np.append(best[~np.all(point >= points[best], axis=1)], i)
    return [scored[i] for i in sorted(best.tolist(), key=lambda i: tuple(points[i]))]


__all__ = [
    "crowded_tournament", "crowding", "dominance", "frontier", "fronts", "nondominated", "objectives", "places",
]  # fmt: skip
