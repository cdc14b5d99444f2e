from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmevo.breeding import keep_all
from llmevo.core import Birth, Mating, Seed, View, plan
from llmevo.engine import Schedule, evolve, stop
from llmevo.engine.loop import Told
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.strategies import Founding
from llmevo.testing.toy import Digits, Distance, Toy, fresh
from tests.helpers import journal, run
from tests.strategies.test_genetic import bear

FOUNDER = Toy("fresh", fresh(), 0, ticks=6)


class Scribe:
    """Writes down its asks and tells; plans as many matings as the script says (0 = waits)."""

    def __init__(self, script: Sequence[int]) -> None:
        self.view: View[Digits] = View()
        self.ending: str | None = "the script is over"
        self.script, self.events = list(script), list[str]()
        self.asks = self.ordinal = 0
        self.waiting: list[tuple[int, list[str]]] = []

    def ask(self, n: int) -> list[Mating[Digits]]:
        size = min(n, self.script[self.asks]) if self.asks < len(self.script) else 0
        self.events.append(f"ask {self.asks}")
        matings = [plan(FOUNDER, (), Seed.of(1).fold(self.ordinal + i), self.ordinal + i) for i in range(size)]
        self.ordinal += size
        if matings:
            self.waiting.append((self.asks, [m.id for m in matings]))
        self.asks += 1
        return matings

    def tell(self, births: Sequence[Birth[Digits]]) -> None:
        j, ids = self.waiting.pop(0)
        assert [birth.id for birth in births] == ids, "told out of order or incomplete"
        self.events.append(f"tell {j}")


def expected(script: Sequence[int], batch: int, slots: int) -> list[str]:
    """The law, written independently: ask j comes right after tell(j - slots); an empty ask with nothing open is the end."""
    sizes = [min(batch, size) for size in script]
    events: list[str] = []
    told = 0
    for j in range(len(sizes) + slots + 1):
        while told <= j - slots:
            if told < len(sizes) and sizes[told]:
                events.append(f"tell {told}")
            told += 1
        size = sizes[j] if j < len(sizes) else 0
        events.append(f"ask {j}")
        if size == 0 and not any(sizes[told:j]):
            return events
    return events


SCRIPTS = st.lists(st.integers(0, 3), max_size=8)


@settings(max_examples=60, deadline=None)
@given(SCRIPTS, st.integers(1, 3), st.integers(1, 5))
def test_asks_and_tells_come_in_the_one_fixed_order(script: list[int], batch: int, slots: int) -> None:
    scribe = Scribe(script)
    outcome = run(scribe, Distance(ticks=5), batch=batch, slots=slots)
    assert scribe.events == expected(script, batch, slots)
    assert outcome.reason == "the script is over" and not scribe.waiting


@settings(max_examples=30, deadline=None)
@given(SCRIPTS, st.integers(1, 5), st.integers(1, 12))
def test_a_stop_ends_the_asks_and_what_is_open_is_told(script: list[int], slots: int, limit: int) -> None:
    scribe = Scribe(script)
    outcome = run(scribe, stops=[stop.matings(limit)], batch=2, slots=slots)
    free = expected(script, 2, slots)
    asks = [event for event in scribe.events if event.startswith("ask")]
    assert asks == [event for event in free if event.startswith("ask")][: len(asks)]
    cut = scribe.events.index(asks[-1]) + 1
    assert scribe.events[:cut] == free[:cut], "up to the last ask the stop changes nothing"
    assert not scribe.waiting and outcome.progress.births == outcome.progress.asked


def test_a_schedule_can_be_driven_by_hand() -> None:
    schedule: Schedule[Digits] = Schedule(Founding([Toy(f"f{i}", fresh(), 0) for i in range(5)], seed=Seed.of(0)), batch=2, slots=2)
    first, second = schedule.ask(), schedule.ask()
    assert first and second and (first.j, second.j) == (0, 1) and schedule.full and schedule.ask() is None
    with pytest.raises(ValueError, match="cohort 0 has 2 matings; 1 births were told"):
        Schedule.tell(schedule, [bear(first.matings[0], 1.0)])
    for wrong in ({"batch": 0}, {"batch": 1, "slots": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            Schedule(schedule.strategy, **wrong)


@pytest.mark.parametrize("slots", [1, 3])
def test_progress_of_a_resumed_run_is_that_of_an_undisturbed_one(slots: int, quick_path: Any) -> None:
    seen: list[Any] = []

    def again(limit: int) -> Any:
        strategy = Founding([Toy(f"f{i}", fresh(), 0, fails=0.3) for i in range(20)], seed=Seed.of(4), succession=keep_all)
        return run(strategy, batch=3, slots=slots, path=quick_path / "run.sqlite", stops=[stop.matings(limit)], on_cohort=seen.append)

    again(7)
    before = len(seen)
    seen.clear()
    again(20)
    assert [told.replayed for told in seen] == [i < before for i in range(len(seen))]
    whole: list[Any] = []
    run(
        Founding([Toy(f"f{i}", fresh(), 0, fails=0.3) for i in range(20)], seed=Seed.of(4), succession=keep_all),
        batch=3, slots=slots, stops=[stop.matings(20)], on_cohort=whole.append,
    )  # fmt: skip
    tail = [told.progress for told in seen]
    assert tail[-1] == whole[-1].progress
    if slots == 1:
        assert tail == [told.progress for told in whole]


def test_a_failing_observer_is_reported_and_the_run_goes_on() -> None:
    def broken(told: Any) -> None:
        raise RuntimeError("no disk for my plot")

    founding = Founding([Toy(f"f{i}", fresh(), 0) for i in range(4)], seed=Seed.of(4))
    with pytest.warns(UserWarning, match="on_cohort failed and the run goes on: RuntimeError: no disk"):
        assert run(founding, batch=2, on_cohort=broken).progress.births == 4


def test_an_empty_journal_has_recorded_nothing() -> None:
    record = journal()
    assert record.recorded == 0 and not record.wrote(0) and not record.holds(0)
    record.database.close()


def test_tells_that_are_ready_together_are_committed_together_and_observed_in_order(quick_path: Path) -> None:
    class Counting(Database):
        commits = 0

        def _commit(self, *args: Any) -> None:
            super()._commit(*args)
            self.commits += 1

    def observed(slots: int) -> tuple[float, list[int]]:
        path = quick_path / f"{slots}.sqlite"
        database = Counting(path)
        seen: list[int] = []

        def look(told: Told[Digits]) -> None:
            with closing(sqlite3.connect(path)) as other:
                (durable,) = other.execute("SELECT count(*) FROM told WHERE j = ?", (told.cohort.j,)).fetchone()
            assert durable == 1, "an observer hears of what is durable, and of nothing else"
            seen.append(told.cohort.j)

        record = Journal(database, MemoryBlobs(), {Digits.kind: Digits})
        founding = Founding([Toy(f"f{i}", fresh(), 0) for i in range(40)], seed=Seed.of(4))
        asyncio.run(evolve(founding, Distance(), record, seed=Seed.of(4), batch=1, slots=slots, on_cohort=look))
        database.close()
        return database.commits / len(seen), seen

    (alone, first), (together, second) = observed(1), observed(4)
    assert first == second == list(range(40))
    assert alone >= 1 > 0.6 > together
