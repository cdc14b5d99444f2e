"""A search that ends before it has spent more than it may."""

from __future__ import annotations

from dataclasses import replace

from llmevo.core import Usage
from llmevo.engine import stop
from llmevo.engine.progress import Progress


def test_a_larger_step_than_the_last_is_foreseen() -> None:
    held = stop.within("evaluations", 10, births=6)
    assert held(Progress()) is None, "the first step is made in any case"
    assert held(Progress(births=3, evaluations=3)) is None
    reason = held(Progress(births=6, evaluations=6))
    assert reason == "6 of 10 evaluations are spent, and the next step may cost 6"


def test_the_dearest_step_counts_and_asking_twice_changes_nothing() -> None:
    held, now = stop.within("calls", 100, births=2), Progress()
    for births, calls in ((2, 40), (4, 44), (6, 48)):
        now = replace(now, births=births, usage=Usage(calls, 10, 5))
        assert held(now) is None and held(now) is None
    assert held(replace(now, births=8, usage=Usage(64, 10, 5))) == "64 of 100 calls are spent, and the next step may cost 40"


def test_duplicates_cost_nothing_and_tokens_are_both_ways() -> None:
    held = stop.within("tokens", 30, births=1)
    assert held(Progress(births=1, usage=Usage(1, 8, 2))) is None
    assert held(Progress(births=9, usage=Usage(1, 8, 2))) is None
    assert held(Progress(births=10, usage=Usage(2, 18, 3))) is not None
