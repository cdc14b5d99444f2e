"""What a run has done so far, as a fold over what was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmevo.core import FREE, Birth, Individual, Usage


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts, nominal cost and standing of a run. Deterministic: it holds no clock and no spending."""

    asked: int = 0
    """Matings that were planned."""
    cohorts: int = 0
    """Cohorts that were told (those without a mating are not counted)."""
    births: int = 0
    """Births that were told, those that were reassessed among them."""
    reassessed: int = 0
    """How often somebody known was evaluated further: laps of a race, confirmations."""
    stillborn: int = 0
    failed: int = 0
    """Born, but without a score."""
    evaluations: int = 0
    """Genomes that were evaluated, and each further lap or confirmation; duplicates and copies are not."""
    usage: Usage = FREE
    """Nominal cost of all births and evaluations."""
    best: Individual[Any] | None = None
    since_best: int = 0
    """Births since the best changed."""
    barren: int = 0
    """Births in a row of which none lived."""
    last_error: str | None = None
    last_failure: str | None = None
    """The last error of an evaluation."""

    def after(
        self,
        births: Sequence[Birth[Any]],
        conceived: Sequence[Usage | None],
        paid: Sequence[Usage | None],
        best: Individual[Any] | None,
    ) -> Progress:
        """The progress after one cohort: what it cost to conceive each birth (None, where a known one was reassessed), and what each
        evaluation cost; None where there was none (stillborn, known)."""
        stillborn = failed = 0
        usage, barren, error, failure = self.usage, self.barren, self.last_error, self.last_failure
        for birth, born, cost in zip(births, conceived, paid, strict=True):
            usage += (born or FREE) + (cost or FREE)
            if isinstance(birth, Individual):
                failed += not birth.fitness.ok
                lost = birth.fitness.error
                failure = lost or failure
            else:
                stillborn += 1
                lost = birth.error
            barren = 0 if lost is None else barren + 1
            error = lost or error
        same = best is None or (self.best is not None and best.id == self.best.id)
        return replace(
            self,
            cohorts=self.cohorts + 1,
            births=self.births + len(births),
            reassessed=self.reassessed + sum(born is None for born in conceived),
            stillborn=self.stillborn + stillborn,
            failed=self.failed + failed,
            evaluations=self.evaluations + sum(cost is not None for cost in paid),
            usage=usage,
            best=best,
            since_best=self.since_best + len(births) if same else 0,
            barren=barren,
            last_error=error,
            last_failure=failure,
        )
