"""Concurrent work that ends together: the first failure cancels the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

PORTION = 16
"""How many begin at a time when they are paced."""
PACE = 0.002
"""Seconds from one portion to the next, of all that is paced in one event loop."""
_next: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]], *, paced: bool = False) -> list[T]:
    """The results in order. When one raises, the others are cancelled and awaited before the exception goes on, so that no
    call is sent for a result that nobody will read.

    `paced`: a few begin at a time, those of an earlier call first. For questions to a server: hundreds that are prepared in one
    breath keep the loop from sending the first of them, and no server takes them as fast.
    """
    waiting = list(coroutines)
    tasks: list[asyncio.Task[T]] = []
    try:
        if paced:
            loop = asyncio.get_running_loop()
            begin = max(loop.time(), _next.get(loop, 0.0))
            _next[loop] = begin + PACE * len(waiting) / PORTION
            for first in range(0, len(waiting), PORTION):
                # A portion ahead of its time is none too early: few questions never wait.
                if (left := begin + PACE * (first / PORTION - 1) - loop.time()) > 0:
                    await asyncio.sleep(left)
                tasks += map(asyncio.create_task, waiting[first : first + PORTION])
        else:
            tasks += map(asyncio.create_task, waiting)
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        for coroutine in waiting[len(tasks) :]:
            coroutine.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
