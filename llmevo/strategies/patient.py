"""A phase that ends when nothing gets better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

from llmevo.core import Birth, G, Mating, View
from llmevo.strategies.phases import Phase


class Patient(Generic[G]):
    """The inner strategy until so many of its births in a row were told without a new best ever."""

    def __init__(self, inner: Phase[G], births: int) -> None:
        if births < 1:
            raise ValueError(f"patience lasts for at least one birth, not {births}")
        self._inner, self._births = inner, births
        self._since = 0

    @property
    def view(self) -> View[G]:
        """The inner strategy's."""
        return self._inner.view

    @view.setter
    def view(self, view: View[G]) -> None:
        self._inner.view, self._since = view, 0

    @property
    def ending(self) -> str | None:
        """That patience is at its end, or why the inner strategy is."""
        if self._since >= self._births:
            return f"no better one in {self._since} births"
        return self._inner.ending

    def ask(self, n: int) -> Sequence[Mating[G]]:
        return [] if self._since >= self._births else self._inner.ask(n)

    def tell(self, births: Sequence[Birth[G]]) -> None:
        before = self.view.best
        self._inner.tell(births)
        best = self.view.best
        better = best is not None and (before is None or best.id != before.id)
        self._since = 0 if better else self._since + len(births)
