"""How a recipe chooses among operators, and among the models that follow them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from llmevo.breeding import Bandit, Only, Weighted
from llmevo.core import ConfigError, G, Mixture, Variation
from llmevo.recipes.kit import Kit

Choose = Literal["rates", "bandit"]
"""By fixed rates, or by what each gained so far for its cost."""


def variations(kit: Kit[G], names: str | Sequence[str]) -> list[Variation[G]]:
    """The operators of these names, each with every model that the kit has for them."""
    wanted = [names] if isinstance(names, str) else list(names)
    if not wanted:
        raise ConfigError("operator: name at least one")
    each = getattr(kit, "operators", None)
    return [one for name in wanted for one in (each(name) if each else [kit.operator(name)])]


def mixture(rated: Sequence[tuple[Variation[G], float]], choose: Choose) -> Mixture[G]:
    """A mixture of variations by their rates; for a bandit a rate of 0 leaves one out, and the others are found by trying."""
    if len(rated) == 1:
        return Only(rated[0][0])
    if choose == "rates":
        return Weighted(rated)
    arms = {variation.key: variation for variation, rate in rated if rate > 0}
    return Bandit(list(arms.values()))


def operators(kit: Kit[G], names: str | Sequence[str], choose: Choose) -> Mixture[G]:
    """A mixture of operators of one rate, times the models that follow them."""
    return mixture([(variation, 1.0) for variation in variations(kit, names)], choose)
