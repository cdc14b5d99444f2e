"""Whole runs whose births race: fewer questions, a winner crowned on cases that the search never saw, the same run after any interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llmevo import runs
from llmevo.config import KINDS, check_config, load_task
from llmevo.config.assemble import assemble
from llmevo.config.estimate import estimate
from llmevo.config.racing import set_apart
from llmevo.core import ConfigError
from llmevo.engine import Outcome, evolve
from llmevo.engine.loop import Told
from llmevo.llm.build import Connections
from llmevo.report.summary import summarise
from llmevo.runs import Result, replay_run
from llmevo.storage.blobs import FolderBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.testing.server import Action, FaultyLLM, Seen
from tests.cli.helpers import say
from tests.runs.helpers import answer, is_operator, pick, values_for, write_cases, write_run
from tests.runs.test_runs import cases, refused, start

ROWS = 80
BAD = "Good? Bad?"


def better(seen: Seen) -> Action:
    """Prompts differ: one is always wrong, the others mostly right."""
    if is_operator(seen) or "case " not in seen.prompt:
        return answer(seen)
    right = "good" if int(seen.prompt.split("case ")[1].split()[0]) % 2 else "bad"
    wrong = "bad" if right == "good" else "good"
    return Action(text=wrong if BAD in seen.prompt or pick(seen.prompt, 5) == 0 else right)


def values(server: FaultyLLM, **more: Any) -> dict[str, Any]:
    found = values_for(server.url, racing={"block": 10, "places": 1, "fresh": 20}, **more)
    found["task"] |= {"dev": 60, "test": 20}
    return found


@pytest.fixture
def data(server: FaultyLLM, place: Path) -> Path:
    server.script = better
    write_cases(place / "cases.jsonl", cases(ROWS))
    return place


def asked(server: FaultyLLM) -> list[str]:
    found = [seen.prompt for seen in server.requests if seen.prompt != "Hi" and not is_operator(seen)]
    server.requests.clear()
    return found


def test_a_race_asks_less_and_the_winner_is_crowned_on_fresh_cases(server: FaultyLLM, data: Path) -> None:
    found = start(values(server), data, data / "run")
    raced = asked(server)
    assert found.outcome.reason == "all planned births were made" and found.best is not None and found.crowning is not None
    assert found.crowning.fresh.n == 20 and found.held_out is not None and found.held_out.n == 20
    assert len(found.outcome.best.fitness.cases) == 40 if found.outcome.best else False
    plain = {**values(server), "racing": None}
    start(plain, data)
    assert len(raced) < 0.8 * len(asked(server))
    assert sum(BAD in prompt for prompt in raced) == 10, "the hopeless prompt is dropped after one lap"


def test_fresh_and_test_cases_are_asked_by_the_finalists_alone(server: FaultyLLM, data: Path) -> None:
    settings = check_config(values(server))
    task, fresh = set_apart(settings, load_task(settings.task, seed=settings.seed, near=data))
    found = start(values(server), data, data / "run")
    prompts = asked(server)
    assert found.crowning is not None and len(fresh) == 20 and not {one.id for one in fresh} & {one.id for one in task.dev}
    for case in fresh:
        assert sum(f"{case.input}\n" in f"{prompt}\n" for prompt in prompts) == len(found.crowning.finalists) == 3
    for case in task.test:
        assert sum(f"{case.input}\n" in f"{prompt}\n" for prompt in prompts) == 1


def same(one: Result, other: Result) -> None:
    assert one.outcome.history == other.outcome.history and one.best == other.best
    assert (one.crowning, one.held_out) == (other.crowning, other.held_out)


@pytest.mark.parametrize("in_flight", [1, 4, 16])
def test_the_same_run_at_any_number_of_requests_in_flight(server: FaultyLLM, data: Path, in_flight: int) -> None:
    whole = start(values(server), data)
    same(start({**values(server), "in_flight": in_flight}, data), whole)


def test_cut_by_the_budget_anywhere_it_goes_on_and_pays_nothing_twice(server: FaultyLLM, data: Path) -> None:
    whole = start(values(server), data)
    total = len(asked(server))
    calls, sittings = 60, 0
    while True:
        found = start({**values(server), "budget": {"calls": calls}}, data, data / "run")
        sittings += 1
        if found.pause is None:
            break
        calls += 60
    prompts = asked(server)
    assert sittings > 4 and len(prompts) == len(set(prompts)) == total
    same(found, whole)


def test_more_steps_continue_it_and_crown_anew(server: FaultyLLM, data: Path) -> None:
    whole = start(values(server, steps=3), data)
    short = start(values(server, steps=1), data, data / "run")
    assert short.crowning is not None
    longer = start(values(server, steps=3), data, data / "run")
    same(longer, whole)
    summary = summarise(data / "run", KINDS)
    assert summary.best == longer.best and summary.crowning == longer.crowning


def test_show_best_and_replay_speak_of_the_crowned(server: FaultyLLM, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_run(data, values(server))
    folder = data / "run"
    ran = json.loads(say(capsys, "run", file, "--run", folder, "--json").out)
    shown, best = (json.loads(say(capsys, name, folder, "--json").out) for name in ("show", "best"))
    assert ran["best"] == shown["best"] == best["best"] and shown["crowning"]["crowned"] == ran["best"]["id"]
    for name in ("searched", "fresh", "held_out"):
        assert ran[name] == shown[name] == best[name] and ran[name]["low"] <= ran[name]["mean"] <= ran[name]["high"]
    assert (ran["searched"]["n"], ran["fresh"]["n"], ran["held_out"]["n"]) == (40, 20, 20)
    words = say(capsys, "show", folder).out
    assert "crowned:" in words and all(f"{kind} score  " in words for kind in ("dev", "fresh", "test"))
    assert "crowned among 3" in say(capsys, "best", folder).err
    config = check_config(values(server))
    assert replay_run(config, load_task(config.task, seed=config.seed, near=data), folder).history == ran["history"]


def test_run_show_replay_and_budget_count_the_same(server: FaultyLLM, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice = values(server)
    twice["task"]["seeds"] = [*twice["task"]["seeds"], "Name the feeling."]  # equal genomes race side by side, and are evaluated once
    file = write_run(data, twice)
    ran = json.loads(say(capsys, "run", file, "--run", data / "run", "--json").out)
    shown = json.loads(say(capsys, "show", data / "run", "--json").out)
    replayed = json.loads(say(capsys, "replay", data / "run", "--json").out)
    for name in ("births", "evaluations", "reassessed"):
        assert ran[name] == shown[name]
    assert replayed["births"] == ran["births"] < ran["evaluations"] and replayed["history"] == ran["history"]
    assert ran["stillborn"] == sum(lost for lost, _ in shown["stillborn"].values())
    with closing(Database(data / "run" / "run.sqlite")) as database:
        assert Journal(database, FolderBlobs(data / "run" / "blobs"), KINDS).evaluated == ran["evaluations"]
    words = say(capsys, "show", data / "run").out
    assert f"{ran['births']} births" in words and f"{ran['evaluations']} evaluations" in words


def test_who_was_dropped_when_and_by_which_test(server: FaultyLLM, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_run(data, values(server))
    said = say(capsys, "run", file, "--run", data / "run").err
    assert "lap 1 of 4 is over: " in said and "came through" in said
    dropped = json.loads(say(capsys, "show", data / "run", "--json").out)["dropped"]
    bad = next(one for one in dropped if BAD in one["who"])
    assert bad["lap"] == 1 and bad["step"] == 1 and "behind place 1 (p = " in bad["why"]
    shown = say(capsys, "show", data / "run").out
    assert f"{len(dropped)} of " in shown and "in the race, by rule behind (alpha 0.05)" in shown and "on cases" in shown


def test_who_was_dropped_is_known_after_an_interruption(server: FaultyLLM, data: Path) -> None:
    start(values(server), data, data / "whole")
    for calls in (150, 10_000):
        start({**values(server), "budget": {"calls": calls}}, data, data / "run")
    assert summarise(data / "run", KINDS).dropped == summarise(data / "whole", KINDS).dropped != ()


def test_who_was_dropped_in_which_step_does_not_hang_on_when_it_is_heard_of(
    server: FaultyLLM, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(values(server), data, data / "whole")

    async def heard_late(*args: Any, on_cohort: Callable[[Told[Any]], None], **more: Any) -> Outcome[Any]:
        heard: list[Told[Any]] = []
        outcome = await evolve(*args, on_cohort=heard.append, **more)
        for told in heard:
            on_cohort(told)
        return outcome

    monkeypatch.setattr(runs, "evolve", heard_late)
    start(values(server), data, data / "late")
    found = summarise(data / "late", KINDS).dropped
    assert found == summarise(data / "whole", KINDS).dropped and len({one.step for one in found}) > 1


def test_a_plan_counts_laps_finalists_and_the_test(server: FaultyLLM, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = check_config(values(server))
    task = load_task(config.task, seed=config.seed, near=data)
    search = assemble(config, task, Connections())
    row = next(row for row in estimate(search, task) if row.role == "task")
    births, greeting = search.plan.matings, 1
    assert row.expected.calls == row.worst.calls == births * 40 + 3 * 20 + 20 + greeting
    assert search.race is not None and search.race.laps == (10, 10, 10, 10)
    least, most = search.race.laps_of(births)
    found = start(values(server), data, data / "run")
    assert least <= found.outcome.progress.evaluations <= most
    assert search.race.least(births) + 80 <= len(asked(server)) <= row.expected.calls
    said = say(capsys, "plan", write_run(data, values(server))).out
    assert f"{least} to {most} evaluations" in said and "3 finalists are scored on the 20 other dev cases" in said


def test_one_line_switches_it_on(server: FaultyLLM, data: Path) -> None:
    on = check_config({**values(server), "racing": True}).racing
    assert on is not None and (on.rule, on.fresh, on.finalists) == ("behind", 0.25, 3)
    assert check_config({**values(server), "racing": False}).racing is None
    assert start({**values(server), "racing": True, "steps": 1}, data).crowning is not None
    for rule in ("capo", "truncation"):
        assert start({**values(server), "racing": {"rule": rule, "fresh": 0}, "steps": 1}, data).crowning is None


@pytest.mark.parametrize(
    ("racing", "task", "expected"),
    [
        ({"fresh": 58}, {}, "of 60 dev cases 58 are set apart"),
        ({"rule": "truncation", "alpha": 0.1}, {}, "truncation tests nothing"),
        ({"alpha": 2.0}, {}, "racing.alpha"),
        ({"blocks": 3}, {}, "did you mean 'block'"),
        (True, {"scorer": {"objectives": {"a": "exact", "b": "contains"}, "weights": {"a": 1.0, "b": 1.0}}}, "has several objectives"),
    ],
)
def test_what_cannot_race_is_refused_before_anything_is_paid(
    server: FaultyLLM, data: Path, racing: Any, task: dict[str, Any], expected: str
) -> None:
    broken = values(server)
    broken["task"] |= task
    with pytest.raises(ConfigError, match=expected):
        start({**broken, "racing": racing}, data, data / "run")
    assert not server.requests


def test_another_race_is_another_run(server: FaultyLLM, data: Path) -> None:
    start(values(server), data, data / "run")
    assert "racing.block" in refused({**values(server), "racing": {"block": 20, "places": 1, "fresh": 20}}, data, data / "run")
