"""Waiting for the disk without waking for every row: what is written in one turn of the event loop goes out together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from llmevo.storage.answers import Rows
from llmevo.storage.database import Database

GATHER = 0.01
"""Seconds for which rows are gathered that nothing waits for but the asker, while others wait for a place at the gate."""

Then = Callable[[Exception | None], None]
"""Is called in the event loop: with None when the rows are durable, else with what prevented it. It must not raise."""


class Durable:
    """Rows on their way into a database. Belongs to one event loop at a time.

    All that one turn of the loop writes is handed to the writer's thread at its end, in order and as one piece of work; all
    that one commit made durable wakes the loop once. A database in memory is written at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn: list[tuple[Rows, bool, Then]] = []
        self._done: deque[tuple[list[Then], Exception | None]] = deque()
        self._rung = False
        self._soon: asyncio.Handle | None = None

    def write(self, rows: Rows, then: Then, *, paid: bool = False, patient: bool = False) -> None:
        """Queues rows for one transaction. `paid`: they are put aside when the disk has no room for them. `patient`: they may
        wait up to `GATHER` for others."""
        if self._database.path is None:
            self._database.write(rows, then)
            return
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self.flush()
            self._loop, self._done, self._rung, self._soon = loop, deque(), False, None
        if patient and not self._turn:
            self._soon = loop.call_later(GATHER, self.flush)
        elif not patient and (not self._turn or self._soon is not None):
            if self._soon is not None:
                self._soon.cancel()
                self._soon = None
            loop.call_soon(self.flush)
        self._turn.append((rows, paid, then))

    def note(self, rows: Rows) -> None:
        """Queues rows that nobody waits for; an error is met by whoever writes next."""
        self.write(rows, lambda error: None)

    async def written(self, rows: Rows = (), *, paid: bool = False) -> None:
        """Returns when the rows, and all that was queued before them, are durable. Raises what prevented it."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def then(error: Exception | None) -> None:
            if waiting.done():
                return
            if error is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(error)

        self.write(rows, then, paid=paid)
        await waiting

    def flush(self) -> None:
        """Hands over what this turn wrote so far."""
        turn, self._turn, self._soon = self._turn, [], None
        loop, done = self._loop, self._done
        if not turn or loop is None:
            return
        waiting = [then for _, _, then in turn]

        def committed(error: Exception | None) -> None:  # in the writer's thread
            done.append((waiting, error))
            if not self._rung and done is self._done:
                self._rung = True
                with suppress(RuntimeError):  # the loop is gone, and with it everybody who waited
                    loop.call_soon_threadsafe(self._wake)

        together = [row for rows, _, _ in turn for row in rows]
        self._database.write(together, committed, [rows for rows, paid, _ in turn if paid])

    def _wake(self) -> None:
        self._rung = False  # before the queue is read: what comes later rings again
        while self._done:
            waiting, error = self._done.popleft()
            for then in waiting:
                then(error)
