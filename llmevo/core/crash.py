"""Named places at which a test lets the process die, to prove that dying there loses nothing."""

from __future__ import annotations

import os
import signal

_left: dict[str, int] = {}


def arm(spec: str) -> None:
    """Arms a point: `name:n` kills the process (SIGKILL) when it comes to that point for the n-th time. Empty disarms all."""
    _left.clear()
    name, _, times = spec.partition(":")
    if name:
        _left[name] = int(times or 1)


def crash_point(name: str) -> None:
    """Does nothing, unless this point is armed (by the environment variable LLMEVO_CRASH, in tests)."""
    if not _left or name not in _left:
        return
    _left[name] -= 1
    if _left[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("LLMEVO_CRASH", ""))
