"""An evaluation under a budget of evaluations and seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from llmevo.core import Context, Evaluate, Fitness, Genome
from llmevo.storage.budget import Budget

G = TypeVar("G", bound=Genome)


class Metered(Generic[G]):
    """Reserves every evaluation before it begins. Raises `BudgetExhausted`, which leaves the cohort untold.

    The budget must not be the one from which the calls of an evaluation are reserved: they would wait for each other.
    """

    def __init__(self, evaluate: Evaluate[G], budget: Budget) -> None:
        self._evaluate, self._budget = evaluate, budget

    @property
    def whole_cohort(self) -> bool:
        """As the evaluation wants it."""
        return self._evaluate.whole_cohort

    async def __call__(self, genomes: Sequence[G], contexts: Sequence[Context]) -> list[Fitness]:
        reservation = await self._budget.reserve(evaluations=len(genomes))
        done = 0
        try:
            scores = await self._evaluate(genomes, contexts)
            done = len(genomes)
            return scores
        finally:
            self._budget.settle(reservation, evaluations=done)
