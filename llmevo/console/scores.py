"""What is known of the winner: the score that chose it beside those on cases that the search never saw, each with n and interval."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from llmevo.report.held_out import searched

if TYPE_CHECKING:
    from llmevo.core import Individual
    from llmevo.report.held_out import Crowning
    from llmevo.report.statistics import Interval


def score_lines(best: Individual[Any], crowning: Crowning | None, test: Interval | None, tests: int = 1) -> list[str]:
    """A line for each kind of cases. `tests` is how many winners were scored on the test cases."""
    found = searched(best.fitness)
    plain = f"{best.fitness.value:.3f} (n = {len(best.fitness.cases) or 1})"
    lines = [_line("dev score", str(found or plain), "chosen by it: too good")]
    if crowning is not None:
        note = f"unseen; crowned among {len(crowning.finalists)}"
        lines.append(_line("fresh score", str(crowning.fresh), note))
    if test is not None:
        note = "unseen by the search"
        if tests > 1:
            note = f"of {tests} winners that were scored: too good"
        lines.append(_line("test score", str(test), note))
    if crowning is None and test is None:
        lines.append(_line("test score", "none", "not scored on cases that the search did not see"))
    return lines


def scores_record(best: Individual[Any] | None, crowning: Crowning | None, test: Interval | None) -> dict[str, Any]:
    """The same as JSON."""
    found = None if best is None else searched(best.fitness)
    return {
        "searched": None if found is None else dataclasses.asdict(found),
        "fresh": None if crowning is None else dataclasses.asdict(crowning.fresh),
        "held_out": None if test is None else dataclasses.asdict(test),
    }


def _line(name: str, score: str, note: str) -> str:
    return f"{name:>12}  {score}; {note}"
