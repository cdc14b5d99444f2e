"""The one retry layer: who is asked again, after how long, how often, and what it means in the end."""

from __future__ import annotations

import asyncio
import random
from email.utils import formatdate
from typing import Any

import pytest

from llmevo.core import ConfigError, LlmevoError, Usage
from llmevo.llm import EmptyReply, Refused, Reply, RequestRejected, ScriptedLLM, Unreachable
from llmevo.llm.faults import BadGateway, NoConnection, RateLimited, ServerFault, TimedOut, Transient, retry_after
from llmevo.llm.retry import Retry
from llmevo.testing.clock import FakeClock
from llmevo.testing.server import Action, FaultyLLM
from tests.llm.helpers import ask, through


def waited(script: list[Any], **settings: Any) -> tuple[Reply | Exception, list[float], int]:
    """The outcome, the waits, and the number of attempts."""
    clock, llm = FakeClock(), ScriptedLLM(script)
    retry = Retry(llm, clock=clock, rng=random.Random(3), **settings)

    async def run() -> Reply | Exception:
        try:
            return await retry(ask())
        except Exception as error:
            return error

    return asyncio.run(run()), clock.slept, len(llm.requests)


def expected(n: int, asked: list[float | None] | None = None) -> list[float]:
    """The documented arithmetic, written down again."""
    rng = random.Random(3)
    waits = []
    for i in range(1, n + 1):
        r = asked[i - 1] if asked else None
        waits.append(rng.uniform(1, max(1, min(60, 2.0**i))) if r is None else r + rng.uniform(0, 1))
    return waits


@pytest.mark.fault("L2", "L5")
@pytest.mark.parametrize("kind", [RateLimited, ServerFault, BadGateway, NoConnection, TimedOut])
@pytest.mark.parametrize("failures", [1, 2, 3, 4, 5])
def test_passing_faults_are_repeated_with_full_jitter(kind: type[Transient], failures: int) -> None:
    found, waits, attempts = waited([*[kind("x") for _ in range(failures)], "ok"])
    assert isinstance(found, Reply) and attempts == failures + 1
    assert waits == expected(failures)
    assert all(1 <= wait <= 2 ** (i + 1) for i, wait in enumerate(waits))


@pytest.mark.fault("L2")
@pytest.mark.parametrize(
    ("kind", "final"),
    [
        (RateLimited, Unreachable),
        (NoConnection, Unreachable),
        (ServerFault, RequestRejected),
        (BadGateway, RequestRejected),
        (TimedOut, RequestRejected),
    ],
)
@pytest.mark.parametrize("attempts", [1, 2, 6])
def test_attempts_are_capped_and_end_in_one_meaning(kind: type[Transient], final: type[Exception], attempts: int) -> None:
    found, waits, made = waited([kind("x")] * attempts, attempts=attempts)
    assert type(found) is final and made == attempts
    assert waits == expected(attempts - 1)
    assert f"attempt {attempts} of {attempts}" in str(found)


@pytest.mark.parametrize("attempts", [10])
def test_a_wait_never_passes_a_minute(attempts: int) -> None:
    _, waits, _ = waited([NoConnection("x")] * attempts, attempts=attempts)
    assert max(waits) <= 60 and waits == expected(attempts - 1)


@pytest.mark.parametrize(
    "error", [Refused("x"), RequestRejected("x"), ConfigError("x"), Unreachable("billing"), LlmevoError("x")]
)
def test_lasting_faults_are_not_repeated(error: Exception) -> None:
    found, waits, attempts = waited([error, "ok"])
    assert found is error and waits == [] and attempts == 1


@pytest.mark.fault("L10", "L11")
def test_an_empty_reply_is_asked_once_more() -> None:
    assert isinstance(waited([EmptyReply("x"), "ok"])[0], Reply)
    found, waits, attempts = waited([EmptyReply("x", Usage(1, 2, 3)), EmptyReply("y", Usage(1, 2, 3)), "ok"])
    assert isinstance(found, EmptyReply) and attempts == 2 and len(waits) == 1


@pytest.mark.fault("L1")
@pytest.mark.parametrize("seconds", [0.0, 0.5, 7.0, 59.0, 300.0])
def test_the_wish_of_the_server_is_honoured_at_least_that_long(seconds: float) -> None:
    _, waits, _ = waited([RateLimited("x", retry_after=seconds), "ok"])
    assert waits == expected(1, [seconds]) and seconds <= waits[0] <= seconds + 1


@pytest.mark.fault("L3")
def test_a_wish_beyond_the_deadline_pauses_at_once_and_says_until_when() -> None:
    found, waits, attempts = waited([RateLimited("x", retry_after=3600.0), "ok"], max_wait=600.0)
    assert isinstance(found, Unreachable) and found.exit_code == 75
    assert waits == [] and attempts == 1 and "2027-01-15 09:00:00 UTC" in str(found)


@pytest.mark.fault("L2")
def test_waiting_is_capped_in_all() -> None:
    found, waits, attempts = waited([RateLimited("x", retry_after=250.0)] * 6, max_wait=600.0)
    assert isinstance(found, Unreachable) and attempts == 3 and sum(waits) <= 600


@pytest.mark.fault("L6")
def test_a_question_that_always_fails_is_rejected_alone_and_many_in_a_row_pause_the_run() -> None:
    bad = [ServerFault("x")] * 2
    llm = ScriptedLLM([*bad, *bad, "ok", *bad, *bad, *bad])
    retry = Retry(llm, attempts=2, give_up=3, clock=FakeClock())

    async def run() -> list[str]:
        ends = []
        for _ in range(6):
            try:
                ends.append((await retry(ask())).text)
            except LlmevoError as error:
                ends.append(type(error).__name__)
        return ends

    rejected = "RequestRejected"
    assert asyncio.run(run()) == [rejected, rejected, "ok", rejected, rejected, "Unreachable"]


@pytest.mark.fault("L1")
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "?", "retry-after": "2"}, 2.0),
        ({"retry-after": formatdate(1_800_000_030, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(1_799_999_000, usegmt=True)}, 0.0),
        ({"retry-after": formatdate(5_030, usegmt=True), "date": formatdate(5_000, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(1_800_000_030, usegmt=True), "date": "nonsense"}, 30.0),
        ({"retry-after": "Wed, 99 Foo 2027 25:61:00 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, FakeClock(1_800_000_000)) == seconds


@pytest.mark.fault("L1")
@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "7000"}, 7.0),
        ({"Retry-After": formatdate(1_800_000_007, usegmt=True), "Date": formatdate(1_800_000_000, usegmt=True)}, 7.0),
    ],
)
def test_429_with_a_wish_waits_and_is_billed_once(headers: dict[str, str], least: float) -> None:
    clock = FakeClock()
    with FaultyLLM([Action(status=429, headers=headers), Action("ok")]) as server:
        reply, _ = through(server, lambda model: model(ask()), clock=clock)
        assert reply.text == "ok" and clock.monotonic() >= 1000 + least
        assert len(server.requests) == 2 and len(server.billed) == 1


@pytest.mark.fault("L4")
def test_a_refusal_for_billing_is_one_request() -> None:
    body = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    with FaultyLLM([Action(status=429, body=body)]) as server:
        found, _ = through(server, lambda model: model(ask()))
        assert isinstance(found, Unreachable) and len(server.requests) == 1


@pytest.mark.fault("L5")
@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_server_faults_are_repeated_and_do_not_cut_what_may_be_in_flight(status: int) -> None:
    with FaultyLLM([Action(status=status), Action(status=status), Action("ok")]) as server:
        reply, models = through(server, lambda model: model(ask()))
        assert reply.text == "ok" and len(server.requests) == 3
        assert [gate.window for gate in models._gates.values()] == [8.0]


@pytest.mark.fault("L6")
def test_one_poisoned_payload_fails_alone() -> None:
    def script(seen: Any) -> Action:
        return Action(status=500) if "poison" in seen.prompt else Action("ok")

    async def use(model: Any) -> list[Any]:
        return await asyncio.gather(*(model(ask(text)) for text in ("a", "poison", "b")), return_exceptions=True)

    with FaultyLLM(script) as server:
        found, _ = through(server, use)
        assert [type(one) for one in found] == [Reply, RequestRejected, Reply]
        assert len(server.requests) == 2 + 6


@pytest.mark.fault("L9")
def test_a_broken_answer_is_discarded_booked_at_its_upper_bound_and_asked_again() -> None:
    with FaultyLLM([Action("partial answer", cut=40), Action("whole")]) as server:
        reply, models = through(server, lambda model: model(ask(max_tokens=100)))
        assert reply.text == "whole" and len(server.billed) == 2
        upper = Usage(1, len("Hello?") + 80, 100)
        assert models.ledger.budget.spent == upper + reply.usage
