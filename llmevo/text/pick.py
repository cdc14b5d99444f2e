"""A model chooses among individuals: the child is one of its parents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from llmevo.core.context import Context
from llmevo.core.errors import VariationFailed
from llmevo.core.genome import content_key
from llmevo.core.individual import Individual
from llmevo.text.genome import TextGenome
from llmevo.text.instruct import Instruct


class Pick:
    """The parent at a place of the list that a model writes of its parents' numbers.

    The picks of all places put one question, which is asked and paid once: its sample is named after the parents, not after the
    mating. A list with too few different numbers leaves the last places without a child.
    """

    arity: ClassVar[int | None] = None
    picks: ClassVar[bool] = True
    reassess: ClassVar[bool] = False

    def __init__(self, choose: Instruct, place: int) -> None:
        self.choose, self.place = choose, place

    @property
    def key(self) -> str:
        """The instruction and the place."""
        return f"pick({self.choose.key},{self.place})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        together = Context(context.seed, content_key([one.id for one in parents]))
        try:
            listed = (await self.choose(parents, together)).part(self.choose.part)
        finally:
            if self.place == 0:  # one call for all places
                context.include(together.meter)
        numbers = dict.fromkeys(int(number) for number in re.findall(r"\d{1,6}", listed))
        chosen = [number for number in numbers if 1 <= number <= len(parents)]
        if self.place >= len(chosen):
            raise VariationFailed(f"{self.choose.template.name}: {listed[:80]!r} names {len(chosen)} of {len(parents)} parents")
        return parents[chosen[self.place] - 1].genome
