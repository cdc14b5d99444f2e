"""Selections: who the parents of the next matings are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from llmevo.breeding.shaping import Shaping, flat, linear_rank, proportional
from llmevo.breeding.succession import genome_key, standings
from llmevo.core import G, Individual, View, common_cases, standing


@dataclass(frozen=True)
class Roulette:
    """Every role is drawn with probability proportional to its shaped score, without repeating a genome within a tuple.

    A variation that takes any number of parents gets the whole population, or with `most` a number of them that is drawn from 1 to that.
    """

    shaping: Shaping = proportional
    most: int | None = None
    seated: ClassVar[bool] = False

    def __call__(
        self, view: View[G], n: int, arity: int | None, rng: np.random.Generator
    ) -> list[tuple[Individual[G], ...]]:
        pool = distinct(view.population)
        if not pool:
            return []
        weights = self.shaping(values(pool))

        def size() -> int:
            if arity is not None:
                return arity
            return len(pool) if self.most is None else int(rng.integers(1, min(self.most, len(pool)) + 1))

        return [tuple(pool[i] for i in _spin(weights, size(), rng)) for _ in range(n)]


uniform = Roulette(flat)
"""Every member of the population with the same probability."""
rank = Roulette(linear_rank)
"""Probability proportional to the rank: independent of the scale of the scores."""
roulette = Roulette(proportional)
"""Probability proportional to the score (EvoPrompt GA, GENOME)."""


@dataclass(frozen=True)
class Tournament:
    """Every role is won by the best of `size` random contestants; winners do not compete again within a tuple.

    `order` gives the sort keys of the contestants, larger is better: by default scored, then valid, then value.
    """

    size: int = 2
    order: Callable[[Sequence[Individual[Any]]], Sequence[Any]] = standings
    seated: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a tournament has at least one contestant, not {self.size}")

    def __call__(
        self, view: View[G], n: int, arity: int | None, rng: np.random.Generator
    ) -> list[tuple[Individual[G], ...]]:
        pool = distinct(view.population)
        if not pool:
            return []
        keys = self.order(pool)
        size = len(pool) if arity is None else arity

        return [tuple(pool[i] for i in _filled([], keys, size, self.size, rng)) for _ in range(n)]


@dataclass(frozen=True)
class BestFirst:
    """The first parent is the best one that is not spent yet; every other role is won in a tournament of `size` among the rest.

    Who was the first parent of `patience` children is spent until all others are; a stillbirth counts as `loss` of them, for it says
    that there is little left to find. So it climbs from the best as long as that gives better ones, and turns to the next best, then
    the next, when it does not. Among equals the newest come last.
    """

    patience: int = 24
    size: int = 2
    loss: int = 4
    seated: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.patience < 1 or self.size < 1 or self.loss < 0:
            raise ValueError(f"patience and size are at least 1, and loss 0, not {self.patience}, {self.size} and {self.loss}")

    def __call__(
        self, view: View[G], n: int, arity: int | None, rng: np.random.Generator
    ) -> list[tuple[Individual[G], ...]]:
        pool = distinct(view.population)
        if not pool:
            return []
        places = standings(pool)
        memories = [view.memory.get(one.id) for one in pool]
        rounds = [(past.children + self.loss * past.stillborn) // self.patience if past else 0 for past in memories]
        fresh = min(rounds)
        first = max((i for i in range(len(pool)) if rounds[i] == fresh), key=places.__getitem__)
        size = len(pool) if arity is None else arity
        return [tuple(pool[i] for i in _filled([first][:size], places, size, self.size, rng)) for _ in range(n)]


Role = Callable[[View[Any], Individual[Any], Sequence[Individual[Any]], np.random.Generator], Individual[Any]]


def _other(
    view: View[Any], me: Individual[Any], taken: Sequence[Individual[Any]], rng: np.random.Generator
) -> Individual[Any]:
    """A random member whose genome is not in the tuple yet; if there is none, any other member."""
    keys = {one.genome.key for one in taken}
    free = [one for one in view.population if one.genome.key not in keys] or list(view.population)
    return free[int(rng.integers(len(free)))]


ROLES: dict[str, Role] = {
    "self": lambda view, me, taken, rng: me,
    "random": _other,
    "previous": lambda view, me, taken, rng: view.memory[me.id].previous or me,
    "own_best": lambda view, me, taken, rng: view.memory[me.id].best,
    "best": lambda view, me, taken, rng: view.best or me,
    "worst": lambda view, me, taken, rng: view.worst or me,
}
"""What a role means, by name: from (view, the one whose turn it is, those already in the tuple, rng) to an individual."""


@dataclass(frozen=True)
class Roles:
    """Every seat in turn, once per round, with partners by role. The child is planned for the seat of its first parent.

    The arity of the variation must be the number of roles. With `restart`, who has made so many moves without a better one of its own
    begins again where its best one was, at rest: `self` and `previous` are both that one (Model Swarms).
    """

    names: tuple[str, ...]
    restart: int | None = None
    seated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in ROLES]
        if unknown or self.names[:1] != ("self",):
            raise ValueError(f"roles start with 'self' and are among {', '.join(ROLES)}; not {self.names}")
        if self.restart is not None and self.restart < 1:
            raise ValueError(f"a restart comes after at least one move without a better one, not {self.restart}")

    def __call__(
        self, view: View[G], n: int, arity: int | None, rng: np.random.Generator
    ) -> list[tuple[Individual[G], ...]]:
        if arity not in (None, len(self.names)):
            raise ValueError(f"the selection gives {len(self.names)} roles {self.names}; the variation takes {arity}")
        seats = sorted(view.population, key=lambda one: one.seat)
        tuples = []
        for i in range(n if seats else 0):
            me = seats[(view.turn + i) % len(seats)]
            past = view.memory.get(me.id)
            again = past.best.at(me.seat) if past and self.restart is not None and past.since >= self.restart else None
            taken: list[Individual[G]] = []
            for name in self.names:
                rests = again is not None and name in ("self", "previous")
                taken.append(again if rests and again else ROLES[name](view, me, taken, rng))
            tuples.append(tuple(taken))
        return tuples


targets = Roles(("self", "random", "random", "best"))
"""Differential evolution: (target, a, b, best so far), every seat once per round (EvoPrompt DE)."""
swarm = Roles(("self", "previous", "own_best", "best", "worst"))
"""Particle swarms: move from where one is and was, towards the own and the global best, away from the worst."""


def distinct(population: Sequence[Individual[G]]) -> list[Individual[G]]:
    """The population with one individual per genome, the first of each."""
    keys = list(map(genome_key, population))
    if len(set(keys)) == len(keys):
        return list(population)
    seen: dict[str, Individual[G]] = {}
    for key, one in zip(keys, population, strict=True):
        seen.setdefault(key, one)
    return list(seen.values())


def values(population: Sequence[Individual[G]]) -> list[float]:
    """Comparable scores of a population: on common cases where they differ. Invalid ones score below every valid one.

    Where all fall short by as much, their scores count as they are. Else invalid ones are below by at most the spread of the valid ones,
    however large a violation is: it must not flatten the others' differences.
    """
    common = common_cases(one.fitness for one in population)
    standings = [standing(one.fitness, common) for one in population]
    if len({shortfall for _, shortfall, _ in standings}) == 1:
        return [value for _, _, value in standings]
    valid = [value for _, shortfall, value in standings if shortfall == 0]
    floor = min(valid, default=0.0)
    spread = max(valid, default=0.0) - floor or 1.0
    return [
        value if shortfall == 0 else floor - spread * (1.0 - 1.0 / (1.0 - shortfall)) for _, shortfall, value in standings
    ]


def _filled(
    chosen: list[int], places: Sequence[tuple[bool, float, float]], size: int, entrants: int, rng: np.random.Generator
) -> list[int]:
    """`chosen`, filled up to `size` by tournaments; nobody is chosen again before all others were."""
    while len(chosen) < size:
        free = [i for i in range(len(places)) if i not in chosen[len(chosen) // len(places) * len(places) :]]
        drawn = rng.choice(free, size=min(entrants, len(free)), replace=False).tolist()
        chosen.append(max(drawn, key=places.__getitem__))
    return chosen


def _spin(weights: np.ndarray[Any, np.dtype[np.float64]], size: int, rng: np.random.Generator) -> list[int]:
    """`size` indices drawn without replacement as long as there are any left; zero weights only when nothing else is."""
    chosen: list[int] = []
    left = weights.astype(float)
    free = np.ones(len(left), dtype=bool)
    while len(chosen) < size:
        if not free.any():
            left, free = weights.astype(float), np.ones(len(left), dtype=bool)
        masked = np.where(free, left, 0.0)
        if masked.sum() <= 0:
            masked = free.astype(float)
        index = int(np.searchsorted(np.cumsum(masked), rng.random() * masked.sum(), side="right"))
        index = min(index, int(np.flatnonzero(masked)[-1]))
        chosen.append(index)
        free[index] = False
    return chosen
