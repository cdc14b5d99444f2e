"""Work under signals: the first one brings it to rest, the second one breaks it off."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from llmevo.cli.speaking import again, tell
from llmevo.core.errors import Interrupted

if TYPE_CHECKING:
    from llmevo.engine.brake import Brake

T = TypeVar("T")
LAST_WAIT = 0.8
"""Seconds after a second signal in which what was told is still written."""


async def under_signals(begin: Callable[[Brake], Coroutine[Any, Any, T]], *, kept: bool = True) -> T:
    """The result of work that a brake brings to rest. The first signal pulls it: nothing more is paid, and what is in flight is
    recorded; the second one ends the process within a second. `kept`: there is a record with which it can be continued.
    """
    from llmevo.engine.brake import GRACE, Brake

    brake = Brake()
    loop, work = asyncio.get_running_loop(), asyncio.ensure_future(begin(brake))
    cure = f"interrupted; what was recorded is kept. Continue with:\n  {again()}"
    interrupted = Interrupted(cure if kept else "interrupted; nothing was kept (with --run DIR it can be continued)")

    def give_up() -> None:
        tell(str(interrupted))
        os._exit(Interrupted.exit_code)

    def asked_to_stop() -> None:
        if brake.reason is None:
            tell("stopping: waiting for calls in flight (once more: at once)")
            brake.pull(interrupted)
            loop.call_later(GRACE + 1, give_up)  # e.g. a scorer's thread that does not end
        else:
            work.cancel()
            loop.call_later(LAST_WAIT, give_up)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup wants to be left alone
            loop.add_signal_handler(number, asked_to_stop)
    try:
        return await work
    except asyncio.CancelledError:
        raise interrupted from None
