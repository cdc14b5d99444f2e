"""Founders from texts that are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from llmevo.breeding.combine import Given
from llmevo.library.prompts import load_seeds
from llmevo.text.genome import TextGenome


def given(texts: Iterable[str | Mapping[str, str] | TextGenome]) -> list[Given[TextGenome]]:
    """A founder for each text (or mapping of parts, or genome), equal ones once."""
    genomes = [one if isinstance(one, TextGenome) else TextGenome(one) for one in texts]
    return [Given(genome) for genome in dict.fromkeys(genomes)]


def seeds(path: str | Path) -> list[Given[TextGenome]]:
    """A founder for each line of a file. Raises `ConfigError` when there is none."""
    return given(load_seeds(Path(path)))
