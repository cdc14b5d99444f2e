"""Who was dropped in a race, as a run file keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from llmevo.core import canonical

RECORD = "dropped: "
"""How the names of these records begin; an individual's id follows."""


@dataclass(frozen=True, slots=True)
class Drop:
    """One who was dropped: in which step and after which lap of its race, and why, in words."""

    id: str
    step: int
    """The step in which it was dropped, counted from 1."""
    lap: int
    why: str

    @property
    def row(self) -> tuple[str, str]:
        """Name and text of its record."""
        record = asdict(self)
        return RECORD + record.pop("id"), canonical(record)


def drops_in(meta: Mapping[str, str]) -> tuple[Drop, ...]:
    """Those who were dropped, in the order of the steps."""
    found: Iterable[Drop] = (
        Drop(name.removeprefix(RECORD), **json.loads(text)) for name, text in meta.items() if name.startswith(RECORD)
    )
    return tuple(sorted(found, key=lambda one: (one.step, one.id)))
