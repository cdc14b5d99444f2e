"""A user's sync function beside the loop: what it raises arrives, and nobody has to wait for one that hangs."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from llmevo.core.threads import Raised, aside, pooled
from tests.helpers import named

WAYS = [aside, pooled]
ERRORS = [StopIteration("nothing"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]


@pytest.mark.parametrize("way", WAYS)
def test_it_returns_and_raises_what_the_function_does(way: Any) -> None:
    def divide(a: int, *, by: int) -> tuple[float, bool]:
        return a / by, threading.current_thread() is threading.main_thread()

    assert asyncio.run(way(divide, 6, by=3)) == (2.0, False)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(way(divide, 6, by=0))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", ERRORS, ids=named)
def test_what_would_hang_or_end_the_program_is_an_exception(way: Any, error: BaseException) -> None:
    def raises() -> None:
        raise error

    async def guarded() -> None:
        await asyncio.wait_for(way(raises), 30)

    with pytest.raises(Raised, match=type(error).__name__) as caught:
        asyncio.run(guarded())
    assert caught.value.__cause__ is error


def test_one_that_hangs_is_left_behind_also_by_the_end_of_the_loop() -> None:
    let_go, ended = threading.Event(), threading.Event()

    def hangs() -> None:
        let_go.wait(30)
        ended.set()

    async def impatient() -> str:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(aside(hangs) for _ in range(40))), 0.05)
        return await asyncio.to_thread(lambda: "the pool is free")

    assert asyncio.run(impatient()) == "the pool is free" and not ended.is_set()
    let_go.set()
    assert ended.wait(30), "what it returns after the end of the loop is dropped"
