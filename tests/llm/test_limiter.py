"""The gate: how many are inside, when fewer, when none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmevo.llm import Unreachable
from llmevo.llm.faults import NoConnection, RateLimited, ServerFault
from llmevo.llm.limiter import Gate
from llmevo.testing.clock import FakeClock, settle
from llmevo.testing.server import Action, FaultyLLM
from tests.llm.helpers import ask, through


def test_never_more_inside_than_allowed_and_first_come_first_served() -> None:
    order: list[int] = []

    async def run() -> None:
        gate, most = Gate(3, clock=FakeClock()), 0

        async def one(i: int) -> None:
            nonlocal most
            await gate.enter()
            order.append(i)
            most = max(most, gate.inside)
            await asyncio.sleep(0)
            gate.leave()

        await asyncio.gather(*(one(i) for i in range(20)))
        assert most == 3 and gate.inside == 0

    asyncio.run(run())
    assert order == list(range(20))


@pytest.mark.fault("L1")
def test_one_episode_of_429_cuts_once_and_successes_add_slowly() -> None:
    async def run() -> None:
        gate = Gate(16, clock=FakeClock())
        entries = [await gate.enter() for _ in range(16)]
        for entry in entries:
            gate.failed(entry, RateLimited("x"))
            gate.leave()
        assert gate.window == 8 and gate.cuts == 1
        gate.succeeded(entries[0])
        assert gate.window == 8  # entered before the cut
        windows = []
        for _ in range(8):
            entry = await gate.enter()
            gate.succeeded(entry)
            gate.leave()
            windows.append(gate.window)
        assert windows[0] == 8 + 1 / 8 and 8.9 < windows[-1] < 9
        gate.failed(await gate.enter(), RateLimited("x"))
        assert gate.cuts == 2 and gate.window == windows[-1] / 2

    asyncio.run(run())


def test_the_window_never_falls_below_one_or_rises_above_the_setting() -> None:
    async def run() -> None:
        gate = Gate(2, clock=FakeClock())
        for _ in range(5):
            gate.failed(await gate.enter(), RateLimited("x"))
            gate.leave()
        assert gate.window == 1
        for _ in range(9):
            gate.succeeded(await gate.enter())
            gate.leave()
        assert gate.window == 2

    asyncio.run(run())


@pytest.mark.fault("L5")
def test_server_faults_cut_nothing() -> None:
    async def run() -> None:
        gate = Gate(4, clock=FakeClock())
        gate.failed(await gate.enter(), ServerFault("x"))
        assert gate.window == 4 and gate.cuts == 0

    asyncio.run(run())


@pytest.mark.fault("L3")
def test_a_wish_of_the_server_shuts_the_door_for_all_and_leaves_other_doors_open() -> None:
    async def run() -> None:
        clock = FakeClock(auto=False)
        gate, other = Gate(4, clock=clock), Gate(4, clock=clock)
        gate.failed(await gate.enter(), RateLimited("x", retry_after=7.0))
        gate.leave()
        waiting = asyncio.create_task(gate.enter())
        await other.enter()
        await clock.advance(6.9)
        assert not waiting.done()
        await clock.advance(0.2)
        assert waiting.done()

    asyncio.run(run())


@pytest.mark.fault("L26")
def test_five_lost_connections_open_the_circuit_and_the_first_answer_closes_it() -> None:
    async def run() -> None:
        clock = FakeClock(auto=False)
        up, probes = False, []

        async def probe() -> None:
            probes.append(clock.monotonic() - 1000)
            if not up:
                raise NoConnection("down")

        gate = Gate(8, clock=clock, probe=probe)
        for _ in range(5):
            gate.failed(await gate.enter(), NoConnection("down"))
            gate.leave()
        waiting = asyncio.create_task(gate.enter())
        await clock.advance(10)
        assert not waiting.done() and probes == [1, 3, 7]
        up = True
        await clock.advance(10)
        assert waiting.done() and probes == [1, 3, 7, 15]

    asyncio.run(run())


@pytest.mark.fault("L26")
def test_an_answer_between_keeps_the_circuit_closed_and_endless_silence_turns_away() -> None:
    async def run() -> None:
        clock = FakeClock(auto=False)

        async def probe() -> None:
            raise NoConnection("down")

        gate = Gate(8, clock=clock, probe=probe, patience=60.0)
        for i in range(8):
            entry = await gate.enter()
            gate.failed(entry, NoConnection("down")) if i != 4 else gate.succeeded(entry)
            gate.leave()
        assert gate._keeper is None
        for _ in range(2):
            gate.failed(await gate.enter(), NoConnection("down"))
            gate.leave()
        waiting = asyncio.create_task(gate.enter())
        await clock.advance(200)
        with pytest.raises(Unreachable, match="start the server, then continue"):
            await waiting
        await gate.enter()  # the next begins anew

    asyncio.run(run())


@pytest.mark.fault("L26")
def test_a_local_server_that_dies_and_returns_is_found_again() -> None:
    server = FaultyLLM(lambda seen: Action("ok")).start()

    class Restarting(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if self.monotonic() > 1000 + 5 and server._server is None:
                server.start()

    async def use(model: Any) -> list[str]:
        await model(ask("before"))
        server.stop()
        return [reply.text for reply in await asyncio.gather(*(model(ask(str(i))) for i in range(8)))]

    try:
        found, _ = through(server, use, clock=Restarting())
        assert found == ["ok"] * 8 and len(server.billed) == 9
    finally:
        server.stop()


def test_who_stops_waiting_takes_no_place() -> None:
    async def run() -> None:
        gate = Gate(1, clock=FakeClock())
        await gate.enter()
        waiting = [asyncio.create_task(gate.enter()) for _ in range(2)]
        await settle()
        waiting[0].cancel()
        gate.leave()
        await settle()
        assert waiting[1].done() and gate.inside == 1

    asyncio.run(run())
