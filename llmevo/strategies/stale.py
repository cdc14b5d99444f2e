"""A phase whose children keep the score of their parent: what released code does that moves individuals and does not evaluate them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Generic

from llmevo.core import Birth, G, Individual, Mating, View
from llmevo.strategies.phases import Phase


class Stale(Generic[G]):
    """Shows the inner strategy every child with the fitness of its first parent. The journal keeps the true scores.

    For comparisons with released code only: selection and the memory of the best are misled by it.
    """

    def __init__(self, inner: Phase[G]) -> None:
        self._inner = inner
        self._asked: deque[list[Mating[G]]] = deque()

    @property
    def view(self) -> View[G]:
        """The inner strategy's."""
        return self._inner.view

    @view.setter
    def view(self, view: View[G]) -> None:
        self._inner.view = view

    @property
    def ending(self) -> str | None:
        """The inner strategy's."""
        return self._inner.ending

    def ask(self, n: int) -> list[Mating[G]]:
        matings = list(self._inner.ask(n))
        if matings:
            self._asked.append(matings)
        return matings

    def tell(self, births: Sequence[Birth[G]]) -> None:
        asked = self._asked.popleft() if self._asked else []
        old = [mating.parents[0].fitness if mating.parents else None for mating in asked]
        shown: list[Birth[G]] = [
            replace(birth, fitness=fitness) if fitness is not None and isinstance(birth, Individual) else birth
            for birth, fitness in zip(births, old, strict=False)
        ]
        self._inner.tell([*shown, *births[len(asked) :]])
