"""The baselines that every table needs, at the same number of evaluations: seeds, random, best-of-n, one-plus-one."""

from __future__ import annotations

from llmevo.breeding import keep_all, truncation, unchanged, uniform
from llmevo.core import G, Variation
from llmevo.recipes.founding import champion
from llmevo.recipes.kit import Kit, Plan
from llmevo.strategies import Founding, Genetic


def seeds(kit: Kit[G], *, batch: int = 10) -> Plan[G]:
    """The founders as they are: the best of them wins. What a search has to beat."""
    return Plan(Founding(kit.founders, seed=kit.seed), batch, len(kit.founders))


def random(
    kit: Kit[G], *, population: int = 10, steps: int = 10, operator: str = "paraphrase", batch: int | None = None, slots: int = 1
) -> Plan[G]:
    """Random search: variations of random founders, never of their children."""
    search: Genetic[G] = Genetic(kit.operator(operator), uniform, unchanged, seed=kit.seed)
    return Plan(champion(kit, search, keep_all), batch or population, len(kit.founders) + steps * population, slots)


def best_of_n(
    kit: Kit[G], *, population: int = 10, steps: int = 10, operator: str = "from-task", batch: int | None = None, slots: int = 1
) -> Plan[G]:
    """Best of n: founders, then `population` times `steps` samples that are drawn afresh (arity 0); nobody has children."""
    samples: list[Variation[G]] = [*kit.founders, *[kit.operator(operator)] * (population * steps)]
    return Plan(Founding(samples, seed=kit.seed), batch or population, len(samples), slots)


def one_plus_one(
    kit: Kit[G], *, population: int = 10, steps: int = 10, operator: str = "mutate", batch: int = 1, slots: int = 1
) -> Plan[G]:
    """(1+1) hill climber: the best so far has one child at a time, which replaces it only when it is better.

    `population` only counts the budget: `population` times `steps` children, as many as the other recipes have.
    """
    search: Genetic[G] = Genetic(kit.operator(operator), uniform, truncation(1), seed=kit.seed)
    return Plan(champion(kit, search), batch, len(kit.founders) + steps * population, slots)
