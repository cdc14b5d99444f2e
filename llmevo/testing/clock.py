"""A clock that stands still until somebody sleeps or a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class FakeClock:
    """Time under a test's control. Keeps the list of the waits that were asked for in `slept`, in order.

    With `auto` (default) a sleep moves the clock to its end and gives way once, so waiting costs nothing; without it sleepers
    wait until `advance` passes their hour. `now` and `monotonic` move together, except through `jump`.
    """

    def __init__(self, now: float = 1_800_000_000.0, *, auto: bool = True) -> None:
        self.auto = auto
        self.slept: list[float] = []
        self._monotonic = 1000.0
        self._offset = now - 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._monotonic + self._offset

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
        elif self.auto:
            until = self._monotonic + seconds
            await asyncio.sleep(0)
            self._monotonic = max(self._monotonic, until)
        else:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), waiting))
            await waiting

    def jump(self, seconds: float) -> None:
        """Moves the wall clock only, as an administrator or daylight saving would."""
        self._offset += seconds

    async def advance(self, seconds: float) -> None:
        """Moves time on, waking sleepers in the order of their hours and letting each run before the next."""
        await settle()
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            hour, _, waiting = heapq.heappop(self._sleepers)
            self._monotonic = hour
            if not waiting.done():
                waiting.set_result(None)
            await settle()
        self._monotonic = end
        await settle()


async def settle(rounds: int = 20) -> None:
    """Lets every task that can run without waiting for a socket or a thread do so."""
    for _ in range(rounds):
        await asyncio.sleep(0)
