"""Evolution strategies: the population is a distribution around a mean."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic

from llmevo.core import Birth, G, Individual, Mating, Seed, Stillborn, Variation, View, living, plan


class Distribution(Generic[G]):
    """A mean, `pairs` of antithetic members around it, and an update that makes the next mean of them.

    `plus` and `minus` are variations of arity 1 that draw from the mating's seed, which both halves of a pair share. `update` gets the
    mean, then the members that live (both halves or neither), and gives the next mean; it may await, so a large update is a birth like
    any other. Use it with `slots=1`: members of one step need the same mean.

    Sources: antithetic sampling in evolution strategies (arXiv 1703.03864); low-rank members, EGGROLL (arXiv 2511.16652).
    """

    def __init__(
        self,
        mean: Variation[G],
        plus: Variation[G],
        minus: Variation[G],
        update: Variation[G],
        *,
        pairs: int,
        seed: Seed,
        deme: int = 0,
    ) -> None:
        if pairs < 1:
            raise ValueError(f"a distribution needs at least one pair, not {pairs}")
        self.view: View[G] = View()
        self.ending: str | None = None
        self._mean_of, self._halves, self._update = mean, (plus, minus), update
        self._pairs, self._seed, self._deme = pairs, seed.fold("distribution"), deme
        self._ordinal = self._step = self._asked = self._told = 0
        self._mean: Individual[G] | None = None
        self._members: list[Birth[G]] = []
        self._renewing = False
        self._open: deque[int] = deque()

    def ask(self, n: int) -> list[Mating[G]]:
        if self._mean is None:
            return self._one(self._mean_of, ()) if not self._asked else []
        size = 2 * self._pairs
        if self._asked < size:
            first, last = self._asked, min(size, self._asked + n)
            self._asked = last
            self._open.append(last - first)
            return [
                self._plan(self._halves[i % 2], (self._mean,), self._seed.fold("pair", self._step, i // 2), 1 + i)
                for i in range(first, last)
            ]
        if self._told < size or self._renewing:
            return []
        self._renewing = True
        whole = [
            half
            for i in range(0, size, 2)
            if len(pair := living(self._members[i : i + 2])) == 2
            for half in pair
        ]
        return self._one(self._update, (self._mean, *whole))

    def tell(self, births: Sequence[Birth[G]]) -> None:
        """Guests are remembered if they are good, but belong to no pair: they do not move the mean."""
        own = births[: self._open.popleft() if self._open else 0]
        if own and (self._mean is None or self._renewing):
            born = living(own)
            if born:
                self._mean = born[0]
            elif self._mean is None:
                lost = own[0]
                why = lost.error if isinstance(lost, Stillborn) else lost.fitness.error
                self.ending = f"the mean was not born: {why}"
            # A failed update leaves the mean where it is; new members are drawn around it.
            self._step, self._asked, self._told, self._members = self._step + 1, 0, 0, []
            self._asked = 0 if self._mean else 1
            self._renewing = False
        else:
            self._members += own
            self._told += len(own)
        population = [self._mean] if self._mean else []
        self.view = self.view.advance([*population, *living(self._members)], births)

    def _one(self, variation: Variation[G], parents: tuple[Individual[G], ...]) -> list[Mating[G]]:
        self._asked = max(self._asked, 1)
        self._open.append(1)
        return [self._plan(variation, parents, self._seed.fold("mean", self._step), 0)]

    def _plan(self, variation: Variation[G], parents: tuple[Individual[G], ...], seed: Seed, seat: int) -> Mating[G]:
        mating = plan(variation, parents, seed, self._ordinal, seat=seat, deme=self._deme)
        self._ordinal += 1
        return mating
