"""Successions: who lives on. All but the lottery are one competition, `compete`, with another map to niches."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from llmevo.breeding.shaping import proportional
from llmevo.core import ConfigError, G, Individual, common_cases, living, standing

genome_key: Callable[[Individual[Any]], str] = attrgetter("genome.key")
_seat = attrgetter("seat")

Score = Any
Niches = Callable[[Sequence[Individual[Any]]], Sequence[Mapping[Hashable, Score]]]
"""From the field (incumbents first, then newborns) to each one's niches, with its score there; larger is better."""


def compete(field: Sequence[Individual[G]], niches: Niches, keep: int = 1) -> list[Individual[G]]:
    """The best `keep` of every niche, in the order of the field. Ties go to those who come first: the incumbents."""
    if keep == 1:
        return _champions(field, niches)
    entries: dict[Hashable, list[tuple[Score, int]]] = {}
    for i, places in enumerate(niches(field)):
        for niche, score in places.items():
            entries.setdefault(niche, []).append((score, i))
    winners: set[int] = set()
    for rivals in entries.values():
        if len(rivals) <= keep:
            winners.update(i for _, i in rivals)
        else:
            rivals.sort(key=lambda rival: rival[1])
            rivals.sort(key=lambda rival: rival[0], reverse=True)
            winners.update(i for _, i in rivals[:keep])
    return [one for i, one in enumerate(field) if i in winners]


def _champions(field: Sequence[Individual[G]], niches: Niches) -> list[Individual[G]]:
    """`compete` for one place a niche. With many niches nearly everybody has one to himself, so no rivals are gathered."""
    best: dict[Hashable, tuple[Score, int]] = {}
    for i, places in enumerate(niches(field)):
        for niche, score in places.items():
            holder = best.get(niche)
            if holder is None or score > holder[0]:
                best[niche] = (score, i)
    winners = {i for _, i in best.values()}
    return [one for i, one in enumerate(field) if i in winners]


def contenders(population: Sequence[Individual[G]], births: Sequence[Individual[G]]) -> list[Individual[G]]:
    """Incumbents, then the living newborns whose genome nobody holds yet."""
    seen = set(map(genome_key, population))
    field = list(population)
    for one in living(births):
        if one.genome.key not in seen:
            seen.add(one.genome.key)
            field.append(one)
    return field


def standings(field: Sequence[Individual[Any]]) -> list[tuple[bool, float, float]]:
    """Sort keys on the cases that all of the field were scored on."""
    scores = [one.fitness for one in field]
    common = common_cases(scores)
    if common is None:
        return [(one.error is None, -one.violation, one.value) for one in scores]
    return [standing(one, common) for one in scores]


def ranked(field: Sequence[Individual[G]]) -> list[Individual[G]]:
    """Best first; ties in the order of the field."""
    keys = standings(field)
    return [field[i] for i in sorted(range(len(field)), key=lambda i: keys[i], reverse=True)]


@dataclass(frozen=True)
class Compete:
    """The succession of a niche map: incumbents and newborns compete, the best `keep` of every niche live on."""

    niches: Niches
    keep: int = 1

    def __call__(
        self, population: Sequence[Individual[G]], births: Sequence[Individual[G]], rng: np.random.Generator
    ) -> list[Individual[G]]:
        return compete(contenders(population, births), self.niches, self.keep)


def truncation(size: int) -> Compete:
    """(mu + lambda): the best `size` of parents and children together (EvoPrompt GA)."""
    return Compete(lambda field: [{None: score} for score in standings(field)], keep=_positive(size))


def one_to_one() -> Compete:
    """A duel on every seat: the newborn takes it only when strictly better (differential evolution)."""

    def seats(field: Sequence[Individual[Any]]) -> list[dict[Hashable, Score]]:
        common: dict[int, list[Individual[Any]]] = {}
        for one in field:
            common.setdefault(one.seat, []).append(one)
        shared = {seat: common_cases(one.fitness for one in rivals) for seat, rivals in common.items()}
        return [{one.seat: standing(one.fitness, shared[one.seat])} for one in field]

    return Compete(seats)


def always_replace() -> Compete:
    """The newest on every seat lives on, whatever its score (swarms)."""
    return Compete(lambda field: [{one.seat: i} for i, one in enumerate(field)])


def per_cell(cell: Callable[[tuple[float, ...]], Hashable]) -> Compete:
    """MAP-Elites (arXiv 1504.04909): the best of every cell of the measures. `cell` maps measures to a cell."""

    def cells(field: Sequence[Individual[Any]]) -> list[Mapping[Hashable, Score]]:
        if not all(one.fitness.measures for one in field):
            raise ConfigError(
                "the fitness gives no measures, and a grid needs them to find the cell: set `Fitness.measures`; for an answer give "
                "`measures`, e.g. `words` or a function of yours, or put them into the check's `Verdict`"
            )
        return [{cell(one.fitness.measures): score} for one, score in zip(field, standings(field), strict=True)]

    return Compete(cells)


def per_case() -> Compete:
    """The per-example frontier (GEPA, arXiv 2507.19457): the best on every case lives on; ties to the incumbent.

    Where a field has no cases at all, its best lives on.
    """

    def cases(field: Sequence[Individual[Any]]) -> list[Mapping[Hashable, Score]]:
        if not any(one.fitness.cases for one in field):
            return [{None: score} for score in standings(field)]
        # Among equals on a case the higher total wins, so that one generalist outlives many copies of a specialist.
        return [
            {case: (-one.fitness.violation, score, one.fitness.value) for case, score in one.fitness.cases.items()}
            for one in field
        ]

    return Compete(cases)


@dataclass(frozen=True)
class Comma:
    """(mu, lambda): the best `size` of the children alone; the parents stay only when no child lives."""

    size: int

    def __post_init__(self) -> None:
        _positive(self.size)

    def __call__(
        self, population: Sequence[Individual[G]], births: Sequence[Individual[G]], rng: np.random.Generator
    ) -> list[Individual[G]]:
        return ranked(contenders([], births))[: self.size] or list(population)


@dataclass(frozen=True)
class Lottery:
    """Elites live on for certain; the other places are won in tournaments without replacement (GENOME), or with `tournament=None` by
    a roulette without replacement, each with a probability in proportion to its score (GENOME+ as released).
    """

    size: int
    elites: int = 1
    tournament: int | None = 3

    def __post_init__(self) -> None:
        if not 0 <= self.elites <= _positive(self.size) or (self.tournament is not None and self.tournament < 1):
            raise ValueError(
                f"a lottery for {self.size} places has between 0 and {self.size} elites, not {self.elites}, "
                f"and at least one contestant, not {self.tournament}"
            )

    def __call__(
        self, population: Sequence[Individual[G]], births: Sequence[Individual[G]], rng: np.random.Generator
    ) -> list[Individual[G]]:
        field = ranked(contenders(population, births))
        chosen, left = field[: self.elites], list(range(self.elites, len(field)))
        if self.tournament is None:
            return [*chosen, *(field[i] for i in _spun(field, left, self.size - len(chosen), rng))]
        while left and len(chosen) < self.size:
            entrants = rng.choice(len(left), size=min(self.tournament, len(left)), replace=False)
            # `left` is in the order of rank: the smallest position is the best entrant.
            chosen.append(field[left.pop(int(entrants.min()))])
        return chosen


def _spun(field: Sequence[Individual[Any]], left: Sequence[int], places: int, rng: np.random.Generator) -> list[int]:
    """So many of those who are left, drawn one after another in proportion to their scores; those without weight, and invalid ones among
    valid ones, only when nobody else is left.
    """
    if not left:
        return []
    places_of = standings([field[i] for i in left])
    least = max(shortfall for _, shortfall, _ in places_of)
    weights = proportional([value for _, _, value in places_of]) * [shortfall == least for _, shortfall, _ in places_of]
    with np.errstate(divide="ignore"):
        order = np.argsort(rng.standard_exponential(len(left)) / weights, kind="stable")
    return [left[int(i)] for i in order[:places]]


def keep_all(
    population: Sequence[Individual[G]], births: Sequence[Individual[G]], rng: np.random.Generator
) -> list[Individual[G]]:
    """Everybody who is alive and not a duplicate lives on (founding)."""
    return contenders(population, births)


def unchanged(
    population: Sequence[Individual[G]], births: Sequence[Individual[G]], rng: np.random.Generator
) -> list[Individual[G]]:
    """Nobody new lives on: children are scored, and remembered when they are the best, but have no children (random search)."""
    return list(population)


def seated(population: Iterable[Individual[G]]) -> list[Individual[G]]:
    """The population with every seat held once: who comes first keeps a seat, the others move to the lowest free ones."""
    members = list(population)
    if len(set(map(_seat, members))) == len(members):
        return members
    taken: set[int] = set()
    moving = []
    for i, one in enumerate(members):
        if one.seat in taken:
            moving.append(i)
        taken.add(one.seat)
    free = (seat for seat in range(len(taken) + len(moving)) if seat not in taken)
    for i in moving:
        members[i] = members[i].at(next(free))
    return members


def _positive(size: int) -> int:
    if size < 1:
        raise ValueError(f"a population has at least one member, not {size}")
    return size


__all__ = [
    "Comma", "Compete", "Lottery", "Niches", "always_replace", "compete", "contenders", "keep_all", "one_to_one",
    "per_case", "per_cell", "ranked", "seated", "standings", "truncation", "unchanged",
]  # fmt: skip
