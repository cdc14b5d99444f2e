"""NSGA-II (Deb et al., 2002, IEEE TEC 6:182): several objectives at once, without weighing them against each other."""

from __future__ import annotations

from llmevo.breeding import crowded_tournament, nondominated
from llmevo.core import G
from llmevo.recipes.choosing import Choose, operators
from llmevo.recipes.kit import Kit, Plan
from llmevo.strategies import Founding, Genetic, sequence


def nsga2(
    kit: Kit[G],
    *,
    population: int = 10,
    steps: int = 10,
    operator: str | tuple[str, ...] = "evoprompt-ga",
    choose: Choose = "rates",
    tournament: int = 2,
    batch: int | None = None,
    slots: int = 1,
) -> Plan[G]:
    """NSGA-II: who is on a better front, or has more room on the same one, breeds and lives on; any representation.

    The objectives are those of the fitness (`task: {scorer: {objectives: ...}}`, or a check's `Verdict.of`); invalid ones come after all
    valid ones. The result is a front: `llmevo show` prints it. For answers name an operator on answers, e.g. `semantic-crossover`.
    """
    succession = nondominated(population)
    founders = list(kit.founders) * -(-population // max(1, len(kit.founders)))
    founders = founders[: max(population, len(kit.founders))]
    founding = Founding(founders, seed=kit.seed, succession=succession)
    search = Genetic(operators(kit, operator, choose), crowded_tournament(tournament), succession, seed=kit.seed)
    return Plan(sequence(founding, search), batch or population, len(founders) + steps * population, slots)
