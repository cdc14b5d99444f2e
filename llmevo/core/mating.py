"""A birth that is planned but not yet paid for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic

from llmevo.core.contracts import Variation
from llmevo.core.fitness import Fitness, Usage, revised
from llmevo.core.genome import content_key
from llmevo.core.individual import G, Individual, Stillborn
from llmevo.core.seed import Seed


@dataclass(frozen=True, slots=True)
class CaseSlice:
    """Which cases an evaluation uses: their ids in order, and the repeat number (fresh samples of the same cases)."""

    ids: tuple[str, ...]
    repeat: int = 0
    times: int = 1
    """How many fresh samples, with repeat numbers from `repeat` on, of which each case has its mean."""


@dataclass(frozen=True, slots=True)
class Mating(Generic[G]):
    """A planned birth: which variation, of which parents, with which seed, for which seat. Build it with `plan`."""

    id: str
    """Hash of all the rest and of the ordinal: equal plans in equal places have equal ids, so a replay notices any change."""
    variation: Variation[G] = field(compare=False, repr=False)
    variation_key: str
    """The variation and its parameters: a changed coefficient is noticed on replay."""
    parents: tuple[Individual[G], ...]
    seed: Seed
    seat: int = 0
    deme: int = 0
    cases: CaseSlice | None = None
    """A minibatch, or None for all cases."""

    def copies(self, genome: G) -> bool:
        """Whether a conceived genome is only the copy of a parent, which counts as no child, unless picking one is the point."""
        return not self.variation.picks and any(parent.genome.key == genome.key for parent in self.parents)

    def birth(self, genome: G, fitness: Fitness, usage: Usage, step: int, quoted: Iterable[str] = ()) -> Individual[G]:
        """What is told when the genome was conceived and evaluated; a reassessed individual comes back under its own id."""
        if self.variation.reassess:
            known = self.parents[0]
            return replace(known, fitness=revised(known.fitness, fitness))
        ids = tuple(parent.id for parent in self.parents)
        return Individual(self.id, genome, fitness, ids, self.variation_key, usage, self.seat, self.deme, step, tuple(sorted(quoted)))

    def stillbirth(self, error: str, usage: Usage, step: int, quoted: Iterable[str] = ()) -> Stillborn:
        """What is told when no child came of it."""
        ids = tuple(parent.id for parent in self.parents)
        return Stillborn(self.id, error, ids, self.variation_key, usage, self.seat, self.deme, step, tuple(sorted(quoted)))


def plan(
    variation: Variation[G],
    parents: Sequence[Individual[G]],
    seed: Seed,
    ordinal: int,
    *,
    seat: int = 0,
    deme: int = 0,
    cases: CaseSlice | None = None,
) -> Mating[G]:
    """A mating with its id. `ordinal` counts the matings of its strategy; `seed` is already folded for this mating.

    Raises `ValueError` when the number of parents is not the variation's arity.
    """
    if variation.arity is not None and len(parents) != variation.arity:
        raise ValueError(f"{variation.key} takes {variation.arity} parents, the selection gave {len(parents)}")
    content = [
        variation.key,
        [[parent.id, parent.genome.key] for parent in parents],
        seed.value,
        ordinal,
        seat,
        deme,
        None if cases is None else [cases.ids, cases.repeat, *([cases.times] if cases.times > 1 else [])],
    ]
    return Mating(content_key(content), variation, variation.key, tuple(parents), seed, seat, deme, cases)
