"""A strategy that believes in a new best only after it was scored again."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Generic

from llmevo.breeding import Reassess
from llmevo.core import Birth, CaseSlice, G, Individual, Mating, Seed, Strategy, View, living, outranks, plan

FIRST = 1
"""The repeat number of the first fresh sample; 0 is that of the first evaluation."""


class Confirmed(Generic[G]):
    """A strategy under noise: whoever would be the best ever is first scored `times` more on fresh samples of the same cases, and the
    mean of these is its score from then on. The lucky score that brought it up does not count.

    Births are held back until the best among them is confirmed or no longer better than the incumbent; so the strategy within never sees
    an unconfirmed best. Each confirmation is a mating of its own, and one evaluation that asks `times` as much. It needs an
    evaluation that honours `CaseSlice.times` (`Repeated`).

    Where an answer is always the same, only other cases are fresh: with `fresh` births are scored on `cases`, and who would be the best
    ever is scored on the `fresh` ones, too; its score is then the mean over both (Deep GA's episodes).
    """

    def __init__(
        self, strategy: Strategy[G], times: int = 1, *, seed: Seed, cases: Sequence[str] = (), fresh: Sequence[str] = ()
    ) -> None:
        if times < 1:
            raise ValueError(f"confirm at least once, not {times} times")
        if bool(cases) != bool(fresh) or set(cases) & set(fresh):
            raise ValueError(f"fresh cases are others than those of every birth; {len(cases)} and {len(fresh)} are given")
        self._strategy, self._times, self._seed = strategy, times, seed.fold("confirmed")
        self._cases = CaseSlice(tuple(cases)) if cases else None
        self._fresh = tuple(fresh)
        self._again = Reassess()
        self._asked: deque[bool] = deque()
        """For every open ask, whether it is a confirmation."""
        self._held: deque[list[Birth[G]]] = deque()
        self._confirmed: set[str] = set()
        self._doubted: Individual[G] | None = None
        self._ordinal = 0

    @property
    def view(self) -> View[G]:
        """The view of the strategy within: everybody in it who is best was confirmed."""
        return self._strategy.view

    @property
    def ending(self) -> str | None:
        """Why nothing more is asked."""
        return self._strategy.ending

    def ask(self, n: int) -> Sequence[Mating[G]]:
        """The confirmation that is due; otherwise what the strategy within asks, once nothing is held back."""
        if self._doubted is not None:
            one, self._doubted = self._doubted, None
            self._ordinal += 1
            cases = CaseSlice(self._fresh) if self._fresh else CaseSlice(tuple(one.fitness.cases), FIRST, self._times)
            matings: Sequence[Mating[G]] = [plan(self._again, (one,), self._seed.fold(self._ordinal), self._ordinal, cases=cases)]
        else:
            matings = [] if self._held else self._on_cases(self._strategy.ask(n))
        if matings:
            self._asked.append(matings[0].variation is self._again)
        return matings

    def tell(self, births: Sequence[Birth[G]]) -> None:
        if self._asked.popleft():
            (told,) = births
            again = told.id if isinstance(told, Individual) else told.parents[0]
            self._confirmed.add(again)  # a failed one, too: its first score stands
            self._held[0] = [told if isinstance(told, Individual) and birth.id == again else birth for birth in self._held[0]]
        else:
            self._held.append(list(births))
        while self._held and self._doubted is None and not any(self._asked):
            self._doubted = self._best(self._held[0])
            if self._doubted is None:
                self._strategy.tell(self._held.popleft())

    def _on_cases(self, matings: Sequence[Mating[G]]) -> Sequence[Mating[G]]:
        """On the cases of every birth, if there are others."""
        if self._cases is None:
            return matings
        return [replace(one, cases=self._cases) if one.cases is None and not one.variation.reassess else one for one in matings]

    def _best(self, births: Sequence[Birth[G]]) -> Individual[G] | None:
        """Who would be the best ever of these births and was not confirmed yet; None when all may be told."""
        best = self._strategy.view.best
        for one in living(births):
            if best is None or outranks(one.fitness, best.fitness):
                best = one
        if best is None or best is self._strategy.view.best or best.id in self._confirmed:
            return None
        return best if best.fitness.cases else None
