"""The kit of several representations in one genome: founders and operators of each, applied to its part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmevo.breeding import Either, Foremost, Given, Joined, Product, on
from llmevo.core import ConfigError, Context, Individual, Seed, Variation
from llmevo.core.variation import VariationBase
from llmevo.library import load_operator
from llmevo.recipes.choosing import variations
from llmevo.recipes.kit import Kit
from llmevo.text import TextGenome
from llmevo.text.shots import SHOTS, ShotEdits, packed

SETS = 4
"""Sets of examples to begin with, besides the empty one."""


class ProductKit:
    """Kits by the name of their part. What is not in `evolving` stays as its kit's first founder.

    Every founder differs from the first one in one part: a better prompt is met by the base model, an expert by the first prompt.
    An operator's name stands for that operator on one of the parts: drawn for every birth, or, in a recipe that chooses, one choice each.
    """

    def __init__(self, kits: Mapping[str, Kit[Any]], evolving: Sequence[str], *, seed: Seed) -> None:
        unknown = [name for name in evolving if name not in kits]
        if unknown or not evolving:
            raise ConfigError(f"parts that evolve: {', '.join(evolving) or 'none'}; there are {', '.join(kits)}")
        self.kits, self.evolving, self.seed = dict(kits), tuple(evolving), seed
        firsts = {name: kit.founders[0] for name, kit in kits.items()}
        others = [{**firsts, name: founder} for name in self.evolving for founder in kits[name].founders[1:]]
        self.founders: Sequence[Variation[Product]] = [Joined(one) for one in (firsts, *others)]
        self._firsts = firsts

    def operator(self, name: str) -> Variation[Product]:
        """The operator on one of the parts that evolve, drawn for every birth."""
        several = self.operators(name)
        return several[0] if len(several) == 1 else Either(several)

    def operators(self, name: str) -> list[Variation[Product]]:
        """The operator on each of the parts that evolve, with every model that there is for it."""
        found = {part: variations(self.kits[part], name) for part in self.evolving}
        if all(one.arity == 0 for several in found.values() for one in several):
            return [Joined({**self._firsts, **{part: several[0] for part, several in found.items()}})]
        return [on(part, one) for part, several in found.items() for one in several]


class ShotsKit:
    """Sets of worked examples: none, then some that are drawn; every operator is a change of the first parent's set."""

    def __init__(self, edits: ShotEdits, *, seed: Seed, near: Path | None = None) -> None:
        self.seed, self._edits, self._near = seed, edits, near
        sets = [[], *(edits.drawn(seed.fold("shots", i).rng()) for i in range(SETS))]
        self.founders: Sequence[Variation[TextGenome]] = [Given(one) for one in {TextGenome({SHOTS: packed(some)}): None for some in sets}]

    def operator(self, name: str) -> Variation[TextGenome]:
        """A set that is drawn where the operator of that name takes no parents, else a change of the first one's."""
        arity = load_operator(name, self._near).arity
        return Drawn(self._edits) if arity == 0 else Foremost(self._edits, arity)


@dataclass(frozen=True)
class Drawn(VariationBase):
    """A founder: a set of examples that is drawn."""

    edits: ShotEdits
    arity = 0

    @property
    def key(self) -> str:
        """The training cases and the room."""
        return f"drawn({self.edits.key})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        return TextGenome({SHOTS: packed(self.edits.drawn(context.seed.rng()))})


__all__ = ["Drawn", "ProductKit", "ShotsKit"]
