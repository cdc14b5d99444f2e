"""Several strategies beside each other, with migration through `tell`, and resets of the weakest."""

from __future__ import annotations

import math
import operator
from collections import ChainMap, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Generic, cast

from llmevo.breeding import distinct, ranked, seated
from llmevo.core import (
    Birth,
    G,
    Individual,
    Mating,
    Seed,
    Strategy,
    Variation,
    View,
    common_cases,
    living,
    outranks,
    plan,
    standing,
)
from llmevo.core.view import HALL, Memory


@dataclass(frozen=True)
class Reset(Generic[G]):
    """How the weakest islands begin anew: every `interval` tells, from individuals that `picks` choose among the best of all islands.

    A pick takes any number of parents and returns the genome of one (it `picks`), so its score is known; where none of them lives, the
    best of the candidates are taken. `renew` builds the new strategy from island, how many resets there were, and the view to go on from.
    """

    picks: Sequence[Variation[G]]
    renew: Callable[[int, int, View[G]], Strategy[G]]
    seed: Seed
    interval: int = 3
    islands: int = 2
    candidates: int = 15

    def __post_init__(self) -> None:
        if self.interval < 1 or self.islands < 1 or self.candidates < 1 or not self.picks:
            raise ValueError("a reset has an interval, islands, candidates and picks of at least one each")


@dataclass
class _Resetting(Generic[G]):
    """A reset under way: what is still to be asked, what was told, for which islands."""

    left: deque[Mating[G]]
    open: int
    candidates: list[Individual[G]]
    born: dict[int, list[Individual[G]]] = field(default_factory=dict)


class Islands(Generic[G]):
    """Islands take turns in a cohort; every `interval` tells the best `migrants` of each visit the next one (a ring).

    Guests are told to their new island after its own births and compete there like newborns. Give every island a seed of its own
    (`seed.fold("island", i)`); its number is the `deme` of what is born there. With `reset` the weakest ones begin anew from time to time.
    """

    def __init__(
        self, islands: Sequence[Strategy[G]], *, interval: int = 10, migrants: int = 1, reset: Reset[G] | None = None
    ) -> None:
        if not islands or len({id(island) for island in islands}) < len(islands):
            raise ValueError("give at least one island, and every island a strategy of its own")
        if interval < 1 or migrants < 0:
            raise ValueError(f"interval is at least 1 and migrants at least 0, not {interval} and {migrants}")
        self.islands, self._interval, self._migrants = list(islands), interval, migrants
        self._turn = self._tells = 0
        self._shares: deque[list[tuple[int, int]]] = deque()
        self._guests: list[list[Individual[G]]] = [[] for _ in islands]
        self._reset, self._due = reset, False
        self._resetting: _Resetting[G] | None = None
        self._resets = self._ordinal = 0
        self._halls: tuple[list[tuple[Individual[G], ...]], tuple[Individual[G], ...]] = ([], ())
        """The halls of the islands as they were last put together, and what came of it."""

    @property
    def ending(self) -> str | None:
        """Set when every island has ended."""
        endings = [island.ending for island in self.islands]
        return "; ".join(f"island {i}: {why}" for i, why in enumerate(endings)) if all(endings) else None

    @property
    def view(self) -> View[G]:
        """All islands together: every population, the best and worst of any."""
        views = [island.view for island in self.islands]
        halls = [view.hall for view in views]
        if len(self._halls[0]) != len(halls) or not all(map(operator.is_, halls, self._halls[0])):
            best = ranked(distinct([one for hall in halls for one in hall]))[:HALL]
            self._halls = halls, tuple(best)
        worst = None
        for view in views:
            if view.worst and (worst is None or outranks(worst.fitness, view.worst.fitness)):
                worst = view.worst
        population = tuple(chain.from_iterable(view.population for view in views))
        # Whoever lives on several islands is remembered by the last of them.
        memory = ChainMap(*(cast("dict[str, Memory[G]]", view.memory) for view in reversed(views)))
        return View(population, memory, self._halls[1], worst)

    def ask(self, n: int) -> list[Mating[G]]:
        if self._due or self._resetting:
            return self._ask_picks(n)
        count = len(self.islands)
        matings: list[Mating[G]] = []
        shares: list[tuple[int, int]] = []
        # An island that waits or has ended leaves its share to those after it.
        for k in range(count):
            i = (self._turn + k) % count
            asked = self.islands[i].ask(-(-(n - len(matings)) // (count - k))) if len(matings) < n else []
            if asked:
                shares.append((i, len(asked)))
                matings += [one if one.deme == i else replace(one, deme=i) for one in asked]
        self._turn = (self._turn + n) % count
        if matings:
            self._shares.append(shares)
        return matings

    def tell(self, births: Sequence[Birth[G]]) -> None:
        if self._resetting:
            return self._tell_picks(births)
        start = 0
        self._tells += 1
        if self._tells % self._interval == 0:
            self._emigrate()
        for i, size in self._shares.popleft():
            own = births[start : start + size]
            start += size
            self.islands[i].tell([*own, *self._seat(i, self._guests[i])] if self._guests[i] else own)
            self._guests[i] = []
        self._due = self._reset is not None and self._tells % self._reset.interval == 0

    def _ask_picks(self, n: int) -> list[Mating[G]]:
        """Picks for the weakest islands, once nothing of any island is open."""
        assert self._reset is not None
        if self._resetting is None:
            if self._shares:
                return []
            self._due = False
            self._resetting = self._plan_reset(self._reset)
            if self._resetting is None:
                return self.ask(n)
        now = self._resetting
        matings = [now.left.popleft() for _ in range(min(n, len(now.left)))]
        now.open += bool(matings)
        return matings

    def _plan_reset(self, reset: Reset[G]) -> _Resetting[G] | None:
        """The picks of a reset; None while an island has nobody, or when there is nobody to pick."""
        populations = [island.view.population for island in self.islands]
        if not all(populations):
            return None
        common = common_cases(one.fitness for population in populations for one in population)

        def strength(i: int) -> tuple[float, float]:
            places = [standing(one.fitness, common) for one in populations[i]]
            violations, values = [-place[1] for place in places], [place[2] for place in places]
            return (-math.fsum(violations) / len(places), math.fsum(values) / len(places))

        weakest = sorted(range(len(self.islands)), key=strength)[: reset.islands]
        candidates = ranked(distinct([one for population in populations for one in population]))[: reset.candidates]
        matings: deque[Mating[G]] = deque()
        for i in weakest:
            for pick in reset.picks:
                seed = reset.seed.fold("reset", self._ordinal)
                matings.append(plan(pick, candidates, seed, self._ordinal, seat=len(matings), deme=i))
                self._ordinal += 1
        return _Resetting(matings, 0, candidates, {i: [] for i in weakest})

    def _tell_picks(self, births: Sequence[Birth[G]]) -> None:
        """Collects what was picked; when all is told, the islands begin anew. What they found before stays in their memory of the best."""
        now, reset = self._resetting, self._reset
        assert now is not None and reset is not None
        now.open -= 1
        for one in living(births):
            now.born[one.deme].append(one)
        if now.left or now.open:
            return
        self._resetting, self._resets = None, self._resets + 1
        for i, born in now.born.items():
            chosen = distinct(born) or now.candidates[: len(reset.picks)]
            population = seated([one.at(k, i) for k, one in enumerate(chosen)])
            view = self.islands[i].view.advance(population, population)
            self.islands[i] = reset.renew(i, self._resets, view)
            self._guests[i] = []

    def _seat(self, i: int, guests: Sequence[Individual[G]]) -> list[Individual[G]]:
        """The guests on the seats of the worst, the best guest first: where seats are fought for, that is whom they challenge."""
        worst = [one.seat for one in reversed(ranked(self.islands[i].view.population))]
        return [guest.at(worst[k] if k < len(worst) else k, i) for k, guest in enumerate(guests)]

    def _emigrate(self) -> None:
        """From each island to the next one that still asks; guests of one that has ended would wait for ever."""
        count = len(self.islands)
        for i, island in enumerate(self.islands):
            ring = ((i + step) % count for step in range(1, count))
            target = next((j for j in ring if self.islands[j].ending is None), None)
            if target is not None:
                self._guests[target] += ranked(island.view.population)[: self._migrants]
