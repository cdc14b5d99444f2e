"""The kit of the weight wing: experts to begin with, and variations of adapters in the place of instructions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmevo.breeding import Chain, Either, Given
from llmevo.core import ConfigError, Seed, Variation
from llmevo.library import load_operator
from llmevo.weights.distributions import Combined
from llmevo.weights.genome import AdapterGenome
from llmevo.weights.variations import Differ, Graft, Inherit, Merge, Mixed, Noise


class AdapterKit:
    """Experts, and for every operator file the variation of adapters that takes as many parents: recipes for prompts work here, too.

    `from_base` puts the untouched base model before the experts; noise alone would never leave it, so that one parent may also be
    joined by an expert. `gradient` is a founder that is trained on the examples, if there can be one. `cases` are the ids of
    those that a recipe may divide.
    """

    def __init__(
        self,
        experts: Sequence[AdapterGenome],
        *,
        seed: Seed,
        near: Path | None = None,
        from_base: bool = False,
        gradient: Variation[AdapterGenome] | None = None,
        cases: Sequence[str] = (),
    ) -> None:
        if len(experts) < 2:
            raise ConfigError(f"{len(experts)} experts are given; a search over adapters needs at least two: add folders to `experts`")
        self.experts, self.seed, self._near, self._gradient = tuple(experts), seed, near, gradient
        self.cases = tuple(cases)
        self.teaches = False
        """Whether a recipe has asked for the founder that is trained."""
        base: list[Variation[AdapterGenome]] = [Combined(self.experts[:1], (0.0,))] if from_base else []
        self.founders: Sequence[Variation[AdapterGenome]] = [*base, *(Given(one) for one in self.experts)]
        self._change: Variation[AdapterGenome] = Either((Noise(), Graft(self.experts))) if from_base else Noise()

    def gradient(self) -> Variation[AdapterGenome] | None:
        """The founder that is trained on the examples; None where there can be none."""
        self.teaches = self._gradient is not None
        return self._gradient

    def operator(self, name: str) -> Variation[AdapterGenome]:
        """Noise (or an expert on top) for one parent, a merge and noise for two, differences for three or four, roles for five."""
        arity = load_operator(name, self._near).arity
        if arity == 0:
            return Mixed(self.experts)
        if arity == 1:
            return self._change
        if arity == 2:
            return Chain((Merge(), Noise()))
        if arity in (3, 4):
            return Differ(arity=arity)
        if arity == 5:
            return Inherit()
        return Merge(arity=None)
