"""Batches side by side: one thread a core, and one BLAS thread in each of them.

The arrays of a batch are small, so half of its time is spent outside BLAS; whole batches share the cores better than the
products inside of them do. How many threads BLAS uses is a setting of the process, so it is set while any batch is at work
and put back after the last one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_users = 0
_limit: Any = None


def cores() -> int:
    """How many cores this process may use, at most 8."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, allowed)


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    # one a process: threads do not survive a fork
    return ThreadPoolExecutor(cores(), "embedded-batch")


def side_by_side(work: Callable[[T], None], batches: Sequence[T]) -> None:
    """Does the work for every batch; raises the first error."""
    if len(batches) < 2 or cores() < 2:
        for batch in batches:
            work(batch)
        return
    _enter()
    try:
        for _ in _pool(os.getpid()).map(work, batches):
            pass
    finally:
        _leave()


def _enter() -> None:
    global _users, _limit
    with _lock:
        _users += 1
        if _users == 1:
            from threadpoolctl import threadpool_limits

            _limit = threadpool_limits(1, user_api="blas")


def _leave() -> None:
    global _users, _limit
    with _lock:
        _users -= 1
        if not _users:
            _limit.restore_original_limits()
            _limit = None
