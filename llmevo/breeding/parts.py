"""Variations of one part of a genome that has several: named texts, or a text and an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, Self

from llmevo.core import ConfigError, Context, Genome, Individual, Variation, VariationFailed
from llmevo.core.gather import gather
from llmevo.core.variation import VariationBase

ANY = "*"
"""A part drawn anew for every birth."""
EACH = "**"
"""All parts, one after another in one birth, at the same time."""


class Parted(Genome, Protocol):
    """A genome of named parts, each of which is a genome, too."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts, in order."""
        ...

    def taken(self, name: str) -> Any:
        """A part alone, as a genome. Raises `ValueError` that names the parts there are."""
        ...

    def put(self, name: str, part: Any) -> Self:
        """The genome with one part replaced, in its place."""
        ...


class on(VariationBase):
    """A variation applied to one named part (or `ANY`, or `EACH`) of genomes with several; the rest comes from the first parent.

    The inner variation sees the parents as genomes of that part alone, with their own fitness.
    """

    def __init__(self, part: str, variation: Variation[Any]) -> None:
        if variation.arity == 0:
            raise ConfigError(f"on({part!r}, {variation.key}): a founder has no parent whose other parts could be kept")
        if variation.picks or variation.reassess:
            raise ConfigError(f"on({part!r}, {variation.key}): it does not make a new part")
        self.part, self.variation = part, variation

    @property
    def key(self) -> str:
        """The part and the inner variation."""
        return f"on({self.part},{self.variation.key})"

    @property
    def arity(self) -> int | None:
        """That of the inner variation."""
        return self.variation.arity

    async def __call__(self, parents: Sequence[Individual[Any]], context: Context) -> Any:
        first: Parted = parents[0].genome
        names = [self.part]
        if self.part == ANY:
            names = [first.names[int(context.seed.fold("part").rng().integers(len(first.names)))]]
        elif self.part == EACH:
            names = list(first.names)
        if len(names) == 1:
            children = [await self._child(names[0], parents, context.stage(names[0]))]
        else:
            children = await gather(self._numbered(name, parents, context) for name in names)
        child = first
        for name, part in zip(names, children, strict=True):
            child = child.put(name, part)
        return child

    async def _numbered(self, name: str, parents: Sequence[Individual[Any]], context: Context) -> Any:
        """A new part, with sample numbers of its own: parts are worked on at the same time."""
        own = Context(context.seed.fold(name), f"{context.scope}/{name}", context.cases)
        try:
            return await self._child(name, parents, own)
        finally:
            context.include(own.meter)

    async def _child(self, name: str, parents: Sequence[Individual[Any]], context: Context) -> Any:
        return await self.variation([replace(one, genome=one.genome.taken(name)) for one in parents], context)


class PartCrossover(VariationBase):
    """Each part from one of the parents, chosen by a coin per part; every parent gives at least one while there are enough
    parts.
    """

    key = "part-crossover"
    arity = 2

    async def __call__(self, parents: Sequence[Individual[Any]], context: Context) -> Any:
        first, second = (one.genome for one in parents)
        differing = [name for name in first.names if second.taken(name).key != first.taken(name).key]
        if not differing:
            raise VariationFailed("part-crossover: the parents are the same")
        rng = context.seed.rng()
        taken = rng.random(len(differing)) < 0.5
        if len(differing) > 1 and (taken.all() or not taken.any()):
            place = int(rng.integers(len(differing)))
            taken[place] = not taken[place]
        child = first
        for name, take in zip(differing, taken, strict=True):
            if take:
                child = child.put(name, second.taken(name))
        return child


class Either(VariationBase):
    """One of several variations of the same arity, drawn for every birth: the first part of a genome, or the second."""

    def __init__(self, several: Sequence[Variation[Any]]) -> None:
        self.several = tuple(several)
        if len({one.arity for one in self.several}) != 1:
            raise ConfigError(f"either of {len(self.several)} variations: they need the same number of parents")
        if any(one.picks or one.reassess for one in self.several):
            raise ConfigError("either: each of them makes a new genome, none picks or reassesses")

    @property
    def key(self) -> str:
        """Those among which is drawn."""
        return f"either({','.join(one.key for one in self.several)})"

    @property
    def arity(self) -> int | None:
        """That of all of them."""
        return self.several[0].arity

    async def __call__(self, parents: Sequence[Individual[Any]], context: Context) -> Any:
        i = int(context.seed.fold("either").rng().integers(len(self.several)))
        return await self.several[i](parents, context.stage(i))


class Foremost(VariationBase):
    """A variation of one parent in a place where several are given: the first one counts."""

    def __init__(self, variation: Variation[Any], arity: int | None) -> None:
        if variation.arity != 1 or arity == 0:
            raise ConfigError(f"foremost({variation.key}): a variation of one parent, where there is at least one")
        self.variation, self.arity = variation, arity

    @property
    def key(self) -> str:
        """The inner variation."""
        return self.variation.key if self.arity == 1 else f"foremost({self.variation.key},{self.arity})"

    async def __call__(self, parents: Sequence[Individual[Any]], context: Context) -> Any:
        return await self.variation(parents[:1], context)


__all__ = ["ANY", "EACH", "Either", "Foremost", "PartCrossover", "Parted", "on"]
