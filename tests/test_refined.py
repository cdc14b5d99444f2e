"""How a refinement ends, and what it leaves: the first valid answer, stagnation, a deadline, a cancellation, the journal in memory."""

from __future__ import annotations

import asyncio
import random
import re
import sys
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmevo import refining
from llmevo.cli import main
from llmevo.core import Individual, Stillborn
from llmevo.engine.nursery import CANCELLED
from llmevo.fitness.check import Verdict
from llmevo.refining import arefine, refine
from llmevo.storage.database import Database

QUESTION = "Name a number."
MODEL = "scripted:refined_model:model"


def model(request: Any) -> str:
    """Another number for every request."""
    prompt = request.messages[-1].content
    if "<question>" in prompt:
        return "<question>Which number?</question>"
    return f"<answer>{random.Random(f'{request.sample} {prompt}').randrange(10**9)}</answer>"


def half(answer: str) -> float:
    return 0.5


async def guarded(work: Coroutine[Any, Any, None]) -> None:
    """Ends a test that would hang."""
    async with asyncio.timeout(60):
        await work


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "refined_model", sys.modules[__name__])


@pytest.fixture
def hanging() -> Iterator[Any]:
    """A sync check that hangs; `hanging.ended` counts the calls that came to an end all the same."""
    let_go = threading.Event()

    def hangs(answer: str) -> float:
        let_go.wait(30)
        hangs.ended.append(answer)  # type: ignore[attr-defined]
        return 1.0

    hangs.ended = []  # type: ignore[attr-defined]
    yield hangs
    let_go.set()


def test_the_rest_of_the_cohort_is_cancelled_and_recorded_as_such(tmp_path: Path) -> None:
    """The third sample is valid; the checks behind it would never end."""
    checked: list[str] = []
    cancelled: list[str] = []

    async def check(answer: str) -> Verdict:
        checked.append(answer)
        if (place := len(checked)) > 3:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(answer)
        return Verdict(0.1 * place, 0.0 if place == 3 else 1.0)

    told: list[Any] = []
    options: dict[str, Any] = {"model": MODEL, "population": 8, "run": tmp_path / "run"}
    found = refine(QUESTION, check, on_cohort=told.append, **options)
    assert (found.answer, found.valid, found.reason) == (checked[2], True, "an answer is valid")
    assert len(checked) == 8 and cancelled == checked[3:], "those in flight were cancelled"
    (cohort,) = told
    assert [isinstance(birth, Individual) for birth in cohort.births] == [True] * 3 + [False] * 5
    assert all(isinstance(birth, Stillborn) and birth.error == CANCELLED for birth in cohort.births[3:])
    assert found.evaluations == 3

    again: list[Any] = []
    same = refine(QUESTION, check, on_cohort=again.append, **options)
    assert same.answer == found.answer and again[0].replayed and [*again[0].births] == [*cohort.births]
    assert len(checked) == 8, "neither the valid one nor the cancelled ones are checked again"


@pytest.mark.parametrize("run", [None, "run"])
def test_without_a_run_the_journal_is_in_memory_and_nothing_is_left(
    run: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened: list[Database] = []
    counts: list[int] = []

    def database(path: Path | None, **more: Any) -> Database:
        assert (path is None) == (run is None)
        opened.append(Database(path, **more))
        return opened[-1]

    monkeypatch.setattr(refining, "Database", database)
    refine(QUESTION, half, model=MODEL, population=3, steps=3, run=run, on_cohort=lambda now: counts.append(len(opened[0].rows("births"))))
    assert len(opened) == 1 and counts == [3, 6, 9, 12], "every birth is in the journal before it is told"
    assert [path.name for path in tmp_path.iterdir()] == ([] if run is None else ["run"])


def test_it_stops_when_nothing_better_comes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    born: list[Any] = []
    options: dict[str, Any] = {"model": MODEL, "population": 4, "steps": 50}
    found = refine(QUESTION, half, stagnation=10, on_cohort=lambda now: born.extend(now.births), **options)
    assert found.reason == "no better one in 10 births" and found.pause is None and found.answer is not None
    assert len(born) == 4 + 12, "counted from the cohort that changed the best, and a cohort is never cut short"
    whole = refine(QUESTION, half, **options)
    assert whole.evaluations > 16 and "planned births were made" in whole.reason

    line = ["llmevo", "refine", QUESTION, "--check", "refined_model:half", "--model", MODEL, "--population", "4", "--stagnation", "10"]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0 and "no better one in 10 births" in capsys.readouterr().err


def test_a_deadline_does_not_wait_for_checks_that_hang(hanging: Any) -> None:
    """More of them than a pool has threads; the plain twin does not wait for them at its end either."""
    found = refine(QUESTION, hanging, model=MODEL, population=40, deadline=0.3)
    assert not hanging.ended and found.answer is None and found.reason.startswith("the deadline of 0.3 s has passed")


def test_the_strict_check_has_some_time_after_the_deadline_and_no_more(hanging: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def never_ending(answer: str) -> float:
        return 0.5

    late = refine(QUESTION, never_ending, verify=lambda answer: True, model=MODEL, population=2, steps=10**6, deadline=0.3)
    assert late.pause is not None and late.verified is True
    monkeypatch.setattr(refining, "GRACE", 0.1)
    found = refine(QUESTION, never_ending, verify=hanging, model=MODEL, population=2, steps=10**6, deadline=0.3)
    assert not hanging.ended and found.verified is False and found.feedback[-1] == "not verified: the strict check took too long"
    assert found.answer is not None and found.score == 0.5


def test_two_of_them_run_beside_other_work_of_one_loop() -> None:
    """Each check of one waits for a check of the other, and both for a task that is none of theirs."""
    arrived: list[str] = []

    async def beside() -> None:
        met, other_work = {"a": asyncio.Event(), "b": asyncio.Event()}, asyncio.Event()

        def checking(own: str, other: str) -> Any:
            async def check(answer: str) -> float:
                arrived.append(own)
                met[own].set()
                await met[other].wait()
                await other_work.wait()
                return 0.5

            return check

        async def working() -> None:
            await met["a"].wait()
            await asyncio.sleep(0)
            other_work.set()

        work = asyncio.ensure_future(working())
        options: dict[str, Any] = {"model": MODEL, "population": 3, "steps": 2}
        found = await asyncio.gather(
            arefine("A?", checking("a", "b"), **options), arefine("B?", checking("b", "a"), seed=1, **options)
        )
        await work
        assert [one.score for one in found] == [0.5, 0.5] and len(asyncio.all_tasks()) == 1

    asyncio.run(guarded(beside()))
    assert arrived.count("a") == arrived.count("b") == 9


def test_a_cancelled_one_leaves_nothing_running_and_a_folder_that_goes_on(tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": MODEL, "population": 3, "steps": 3, "run": tmp_path / "run"}
    checked: list[str] = []
    hang = [True]

    async def check(answer: str) -> float:
        checked.append(answer)
        if len(checked) > 4 and hang:
            await asyncio.Event().wait()
        return 0.5

    async def cancelled() -> None:
        task = asyncio.ensure_future(arefine(QUESTION, check, **options))
        while len(checked) < 6:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(guarded(cancelled()))
    hang.clear()
    found = refine(QUESTION, check, **options)
    assert found.pause is None and found.evaluations == 12
    assert len(checked) <= 12 + 3, "only what was in flight is checked again"


def test_cost_lineage_and_feedback_are_those_of_the_answer() -> None:
    """The score is the number of births before, so that the last one is the best."""
    checked: list[str] = []
    priced = {"model": MODEL, "price": {"input": 1e6, "output": 1e6}}

    def check(answer: str) -> tuple[float, str]:
        checked.append(answer)
        return float(len(checked)), f"answer {len(checked)}"

    calls: list[Any] = []
    found = refine(QUESTION, check, model=priced, recipe="one-plus-one", population=4, steps=2, on_cohort=lambda now: calls.append(now))
    assert found.answer == checked[-1] and found.score == float(len(checked)) and found.feedback == (f"answer {len(checked)}",)
    assert [one.genome.part("answer") for one in found.lineage] == checked and not found.lineage[0].parents
    assert all(child.parents == (parent.id,) for parent, child in zip(found.lineage, found.lineage[1:], strict=False))
    usage = calls[-1].progress.usage
    assert (found.spent.calls, found.spent.tokens_in, found.spent.tokens_out) == (usage.calls, usage.tokens_in, usage.tokens_out)
    assert found.spent.price == pytest.approx(usage.tokens_in + usage.tokens_out) and re.fullmatch(r"\d+", found.answer or "")
