"""The plain twin of an async function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from llmevo.core.errors import ConfigError

T = TypeVar("T")


def blocking(name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs `work` to its end in an event loop of its own. Raises `ConfigError`, naming the async twin, inside a running one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    raise ConfigError(f"{name} was called inside a running event loop (a notebook?): write `await a{name}(...)`")
