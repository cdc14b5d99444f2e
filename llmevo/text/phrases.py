"""Edits that draw on example texts: phrases of any example, or of those that the parent got wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError, VariationFailed
from llmevo.core.genome import content_key
from llmevo.core.individual import Individual
from llmevo.core.variation import VariationBase
from llmevo.fitness.contract import Failure
from llmevo.text.edits import different, joined, words
from llmevo.text.genome import TextGenome

if TYPE_CHECKING:
    import numpy as np


def span(text: str, longest: int, rng: np.random.Generator) -> list[str]:
    """One to `longest` words in a row, from anywhere in a text."""
    tokens = words(text)
    if not tokens:
        return []
    length = int(rng.integers(1, min(longest, len(tokens)) + 1))
    begin = int(rng.integers(len(tokens) - length + 1))
    return tokens[begin : begin + length]


def placed(tokens: list[str], phrase: Sequence[str], longest: int, limit: int, rng: np.random.Generator) -> list[str]:
    """The tokens with a phrase put in between two of them, or in the place of up to `longest` of them, each as likely.

    What makes more than `limit` of them gives way at a random place.
    """
    begin = int(rng.integers(len(tokens) + 1))
    gone = int(rng.integers(1, longest + 1)) if rng.random() < 0.5 else 0
    result = [*tokens[:begin], *phrase, *tokens[begin + gone :]]
    while len(result) > limit:
        del result[int(rng.integers(len(result)))]
    return result


@dataclass(frozen=True)
class Phrases(VariationBase):
    """A phrase of up to `longest` words of one of the example texts is put into the text, or takes the place of a phrase of
    it.
    """

    texts: tuple[str, ...]
    longest: int = 4
    limit: int = 30
    """The most words of a text."""
    arity = 1

    def __post_init__(self) -> None:
        if not self.texts or self.longest < 1:
            raise ConfigError("phrases need at least one example text and one word")

    @property
    def key(self) -> str:
        """The texts by their hash, and the longest phrase."""
        return f"phrases({content_key(self.texts)[3:11]},longest={self.longest},limit={self.limit})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        tokens = words(parents[0].genome.text)

        def once(rng: np.random.Generator) -> str:
            text = self.texts[int(rng.integers(len(self.texts)))]
            return joined(placed(tokens, span(text, self.longest, rng), self.longest, self.limit, rng))

        return different(once, parents, context, self.key)


@dataclass(frozen=True)
class Corrections(VariationBase):
    """A phrase of a case that the parent got wrong is put into the description of the class that would have been right.

    It reads the failures in the parent's fitness: wrong answers and targets are names of parts. Raises `VariationFailed` when
    there is none.
    """

    longest: int = 4
    limit: int = 30
    """The most words of a text."""
    arity = 1

    @property
    def key(self) -> str:
        """The longest phrase."""
        return f"corrections(longest={self.longest},limit={self.limit})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        genome = parents[0].genome
        records = [record for text in parents[0].fitness.feedback if (record := Failure.parse(text)) is not None]
        records = [record for record in records if record.target in genome.parts]
        if not records:
            raise VariationFailed(f"{self.key}: the parent has no failure to learn from")
        rng = context.seed.rng()
        record = records[int(rng.integers(len(records)))]
        tokens = words(genome.part(record.target))
        return genome.with_part(
            record.target, joined(placed(tokens, span(record.input, self.longest, rng), self.longest, self.limit, rng))
        )
