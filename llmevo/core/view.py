"""What a selection may look at: the population, the memory of every seat, the best and worst ever."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Generic

from llmevo.core.fitness import outranks
from llmevo.core.individual import Birth, G, Individual, living

HALL = 16
"""How many of the best ever are remembered, so that a best one that is revised downwards has successors."""

_id = attrgetter("id")


@dataclass(frozen=True, slots=True)
class Memory(Generic[G]):
    """What a seat remembers: who sat there before (None for a founder), and the best that ever moved along it."""

    previous: Individual[G] | None
    best: Individual[G]
    children: int = 0
    """How many individuals were told of which the one who sits there was the first parent."""
    stillborn: int = 0
    """The same of births that did not happen."""
    since: int = 0
    """How many moves along this seat there were since its best one."""


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

    def renewed(
        self, births: Sequence[Birth[G]], guests: Sequence[Birth[G]] = ()
    ) -> tuple[list[Individual[G]], list[Individual[G]]]:
        """The population with reassessed individuals replaced by their new selves, and the living newborns.

        `guests` are those of the births that came from elsewhere: one that is remembered as among the best ever, and lives here no
        more, may live here again.
        """
        again = {one.id: one for one in living(births)}
        here = set(map(_id, self.population))
        known = here.union(map(_id, self.hall)).difference(set(map(_id, guests)) - here if guests else ())
        return [again.get(one.id, one) for one in self.population], [one for one in again.values() if one.id not in known]

    def advance(
        self, population: Sequence[Individual[G]], births: Sequence[Birth[G]], movers: Collection[str] = ()
    ) -> View[G]:
        """The view after births were told and `population` was chosen to live on.

        `movers` are the ids of newborns that were planned for an occupied seat: those that take it continue its memory, whoever sits
        there by now; any other newborn starts one. Reassessed individuals replace their former selves everywhere.
        """
        born = living(births)
        told = {one.id: one for one in born}

        def current(one: Individual[G]) -> Individual[G]:
            return told.get(one.id, one)

        children: dict[str, tuple[int, int]] = {}
        for birth in births:
            if birth.parents and birth.id not in self.memory:
                lived, died = children.get(birth.parents[0], (0, 0))
                alive = isinstance(birth, Individual)
                children[birth.parents[0]] = (lived + alive, died + (not alive))
        memory: dict[str, Memory[G]] = {}
        for one in population:
            past = self.memory.get(one.id)
            if past is not None:
                if one.id in told or past.best.id in told or (past.previous and past.previous.id in told):
                    past = replace(past, previous=past.previous and current(past.previous), best=_better([current(past.best), one]))
                if one.id in children:
                    lived, died = children[one.id]
                    past = replace(past, children=past.children + lived, stillborn=past.stillborn + died)
                memory[one.id] = past
                continue
            before = None
            if one.id in movers and told[one.id].seat == one.seat:
                before = next((other for other in reversed(self.population) if other.seat == one.seat), None)
            if before is None:
                memory[one.id] = Memory(None, one)
            else:
                moves = [other for other in born if other.id in movers and other.seat == one.seat]
                past = self.memory[before.id]
                best = _better([current(past.best), *moves])
                since = past.since + len(moves) if best.id == past.best.id else 0
                memory[one.id] = Memory(current(before), best, since=since)

        hall = self.hall
        if any(one.id in told for one in hall):
            hall = tuple(current(one) for one in hall)
            if any(one.fitness is not old.fitness for one, old in zip(hall, self.hall, strict=True)):
                hall = _ranked(hall)
        worst = self.worst and current(self.worst)
        for one in born:
            hall = _admit(hall, one)
            if worst is None or outranks(worst.fitness, one.fitness):
                worst = one
        return View(tuple(population), memory, hall, worst, self.turn)


def _better(rivals: Sequence[Individual[G]]) -> Individual[G]:
    """The best of them; ties to the first."""
    best = rivals[0]
    for one in rivals[1:]:
        if outranks(one.fitness, best.fitness):
            best = one
    return best


def _ranked(hall: Sequence[Individual[G]]) -> tuple[Individual[G], ...]:
    ranked: tuple[Individual[G], ...] = ()
    for one in hall:
        ranked = _admit(ranked, one)
    return ranked


def _admit(hall: tuple[Individual[G], ...], one: Individual[G]) -> tuple[Individual[G], ...]:
    """The hall with one more, after all that are at least as good: ties go to the incumbent. The same hall if there is no place for it."""
    key = one.genome.key
    if any(old.genome.key == key for old in hall):
        return hall
    place = next((i for i, old in enumerate(hall) if outranks(one.fitness, old.fitness)), len(hall))
    return hall if place >= HALL else (*hall[:place], one, *hall[place:])[:HALL]
