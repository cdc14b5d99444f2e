"""The Python face: one call, plain or async, with examples in any form and a scorer of any kind."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import llmevo
from llmevo import Case, ConfigError, Result, Score, aoptimize_prompt, optimize_prompt
from llmevo.core import BudgetExhausted, Context
from llmevo.engine import Told
from llmevo.library import TaskTemplate
from llmevo.testing.server import FaultyLLM
from tests.helpers import named
from tests.runs.helpers import answer, slowly

MODEL = "scripted:tests.runs.scripts:both"
PAIRS = [(f"a {'nice' if i % 2 else 'bleak'} day {i}", "good" if i % 2 else "bad") for i in range(16)]
PROMPTS = ["Judge this.", "What is it?", "Tell me."]
SMALL: dict[str, Any] = {"prompts": PROMPTS, "model": MODEL, "population": 4, "steps": 3}


def test_pairs_in_a_better_prompt_out() -> None:
    result = optimize_prompt(PAIRS, **SMALL)
    assert isinstance(result, Result) and result.best is not None and result.pause is None and result.folder is None
    assert "careful" in result.text and result.best.fitness.value == 1.0
    assert result.held_out is not None and result.held_out.mean == 1.0 and result.held_out.n == 8


def test_examples_in_any_form_are_the_same_run() -> None:
    forms: list[Any] = [
        PAIRS,
        [{"input": text, "target": target} for text, target in PAIRS],
        [{"text": text, "label": target} for text, target in PAIRS],
        ((text, target) for text, target in PAIRS),
    ]
    assert len({optimize_prompt(form, **SMALL).outcome.history for form in forms}) == 1
    cases = [Case(str(i), text, target) for i, (text, target) in enumerate(PAIRS)]
    assert optimize_prompt(cases, **SMALL).best is not None


def test_several_references_and_further_columns_reach_the_scorer() -> None:
    rows = [{"input": text, "target": [target, "fine"], "note": "n" + target} for text, target in PAIRS]
    seen = set()

    def score(answer: str, case: Case) -> float:
        seen.add((case.fields["note"], len(case.targets)))
        return float(answer in case.targets)

    assert optimize_prompt(rows, scorer=score, **SMALL).best is not None
    assert seen == {("ngood", 2), ("nbad", 2)}


def plain(answer: str, case: Case) -> float:
    return float(answer == case.target)


async def asynchronous(answer: str, case: Case) -> Score:
    await asyncio.sleep(0)
    return Score(float(answer == case.target), "" if answer == case.target else "wrong")


class Own:
    key, minimum = "own", 0.0

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        return Score(float(answer == case.target))


@pytest.mark.parametrize("scorer", ["exact", "contains", "first-label", plain, asynchronous, Own()], ids=named)
def test_scorers_of_every_kind(scorer: Any) -> None:
    result = optimize_prompt(PAIRS, scorer=scorer, **SMALL)
    assert result.best is not None and result.best.fitness.value == 1.0


def test_the_plain_and_the_async_twin_are_one() -> None:
    again = asyncio.run(aoptimize_prompt(PAIRS, **SMALL))
    assert again.outcome.history == optimize_prompt(PAIRS, **SMALL).outcome.history


def test_inside_a_running_loop_the_plain_one_says_what_to_write() -> None:
    async def notebook() -> None:
        with pytest.raises(ConfigError, match="await aoptimize_prompt"):
            optimize_prompt(PAIRS, **SMALL)

    asyncio.run(notebook())


def test_two_at_the_same_time() -> None:
    async def both() -> list[Result]:
        return await asyncio.gather(*(aoptimize_prompt(PAIRS, seed=seed, **SMALL) for seed in (1, 2)))

    one, two = asyncio.run(both())
    assert one.outcome.history != two.outcome.history
    assert one.outcome.history == optimize_prompt(PAIRS, seed=1, **SMALL).outcome.history


def test_a_test_set_of_its_own_and_none_at_all() -> None:
    others = [(f"another {text}", target) for text, target in PAIRS]
    given = optimize_prompt(PAIRS, test=others, **SMALL)
    assert given.held_out is not None and given.held_out.n == 16 and len(given.best.fitness.cases) == 16  # type: ignore[union-attr]
    assert optimize_prompt(PAIRS, test=0, **SMALL).held_out is None
    counted = optimize_prompt(PAIRS, dev=6, test=4, **SMALL)
    assert counted.held_out is not None and counted.held_out.n == 4
    with pytest.raises(ConfigError, match="also in dev"):
        optimize_prompt(PAIRS, test=PAIRS, **SMALL)


def test_one_prompt_is_one_prompt() -> None:
    result = optimize_prompt(PAIRS, **{**SMALL, "prompts": "Judge this."})
    first = result.outcome.view.memory
    assert first and all(len(one.genome.text) > 3 for one in result.outcome.view.hall)


def test_templates() -> None:
    seen: list[str] = []

    def watch(answer: str, case: Case) -> float:
        seen.append(answer)
        return 1.0

    template = TaskTemplate(body="{{ input }} // {{ prompt }}", name="mine")
    assert optimize_prompt(PAIRS, task=template, scorer=watch, **SMALL).best is not None and seen
    assert optimize_prompt(PAIRS, task="classification", model=MODEL, population=4, steps=1).best is not None
    with pytest.raises(ConfigError, match="did you mean 'classification'"):
        optimize_prompt(PAIRS, task="clasification", **SMALL)


def test_without_prompts_a_description_is_needed() -> None:
    assert optimize_prompt(PAIRS, description="Say good or bad.", model=MODEL, population=4, steps=1).best is not None
    with pytest.raises(ConfigError, match="describe the task"):
        optimize_prompt(PAIRS, model=MODEL, population=4, steps=1)


def test_blind_edits_need_no_operator_model() -> None:
    result = optimize_prompt(PAIRS, operator="edits", **SMALL)
    assert result.best is not None and result.outcome.progress.births > 10


@pytest.mark.parametrize(
    ("cases", "options", "expected"),
    [
        ([], {}, "no case found"),
        ([("a", "b")], {}, "1 case found"),
        ([("a", "x"), ("b", "x"), ("c", "x")], {}, "1 class found"),
        (["a", "b"], {}, "not str"),
        ([("a", "b", "c")], {}, "not tuple"),
        ([{"words": "a"}, {"words": "b"}], {}, "which of the columns"),
        (PAIRS, {"scorer": "exactt"}, "did you mean 'exact'"),
        (PAIRS, {"populaton": 3}, "did you mean 'population'"),
        (PAIRS, {"population": 0}, "out of range"),
        (PAIRS, {"population": "10"}, "population"),
        (PAIRS, {"recipe": "evoprompt"}, "did you mean"),
        (PAIRS, {"model": {"model": "m", "temprature": 1}}, "did you mean 'temperature'"),
        (PAIRS, {"budget": {"cals": 3}}, "did you mean 'calls'"),
        (PAIRS, {"deadline": 0}, "greater than 0"),
        (PAIRS, {"model": "scripted:nowhere:x"}, "there is no module"),
        (PAIRS, {"model": {"model": "m", "base_url": "http://x/v1", "api_key_env": "A_KEY_THAT_IS_NOT_SET"}}, "A_KEY_THAT_IS_NOT_SET"),
    ],
)
def test_what_cannot_work_is_said_at_once(cases: Any, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        optimize_prompt(cases, **{**SMALL, **options})
    assert expected in str(caught.value)


class TestInFolders:
    def test_a_folder_continues_and_memory_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        free = optimize_prompt(PAIRS, **SMALL)
        assert list(tmp_path.iterdir()) == []
        paused = optimize_prompt(PAIRS, run="kept", budget={"calls": 40}, **SMALL)
        assert isinstance(paused.pause, BudgetExhausted) and paused.best is not None and paused.held_out is None
        done = optimize_prompt(PAIRS, run=tmp_path / "kept", **SMALL)
        assert done.outcome.history == free.outcome.history and done.spent.calls == free.spent.calls
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]

    def test_another_scorer_is_another_run(self, tmp_path: Path) -> None:
        optimize_prompt(PAIRS, run=tmp_path / "run", scorer=plain, **SMALL)
        with pytest.raises(ConfigError, match=r"\(scorer\)"):
            optimize_prompt(PAIRS, run=tmp_path / "run", scorer=asynchronous, **SMALL)


class TestTime:
    def slow(self, **more: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
        return slowly(0.15), {"prompts": PROMPTS, "population": 4, "steps": 50, **more}

    def test_a_deadline_is_kept_and_gives_the_best_so_far(self) -> None:
        script, options = self.slow()
        with FaultyLLM(script) as server:
            began = time.monotonic()
            result = optimize_prompt(PAIRS, model={"model": "test", "base_url": server.url}, deadline=1.5, **options)
            assert time.monotonic() - began < 3
        assert isinstance(result.pause, BudgetExhausted) and "deadline of 1.5 s" in str(result.pause)
        assert result.best is not None and result.text and result.outcome.progress.evaluations >= 3

    def test_a_deadline_before_anything_was_scored(self) -> None:
        with FaultyLLM(slowly(30)) as server:
            result = optimize_prompt(PAIRS, deadline=0.5, **{**SMALL, "model": {"model": "test", "base_url": server.url}})
        assert result.best is None and result.pause is not None
        with pytest.raises(LookupError, match="deadline"):
            _ = result.text

    def test_cancelling_stops_new_calls_and_loses_nothing(self, tmp_path: Path) -> None:
        script, options = self.slow(steps=4)
        with FaultyLLM(script) as server:
            model = {"model": "test", "base_url": server.url, "in_flight": 4}

            async def cancelled() -> None:
                work = asyncio.ensure_future(aoptimize_prompt(PAIRS, model=model, run=tmp_path / "run", **options))
                await asyncio.sleep(1.0)
                work.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await work

            asyncio.run(cancelled())
            first = len(server.requests)
            assert 4 < first == len(server.billed)
            server.script = answer
            done = optimize_prompt(PAIRS, model=model, run=tmp_path / "run", **options)
            second = len(server.requests) - first
            whole = optimize_prompt(PAIRS, model=model, **options)
            assert done.outcome.history == whole.outcome.history
            assert first + second == len(server.requests) - first - second

    def test_callers_see_every_cohort_and_may_fail(self) -> None:
        told: list[Told[Any]] = []
        result = optimize_prompt(PAIRS, on_cohort=told.append, **SMALL)
        assert sum(len(one.births) for one in told) == result.outcome.progress.births and told[-1].view.best == result.best

        def broken(one: Told[Any]) -> None:
            raise RuntimeError("tracker down")

        with pytest.warns(UserWarning, match="tracker down"):
            again = optimize_prompt(PAIRS, on_cohort=broken, **SMALL)
        assert again.outcome.history == result.outcome.history


def test_a_scorer_that_breaks_fails_the_genome_and_not_the_run() -> None:
    def broken(answer: str, case: Case) -> float:
        raise ZeroDivisionError("in my scorer")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = optimize_prompt(PAIRS, scorer=broken, **SMALL)
    assert result.best is None and "in my scorer" in result.outcome.reason


def test_the_face_is_what_it_says() -> None:
    for name in llmevo.__all__:
        assert getattr(llmevo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        _ = llmevo.optimise  # type: ignore[attr-defined]
