"""One frozen record per birth: a living individual, or a stillborn one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from llmevo.core.fitness import FREE, Fitness, Usage
from llmevo.core.genome import Genome

G = TypeVar("G", bound=Genome)


@dataclass(frozen=True, slots=True)
class Individual(Generic[G]):
    """A genome that was born and evaluated, with its lineage. Its `fitness` may be a failure, which never wins."""

    id: str
    genome: G
    fitness: Fitness
    parents: tuple[str, ...] = ()
    """Ids of the parents, in the order of their roles."""
    variation: str = ""
    birth_usage: Usage = FREE
    """Nominal cost of conceiving it; the cost of evaluating it is `fitness.usage`."""
    seat: int = 0
    deme: int = 0
    step: int = 0
    """The cohort in which it was asked for."""
    quoted: tuple[str, ...] = ()
    """Ids of the cases that were shown to the model that conceived it."""

    def at(self, seat: int, deme: int | None = None) -> Individual[G]:
        """The same individual on another seat (and island)."""
        return replace(self, seat=seat, deme=self.deme if deme is None else deme)


@dataclass(frozen=True, slots=True)
class Stillborn:
    """A birth that did not happen, and why. It is recorded and told like any other birth."""

    id: str
    error: str
    parents: tuple[str, ...] = ()
    variation: str = ""
    birth_usage: Usage = FREE
    seat: int = 0
    deme: int = 0
    step: int = 0
    quoted: tuple[str, ...] = ()


Birth = Individual[G] | Stillborn


def living(births: Iterable[Birth[G]]) -> list[Individual[G]]:
    """The births that were conceived and scored; the only ones that may enter a population."""
    return [birth for birth in births if isinstance(birth, Individual) and birth.fitness.ok]
