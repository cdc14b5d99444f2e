"""Variations of one part of a genome that has several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from llmevo.core.context import Context
from llmevo.core.contracts import Variation
from llmevo.core.errors import ConfigError, VariationFailed
from llmevo.core.gather import gather
from llmevo.core.individual import Individual
from llmevo.core.variation import VariationBase
from llmevo.text.genome import TextGenome

ANY = "*"
"""A part drawn anew for every birth."""
EACH = "**"
"""All parts, one after another in one birth, at the same time."""


class on(VariationBase):
    """A variation applied to one named part (or `ANY`, or `EACH`) of genomes with several; the rest comes from the first parent.

    The inner variation sees the parents as genomes of that part alone, with their own fitness.
    """

    def __init__(self, part: str, variation: Variation[TextGenome]) -> None:
        if variation.arity == 0:
            raise ConfigError(f"on({part!r}, {variation.key}): a founder has no parent whose other parts could be kept")
        if variation.picks or variation.reassess:
            raise ConfigError(f"on({part!r}, {variation.key}): it does not make a new text")
        self.part, self.variation = part, variation

    @property
    def key(self) -> str:
        """The part and the inner variation."""
        return f"on({self.part},{self.variation.key})"

    @property
    def arity(self) -> int | None:
        """That of the inner variation."""
        return self.variation.arity

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        first = parents[0].genome
        names = list(first.parts)
        if self.part == ANY:
            names = [names[int(context.seed.fold("part").rng().integers(len(names)))]]
        elif self.part != EACH:
            names = [first.named(self.part)]
        if len(names) == 1:
            children = [await self._child(names[0], parents, context.stage(names[0]))]
        else:
            children = await gather(self._numbered(name, parents, context) for name in names)
        child = first
        for name, text in zip(names, children, strict=True):
            child = child.with_part(name, text)
        return child

    async def _numbered(self, name: str, parents: Sequence[Individual[TextGenome]], context: Context) -> str:
        """The new text of a part, with sample numbers of its own: parts are worked on at the same time."""
        own = Context(context.seed.fold(name), f"{context.scope}/{name}", context.cases)
        try:
            return await self._child(name, parents, own)
        finally:
            context.charge(own.meter.usage)

    async def _child(self, name: str, parents: Sequence[Individual[TextGenome]], context: Context) -> str:
        seen = [replace(one, genome=TextGenome({name: one.genome.part(name)})) for one in parents]
        return (await self.variation(seen, context)).part(None)


class PartCrossover(VariationBase):
    """Each part from one of the parents, chosen by a coin per part; every parent gives at least one while there are enough
    parts.
    """

    key = "part-crossover"
    arity = 2

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        first, second = (one.genome for one in parents)
        differing = [name for name, text in first.parts.items() if second.part(name) != text]
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
                child = child.with_part(name, second.part(name))
        return child
