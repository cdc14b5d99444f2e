"""Differential evolution over words, without a model: the control for the four-step instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmevo.core.context import Context
from llmevo.core.individual import Individual
from llmevo.core.variation import VariationBase
from llmevo.text.edits import UNITS, different, joined
from llmevo.text.genome import TextGenome


@dataclass(frozen=True)
class Recombine(VariationBase):
    """The steps of EvoPrompt's DE done blindly: what differs between a and b goes into the best, and the result is crossed with
    the target.

    Parents are (target, a, b, best), or (target, a, b), in which case the differing words go into the target itself. `rate` is
    the share of places that change. Raises `VariationFailed` when no different child comes of it.
    """

    arity: int = 4
    rate: float = 0.3
    unit: str = "words"

    @property
    def key(self) -> str:
        """All parameters."""
        return f"recombine({self.unit},arity={self.arity},rate={self.rate:g})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        target, a, b, *best = [UNITS[self.unit](one.genome.text) for one in parents]
        differing = [token for token in a if token not in b] + [token for token in b if token not in a] or a

        def once(rng: np.random.Generator) -> str:
            base = best[0] if best else target
            moved = [differing[int(rng.integers(len(differing)))] if rng.random() < self.rate else token for token in base]
            if best:
                cut, back = int(rng.integers(len(moved) + 1)), int(rng.integers(len(target) + 1))
                moved = moved[:cut] + target[back:] if rng.random() < 0.5 else target[:back] + moved[cut:]
            return joined(moved)

        return different(once, parents, context, self.key)
