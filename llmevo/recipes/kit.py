"""What a recipe is given and what it gives: ingredients of any representation, a planned search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol

from llmevo.breeding import Traces
from llmevo.core import G, Seed, Strategy, Variation


class Kit(Protocol[G]):
    """The ingredients of one representation: founders, operators by name, the run's seed."""

    @property
    def seed(self) -> Seed: ...

    @property
    def founders(self) -> Sequence[Variation[G]]:
        """Variations of arity 0, best guesses first."""
        ...

    def operator(self, name: str) -> Variation[G]:
        """The variation of a name. Raises `ConfigError` that names the nearest one."""
        ...


class AnswersKit(Kit[G], Protocol[G]):
    """The kit of a recipe that refines answers: it can tell which of them are the same."""

    def traces(self, sameness: str) -> Traces[G]:
        """Marks of a genome; two that share one count as the same."""
        ...

    def picks(self, count: int) -> Sequence[Variation[G]]:
        """A pick for each place among `count` good answers that differ: variations that return one of their parents."""
        ...


@dataclass(frozen=True, slots=True)
class Plan(Generic[G]):
    """A search, ready to run: a strategy, its schedule, and after how many matings it stops."""

    strategy: Strategy[G]
    batch: int
    matings: int
    """Founders included. More steps continue the same search."""
    slots: int = 1
    vote: int = 1
    """Up to how many of the best ever may vote on each case at the end; with 1 the best one answers alone."""
