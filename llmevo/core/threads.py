"""A user's sync function beside the event loop: what it raises comes out as an `Exception`, whatever it is."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Raised(RuntimeError):
    """What a function raised that must not be passed on as it is: a future takes no `StopIteration` and would wait for ever, a
    `SystemExit` would end the program.
    """


async def pooled(function: Callable[..., T], *values: Any, **named: Any) -> T:
    """What a function returns, called in one of the loop's pool of threads."""
    return await asyncio.to_thread(passable, function, *values, **named)


async def aside(function: Callable[..., T], *values: Any, **named: Any) -> T:
    """What a function returns, called in a thread of its own, which nobody has to wait for.

    Who stops waiting, at a deadline say, leaves it behind, and what it returns is dropped. Threads of the loop's pool are too few for
    that: functions that hang would take all of them, and the end of the loop waits for every one.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            found = context.run(passable, function, *values, **named)
        except Exception as error:
            _later(loop, future, future.set_exception, error)
        else:
            _later(loop, future, future.set_result, found)

    threading.Thread(target=work, name="llmevo-aside", daemon=True).start()
    return await future


def passable(function: Callable[..., T], *values: Any, **named: Any) -> T:
    """Calls a function. Raises `Raised` for what it raises that is no `Exception`, and for `StopIteration`."""
    try:
        return function(*values, **named)
    except StopIteration as error:
        raise Raised(f"StopIteration: {error}; `next(...)` found nothing, give it a default") from error
    except Exception:
        raise
    except BaseException as error:
        raise Raised(f"{type(error).__name__}: {error}") from error


def _later(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], put: Callable[[Any], None], value: Any) -> None:
    """Settles the future in its loop; nothing when nobody waits any more."""
    try:
        loop.call_soon_threadsafe(lambda: None if future.done() else put(value))
    except RuntimeError:
        pass  # the loop is closed
