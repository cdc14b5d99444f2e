"""The paid-call promise, judged by the ledger of a server on a real socket."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmevo.core import BudgetExhausted, Interrupted, LlmevoError, Usage
from llmevo.llm import LLM, Connections, ModelSpec, Price, Refused, Reply, Request, Sampling, ScriptedLLM, Unreachable
from llmevo.llm.booked import Booked
from llmevo.llm.contract import Message
from llmevo.llm.faults import ServerFault
from llmevo.llm.ledger import Ledger, Remembered, question_key
from llmevo.storage.answers import Answers
from llmevo.storage.budget import Budget
from llmevo.storage.database import Database
from llmevo.testing.clock import FakeClock
from llmevo.testing.clock import settle as settled
from llmevo.testing.server import Action, FaultyLLM, Seen, billed_in
from tests.llm.helpers import ask, through
from tests.storage.booking import intend, settle


def ends(database: Database) -> list[str]:
    return [row[1] for row in database.rows("settled")]


def stack(llm: LLM, database: Database, budget: Budget | None = None) -> tuple[Remembered, Ledger]:
    """Record and booking without a network."""
    ledger = Ledger(Answers(database), budget or Budget())
    return Remembered(Booked(llm, ledger, price=Price(1.0, 2.0)), ledger), ledger


# Keys


@pytest.mark.fault("S16")
def test_everything_that_changes_an_answer_is_in_its_key() -> None:
    base = ask("a", temperature=0.5, max_tokens=10)
    others = [
        ask("b", temperature=0.5, max_tokens=10),
        ask("a", temperature=0.6, max_tokens=10),
        ask("a", temperature=0.5, max_tokens=11),
        ask("a", temperature=0.5, max_tokens=10, top_p=0.9),
        ask("a", temperature=0.5, max_tokens=10, stop=("x",)),
        replace(base, sample="1"),
        replace(base, messages=(Message("system", "a"),)),
        replace(base, messages=(Message("user", "a"), Message("user", "a"))),
    ]
    keys = {question_key("m", one) for one in [base, *others]} | {question_key("n", base)}
    assert len(keys) == len(others) + 2
    assert question_key("m", base) == question_key("m", ask("a", temperature=0.5, max_tokens=10))


@pytest.mark.fault("S16")
def test_another_endpoint_model_or_extra_field_is_another_model() -> None:
    models = Connections(env={"OPENAI_API_KEY": "x" * 20})
    specs = [
        ModelSpec("a", base_url="http://h/v1"),
        ModelSpec("b", base_url="http://h/v1"),
        ModelSpec("a", base_url="http://g/v1"),
        ModelSpec("a", base_url="http://h/v1", extra={"reasoning_effort": "low"}),
        ModelSpec("a", base_url="http://h/v1", seed=True),
        ModelSpec("a"),
    ]
    assert len({models.connect(spec).key for spec in specs}) == len(specs)
    assert models.connect(ModelSpec("a", base_url="http://h/v1/", timeout=5)).key == models.connect(specs[0]).key
    asyncio.run(models.aclose())


# Memory


def test_a_recorded_answer_is_not_paid_again_and_costs_the_same_nominally(tmp_path: Path) -> None:
    async def use(model: Any) -> list[Reply]:
        return [await model(ask()), await model(ask())]

    with FaultyLLM() as server:
        for _ in range(3):
            database = Database(tmp_path / "run.sqlite")
            (first, second), models = through(server, use, database=database, price=Price(1.0, 2.0))
            assert first == second and first.usage.price == pytest.approx(
                (first.usage.tokens_in + 2 * first.usage.tokens_out) / 1e6
            )
            assert models.ledger.budget.spent.calls == 1
            database.close()
        assert len(server.requests) == 1


def test_equal_questions_in_flight_share_one_request() -> None:
    async def use(model: Any) -> list[Reply]:
        return await asyncio.gather(*(model(ask(str(i % 3))) for i in range(60)))

    with FaultyLLM(lambda seen: Action(f"{seen.prompt} {seen.number}", delay=0.02)) as server:
        found, models = through(server, use, in_flight=64)
        assert len(server.requests) == 3 and models.ledger.asked == 60 and models.ledger.hits == 57
        assert len({reply.text for reply in found}) == 3


def test_a_failure_in_flight_is_shared_and_the_next_asks_again() -> None:
    async def run() -> None:
        llm = ScriptedLLM([Refused("no"), "yes"], delay=1.0, clock=FakeClock())
        model, _ = stack(llm, Database(None))
        found = await asyncio.gather(model(ask()), model(ask()), return_exceptions=True)
        assert [str(one) for one in found] == ["no", "no"]
        assert (await model(ask())).text == "yes"

    asyncio.run(run())


class Together:
    """Answers when as many were asked as it waits for, all of them in one turn of the loop."""

    key = "together"

    def __init__(self, count: int) -> None:
        self.count, self.gate = count, asyncio.Event()

    async def __call__(self, request: Request) -> Reply:
        self.count -= 1
        if self.count == 0:
            self.gate.set()
        await self.gate.wait()
        said: Any = request.messages[0].content
        return Reply(said, Usage(1, 5, 7), "stop" if said != "odd" else said)


def test_a_reply_that_cannot_be_booked_ends_its_attempt_and_no_other() -> None:
    async def run() -> None:
        database = Database(None)
        model, ledger = stack(Together(4), database)
        asking = asyncio.gather(*(model(ask(text)) for text in ("a", "odd", "b", "c")), return_exceptions=True)
        found = await asyncio.wait_for(asking, 20)
        assert [getattr(one, "text", None) for one in found] == ["a", None, "b", "c"]
        assert isinstance(found[1], KeyError) and ends(database) == ["answer"] * 3
        assert ledger.budget.spent.calls == 4 and ledger.budget.reserved == Usage() and not ledger.sent

    asyncio.run(run())


def test_a_lost_call_to_book_is_made_good_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        loop, lost = asyncio.get_running_loop(), list[Any]()
        soon = loop.call_soon

        def lossy(callback: Any, *args: Any, **more: Any) -> asyncio.Handle:
            if getattr(callback, "__func__", None) is Booked._book and not lost:
                lost.append(callback)
                return soon(lambda: None)
            return soon(callback, *args, **more)

        monkeypatch.setattr(loop, "call_soon", lossy)
        model, _ = stack(ScriptedLLM(["one", "two"]), Database(None))
        first = asyncio.create_task(model(ask("1")))
        while not lost:
            await asyncio.sleep(0)
        assert (await asyncio.wait_for(model(ask("2")), 20)).text == "two"
        assert (await asyncio.wait_for(first, 20)).text == "one"

    asyncio.run(run())


@pytest.mark.fault("S13")
def test_what_was_sent_is_recorded_although_its_asker_is_cancelled_and_another_shares_it() -> None:
    async def run() -> None:
        clock = FakeClock(auto=False)
        llm = ScriptedLLM(["found"], delay=1.0, clock=clock)
        model, ledger = stack(llm, Database(None))
        first, second = asyncio.create_task(model(ask())), asyncio.create_task(model(ask()))
        while not llm.requests:
            await asyncio.sleep(0.001)
        first.cancel()
        await settled()
        third = asyncio.create_task(model(ask()))
        await clock.advance(2)
        assert (await second).text == (await third).text == "found" and first.cancelled()
        assert len(llm.requests) == 1 and ledger.budget.spent.calls == 1

    asyncio.run(run())


def test_who_is_cancelled_before_sending_costs_nothing_and_another_asks(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "run.sqlite")
        hold, held = threading.Event(), threading.Event()

        def block(connection: object) -> None:
            held.set()
            hold.wait()

        llm = ScriptedLLM(["found"])
        model, ledger = stack(llm, database)
        database.submit(block)
        held.wait()
        first, second = asyncio.create_task(model(ask())), asyncio.create_task(model(ask()))
        await settled()  # the intent waits for the disk
        first.cancel()
        await settled()
        hold.set()
        assert (await second).text == "found" and len(llm.requests) == 1
        assert ledger.budget.spent.calls == 1 and ends(database) == ["unbilled", "answer"]
        database.close()

    asyncio.run(run())


@pytest.mark.fault("S13")
def test_who_is_cancelled_while_something_is_written_does_not_break_the_writer(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "run.sqlite")
        hold, held = threading.Event(), threading.Event()

        def block(connection: object) -> None:
            held.set()
            hold.wait()

        async def write() -> None:
            await asyncio.wrap_future(database.insert("meta", [("name", "value")]))

        database.submit(block)
        held.wait()
        writing = asyncio.create_task(write())
        await settled()
        writing.cancel()
        await settled()
        hold.set()
        assert database.rows("meta") == [("name", "value")] and writing.cancelled()
        database.close()

    asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.fault("S13")
def test_a_closed_budget_sends_nothing_more_and_lets_what_was_sent_come_home() -> None:
    database = Database(None)

    async def use(model: Any) -> list[Any]:
        tasks = [asyncio.create_task(model(ask(str(i)))) for i in range(20)]
        while len(server.requests) < 4:
            await asyncio.sleep(0.001)
        model.ledger.budget.close(Interrupted("stop"))
        return await asyncio.gather(*tasks, return_exceptions=True)

    with FaultyLLM(lambda seen: Action("ok", delay=0.05)) as server:
        found, models = through(server, use, in_flight=4, database=database)
        assert [type(one) for one in found].count(Reply) == 4 == len(server.requests)
        assert sum(isinstance(one, Interrupted) for one in found) == 16
        assert models.ledger.budget.spent == Usage(*server.spent) and models.ledger.budget.reserved == Usage()
        assert all(gate.inside == 0 for gate in models._gates.values())
    assert set(ends(database)) == {"answer", "unbilled"}
    database.close()


@pytest.mark.fault("S13")
def test_closing_waits_for_what_was_sent_sends_nothing_more_and_books_what_is_late(tmp_path: Path) -> None:
    async def run(server: FaultyLLM, grace: float) -> tuple[list[str], Usage]:
        database = Database(tmp_path / f"{grace}.sqlite")
        async with Connections(database=database, in_flight=4, grace=grace) as models:
            model = models.connect(ModelSpec("test", base_url=server.url))
            tasks = [asyncio.create_task(model(ask(str(i)))) for i in range(20)]
            while len(server.requests) < 4:
                await asyncio.sleep(0.001)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        found = ends(database), models.ledger.budget.spent
        database.close()
        return found

    with FaultyLLM(lambda seen: Action("ok", delay=0.05)) as server:
        found, spent = asyncio.run(run(server, 10.0))
        assert found.count("answer") == 4 and set(found) == {"answer", "unbilled"}
        assert spent == Usage(*server.spent) and len(server.requests) == 4
    with FaultyLLM(lambda seen: Action("ok", delay=0.2)) as server:
        found, spent = asyncio.run(run(server, 0.0))
        assert found.count("unknown") == 4 and spent.tokens_out == 4 * 512 and len(server.requests) == 4


@pytest.mark.fault("L12")
def test_a_cut_answer_is_asked_again_and_yet_not_repaid_by_a_resume(tmp_path: Path) -> None:
    async def use(model: Any) -> list[str]:
        return [(await model(ask())).text for _ in range(2)]

    with FaultyLLM([Action("half", finish="length"), Action("whole")]) as server:
        for _ in range(2):
            database = Database(tmp_path / "run.sqlite")
            found, _ = through(server, use, database=database)
            assert found == ["half", "whole"] and ends(database) == ["truncated", "answer"]
            database.close()
            assert len(server.requests) == 2


@pytest.mark.fault("L13", "L14")
@pytest.mark.parametrize("action", [Action(refusal="No."), Action("Once", finish="content_filter")])
def test_a_refusal_is_an_error_that_was_paid_and_is_not_kept(action: Action, tmp_path: Path) -> None:
    database = Database(tmp_path / "run.sqlite")
    with FaultyLLM([action, Action("fine")]) as server:

        async def use(model: Any) -> tuple[Refused, Reply]:
            with pytest.raises(Refused) as refused:
                await model(ask())
            return refused.value, await model(ask())

        (error, reply), _ = through(server, use, database=database)
        assert error.usage.calls == 1 and error.usage.tokens_out > 0
        assert reply.text == "fine" and ends(database) == ["refused", "answer"]
    database.close()


@pytest.mark.fault("L10", "L11")
def test_empty_replies_are_booked_as_billed() -> None:
    with FaultyLLM([Action(""), Action("")]) as server:
        found, models = through(server, lambda model: model(ask()))
        assert type(found).__name__ == "EmptyReply"
        assert models.ledger.budget.spent == Usage(*server.spent)


@pytest.mark.fault("L17")
@pytest.mark.parametrize("text", ["nul \0 in it", "bidi \u202e\u2066", "\ufeffBOM", "astral \U0001f600", "a\r\nb\x1b[31m"])
def test_strange_text_is_stored_without_loss(text: str, tmp_path: Path) -> None:
    database = Database(tmp_path / "run.sqlite")
    model, _ = stack(ScriptedLLM([text]), database)
    assert asyncio.run(model(ask())).text == text
    database.close()
    again = Database(tmp_path / "run.sqlite")
    model, _ = stack(ScriptedLLM([]), again)
    assert asyncio.run(model(ask())).text == text
    again.close()


@pytest.mark.fault("L17")
@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(), min_size=1), st.text(st.characters(categories=["Cs", "L"]), max_size=20))
def test_any_text_is_stored_or_replaced_by_rule(answer: str, question: str) -> None:
    database = Database(None)
    model, _ = stack(ScriptedLLM([answer]), database)
    text = asyncio.run(model(ask(question))).text
    assert text == answer.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert database.rows("answers")[0][2] == text
    database.close()


@pytest.mark.fault("S15")
def test_nothing_is_ever_evicted(tmp_path: Path) -> None:
    database = Database(tmp_path / "run.sqlite")
    model, _ = stack(ScriptedLLM(lambda request: request.messages[0].content * 3000), database)

    async def run() -> None:
        await asyncio.gather(*(model(ask(f"{i:04}")) for i in range(100)))

    asyncio.run(run())
    database.close()
    again = Database(tmp_path / "run.sqlite")
    assert len(Answers(again)) == 100
    again.close()


@pytest.mark.fault("S17")
def test_samples_are_kept_apart_and_a_shared_cache_serves_equal_ones(tmp_path: Path) -> None:
    cache = tmp_path / "cache.sqlite"

    def sitting(server: FaultyLLM, folder: str, run: str) -> tuple[list[str], Connections]:
        async def all_of_it() -> tuple[list[str], Connections]:
            database = Database(tmp_path / folder)
            async with Connections(database=database, cache=cache, clock=FakeClock()) as models:
                model = models.connect(ModelSpec("test", base_url=server.url, price=Price(1, 1)))
                texts = [r.text for r in await asyncio.gather(*(model(ask("Hi", sample=f"{run}:{i}")) for i in range(50)))]
            database.close()
            return texts, models

        return asyncio.run(all_of_it())

    with FaultyLLM(lambda seen: Action(str(seen.number))) as server:
        first, _ = sitting(server, "a.sqlite", "seed 0")
        assert len(set(first)) == 50
        assert sitting(server, "a.sqlite", "seed 0")[0] == first and len(server.requests) == 50
        shared, models = sitting(server, "b.sqlite", "seed 0")
        assert shared == first and len(server.requests) == 50
        assert models.ledger.budget.spent.calls == 50 and models.ledger.budget.spent.price == 0
        assert set(sitting(server, "c.sqlite", "seed 1")[0]).isdisjoint(first) and len(server.requests) == 100


def test_the_reply_is_shown_only_after_it_is_durable(tmp_path: Path) -> None:
    database = Database(tmp_path / "run.sqlite")
    model, _ = stack(ScriptedLLM(["ok"]), database)

    async def run() -> None:
        hold, held = threading.Event(), threading.Event()

        def block(connection: object) -> None:
            held.set()
            hold.wait()

        database.submit(block)
        held.wait()
        task = asyncio.create_task(model(ask()))
        await asyncio.sleep(0.02)
        assert not task.done()
        hold.set()
        assert (await task).text == "ok"

    asyncio.run(run())
    database.close()


def test_nothing_is_sent_before_its_intent_is_durable(tmp_path: Path) -> None:
    database = Database(tmp_path / "run.sqlite")
    rows: list[int] = []

    def answer(request: Request) -> str:
        rows.append(len(database.rows("intents")))
        return "ok"

    model, _ = stack(ScriptedLLM(answer), database)
    asyncio.run(model(ask()))
    assert rows == [1]
    database.close()


def test_a_local_model_needs_no_intent_but_is_counted_and_remembered() -> None:
    database = Database(None)
    ledger = Ledger(Answers(database), Budget(calls=1))
    llm = ScriptedLLM(lambda request: "ok")
    model = Remembered(Booked(llm, ledger, local=True), ledger)

    async def run() -> None:
        await model(ask("a"))
        await model(ask("a"))
        with pytest.raises(BudgetExhausted):
            await model(ask("b"))

    asyncio.run(run())
    assert ledger.budget.spent.calls == 1 and len(llm.requests) == 1
    database.close()


def test_a_ledger_serves_one_loop_after_another() -> None:
    database = Database(None)
    model, _ = stack(ScriptedLLM(lambda request: "ok"), database)
    for i in range(3):
        assert asyncio.run(model(ask(str(i)))).text == "ok"
    assert len(database.rows("answers")) == 3
    database.close()


# Budgets


def test_what_does_not_fit_is_refused_with_the_numbers_and_nothing_is_sent() -> None:
    llm = ScriptedLLM([])
    model, _ = stack(llm, Database(None), Budget(usd=0.0001))
    with pytest.raises(BudgetExhausted, match=r"usd is 0\.0001, 0 is spent and the next step may need 0\.001"):
        asyncio.run(model(ask()))
    assert llm.requests == []


def test_unbilled_attempts_count_as_no_call() -> None:
    database = Database(None)
    budget = Budget(calls=1)
    with FaultyLLM([Action(status=429), Action(status=503), Action("ok")]) as server:
        reply, _ = through(server, lambda model: model(ask()), budget=budget, database=database)
        assert reply.text == "ok" and budget.spent.calls == 1
        assert ends(database) == ["unbilled", "unbilled", "answer"]


@pytest.mark.parametrize("seed", range(3))
def test_64_in_flight_with_random_costs_and_failures_stay_within_the_cap(seed: int, tmp_path: Path) -> None:
    """The server's ledger is never above the cap, at least 90 % of it is usable, and what is recorded never below the
    ledger."""
    most_out, upper_out = 200, 40 * 200
    rng = random.Random(seed)
    lock = threading.Lock()

    def script(seen: Seen) -> Action:
        with lock:
            kind, out = rng.random(), rng.randint(1, most_out)
        tokens = (rng.randint(1, 80), out)
        if kind < 0.05:
            return Action(status=429, tokens=tokens)
        if kind < 0.10:
            return Action(status=503, tokens=tokens)
        if kind < 0.12:
            return Action(cut=40, tokens=tokens)
        if kind < 0.14:
            return Action(status=500, tokens=tokens, bills=True)
        return Action(tokens=tokens)

    async def use(model: Any) -> list[Any]:
        asked = (model(ask("q", sample=str(i), max_tokens=most_out)) for i in range(400))
        return await asyncio.gather(*asked, return_exceptions=True)

    budget = Budget(tokens_out=upper_out)
    with FaultyLLM(script) as server:
        found, _ = through(server, use, budget=budget, in_flight=64)
        billed = server.spent[2]
    assert all(isinstance(one, Reply | LlmevoError) for one in found)
    assert any(isinstance(one, BudgetExhausted) for one in found)
    assert billed <= upper_out
    assert billed <= budget.spent.tokens_out <= upper_out
    assert budget.spent.tokens_out >= 0.9 * upper_out
    assert budget.reserved == Usage() and budget.outstanding == 0


def test_spending_is_restored_with_calls_of_unknown_end_at_their_upper_bound(tmp_path: Path) -> None:
    database = Database(tmp_path / "run.sqlite")
    answers = Answers(database)
    number, written = intend(answers, "k1", "m", Usage(1, 100, 200, 0.5))
    settle(answers, number, "k1", "m", "answer", Usage(1, 10, 20, 0.05))
    number, written = intend(answers, "k2", "m", Usage(1, 100, 200, 0.5))
    written.result()
    database.close()
    again = Database(tmp_path / "run.sqlite")
    ledger = Ledger(Answers(again), Budget(tokens_out=300))
    assert ledger.answers.unknown == 1
    assert ledger.budget.spent == Usage(2, 110, 220, 0.55)
    again.close()


# Processes

CHILD = """
import asyncio, sys
from pathlib import Path
from llmevo.core import BudgetExhausted
from llmevo.storage.budget import Budget
from llmevo.llm import Connections, Message, ModelSpec, Request, Sampling
from llmevo.storage.database import Database

async def main(url, path, cap):
    database = Database(Path(path))
    async with Connections(database=database, in_flight=8, budget=Budget(tokens_out=int(cap))) as models:
        model = models.connect(ModelSpec("test", base_url=url))
        ask = lambda i: Request((Message("user", f"question {i}"),), Sampling(max_tokens=50))
        found = await asyncio.gather(*(model(ask(i)) for i in range(120)), return_exceptions=True)
    database.close()
    sys.exit(75 if any(isinstance(one, BudgetExhausted) for one in found) else 0)

asyncio.run(main(*sys.argv[1:]))
"""


def sitting(server: FaultyLLM, path: Path, cap: int, *, kill: bool) -> int:
    """Runs the child, killed after about 20 requests or to its end; its exit code."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    begun = len(server.requests)
    child = subprocess.Popen([sys.executable, "-c", CHILD, server.url, str(path), str(cap)], env=env)
    if not kill:
        return child.wait(60)
    while len(server.requests) < begun + 20 and child.poll() is None:
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(0.05)  # the server finishes, and bills, what it had begun
    return -9


def record(path: Path) -> tuple[set[str], Usage]:
    """The keys that were recorded, and what was spent."""
    database = Database(path)
    answers = Answers(database)
    found = set(answers._known), answers.restored
    database.close()
    return found


@pytest.mark.fault("S1")
def test_killed_and_continued_no_recorded_answer_is_paid_again(tmp_path: Path) -> None:
    """Three kills in mid-flight: repaid are at most the calls that were begun and not yet recorded (2 x 8), and no
    others."""
    path, ledger, kills = tmp_path / "run.sqlite", tmp_path / "ledger.jsonl", 3
    recorded: list[set[str]] = []
    with FaultyLLM(lambda seen: Action(f"to {seen.prompt}", delay=0.01), ledger=ledger) as server:
        for _ in range(kills):
            sitting(server, path, 10**9, kill=True)
            keys, spent = record(path)
            recorded.append(keys)
            billed = billed_in(ledger)
            assert spent.calls >= len(billed)
            assert spent.tokens_in >= sum(row["tokens_in"] for row in billed)
            assert spent.tokens_out >= sum(row["tokens_out"] for row in billed)
        assert sitting(server, path, 10**9, kill=False) == 0
    questions = [row["question"] for row in billed_in(ledger)]
    assert len(set(questions)) == 120
    assert len(questions) - 120 <= kills * 16
    assert len(recorded[0]) > 0 and recorded[0] <= recorded[1] <= recorded[2]


@pytest.mark.fault("S1")
def test_killed_under_a_cap_the_server_never_bills_more_than_the_cap(tmp_path: Path) -> None:
    """Random costs, a cap of 40 upper bounds, two kills: ledger <= recorded <= cap, and the end is a budget that is used
    up."""
    path, ledger, cap = tmp_path / "run.sqlite", tmp_path / "ledger.jsonl", 40 * 50

    def script(seen: Seen) -> Action:
        out = random.Random(seen.number).randint(1, 50)
        return Action("x", tokens=(1, out), delay=0.01, cut=40 if seen.number % 13 == 0 else None)

    with FaultyLLM(script, ledger=ledger) as server:
        for kill in (True, True, False):
            code = sitting(server, path, cap, kill=kill)
            billed = sum(row["tokens_out"] for row in billed_in(ledger))
            assert billed <= record(path)[1].tokens_out <= cap
        assert code == 75
        assert record(path)[1].tokens_out >= 0.9 * cap


def test_a_pause_keeps_what_was_recorded() -> None:
    database = Database(None)
    script: list[Any] = ["a", ServerFault("x", spent=Usage()), Unreachable("billing")]
    model, ledger = stack(ScriptedLLM(script), database)

    async def run() -> None:
        await model(ask("1"))
        for text in ("2", "3"):
            with pytest.raises(Unreachable):
                await model(ask(text))
        assert (await model(ask("1"))).text == "a"

    asyncio.run(run())
    assert ledger.budget.spent.calls == 1 and ends(database) == ["answer", "unbilled", "unbilled"]
    database.close()


def test_defaults_are_bounded() -> None:
    assert Sampling().max_tokens > 0
