"""What a selection may look at: the population, the memory of every seat, the best and worst ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic

from llmevo.core.fitness import outranks
from llmevo.core.individual import Birth, G, Individual, living

HALL = 16
"""How many of the best ever are remembered, so that a best one that is revised downwards has successors."""


@dataclass(frozen=True, slots=True)
class Memory(Generic[G]):
    """What a seat remembers: who sat there before (None for a founder), and the best that ever moved along it."""

    previous: Individual[G] | None
    best: Individual[G]


@dataclass(frozen=True, slots=True)
class View(Generic[G]):
    """An immutable snapshot of a strategy's state. `advance` gives the next one."""

    population: tuple[Individual[G], ...] = ()
    memory: Mapping[str, Memory[G]] = field(default_factory=lambda: MappingProxyType({}))
    """By individual id, for those in the population."""
    hall: tuple[Individual[G], ...] = ()
    """The best ever, best first, one place per genome."""
    worst: Individual[G] | None = None
    turn: int = 0
    """How many matings were planned from this view's strategy: lets `targets` go round the seats."""

    @property
    def best(self) -> Individual[G] | None:
        """The best ever (valid first), not the best of the present population."""
        return self.hall[0] if self.hall else None

    def renewed(self, births: Sequence[Birth[G]]) -> tuple[list[Individual[G]], list[Individual[G]]]:
        """The population with reassessed individuals replaced by their new selves, and the living newborns."""
        again = {one.id: one for one in living(births)}
        known = {one.id for one in (*self.population, *self.hall)}
        return [again.get(one.id, one) for one in self.population], [one for one in again.values() if one.id not in known]

    def advance(self, population: Sequence[Individual[G]], births: Sequence[Birth[G]]) -> View[G]:
        """The view after births were told and `population` was chosen to live on.

        A birth on the seat of its first parent continues that seat's memory; any other starts one. Reassessed individuals replace
        their former selves everywhere.
        """
        born = living(births)
        ids = {one.id for one in born}
        known = {one.id: one for one in self.population}
        renewed = {one.id: one for one in born if one.id in known or any(one.id == old.id for old in self.hall)}

        def current(one: Individual[G]) -> Individual[G]:
            return renewed.get(one.id, one)

        memory: dict[str, Memory[G]] = {}
        for one in population:
            past = self.memory.get(one.id)
            mover = known.get(one.parents[0]) if one.parents and one.id in ids else None
            if past is not None:
                previous, best = past.previous, current(past.best)
                memory[one.id] = Memory(previous and current(previous), one if outranks(one.fitness, best.fitness) else best)
            elif mover is not None and mover.seat == one.seat:
                best = current(self.memory[mover.id].best)
                memory[one.id] = Memory(current(mover), one if outranks(one.fitness, best.fitness) else best)
            else:
                memory[one.id] = Memory(None, one)

        hall = [current(one) for one in self.hall]
        if renewed:
            hall = _ranked(hall)
        worst = self.worst and current(self.worst)
        for one in born:
            hall = _admit(hall, one)
            if worst is None or outranks(worst.fitness, one.fitness):
                worst = one
        return View(tuple(population), memory, tuple(hall), worst, self.turn)


def _ranked(hall: Sequence[Individual[G]]) -> list[Individual[G]]:
    ranked: list[Individual[G]] = []
    for one in hall:
        ranked = _admit(ranked, one)
    return ranked


def _admit(hall: list[Individual[G]], one: Individual[G]) -> list[Individual[G]]:
    """The hall with one more, after all that are at least as good: ties go to the incumbent."""
    if any(old.genome.key == one.genome.key for old in hall):
        return hall
    place = next((i for i, old in enumerate(hall) if outranks(one.fitness, old.fitness)), len(hall))
    return [*hall[:place], one, *hall[place:]][:HALL]
