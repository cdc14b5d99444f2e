"""Greedy soups (arXiv 2203.05482): the best first, then whoever makes the mixture better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

from llmevo.breeding import ranked
from llmevo.core import Birth, G, Individual, Mating, Seed, Variation, View, living, plan


class GreedySoup(Generic[G]):
    """Goes through the population, best first: each is mixed (`mix`, any number of parents) with those in the soup, and stays in it if the
    mixture is at least as good. It starts from the view that it is given and ends with the last one.
    """

    def __init__(self, mix: Variation[G], *, seed: Seed) -> None:
        self.view: View[G] = View()
        self.ending: str | None = None
        self._mix, self._seed = mix, seed.fold("soup")
        self._queue: list[Individual[G]] | None = None
        self._soup: list[Individual[G]] = []
        self._value = float("-inf")
        self._trying: Individual[G] | None = None
        self._ordinal = 0

    def ask(self, n: int) -> list[Mating[G]]:
        if self._trying is not None:
            return []
        if self._queue is None:
            self._queue = ranked(self.view.population)
            self._soup, self._queue = self._queue[:1], self._queue[1:]
            self._value = self._soup[0].fitness.value if self._soup else float("-inf")
        if not self._queue:
            self.ending = f"the soup has {len(self._soup)} of {self._ordinal + 1} ingredients"
            return []
        self._trying = self._queue.pop(0)
        mating = plan(self._mix, [*self._soup, self._trying], self._seed.fold("mating", self._ordinal), self._ordinal)
        self._ordinal += 1
        return [mating]

    def tell(self, births: Sequence[Birth[G]]) -> None:
        born = living(births[:1])
        if born and self._trying is not None and born[0].fitness.value >= self._value:
            self._soup.append(self._trying)
            self._value = born[0].fitness.value
        self._trying = None
        self.view = self.view.advance(self.view.population, births)
