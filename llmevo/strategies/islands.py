"""Several strategies beside each other, with migration through `tell`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic

from llmevo.breeding import distinct, ranked
from llmevo.core import Birth, G, Individual, Mating, Strategy, View, outranks
from llmevo.core.view import HALL


class Islands(Generic[G]):
    """Islands take turns in a cohort; every `interval` tells the best `migrants` of each visit the next one (a ring).

    Guests are told to their new island after its own births and compete there like newborns. Give every island a seed of its own
    (`seed.fold("island", i)`) and its number as `deme`.
    """

    def __init__(self, islands: Sequence[Strategy[G]], *, interval: int = 10, migrants: int = 1) -> None:
        if not islands or len({id(island) for island in islands}) < len(islands):
            raise ValueError("give at least one island, and every island a strategy of its own")
        if interval < 1 or migrants < 0:
            raise ValueError(f"interval is at least 1 and migrants at least 0, not {interval} and {migrants}")
        self.islands, self._interval, self._migrants = tuple(islands), interval, migrants
        self._turn = self._tells = 0
        self._shares: deque[list[tuple[int, int]]] = deque()
        self._guests: list[list[Individual[G]]] = [[] for _ in islands]

    @property
    def ending(self) -> str | None:
        """Set when every island has ended."""
        endings = [island.ending for island in self.islands]
        return "; ".join(f"island {i}: {why}" for i, why in enumerate(endings)) if all(endings) else None

    @property
    def view(self) -> View[G]:
        """All islands together: every population, the best and worst of any."""
        views = [island.view for island in self.islands]
        hall: list[Individual[G]] = ranked(distinct([one for view in views for one in view.hall]))[:HALL]
        worst = None
        for view in views:
            if view.worst and (worst is None or outranks(worst.fitness, view.worst.fitness)):
                worst = view.worst
        return View(
            tuple(one for view in views for one in view.population),
            {key: memory for view in views for key, memory in view.memory.items()},
            tuple(hall),
            worst,
        )

    def ask(self, n: int) -> list[Mating[G]]:
        count = len(self.islands)
        matings: list[Mating[G]] = []
        shares: list[tuple[int, int]] = []
        # An island that waits or has ended leaves its share to those after it.
        for k in range(count):
            i = (self._turn + k) % count
            asked = self.islands[i].ask(-(-(n - len(matings)) // (count - k))) if len(matings) < n else []
            if asked:
                shares.append((i, len(asked)))
                matings += asked
        self._turn = (self._turn + n) % count
        if matings:
            self._shares.append(shares)
        return matings

    def tell(self, births: Sequence[Birth[G]]) -> None:
        start = 0
        self._tells += 1
        if self._tells % self._interval == 0:
            self._emigrate()
        for i, size in self._shares.popleft():
            own = births[start : start + size]
            start += size
            self.islands[i].tell([*own, *self._seat(i, self._guests[i])])
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
