"""Budgets: reserve before, settle after, wait in line, refuse only when nothing is outstanding."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmevo.core import BudgetExhausted, ConfigError, Interrupted, Usage
from llmevo.storage.budget import Budget, Reservation
from llmevo.testing.clock import FakeClock, settle


@pytest.mark.parametrize(
    ("limits", "first", "second", "name"),
    [
        ({"calls": 1}, Usage(1), Usage(1), "calls is 1, 1 is spent and the next step may need 1"),
        ({"tokens_in": 10}, Usage(1, 6), Usage(1, 5), "tokens_in is 10, 6 is spent and the next step may need 5"),
        ({"tokens_out": 10}, Usage(1, 99, 10), Usage(1, 0, 1), "tokens_out is 10"),
        ({"tokens": 10}, Usage(1, 5, 4), Usage(1, 1, 1), "tokens is 10, 9 is spent and the next step may need 2"),
        (
            {"usd": 1.0},
            Usage(1, price=0.7),
            Usage(1, price=0.300001),
            r"usd is 1, 0\.7 is spent and the next step may need 0\.300001",
        ),
    ],
)
def test_each_limit_refuses_with_its_name_and_numbers(limits: Any, first: Usage, second: Usage, name: str) -> None:
    async def run() -> None:
        budget = Budget(**limits)
        budget.settle(await budget.reserve(first), first)
        with pytest.raises(BudgetExhausted, match=name) as refused:
            await budget.reserve(second)
        assert refused.value.exit_code == 75

    asyncio.run(run())


def test_evaluations_are_limited_too() -> None:
    async def run() -> None:
        budget = Budget(evaluations=2)
        budget.settle(await budget.reserve(evaluations=2), evaluations=2)
        assert budget.evaluations == 2
        with pytest.raises(BudgetExhausted, match="evaluations is 2"):
            await budget.reserve(evaluations=1)

    asyncio.run(run())


@pytest.mark.fault("S12")
def test_seconds_are_measured_on_the_clock_that_never_jumps() -> None:
    async def run() -> None:
        clock = FakeClock()
        budget = Budget(seconds=10, clock=clock)
        budget.restore(seconds=4)
        clock.jump(86_400)
        await budget.reserve(Usage(1))
        await clock.sleep(6)
        with pytest.raises(BudgetExhausted, match="seconds is 10 and 10 have passed"):
            budget.settle(await budget.reserve(Usage(1)))
            await budget.reserve(Usage(1))

    async def refused_alone() -> None:
        clock = FakeClock()
        budget = Budget(seconds=10, clock=clock)
        await clock.sleep(11)
        with pytest.raises(BudgetExhausted):
            await budget.reserve(Usage(1))

    asyncio.run(refused_alone())
    with pytest.raises(TimeoutError):  # while something is outstanding, it waits instead
        asyncio.run(asyncio.wait_for(run(), 0.05))


def test_what_does_not_fit_waits_in_line_and_nobody_overtakes() -> None:
    async def run() -> None:
        budget, order = Budget(tokens=10), []

        async def one(name: str, tokens: int) -> Reservation:
            place = await budget.reserve(Usage(0, tokens))
            order.append(name)
            return place

        first = await one("a", 8)
        big, small = asyncio.create_task(one("b", 9)), asyncio.create_task(one("c", 1))
        await settle()
        assert order == ["a"]  # c would fit, but b came before it
        budget.settle(first, Usage(0, 1))
        await settle()
        assert order == ["a", "b"]
        budget.settle(big.result(), Usage(0, 2))
        await small
        assert order == ["a", "b", "c"]

    asyncio.run(run())


def test_one_that_can_never_fit_is_refused_when_its_turn_comes_and_the_next_goes_on() -> None:
    async def run() -> None:
        budget = Budget(calls=10)
        first = await budget.reserve(Usage(9))
        never = asyncio.create_task(budget.reserve(Usage(11)))
        after = asyncio.create_task(budget.reserve(Usage(1)))
        await settle()
        assert not never.done() and not after.done()
        budget.settle(first, Usage(9))
        with pytest.raises(BudgetExhausted, match="9 is spent and the next step may need 11"):
            await never
        assert isinstance(await after, Reservation)

    asyncio.run(run())


def test_who_stops_waiting_gives_way_and_holds_nothing() -> None:
    async def run() -> None:
        budget = Budget(calls=2)
        first = await budget.reserve(Usage(2))
        waiting = [asyncio.create_task(budget.reserve(Usage(n))) for n in (2, 1)]
        await settle()
        waiting[0].cancel()
        budget.settle(first, Usage(1))
        await settle()
        assert waiting[1].done() and budget.reserved == Usage(1) and budget.outstanding == 1

    asyncio.run(run())


def test_a_granted_place_is_returned_when_its_owner_is_cancelled_at_that_moment() -> None:
    async def run() -> None:
        budget = Budget(calls=1)
        first = await budget.reserve(Usage(1))
        waiting = asyncio.create_task(budget.reserve(Usage(1)))
        await settle()
        budget.settle(first)
        waiting.cancel()
        await settle()
        assert budget.outstanding == 0 and budget.reserved == Usage()

    asyncio.run(run())


def test_a_closed_budget_begins_nothing_and_still_settles() -> None:
    async def run() -> None:
        budget, reason = Budget(calls=2), Interrupted("stop")
        first = await budget.reserve(Usage(2))
        waiting = asyncio.create_task(budget.reserve(Usage(1)))
        await settle()
        budget.close(reason)
        with pytest.raises(Interrupted):
            await waiting
        with pytest.raises(Interrupted):
            await budget.reserve()
        budget.settle(first, Usage(1))
        assert budget.spent == Usage(1) and budget.outstanding == 0

    asyncio.run(run())


def test_settling_twice_counts_once() -> None:
    async def run() -> None:
        budget = Budget()
        place = await budget.reserve(Usage(1, 2, 3, 0.5))
        budget.settle(place, Usage(1, 1, 1, 0.25))
        budget.settle(place, Usage(1, 1, 1, 0.25))
        assert budget.spent == Usage(1, 1, 1, 0.25) and budget.reserved == Usage()

    asyncio.run(run())


@pytest.mark.parametrize("limits", [{"calls": -1}, {"usd": float("nan")}, {"tokens": float("inf")}])
def test_a_limit_that_is_none_is_refused(limits: Any) -> None:
    with pytest.raises(ConfigError, match="budget"):
        Budget(**limits)


def test_money_is_exact_over_many_small_sums() -> None:
    async def run() -> None:
        budget = Budget(usd=0.1)
        for _ in range(1000):
            budget.settle(await budget.reserve(Usage(1, price=0.0001)), Usage(1, price=0.0001))
        assert budget.spent.price == 0.1
        with pytest.raises(BudgetExhausted):
            await budget.reserve(Usage(1, price=1e-12))

    asyncio.run(run())


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 400),
    st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1), st.integers(0, 3), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 64),
)
def test_never_above_the_limit_and_never_refused_while_something_is_outstanding(
    limit: int, steps: list[tuple[int, float, int, bool]], in_flight: int
) -> None:
    """Random upper bounds, shares used, durations and failures: any order keeps the limit and uses all that fits."""

    async def run() -> None:
        budget, gate = Budget(tokens=limit), asyncio.Semaphore(in_flight)
        sizes: list[int] = []

        async def one(upper: int, share: float, turns: int, fails: bool) -> None:
            async with gate:
                try:
                    place = await budget.reserve(Usage(1, upper))
                except BudgetExhausted:
                    # Refused with nothing outstanding that could still have made room.
                    assert budget.spent.tokens_in + upper > limit
                    sizes.append(upper)
                    return
                assert budget.spent.tokens_in + budget.reserved.tokens_in <= limit
                for _ in range(turns):
                    await asyncio.sleep(0)
                budget.settle(place, Usage(1, 0 if fails else int(upper * share)))

        await asyncio.gather(*(one(*step) for step in steps))
        assert budget.outstanding == 0 and budget.reserved == Usage()
        assert budget.spent.tokens_in <= limit
        assert all(size > 0 for size in sizes)

    asyncio.run(run())
