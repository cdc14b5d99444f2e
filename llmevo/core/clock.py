"""Time as an argument: waits and deadlines take a clock, so that tests need no real sleeping."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Three ways of asking for time. Durations come from `monotonic`; the wall clock may jump."""

    def now(self) -> float:
        """Wall clock: seconds since 1970, UTC. For messages and date headers only."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after that many seconds, at once when they are not positive."""
        ...


class RealClock:
    """The machine's clocks and the event loop's sleep."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        import asyncio

        await asyncio.sleep(max(0.0, seconds))


REAL_CLOCK = RealClock()
