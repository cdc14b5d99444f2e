"""How populations begin."""

from __future__ import annotations

from typing import Literal

from llmevo.breeding import Roles, keep_all, truncation
from llmevo.core import G, Succession
from llmevo.recipes.kit import Kit
from llmevo.strategies import For, Founding, Genetic, Phases

Founded = Literal["half", "all"]


def founding(kit: Kit[G], population: int, how: Founded, fill: str = "paraphrase") -> list[Founding[G] | For[G]]:
    """The phases that score every founder and keep the best, then fill up to `population` with one variation of each in turn.

    `half` keeps the best half of the population, as EvoPrompt does; `all` keeps as many founders as fit.
    """
    kept = max(1, population // 2) if how == "half" else population
    refill = Genetic(kit.operator(fill), Roles(("self",)), keep_all, seed=kit.seed.fold("fill"))
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
