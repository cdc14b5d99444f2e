"""EvoPrompt (Guo et al., ICLR 2024, arXiv 2309.08532): a genetic algorithm and differential evolution over prompts."""

from __future__ import annotations

from typing import Literal

from llmevo.breeding import Roles, Tournament, one_to_one, roulette, truncation, uniform
from llmevo.core import G, Selection
from llmevo.recipes.choosing import Choose, operators
from llmevo.recipes.founding import Founded, founding, founding_matings
from llmevo.recipes.kit import Kit, Plan
from llmevo.strategies import Genetic, sequence


def evoprompt_ga(
    kit: Kit[G],
    *,
    population: int = 10,
    steps: int = 10,
    selection: Literal["roulette", "tournament", "random"] = "roulette",
    founders: Founded = "half",
    operator: str | tuple[str, ...] = "evoprompt-ga",
    choose: Choose = "rates",
    batch: int | None = None,
    slots: int = 1,
) -> Plan[G]:
    """EvoPrompt GA: roulette, crossover and mutation in one instruction, the best of parents and children live on.

    One step is `population` children. The defaults are those of the paper's code. Several operators, or several operator models, are
    used equally often, or with `choose: bandit` by what they gain for their cost.
    """
    selections: dict[str, Selection[G]] = {"roulette": roulette, "tournament": Tournament(2), "random": uniform}
    search = Genetic(operators(kit, operator, choose), selections[selection], truncation(population), seed=kit.seed)
    strategy = sequence(*founding(kit, population, founders), search)
    return Plan(strategy, batch or population, founding_matings(kit, population, founders) + steps * population, slots)


def evoprompt_de(
    kit: Kit[G],
    *,
    population: int = 10,
    steps: int = 10,
    donor: Literal["best", "random", "none"] = "best",
    founders: Founded = "half",
    operator: str | tuple[str, ...] | None = None,
    choose: Choose = "rates",
    batch: int = 1,
    slots: int = 1,
) -> Plan[G]:
    """EvoPrompt DE: every seat in turn is challenged by a child of itself, two others and the best; only a better child takes it.

    With `batch: 1`, the paper's code, the best is refreshed within a round and one child is conceived at a time; `batch: 10` or
    `slots: 4` keep more of them in flight. `donor` is who stands for the best: a random one, or nobody.
    """
    names = {"best": ("best",), "random": ("random",), "none": ()}[donor]
    instruction = operators(kit, operator or ("evoprompt-de" if names else "evoprompt-de-plain"), choose)
    search = Genetic(instruction, Roles(("self", "random", "random", *names)), one_to_one(), seed=kit.seed)
    strategy = sequence(*founding(kit, population, founders), search)
    return Plan(strategy, batch, founding_matings(kit, population, founders) + steps * population, slots)
