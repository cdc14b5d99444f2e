"""The fixed order of asks and tells."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from llmevo.core import Birth, G, Mating, Strategy


@dataclass(frozen=True, slots=True)
class Cohort(Generic[G]):
    """The j-th ask and the matings it gave; possibly none."""

    j: int
    matings: tuple[Mating[G], ...]


class Schedule(Generic[G]):
    """Cohort j is asked after tell(j - slots) and before tell(j - slots + 1); cohorts are told in the order of their asks.

    It holds no algorithm and no I/O: drive it yourself to own the loop.

        schedule = Schedule(strategy, batch=10)
        while cohort := schedule.ask():
            schedule.tell([... for mating in cohort.matings])
    """

    def __init__(self, strategy: Strategy[G], *, batch: int, slots: int = 1) -> None:
        if batch < 1 or slots < 1:
            raise ValueError(f"batch and slots are at least 1, not {batch} and {slots}")
        self.strategy, self.batch, self.slots = strategy, batch, slots
        self.open: deque[Cohort[G]] = deque()
        self.asked = 0

    @property
    def full(self) -> bool:
        """Whether the oldest cohort has to be told before the next ask."""
        return len(self.open) >= self.slots

    @property
    def idle(self) -> bool:
        """Whether no open cohort holds a mating: an empty ask now means that the strategy has ended."""
        return not any(cohort.matings for cohort in self.open)

    def ask(self) -> Cohort[G] | None:
        """The next cohort; None when the schedule is full, or when the strategy has ended."""
        if self.full:
            return None
        idle = self.idle
        cohort = Cohort(self.asked, tuple(self.strategy.ask(self.batch)))
        if idle and not cohort.matings:
            return None
        self.asked += 1
        self.open.append(cohort)
        return cohort

    def tell(self, births: Sequence[Birth[G]]) -> None:
        """The births of the oldest open cohort, in the order of its matings."""
        cohort = self.open.popleft()
        if len(births) != len(cohort.matings):
            raise ValueError(f"cohort {cohort.j} has {len(cohort.matings)} matings; {len(births)} births were told")
        if births:
            self.strategy.tell(births)
