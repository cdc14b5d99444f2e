"""A strategy whose births race: scored block by block, and dropped as soon as they are surely behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Generic

import numpy as np

from llmevo.breeding import Reassess
from llmevo.breeding.racing import Behind, Lap, Rule
from llmevo.core import Birth, CaseSlice, G, Individual, Mating, Seed, Stillborn, Strategy, View, plan


@dataclass(frozen=True, slots=True)
class Dropped:
    """When and why somebody was dropped."""

    lap: int
    """After this lap; the first is 1."""
    why: str
    told: int
    """As many cohorts had been told by then: whoever hears of cohorts later than the strategy knows with which one it came."""


class Racing(Generic[G]):
    """A strategy whose births are scored on blocks of the cases, one lap after another, beside each other and the incumbents.

    After a lap the `rule` drops who will surely not be among the best `places` of the population and of its own cohort; the strategy
    within is told of it as of a stillbirth, with the reason. Who comes through is told with its scores on all cases, so everything that
    lives was scored on the same ones. The blocks are drawn once, from the seed: all races run on the same blocks in the same order, and an
    incumbent costs nothing more. One cohort races at a time, whatever the slots: a larger batch keeps more in flight.

    Further laps are reassess matings. `births` is how many births of the strategy within are planned at most; a stop that counts matings
    counts laps, too, and may end within a race. Whoever has no score for each case of the first block does not race: it is told as it
    was scored then. Whoever has a violation runs every lap, and is neither dropped nor a rival.
    """

    def __init__(
        self,
        strategy: Strategy[G],
        cases: Sequence[str],
        *,
        seed: Seed,
        block: int,
        places: int = 1,
        rule: Rule | None = None,
        births: int | None = None,
    ) -> None:
        if block < 1 or places < 1 or not cases:
            raise ValueError(f"a race has cases, and blocks and places of at least 1, not {len(cases)}, {block} and {places}")
        self._strategy, self._places, self._rule, self._left = strategy, places, Behind() if rule is None else rule, births
        self._seed = seed.fold("racing", self._rule.key, block, places)
        order = seed.fold("racing").rng().permutation(len(cases))
        parts = np.array_split(order, max(1, round(len(cases) / block)))
        self._laps = [CaseSlice(tuple(cases[int(i)] for i in part)) for part in parts]
        self._size = len(cases)
        self._shares = _shares([len(part) for part in parts])
        self._again: Reassess = Reassess()
        self._asked: deque[int | None] = deque()
        """For every open ask how many births the strategy within is to be told of it; None for a further lap."""
        self._race: _Race[G] | None = None
        self._waits = False
        self._guests: list[Birth[G]] = []
        self.dropped: dict[str, Dropped] = {}
        """Who was dropped so far, by id."""
        self.standing = ""
        """How far the race is, in words."""
        self._ordinal = self._tells = 0

    @property
    def view(self) -> View[G]:
        """The view of the strategy within: everybody in it was scored on all cases."""
        return self._strategy.view

    @property
    def laps(self) -> tuple[int, ...]:
        """How many cases each lap has."""
        return tuple(len(lap.ids) for lap in self._laps)

    @property
    def places(self) -> int:
        """How many are never dropped."""
        return self._places

    @property
    def ending(self) -> str | None:
        """Why nothing more is asked."""
        return "all planned births were made" if self._left == 0 and not self._waits else self._strategy.ending

    def ask(self, n: int) -> Sequence[Mating[G]]:
        """The laps that are due; otherwise what the strategy within asks, on the first block, once it was told all before."""
        if self._race is not None and self._race.due:
            due = [self._race.due.popleft() for _ in range(min(n, len(self._race.due)))]
            self._race.open += 1
            self._asked.append(None)
            return due
        if self._waits or self._left == 0:
            return []
        asked = self._strategy.ask(n if self._left is None else min(n, self._left))
        if asked:
            self._waits = True
            self._asked.append(len(asked))
            if self._left is not None:
                self._left -= len(asked)
        return [replace(one, cases=self._laps[0]) if _races(one) else one for one in asked]

    def tell(self, births: Sequence[Birth[G]]) -> None:
        self._tells += 1
        own = self._asked.popleft()
        if own is not None:
            self._guests += births[own:]
            self._race = _Race(list(births[:own]), self._laps[0])
        else:
            assert self._race is not None, "a lap is told while its race is on"
            self._race.open -= 1
            self._guests += self._race.further(births)
        if not self._race.due and not self._race.open:
            self._next_lap(self._race)

    def _next_lap(self, race: _Race[G]) -> None:
        """Drops who is surely behind, and plans the next lap; the race is over when nobody has one before him."""
        started = len(race.running)
        race.check(self._laps[race.lap])
        self._drop(race)
        race.lap += 1
        self.standing = f"lap {race.lap} of {len(self._laps)} is over: {len(race.running)} of {started} run on"
        if race.lap == len(self._laps):
            self.standing = f"the last of {len(self._laps)} laps is over: {len(race.running)} of {started} came through"
        for i, why in race.out.items():
            self.dropped[race.births[i].id] = Dropped(race.lap, why, self._tells)
        race.out.clear()
        if race.lap == len(self._laps) or not race.running:
            self._race, self._waits = None, False
            guests, self._guests = self._guests, []
            self._strategy.tell([*race.births, *guests])
            return
        for one in race.runners():
            self._ordinal += 1
            seed = self._seed.fold(self._ordinal)
            race.due.append(
                plan(self._again, (one,), seed, self._ordinal, seat=one.seat, deme=one.deme, cases=self._laps[race.lap])
            )

    def _drop(self, race: _Race[G]) -> None:
        seen = [case for lap in self._laps[: race.lap + 1] for case in lap.ids]
        valid = [(i, one) for i, one in zip(race.running, race.runners(), strict=True) if not one.fitness.violation]
        others = [
            one for one in self.view.population if not one.fitness.violation and all(case in one.fitness.cases for case in seen)
        ]
        if not valid:
            return
        scores = np.array([[one.fitness.cases[case] for case in seen] for one in [*(one for _, one in valid), *others]])
        for row, why in self._rule(Lap(scores, len(valid), self._size, self._shares[race.lap], self._places)).items():
            race.drop(valid[row][0], f"dropped after {len(seen)} of {self._size} cases: {why}")


class _Race(Generic[G]):
    """A cohort on its way round: its births in the order of their matings, and who still runs."""

    def __init__(self, births: list[Birth[G]], first: CaseSlice) -> None:
        self.births = births
        self.running = [
            i for i, one in enumerate(births) if isinstance(one, Individual) and one.fitness.ok and set(one.fitness.cases) == set(first.ids)
        ]
        self.lap = self.open = 0
        self.out: dict[int, str] = {}
        """Who was dropped at the last look, and why."""
        self.due: deque[Mating[G]] = deque()

    def runners(self) -> list[Individual[G]]:
        return [one for i in self.running if isinstance(one := self.births[i], Individual)]

    def further(self, told: Sequence[Birth[G]]) -> list[Birth[G]]:
        """Puts those who come back from a lap in their places; gives the others, who are guests."""
        places = {self.births[i].id: i for i in self.running}
        strangers: list[Birth[G]] = []
        for one in told:
            if isinstance(one, Individual) and one.id in places:
                self.births[places[one.id]] = one
            elif isinstance(one, Individual):
                strangers.append(one)
        return strangers

    def check(self, lap: CaseSlice) -> None:
        """Takes those out that have no score on a case of the lap: a fitness that failed leaves the old one standing."""
        for i in list(self.running):
            one = self.births[i]
            if isinstance(one, Individual) and any(case not in one.fitness.cases for case in lap.ids):
                self.drop(i, f"dropped after {len(one.fitness.cases)} cases: it could not be scored on further ones")

    def drop(self, i: int, why: str) -> None:
        one = self.births[i]
        self.running.remove(i)
        self.out[i] = why
        self.births[i] = Stillborn(one.id, why, one.parents, one.variation, one.birth_usage, one.seat, one.deme, one.step)


def _shares(laps: Sequence[int]) -> list[float]:
    """What part of the error each look may spend: as much as cases are still to come, for those are what an early end saves."""
    seen = list(accumulate(laps))
    left = [seen[-1] - so_far if so_far > 1 else 0 for so_far in seen]
    return [cases / max(1, sum(left)) for cases in left]


def _races(mating: Mating[G]) -> bool:
    return mating.cases is None and not mating.variation.reassess
