"""What two askers of one question share is not added up twice; what nobody knows is not free."""

from __future__ import annotations

import asyncio

import pytest

from llmevo.core import Usage
from llmevo.core.clock import REAL_CLOCK
from llmevo.llm.contract import CallFailed, Refused
from llmevo.llm.fallback import charged
from llmevo.llm.faults import Names, Transient
from llmevo.llm.sdk import _translated


def test_an_error_that_is_shared_is_charged_to_each_by_itself() -> None:
    shared = Refused("no", Usage(calls=1))

    async def failing() -> None:
        raise shared

    async def spent() -> int:
        with pytest.raises(CallFailed) as caught:
            await charged(failing(), Usage(calls=1))  # type: ignore[arg-type]
        return caught.value.usage.calls

    async def both() -> list[int]:
        return [await spent(), await spent()]

    assert asyncio.run(both()) == [2, 2] and shared.usage.calls == 1


def test_an_unknown_error_of_a_package_is_of_unknown_cost() -> None:
    error = _translated(RuntimeError("something new"), Names("m", "here", "KEY"), 1.0, REAL_CLOCK)
    assert isinstance(error, Transient) and error.spent is None
