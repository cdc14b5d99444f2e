"""A variation that changes on the way: the next one after so many matings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic

import numpy as np

from llmevo.core import Birth, G, Mating, Variation


class InTurn(Generic[G]):
    """`make(0)` for the first `each` matings, `make(1)` for the next ones, and so on: a step that shortens, a temperature that falls."""

    def __init__(self, make: Callable[[int], Variation[G]], each: int) -> None:
        if each < 1:
            raise ValueError(f"a turn has at least one mating, not {each}")
        self._make, self._each = make, each
        self._chosen = 0

    def choose(self, rng: np.random.Generator) -> Variation[G]:
        variation = self._make(self._chosen // self._each)
        self._chosen += 1
        return variation

    def credit(self, told: Sequence[tuple[Mating[G], Birth[G]]]) -> None:
        """Nothing is learnt: the turns are fixed."""
