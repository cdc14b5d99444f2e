"""The strategies that breed: a founding, and selection - variation - succession."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, cast

import numpy as np

from llmevo.breeding import Known, Only, keep_all, seated
from llmevo.core import (
    Birth,
    CaseSlice,
    G,
    Individual,
    Mating,
    Mixture,
    Seed,
    Selection,
    Stillborn,
    Succession,
    Variation,
    View,
    plan,
)


class Breeder(Generic[G]):
    """What founding and breeding share: the fold of births into a view, by a succession.

    `seed` is the strategy's own (fold the run's seed with the island); every mating folds it with its ordinal.
    """

    def __init__(self, succession: Succession[G], seed: Seed, deme: int, cases: CaseSlice | None) -> None:
        self.view: View[G] = View()
        self.ending: str | None = None
        self._succession, self._seed, self._deme, self._cases = succession, seed, deme, cases
        self._seated = False
        self._ordinal = 0
        self._tells = 0
        self._open: deque[list[Mating[G]]] = deque()

    def tell(self, births: Sequence[Birth[G]]) -> None:
        """Folds the births of the oldest open ask, and any guests after them, into the view."""
        asked = self._open.popleft() if self._open else []
        if len(births) < len(asked):
            raise ValueError(f"{len(asked)} matings were asked, {len(births)} births were told")
        self._told(list(zip(asked, births, strict=False)))
        population, newborn = self.view.renewed(births, births[len(asked) :])
        rng = self._seed.fold("succession", self._tells).rng()
        self._tells += 1
        movers = {mating.id for mating in asked if self._seated and mating.parents and not mating.variation.reassess}
        self.view = self.view.advance(seated(self._succession(population, newborn, rng)), births, movers)

    def _told(self, told: list[tuple[Mating[G], Birth[G]]]) -> None:
        """A hook for what a strategy learns from its matings."""

    def _plan(self, variation: Variation[G], parents: Sequence[Individual[G]], seat: int) -> Mating[G]:
        seed = self._seed.fold("mating", self._ordinal)
        mating = plan(
            variation, parents, seed, self._ordinal, seat=seat, deme=self._deme, cases=self._cases
        )
        self._ordinal += 1
        return mating


class Founding(Breeder[G]):
    """Founders (variations of arity 0), each born once on a seat of its own; it ends when all were told."""

    def __init__(
        self,
        founders: Sequence[Variation[G]],
        *,
        seed: Seed,
        succession: Succession[G] = keep_all,
        deme: int = 0,
        cases: CaseSlice | None = None,
    ) -> None:
        super().__init__(succession, seed.fold("founding"), deme, cases)
        if not founders:
            raise ValueError("a founding needs at least one founder")
        self._founders = list(founders)
        self._lost: list[str] = []
        self._left = len(self._founders)

    def ask(self, n: int) -> list[Mating[G]]:
        first = self._ordinal
        matings = [self._plan(founder, (), first + i) for i, founder in enumerate(self._founders[first : first + n])]
        if matings:
            self._open.append(matings)
        return matings

    def _told(self, told: list[tuple[Mating[G], Birth[G]]]) -> None:
        for _, birth in told:
            self._left -= 1
            error = birth.error if isinstance(birth, Stillborn) else birth.fitness.error
            if error is not None:
                self._lost.append(error)
        if self._left == 0:
            total = len(self._founders)
            self.ending = f"{total - len(self._lost)} of {total} founders live"
            if self._lost:
                self.ending += f"; first loss: {self._lost[0]}"


class Genetic(Breeder[G]):
    """Selection of parents, one variation per mating (or a mixture of them), succession.

    It has no founders of its own: put it behind a `Founding` with `sequence`, or give it a view. With `known` a child that repeats one
    told before is stillborn, and not evaluated.
    """

    def __init__(
        self,
        variation: Variation[G] | Mixture[G],
        selection: Selection[G],
        succession: Succession[G],
        *,
        seed: Seed,
        deme: int = 0,
        cases: CaseSlice | None = None,
        known: Known[G] | None = None,
    ) -> None:
        # Matings carry the key of the plain variation; by the seed a change of what counts as known is noticed all the same.
        super().__init__(succession, seed.fold("genetic", *([known.key] if known else [])), deme, cases)
        self._known = known
        self._mixture = cast(Mixture[G], variation if hasattr(variation, "choose") else Only(variation))
        self._selection = selection
        self._seated = selection.seated

    def ask(self, n: int) -> list[Mating[G]]:
        if not self.view.population:
            self.ending = "nobody is left to breed from"
            return []
        if self._known is not None and not self._ordinal:
            self._known.learn(self.view.population)
        matings = []
        rng = self._seed.fold("ask", self._ordinal).rng()
        for i in range(n):
            matings += self._mate(rng, len(self.view.population) + i)
        if matings:
            self._open.append(matings)
        return matings

    def _mate(self, rng: np.random.Generator, free_seat: int) -> list[Mating[G]]:
        variation = self._mixture.choose(rng)
        planned = variation if self._known is None else self._known.unless(variation)
        view = replace(self.view, turn=self._ordinal)
        return [
            self._plan(planned, parents, parents[0].seat if self._seated and parents else free_seat)
            for parents in self._selection(view, 1, variation.arity, rng)
        ]

    def _told(self, told: list[tuple[Mating[G], Birth[G]]]) -> None:
        self._mixture.credit(told)
        if self._known is not None:
            self._known.learn(birth for _, birth in told)
