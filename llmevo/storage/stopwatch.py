"""The time that a run has taken, over all its sittings."""

from __future__ import annotations

from concurrent.futures import Future

from llmevo.storage.database import Database


class Stopwatch:
    """Reads and notes how many seconds have passed; what a killed process did not note any more is lost, and no more than that."""

    def __init__(self, database: Database) -> None:
        self._database = database
        rows = database.rows("seconds")
        self._next = 1 + max((row[0] for row in rows), default=0)
        self.earlier = max((float(row[1]) for row in rows), default=0.0)
        """Seconds of earlier sittings."""

    def note(self, elapsed: float) -> Future[None]:
        """Notes the seconds of all sittings up to now."""
        row = (self._next, max(elapsed, self.earlier))
        self._next += 1
        return self._database.record(("seconds", row))
