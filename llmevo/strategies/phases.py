"""Strategies one after another over one population and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol

from llmevo.core import Birth, G, Mating, View


class Phase(Protocol[G]):
    """A strategy whose view can be handed over."""

    view: View[G]

    @property
    def ending(self) -> str | None: ...

    def ask(self, n: int) -> Sequence[Mating[G]]: ...

    def tell(self, births: Sequence[Birth[G]]) -> None: ...


@dataclass(frozen=True, slots=True)
class For(Generic[G]):
    """A phase that lasts for a number of matings, or as many as a function of the view at its start says."""

    strategy: Phase[G]
    matings: int | Callable[[View[G]], int]


class Phases(Generic[G]):
    """Each phase plans its matings, all of them are told, then the next one takes over the view.

    A phase without a number of matings lasts until it has an `ending` of its own. With `cycle` the first follows the last.
    """

    def __init__(self, phases: Sequence[Phase[G] | For[G]], *, cycle: bool = False) -> None:
        if not phases:
            raise ValueError("give at least one phase")
        self._phases, self._cycle = list(phases), cycle
        self._place = -1
        self._open = 0
        self._ending: str | None = None
        first = phases[0]
        self._current: Phase[G] = first.strategy if isinstance(first, For) else first
        self._enter(0, self._current.view)

    @property
    def view(self) -> View[G]:
        """The view of the phase that is running."""
        return self._current.view

    @view.setter
    def view(self, view: View[G]) -> None:
        self._ending = None
        self._enter(0, view)

    @property
    def ending(self) -> str | None:
        """Why nothing more is asked."""
        return self._ending

    def ask(self, n: int) -> list[Mating[G]]:
        """Up to n matings of the phase that is running; none while a phase waits for its last births."""
        for _ in range(2 * len(self._phases)):
            if self._left is None or self._left > 0:
                matings = list(self._current.ask(n if self._left is None else min(n, self._left)))
                if matings:
                    self._open += 1
                    if self._left is not None:
                        self._left -= len(matings)
                    return matings
            if self._open or not self._next():
                return []
        self._ending = "no phase plans anything"
        return []

    def tell(self, births: Sequence[Birth[G]]) -> None:
        self._open -= 1
        self._current.tell(births)

    def _next(self) -> bool:
        """Enters the next phase; False (and an ending) when there is none or nobody is left."""
        place = self._place + 1
        why = self._current.ending
        if not self.view.population:
            self._ending = why or "nobody is left"
        elif place >= len(self._phases) and not self._cycle:
            self._ending = why or "all phases are complete"
        if self._ending:
            return False
        self._enter(place % len(self._phases), self.view)
        return True

    def _enter(self, place: int, view: View[G]) -> None:
        phase = self._phases[place]
        self._place = place
        if isinstance(phase, For):
            self._current = phase.strategy
            self._left: int | None = phase.matings(view) if callable(phase.matings) else phase.matings
        else:
            self._current, self._left = phase, None
        self._current.view = view


def sequence(*phases: Phase[G] | For[G]) -> Phases[G]:
    """One phase after another; the last one goes on for ever unless it ends by itself."""
    return Phases(phases)


def alternate(*phases: Phase[G] | For[G]) -> Phases[G]:
    """The phases in turn, round after round. Every phase but an endless one is a `For`."""
    return Phases(phases, cycle=True)
