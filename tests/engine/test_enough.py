"""A birth that is enough ends the run: the same one whatever completes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmevo.breeding import roulette, truncation
from llmevo.core import Birth, Individual, Stillborn
from llmevo.engine import replay, stop
from llmevo.engine.nursery import CANCELLED
from llmevo.strategies import Founding, Genetic, sequence
from llmevo.testing.toy import Distance, Toy, cross, fresh
from tests.helpers import SEED, journal, run


def strategy(ticks: int = 0, log: list[str] | None = None) -> Any:
    parts = {"ticks": ticks, "log": [] if log is None else log}
    founders = [Toy(f"fresh{i}", fresh(), 0, **parts) for i in range(6)]  # type: ignore[arg-type]
    search = Genetic(Toy("cross", cross, 2, **parts), roulette, truncation(6), seed=SEED)  # type: ignore[arg-type]
    return sequence(Founding(founders, seed=SEED), search)


def enough(birth: Birth[Any]) -> bool:
    return isinstance(birth, Individual) and birth.fitness.value > -1.2


@pytest.mark.parametrize("slots", [1, 3])
def test_the_first_in_order_wins_whatever_completes_first(slots: int, tmp_path: Path) -> None:
    told: list[Any] = []
    plain = run(strategy(), stops=[stop.matings(400)], slots=slots, enough=enough, on_cohort=told.append)
    last = told[-1].births
    place = next(i for i, birth in enumerate(last) if enough(birth))
    assert plain.reason == "a birth was enough" and plain.best is not None and plain.best.id == last[place].id
    assert all(isinstance(birth, Stillborn) and birth.error == CANCELLED for birth in last[place + 1 :])
    assert not any(enough(birth) for one in told[:-1] for birth in one.births)

    path = tmp_path / "run.sqlite"
    for ticks in (9, 30):
        shuffled = run(strategy(ticks), Distance(ticks=ticks), stops=[stop.matings(400)], slots=slots, enough=enough)
        assert shuffled.history == plain.history
    run(strategy(), stops=[stop.matings(400)], slots=slots, enough=enough, path=path)
    log: list[str] = []
    again = run(strategy(log=log), stops=[stop.matings(400)], slots=slots, enough=enough, path=path)
    assert again.history == plain.history and not log
    assert replay(strategy(), journal(path), batch=4, slots=slots).history == plain.history


def test_without_one_that_is_enough_nothing_changes() -> None:
    limit = [stop.matings(30)]
    assert run(strategy(), stops=limit, enough=lambda birth: False).history == run(strategy(), stops=limit).history
