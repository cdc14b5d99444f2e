"""Bringing work to rest from outside: a signal, a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from llmevo.core import LlmevoError
from llmevo.storage.budget import Budget

GRACE = 10.0
"""Seconds for which calls in flight are waited for when a run is told to stop."""


class Brake:
    """Brings a run to rest from outside: nothing new is begun, what was sent is waited for (`GRACE`) and recorded.

    Pull it in the run's event loop. A `Pause` as the reason gives a paused result, any other error is raised by the run.
    """

    def __init__(self) -> None:
        self.reason: LlmevoError | None = None
        self._budgets: list[Budget] = []
        self._pulled = asyncio.Event()

    def pull(self, reason: LlmevoError) -> None:
        """Begins nothing any more. The first reason counts."""
        if self.reason is None:
            self.reason = reason
            for budget in self._budgets:
                budget.close(reason)
            self._pulled.set()

    def holds(self, *budgets: Budget) -> None:
        """The budgets that are closed when it is pulled."""
        self._budgets += budgets

    async def stops(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work came to its end by itself. What it raises is raised; it is over when this returns."""
        task, pulled = asyncio.ensure_future(work), asyncio.ensure_future(self._pulled.wait())
        try:
            await asyncio.wait({task, pulled}, return_when=asyncio.FIRST_COMPLETED)
            if self.reason is not None and not task.done():
                return False
            await task
            return True
        finally:
            pulled.cancel()
            task.cancel()
            await asyncio.gather(task, pulled, return_exceptions=True)
