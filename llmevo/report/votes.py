"""A vote of the best, as a run file keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llmevo.core import content_key
from llmevo.report.statistics import Interval

RECORD = "vote of "
"""How the names of these records begin."""


@dataclass(frozen=True, slots=True)
class Voted:
    """What came of letting the best vote: how many of them do, and what that scores beside the best one alone."""

    candidates: tuple[str, ...]
    """Genome keys of those who could have voted: the winner, then the best of the search."""
    size: int
    """So many of them vote; 1 when no vote was better than the best one alone on the dev cases."""
    dev: float
    """The vote's score on the dev cases, which chose the size."""
    alone: float
    """The same of the winner alone."""
    held_out: Interval | None
    """The vote's score on the test cases, if there are any."""

    @property
    def members(self) -> tuple[str, ...]:
        """Genome keys of those who vote, the winner first."""
        return self.candidates[: self.size]

    def record(self) -> dict[str, Any]:
        """Its fields by name."""
        return {**asdict(self), "candidates": list(self.candidates)}


def name_of(candidates: Sequence[str]) -> str:
    """The name of the record for these candidates."""
    return RECORD + content_key(list(candidates))


def voted_from(text: str) -> Voted:
    """The vote of a record."""
    stored = json.loads(text)
    held_out = stored.pop("held_out")
    return Voted(tuple(stored.pop("candidates")), held_out=Interval(**held_out) if held_out else None, **stored)


def find(meta: Mapping[str, str], best: Sequence[str]) -> Voted | None:
    """The vote of the present best (their genome keys, the winner's first); None when they have not voted."""
    found = [voted_from(text) for name, text in meta.items() if name.startswith(RECORD)]
    return next((one for one in found if one.candidates == tuple(best)[: len(one.candidates)]), None)
