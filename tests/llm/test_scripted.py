"""The scripted model and the faulty server do as they are told."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path

import pytest

from llmevo.core import Usage
from llmevo.llm import Refused, Reply, Request, ScriptedLLM, ScriptRanDry, Unreachable
from llmevo.llm.fallback import Fallback
from llmevo.testing.clock import FakeClock
from llmevo.testing.server import Action, FaultyLLM, billed_in
from tests.llm.helpers import ask, attempt


def test_a_list_is_said_in_order_and_running_dry_is_an_error() -> None:
    llm = ScriptedLLM(["one two", Reply("three", Usage(1, 5, 6), "length"), KeyError("four")])

    async def run() -> None:
        assert await llm(ask("a b c")) == Reply("one two", Usage(1, 3, 2))
        assert (await llm(ask())).finish == "length"
        with pytest.raises(KeyError):
            await llm(ask())
        with pytest.raises(ScriptRanDry, match="the script has 3 replies; call 4 asked: 'the last'"):
            await llm(ask("the last"))

    asyncio.run(run())
    assert len(llm.requests) == 4


def test_a_function_answers_and_delays_are_slept_on_the_clock() -> None:
    clock = FakeClock()

    def answer(request: Request) -> str:
        return request.messages[0].content[::-1]

    llm = ScriptedLLM(answer, delay=lambda request: 3.0, clock=clock)
    assert asyncio.run(llm(ask("abc"))).text == "cba" and clock.slept == [3.0]


@pytest.mark.fault("L13")
def test_another_model_is_asked_when_one_refuses() -> None:
    def models(*lines: str | Exception) -> Fallback:
        return Fallback(*(ScriptedLLM([line], key=str(i)) for i, line in enumerate(lines)))

    async def run() -> None:
        reply = await models(Refused("no", Usage(1, 2, 3)), "yes")(ask("Hi"))
        assert reply.text == "yes" and reply.usage == Usage(2, 3, 4)
        with pytest.raises(Refused, match="nor I") as refused:
            await models(Refused("not I", Usage(1, 2, 3)), Refused("nor I", Usage(1, 2, 3)))(ask("Hi"))
        assert refused.value.usage == Usage(2, 4, 6)
        with pytest.raises(Unreachable):
            await models(Unreachable("down"), "yes")(ask("Hi"))

    asyncio.run(run())
    assert models("a", "b").key != models("a").key


def test_the_server_bills_before_it_answers_and_keeps_a_ledger(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with FaultyLLM([Action("x", tokens=(3, 4)), Action(status=500, bills=True), Action(status=429)], ledger=ledger) as server:
        for _ in range(4):
            attempt(server)
        assert server.spent == (2, 3 + server.billed[1]["tokens_in"], 4 + server.billed[1]["tokens_out"])
        assert billed_in(ledger) == server.billed and len(server.requests) == 4


def test_the_server_lists_its_models() -> None:
    with FaultyLLM(models=["a", "b"]) as server, urllib.request.urlopen(f"{server.url}/models") as answer:
        assert [one["id"] for one in json.load(answer)["data"]] == ["a", "b"]


def test_a_clock_that_is_moved_wakes_sleepers_in_the_order_of_their_hours() -> None:
    async def run() -> list[int]:
        clock, woken = FakeClock(auto=False), []

        async def sleeper(seconds: int) -> None:
            await clock.sleep(seconds)
            woken.append(seconds)

        tasks = [asyncio.create_task(sleeper(s)) for s in (5, 1, 3)]
        await clock.advance(3)
        assert woken == [1, 3]
        await clock.advance(3)
        await asyncio.gather(*tasks)
        return woken

    assert asyncio.run(run()) == [1, 3, 5]
