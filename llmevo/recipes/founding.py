"""How populations begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from llmevo.breeding import keep_all, truncation
from llmevo.core import G, Individual, Succession, View
from llmevo.recipes.kit import Kit
from llmevo.strategies import For, Founding, Genetic, Phases

if TYPE_CHECKING:
    import numpy as np

Founded = Literal["half", "all"]


class FoundersInTurn:
    """Those that have no parents, one after another: who was filled in meanwhile has no turn, whatever the batch."""

    seated: ClassVar[bool] = False

    def __call__(
        self, view: View[G], n: int, arity: int | None, rng: np.random.Generator
    ) -> list[tuple[Individual[G], ...]]:
        founders = sorted((one for one in view.population if not one.parents), key=lambda one: one.seat)
        return [(founders[(view.turn + i) % len(founders)],) for i in range(n if founders else 0)]


def founding(kit: Kit[G], population: int, how: Founded, fill: str = "paraphrase") -> list[Founding[G] | For[G]]:
    """The phases that score every founder and keep the best, then fill up to `population` with one variation of each in turn.

    `half` keeps the best half of the population, as EvoPrompt does; `all` keeps as many founders as fit.
    """
    kept = max(1, population // 2) if how == "half" else population
    refill = Genetic(kit.operator(fill), FoundersInTurn(), keep_all, seed=kit.seed.fold("fill"))
    return [
        Founding(kit.founders, seed=kit.seed, succession=truncation(kept)),
        For(refill, lambda view: max(0, population - len(view.population))),
    ]


def founding_matings(kit: Kit[G], population: int, how: Founded) -> int:
    """How many matings `founding` plans when every founder lives."""
    kept = max(1, population // 2) if how == "half" else population
    return len(kit.founders) + max(0, population - min(kept, len(kit.founders)))


def champion(kit: Kit[G], search: Genetic[G], succession: Succession[G] | None = None) -> Phases[G]:
    """All founders are scored, the best one alone is handed to the search."""
    return Phases([Founding(kit.founders, seed=kit.seed, succession=succession or truncation(1)), search])
