"""A recorded run, repeated without a single call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from llmevo.core import G, Strategy, View
from llmevo.engine.schedule import Schedule
from llmevo.storage.journal import Journal


@dataclass(frozen=True, slots=True)
class Replayed(Generic[G]):
    """How far a replay came: the cohorts that agree with the record, and the history hash up to there."""

    cohorts: int
    births: int
    """Whoever was born or stillborn, once, however often it was reassessed."""
    history: str
    view: View[G]


def replay(
    strategy: Strategy[G], journal: Journal, *, batch: int, slots: int = 1
) -> Replayed[G]:
    """Repeats the schedule from the record alone, up to the last cohort that was told.

    Raises `ReplayDiffers` at the first mating or told cohort that differs. Nothing is conceived, evaluated or written.
    """
    schedule = Schedule(strategy, batch=batch, slots=slots)
    cohorts = births = 0
    waiting = []
    while True:
        while not schedule.full and journal.wrote(schedule.asked) and (cohort := schedule.ask()):
            waiting.append((cohort, journal.asked(cohort.j, cohort.matings)))
        if not waiting:
            break
        cohort, known = waiting.pop(0)
        told = [birth for birth in known if birth is not None]
        if len(told) < len(known) or not journal.holds(cohort.j):
            break
        schedule.tell(told)
        journal.verify(cohort.j, told)
        cohorts += 1
        births += sum(not mating.variation.reassess for mating in cohort.matings)
    return Replayed(cohorts, births, journal.history, strategy.view)
