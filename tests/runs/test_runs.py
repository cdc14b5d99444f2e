"""Runs in this process: started, paused, continued, refused; a server's own ledger is the judge."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llmevo import runs
from llmevo.config import RunConfig, check_config, load_task
from llmevo.config.frozen import FREE_IN_MODELS
from llmevo.config.schema import FREE_ON_RESUME
from llmevo.core import BudgetExhausted, ConfigError, Interrupted, LlmevoError, Pause, ReplayDiffers, RunHeld, StorageError
from llmevo.engine.brake import Brake
from llmevo.runs import Result
from llmevo.storage.database import Database
from llmevo.storage.folder import RunFolder
from llmevo.testing.server import Action, FaultyLLM, Seen
from tests.runs.helpers import answer, cases, is_operator, slowly, values_for, write_cases


def start(
    values: dict[str, Any], near: Path, folder: Path | None = None, *, env: dict[str, str] | None = None, wait: float = 30.0, **more: Any
) -> Result:
    if not (near / "cases.jsonl").exists():
        write_cases(near / "cases.jsonl", cases(10))
    config = check_config(values, near=near)
    task = load_task(config.task, seed=config.seed, near=near)

    async def bounded() -> Result:
        return await asyncio.wait_for(runs.run(config, task, folder=folder, env=env or {}, **more), wait)

    return asyncio.run(bounded())


def refused(values: dict[str, Any], near: Path, folder: Path | None, kind: type[LlmevoError] = ConfigError, **more: Any) -> str:
    with pytest.raises(kind) as caught:
        start(values, near, folder, **more)
    return str(caught.value)


def paid(server: FaultyLLM, *, clear: bool = True) -> Counter[str]:
    """The questions that were paid since the last look, preflights aside: the same one twice is two samples."""
    found = Counter(f"{seen.body['model']}: {seen.prompt}" for seen in server.requests if seen.prompt != "Hi")
    if clear:
        server.requests.clear()
        server.billed.clear()
    return found


def test_a_run_in_memory_and_one_in_a_folder_are_the_same(server: FaultyLLM, place: Path) -> None:
    values = values_for(server.url)
    kept = start(values, place, place / "run")
    paid = server.spent
    free = start(values, place)
    assert kept.outcome.history == free.outcome.history and kept.text == free.text
    assert kept.held_out == free.held_out and kept.held_out is not None and kept.held_out.n == 4
    assert kept.pause is None and kept.folder == place / "run" and free.folder is None
    assert (kept.spent.calls, kept.spent.tokens_in, kept.spent.tokens_out) == paid
    assert sorted(path.name for path in place.iterdir()) == ["cases.jsonl", "ledger.jsonl", "run"]


def test_in_flight_changes_nothing(server: FaultyLLM, place: Path) -> None:
    one, many = (start(values_for(server.url, in_flight=most), place) for most in (1, 16))
    assert one.outcome.history == many.outcome.history


@pytest.mark.fault("E11")
@pytest.mark.parametrize("recipe", ["evoprompt-ga", "one-plus-one"])
def test_the_test_cases_are_asked_once_by_the_winner_alone(server: FaultyLLM, place: Path, recipe: str) -> None:
    values = values_for(server.url, recipe=recipe)
    result = start(values, place, place / "run")
    task = load_task(check_config(values).task, seed=3, near=place)
    held_out = {case.input for case in task.test}
    asked = [seen.prompt for seen in server.requests if any(text in seen.prompt for text in held_out)]
    assert len(asked) == len(task.test) and all(result.text in prompt for prompt in asked)
    first = max(i for i, seen in enumerate(server.requests) if seen.prompt in asked)
    assert first == len(server.requests) - 1, "they are asked last"
    before = len(server.requests)
    again = start(values, place, place / "run")
    assert len(server.requests) == before and again.held_out == result.held_out


class TestContinuing:
    @pytest.mark.parametrize("limit", [3, 9, 17, 25, 31, 40, 50])
    @pytest.mark.parametrize(("batch", "slots"), [(4, 1), (1, 1), (2, 3)])
    def test_a_spent_budget_pauses_and_a_larger_one_completes_the_same_run(
        self, server: FaultyLLM, place: Path, limit: int, batch: int, slots: int
    ) -> None:
        shape = {"batch": batch, "slots": slots}
        whole = start(values_for(server.url, **shape), place)
        needed = paid(server)
        paused = start(values_for(server.url, budget={"calls": limit}, **shape), place, place / "run")
        assert isinstance(paused.pause, BudgetExhausted) and paused.pause.exit_code == 75
        assert f"calls is {limit}" in paused.outcome.reason and "larger budget" in paused.outcome.reason
        assert paused.held_out is None and len(server.requests) <= limit
        done = start(values_for(server.url, **shape), place, place / "run")
        assert done.pause is None and done.outcome.history == whole.outcome.history and done.text == whole.text
        assert done.held_out == whole.held_out
        assert (done.spent.calls, done.spent.tokens_in, done.spent.tokens_out) == server.spent
        assert paid(server) == needed, "no answer was paid twice"

    def test_many_small_budgets_come_to_the_same_end(self, server: FaultyLLM, place: Path) -> None:
        whole = start(values_for(server.url), place)
        needed = paid(server)
        for limit in range(5, 200, 7):
            result = start(values_for(server.url, budget={"calls": limit}), place, place / "run")
            if result.pause is None:
                break
        assert result.outcome.history == whole.outcome.history and result.held_out == whole.held_out
        assert paid(server) == needed

    def test_a_budget_of_evaluations(self, server: FaultyLLM, place: Path) -> None:
        whole = start(values_for(server.url), place)
        paused = start(values_for(server.url, budget={"evaluations": 6}), place, place / "run")
        assert paused.pause is not None and "evaluations is 6" in paused.outcome.reason
        assert paused.outcome.progress.evaluations <= 6
        with_room = start(values_for(server.url, budget={"evaluations": 100}), place, place / "run")
        assert with_room.outcome.history == whole.outcome.history

    def test_both_budgets_at_once_never_wait_for_each_other(self, server: FaultyLLM, place: Path) -> None:
        for calls in range(8, 40, 4):
            values = values_for(server.url, budget={"calls": calls, "evaluations": 8}, slots=3, batch=2)
            assert start(values, place, wait=10).pause is not None

    def test_a_budget_of_seconds(self, place: Path) -> None:
        with FaultyLLM(slowly(0.1)) as server:
            paused = start(values_for(server.url, budget={"seconds": 0.5}, in_flight=1), place, place / "run")
            assert paused.pause is not None and "seconds is 0.5" in paused.outcome.reason
            assert 0 < len(server.requests) < 15

    def test_a_budget_of_tokens_and_of_money_is_never_passed(self, server: FaultyLLM, place: Path) -> None:
        values = values_for(server.url, budget={"tokens": 12000})
        start(values, place)
        assert sum(server.spent[1:]) <= 12000
        for model in values["models"].values():
            model["price"] = {"input": 1000.0, "output": 5000.0}
        server.billed.clear()
        result = start({**values, "budget": {"usd": 5.0}}, place)
        assert result.pause is not None and 0 < result.spent.price <= 5
        assert result.spent.price == pytest.approx(server.spent[1] / 1e3 + server.spent[2] * 5 / 1e3)

    def test_more_steps_continue_the_same_run(self, server: FaultyLLM, place: Path) -> None:
        long = start(values_for(server.url, steps=4), place)
        needed = paid(server)
        short = start(values_for(server.url, steps=2), place, place / "run")
        before = [row for row in Database(place / "run" / "run.sqlite").rows("told")]
        longer = start(values_for(server.url, steps=4), place, place / "run")
        after = Database(place / "run" / "run.sqlite").rows("told")
        assert after[: len(before)] == before and len(after) == len(before) + 2
        assert longer.outcome.history == long.outcome.history != short.outcome.history
        more = paid(server) - needed
        assert more.total() <= 4, "besides what the long run asked, at most another winner was scored on the test cases"

    def test_fewer_steps_lose_nothing(self, server: FaultyLLM, place: Path) -> None:
        long = start(values_for(server.url, steps=3), place, place / "run")
        asked = len(server.requests)
        start(values_for(server.url, steps=1), place, place / "run")
        again = start(values_for(server.url, steps=3), place, place / "run")
        assert again.outcome.history == long.outcome.history
        assert len(server.requests) - asked <= 4, "at most another winner was scored on the test cases"

    def test_a_pause_while_the_winner_is_scored(self, server: FaultyLLM, place: Path) -> None:
        whole = start(values_for(server.url), place)
        calls = len(server.requests)
        paused = start(values_for(server.url, budget={"calls": calls - 2}), place, place / "run")
        assert isinstance(paused.pause, Pause) and paused.held_out is None
        assert "the search is done" in paused.outcome.reason and paused.text == whole.text
        server.requests.clear()
        done = start(values_for(server.url), place, place / "run")
        assert done.pause is None and done.held_out == whole.held_out and len(server.requests) == 2

    def test_a_server_that_goes_away_pauses_and_comes_back(self, place: Path) -> None:
        with FaultyLLM(answer) as server:
            whole = start(values_for(server.url), place)
            gone = 30

            def script(seen: Seen) -> Action:
                return answer(seen) if seen.number < gone else Action(status=402, body={"error": {"message": "no credit"}})

        with FaultyLLM(script, port=int(server.url.split(":")[2].split("/")[0])) as server:
            paused = start(values_for(server.url), place, place / "run")
            assert paused.pause is not None and "billing" in paused.outcome.reason
            server.script = answer
            done = start(values_for(server.url), place, place / "run")
            assert done.outcome.history == whole.outcome.history


    def test_a_key_that_is_revoked_in_mid_run_stops_it_and_a_new_one_completes_it(self, server: FaultyLLM, place: Path) -> None:
        whole = start(values_for(server.url), place)
        needed = paid(server)
        server.script = lambda seen: answer(seen) if seen.number < 40 else Action(status=401, body={"error": {"message": "revoked"}})
        message = refused(values_for(server.url), place, place / "run")
        assert "refuses the key" in message
        first = [f"{seen.body['model']}: {seen.prompt}" for seen in server.requests[:39] if seen.prompt != "Hi"]
        server.requests.clear()
        server.script = answer
        done = start(values_for(server.url), place, place / "run")
        assert done.outcome.history == whole.outcome.history and done.held_out == whole.held_out
        assert Counter(first) + paid(server) == needed

    def test_answers_are_shared_through_a_cache_file(self, server: FaultyLLM, place: Path) -> None:
        values = values_for(server.url, cache=str(place / "answers.sqlite"))
        one = start(values, place, place / "one")
        calls = len(server.requests)
        other = start(values, place, place / "other")
        asked = [seen.prompt for seen in server.requests[calls:]]
        assert set(asked) <= {"Hi"} and other.outcome.history == one.outcome.history
        assert other.spent.calls == one.spent.calls, "a hit counts as a call in tables of equal budgets"


class TestRefusing:
    def quiet(self, server: FaultyLLM) -> None:
        assert server.requests == [] and server.billed == []

    @pytest.mark.fault("S8")
    def test_a_second_holder(self, server: FaultyLLM, place: Path) -> None:
        with RunFolder(place / "run"):
            message = refused(values_for(server.url), place, place / "run", RunHeld)
        assert '"pid"' in message and '"host"' in message and '"started"' in message
        self.quiet(server)

    @pytest.mark.fault("S5")
    def test_a_folder_that_cannot_be(self, server: FaultyLLM, place: Path) -> None:
        (place / "file").write_text("here stands a file")
        for impossible in (place / "file", place / "file" / "run", Path("/proc/llmevo-run")):
            message = refused(values_for(server.url), place, impossible, StorageError)
            assert "--run" in message
        self.quiet(server)

    @pytest.mark.parametrize("stranger", ["thesis.txt", "run.yaml", "blobs"])
    def test_a_foreign_folder_is_left_alone(self, server: FaultyLLM, place: Path, stranger: str) -> None:
        (place / "other").mkdir()
        (place / "other" / stranger).write_text("mine")
        assert stranger in refused(values_for(server.url), place, place / "other")
        assert (place / "other" / stranger).read_text() == "mine"
        self.quiet(server)

    def test_what_an_interrupted_start_left_is_no_stranger(self, server: FaultyLLM, place: Path) -> None:
        (place / "run").mkdir()
        (place / "run" / "run.new").write_bytes(b"half")
        (place / "run" / "lock").write_text("")
        assert start(values_for(server.url), place, place / "run").pause is None

    @pytest.mark.fault("C3")
    def test_a_missing_key(self, server: FaultyLLM, place: Path) -> None:
        values = values_for(server.url)
        values["models"]["task"]["api_key_env"] = "A_KEY_THAT_IS_NOT_SET"
        assert "A_KEY_THAT_IS_NOT_SET" in refused(values, place, place / "run")
        assert not (place / "run").exists()
        self.quiet(server)

    @pytest.mark.fault("L22")
    def test_a_refused_key_and_an_unknown_model_can_be_corrected_in_the_same_folder(self, place: Path) -> None:
        for status, words in ((401, "refuses the key"), (404, "It offers: test, writer")):

            def script(seen: Seen, status: int = status) -> Action:
                wrong = seen.body["model"] == "typo"
                return Action(status=status, body={"error": {"message": "no"}}) if wrong else answer(seen)

            with FaultyLLM(script, models=("test", "writer")) as server:
                values = values_for(server.url)
                values["models"]["operator"]["model"] = "typo"
                folder = place / str(status)
                message = refused(values, place, folder)
                assert words in message and len(server.requests) <= 2
                assert start(values_for(server.url), place, folder).pause is None

    def test_nobody_there(self, place: Path) -> None:
        with FaultyLLM() as gone:
            pass
        message = refused(values_for(gone.url), place, place / "run", Pause)
        assert "base_url" in message and "nothing was paid" in message

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("---\nparents: [a]\nanswer: prompt\n---\nSay {{ b }}", "'{{ b }}' is used but not declared"),
            ("---\nparents: [a, b]\nanswer: prompt\n---\nSay {{ a }}", "'b' is declared in parents but never used"),
            ("---\nparents: [a]\nanswer: prompt\n---\nSay {% if %}{{ a }}", "cannot be read"),
            ("no front matter {{ a }}", "---"),
        ],
    )
    def test_a_broken_operator(self, server: FaultyLLM, place: Path, text: str, expected: str) -> None:
        (place / "operators").mkdir()
        (place / "operators" / "paraphrase.md").write_text(text)
        assert expected in refused(values_for(server.url), place, place / "run")
        assert not (place / "run").exists()
        self.quiet(server)

    def test_a_missing_operator_and_a_missing_model(self, server: FaultyLLM, place: Path) -> None:
        assert "evoprompt-ga" in refused(values_for(server.url, operator="evoprompt-gb"), place, place / "run")
        assert "models" in refused({**values_for(server.url), "models": {}}, place, place / "run")
        assert not (place / "run").exists()
        self.quiet(server)

    def test_a_money_budget_without_prices(self, server: FaultyLLM, place: Path) -> None:
        assert "price" in refused(values_for(server.url, budget={"usd": 1.0}), place, place / "run")
        self.quiet(server)


def leaves(value: Any, place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for key, one in value.items() for leaf in leaves(one, (*place, key))]
    return [place]


def at(values: dict[str, Any], place: tuple[str, ...]) -> Any:
    for key in place:
        values = values[key]
    return values


def put(values: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = json.loads(json.dumps(values))
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed  # type: ignore[no-any-return]


OTHER: dict[str, Any] = {
    "models.task.price.input": 7.0,
    "models.task.extra.timeout": 99,
    "recipe": "my_recipe:search",
    "selection": "tournament",
    "founders": "all",
    "operator": "twin",
    "choose": "bandit",
    "batch": 2,
    "models.judge": None,
    "models.base": None,
    "experts": None,
    "task.shots": {"pool": 2},
    "task.cases.made_by": "python make.py",
    "task.test.made_by": "python make.py",
    "task.scorer": "contains",
    "task.prompt": "reviews",
    "task.cases.path": "twin.jsonl",
    "task.cases.format": "jsonl",
    "task.dev": 5,
    "task.test": 3,
    "task.phenotype": None,
    "task.fitness": None,
    "task.slots": {"tone": "warm"},
    "task.encoder": None,
    "models.task.base_url": "other",
    "models.task.api_key_env": "SOME_KEY",
    "models.task.top_p": 0.9,
    "models.task.temperature": 0.9,
    "models.operator.top_p": 0.9,
    "models.operator.temperature": 0.9,
    "models.operator.base_url": "other",
    "models.operator.api_key_env": "SOME_KEY",
    "models.operator.extra": {"a": 1},
    "models.task.fallback": {"model": "other", "base_url": "http://127.0.0.1:9/v1", "price": {"input": 1, "output": 1}},
    "models.operator.fallback": {"model": "other", "base_url": "http://127.0.0.1:9/v1", "price": {"input": 1, "output": 1}},
    "task.seeds": ["Another?", "Or this?", "Name the feeling.", "Good? Bad?"],
    "task.cases.columns": {"input": "input"},
    "task.cases.labels": ["bad", "good"],
    "task.cases.dataset": None,
    "cache": "cache.sqlite",
    "task.cases.split": None,  # of a file it is refused before
    "genome": None,
    "stop.within": None,
    "racing": True,
    "task.description": "Say good or bad.",
    "task.vocabulary": ["word"],
    "task.cases.name": "config",
    "stop.target": 2.0,
}
"""Another value where a number or a text cannot simply be changed; None where no other value makes a run."""


@pytest.mark.fault("C6")
def test_every_frozen_key_is_refused_and_every_free_one_accepted(
    server: FaultyLLM, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    values = values_for(server.url, steps=1, selection="roulette")
    values["models"]["operator"] |= {"price": {"input": 1.0, "output": 1.0}}
    values["models"]["task"] |= {"price": {"input": 1.0, "output": 1.0}, "extra": {"timeout": 1}}
    write_cases(place / "cases.jsonl", cases(10))
    write_cases(place / "twin.jsonl", cases(10))
    (place / "my_recipe.py").write_text("from llmevo.recipes.evoprompt import evoprompt_ga as search\n")
    sys.modules.pop("my_recipe", None)
    (place / "operators").mkdir()
    (place / "operators" / "twin.md").write_text("---\nparents: [a, b]\nanswer: prompt\n---\nMix {{ a }} and {{ b }} <prompt></prompt>.")
    plain = runs.resolved(check_config(values))
    whole = start(plain, place, place / "run", env={"SOME_KEY": "x"})
    assert set(plain) == (set(RunConfig.model_fields) - {"settings"}) | set(check_config(values).settings)
    other_server = server.url.replace("127.0.0.1", "localhost")
    checked = {True: 0, False: 0}
    for leaf in leaves(plain):
        name, before = ".".join(leaf), at(plain, leaf)
        if name in OTHER:
            after = OTHER[name]
            if after is None:
                continue
            after = other_server if after == "other" else after
        elif isinstance(before, bool):
            after = not before
        elif isinstance(before, int | float):
            after = before + 1
        elif isinstance(before, str):
            after = f"{before}x"
        elif before is None or before == {}:
            after = 5000
        else:
            raise AssertionError(f"{name}: which other value than {before!r} could it have?")
        free = leaf[0] in FREE_ON_RESUME or (leaf[0] == "models" and leaf[2] in FREE_IN_MODELS)
        changed = put(plain, leaf, after)
        asked = len(server.requests)
        checked[free] += 1
        if free:
            result = start(changed, place, place / "run", env={"SOME_KEY": "x"})
            assert result.outcome.history == whole.outcome.history or name == "steps", name
        else:
            with pytest.raises(ConfigError) as caught:
                start(changed, place, place / "run", env={"SOME_KEY": "x"})
            message = str(caught.value)
            shown = [line.strip() for line in message.splitlines() if line.startswith("  ")]
            assert any(line.startswith(f"{name}") for line in shown), (name, message)
            assert len(server.requests) == asked, name
    assert checked[True] >= 20 and checked[False] >= 25


@pytest.mark.fault("E13")
class TestUserCode:
    def score(self, place: Path, body: str) -> None:
        (place / "my_score.py").write_text(f"def score(answer, case):\n    return {body}\n")
        sys.modules.pop("my_score", None)

    def test_an_edited_scorer_is_refused(self, server: FaultyLLM, place: Path) -> None:
        values = values_for(server.url)
        values["task"]["scorer"] = "my_score:score"
        self.score(place, "float(answer == case.target)")
        whole = start(values, place, place / "run")
        asked = len(server.requests)
        self.score(place, "float(answer == case.target) / 2")
        message = refused(values, place, place / "run")
        assert "  (scorer): " in message and "my_score:score" in message and "--run" in message
        self.score(place, "float(answer == case.target)")
        assert start(values, place, place / "run").outcome.history == whole.outcome.history
        assert len(server.requests) == asked

    def test_edited_data_is_refused(self, server: FaultyLLM, place: Path) -> None:
        values = values_for(server.url)
        start(values, place, place / "run")
        rows = cases(10)
        rows[3]["target"] = "bad" if rows[3]["target"] == "good" else "good"
        write_cases(place / "cases.jsonl", rows)
        message = refused(values, place, place / "run")
        assert "  (dev cases): " in message or "  (test cases): " in message

    def test_an_edited_operator_is_refused(self, server: FaultyLLM, place: Path) -> None:
        (place / "operators").mkdir()
        file = place / "operators" / "mine.md"
        file.write_text("---\nparents: [a, b]\nanswer: prompt\n---\nMix {{ a }} and {{ b }} into <prompt></prompt>.")
        values = values_for(server.url, operator="mine")
        start(values, place, place / "run")
        asked = len(server.requests)
        file.write_text(file.read_text().replace("Mix", "Merge"))
        refused(values, place, place / "run", ReplayDiffers)
        assert len(server.requests) == asked

    def test_a_scorer_that_fails_on_the_test_cases_loses_nothing(self, server: FaultyLLM, place: Path) -> None:
        values = values_for(server.url)
        values["task"]["scorer"] = "my_score:score"
        task = load_task(check_config(values_for(server.url)).task, seed=3, near=self.data(place))
        poison = task.test[0].target
        assert isinstance(poison, str)
        text = task.test[0].input
        (place / "my_score.py").write_text(
            f"async def score(answer, case, context):\n    assert case.input != {text!r}, 'bad row'\n    return 1.0\n"
        )
        sys.modules.pop("my_score", None)
        result = start(values, place, place / "run")
        assert result.best is not None and result.held_out is None and result.pause is None
        assert "could not be scored on the test cases" in result.outcome.reason

    def data(self, place: Path) -> Path:
        write_cases(place / "cases.jsonl", cases(10))
        return place


class TestBrake:
    def test_nothing_new_is_begun_and_what_flies_is_recorded(self, place: Path) -> None:
        with FaultyLLM(slowly(0.2)) as server:
            self.pulled_after(server, place, in_flight=3, requests=8, reason=Interrupted("stop"))
            seen, billed = len(server.requests), len(server.billed)
            with closing(Database(place / "run" / "run.sqlite")) as database:
                settled = [row[1] for row in database.rows("settled")]
            assert 3 < seen == billed < 30 and settled.count("answer") == billed
            server.script = answer
            first = paid(server)
            done = start(values_for(server.url, in_flight=3), place, place / "run")
            second = paid(server)
            whole = start(values_for(server.url, in_flight=3), place)
            assert done.outcome.history == whole.outcome.history and first + second == paid(server)

    def pulled_after(self, server: FaultyLLM, place: Path, *, in_flight: int, requests: int, reason: LlmevoError) -> None:
        write_cases(place / "cases.jsonl", cases(10))
        config = check_config(values_for(server.url, in_flight=in_flight))
        task = load_task(config.task, seed=3, near=place)

        async def go() -> None:
            brake = Brake()
            work = asyncio.ensure_future(runs.run(config, task, folder=place / "run", brake=brake, env={}))
            while len(server.requests) < requests and not work.done():
                await asyncio.sleep(0.01)
            brake.pull(reason)
            await work

        with pytest.raises(type(reason)):
            asyncio.run(go())

    def test_a_deadline_gives_the_best_so_far(self, place: Path) -> None:
        def script(seen: Seen) -> Action:
            told = answer(seen)
            return Action(text=told.text, delay=30.0 if is_operator(seen) else 0.0)

        with FaultyLLM(script) as server:
            result = start(values_for(server.url), place, deadline=1.5, wait=5)
            assert isinstance(result.pause, Pause) and "deadline of 1.5 s" in result.outcome.reason
            assert result.best is not None and result.text in ("Is it good or bad?", "Say good or bad.", "Name the feeling.", "Good? Bad?")
            assert result.spent.calls >= len(server.billed)

