"""Concurrent work: in order, all or nothing, and paced when it is asked for."""

from __future__ import annotations

import asyncio

import pytest

from llmevo.core import gather as module
from llmevo.core.gather import PORTION, gather


@pytest.mark.parametrize("paced", [False, True])
def test_results_come_in_order(paced: bool) -> None:
    async def one(i: int) -> int:
        await asyncio.sleep(0.001 * (i % 3))
        return i

    assert asyncio.run(gather(map(one, range(3 * PORTION)), paced=paced)) == list(range(3 * PORTION))
    assert asyncio.run(gather([], paced=paced)) == []


@pytest.mark.parametrize("paced", [False, True])
@pytest.mark.filterwarnings("error")
def test_the_first_failure_ends_the_rest_also_what_has_not_begun(paced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACE", 3600.0)
    begun, ended = [], []

    async def one(i: int) -> None:
        begun.append(i)
        try:
            await asyncio.sleep(0)
            if i == 3:
                raise LookupError("three")
            await asyncio.sleep(3600)
        finally:
            ended.append(i)

    async def go() -> None:
        with pytest.raises((LookupError, TimeoutError)):
            async with asyncio.timeout(0.05):
                await gather(map(one, range(4 * PORTION)), paced=paced)

    asyncio.run(go())
    assert sorted(begun) == sorted(ended) and len(begun) == (2 if paced else 4) * PORTION


def test_what_is_paced_begins_a_few_at_a_time_and_in_the_order_of_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACE", 0.02)
    begun: list[tuple[str, int, float]] = []

    async def one(who: str, i: int) -> None:
        begun.append((who, i, asyncio.get_running_loop().time()))

    async def go() -> None:
        await asyncio.gather(*(gather([one(who, i) for i in range(2 * PORTION)], paced=True) for who in "ab"))

    asyncio.run(go())
    assert [(who, i) for who, i, _ in begun] == [(who, i) for who in "ab" for i in range(2 * PORTION)]
    assert begun[-1][2] - begun[0][2] >= 0.02, "the second half waited for its turn"


def test_a_few_never_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACE", 3600.0)

    async def one(i: int) -> int:
        return i

    async def go() -> list[list[int]]:
        async with asyncio.timeout(60):
            return await asyncio.gather(*(gather(map(one, range(3)), paced=True) for _ in range(4)))

    assert asyncio.run(go()) == [[0, 1, 2]] * 4
