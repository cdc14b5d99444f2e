"""Founders: births without parents, from texts that are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmevo.core.context import Context
from llmevo.core.individual import Individual
from llmevo.core.variation import VariationBase
from llmevo.library.prompts import load_seeds
from llmevo.text.genome import TextGenome


@dataclass(frozen=True)
class Given(VariationBase):
    """A founder that is given: costs nothing, always the same genome."""

    genome: TextGenome
    arity = 0

    @property
    def key(self) -> str:
        """The genome's key."""
        return f"given({self.genome.key})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        return self.genome


def given(texts: Iterable[str | Mapping[str, str] | TextGenome]) -> list[Given]:
    """A founder for each text (or mapping of parts, or genome), equal ones once."""
    genomes = [one if isinstance(one, TextGenome) else TextGenome(one) for one in texts]
    return [Given(genome) for genome in dict.fromkeys(genomes)]


def seeds(path: str | Path) -> list[Given]:
    """A founder for each line of a file. Raises `ConfigError` when there is none."""
    return given(load_seeds(Path(path)))
