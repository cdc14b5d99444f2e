"""A strategy that takes over the memory of the best and worst, and not the population: it founds its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

from llmevo.core import Birth, G, Mating, Strategy, View


class Afresh(Generic[G]):
    """The inner strategy, begun with nobody living; the best and worst that it was given are remembered beside its own."""

    def __init__(self, inner: Strategy[G]) -> None:
        self._inner = inner
        self._before: View[G] = View()

    @property
    def view(self) -> View[G]:
        """The inner population; the best and worst of all that were told here and before."""
        now, before = self._inner.view, self._before
        told = [*before.hall, *now.hall, *(one.worst for one in (before, now) if one.worst is not None)]
        empty: View[G] = View()
        both = empty.advance((), told)
        return View(now.population, now.memory, both.hall, both.worst, now.turn)

    @view.setter
    def view(self, view: View[G]) -> None:
        self._before = view

    @property
    def ending(self) -> str | None:
        """The inner strategy's."""
        return self._inner.ending

    def ask(self, n: int) -> Sequence[Mating[G]]:
        return self._inner.ask(n)

    def tell(self, births: Sequence[Birth[G]]) -> None:
        self._inner.tell(births)
