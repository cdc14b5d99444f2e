"""A judge from the run file and in a refinement: planned, budgeted, frozen, recorded, replayed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from llmevo import runs
from llmevo.config import assemble, budget_of, load_task, read_config
from llmevo.config.estimate import estimate
from llmevo.core import ConfigError
from llmevo.fitness.check import Verdict
from llmevo.llm.build import Connections
from llmevo.llm.contract import Request, Unreachable
from llmevo.refining import refine
from tests.runs.helpers import write_run

JUDGED: list[Request] = []
DOWN: list[bool] = []


def model(request: Request) -> Any:
    """Writes prompts of growing length, answers with the prompt's length, samples answers, and judges by length."""
    question = request.messages[0].content
    if "[begin " in question:
        JUDGED.append(request)
        if DOWN:
            return Unreachable("the judge is down")
        texts = [part.split("\n[end ")[0].split("]\n", 1)[1] for part in question.split("[begin ")[1:]]
        if "<better>" in question:
            first, second = len(texts[1]), len(texts[2])
            return f"<better>{'tie' if first == second else 'first' if first > second else 'second'}</better>"
        return f"<found>more of it</found><score>{min(10, 1 + len(texts[1]) // 4)}</score>"
    if "<prompt>" in question:
        return f"<prompt>Say more {request.sample[-6:]}</prompt>"
    if "<answer>" in question:
        return f"<answer>{'word ' * (1 + sum(map(ord, request.sample + question)) % 7)}</answer>"
    return "yes " * (1 + len(question) % 5)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "judged_model", sys.modules[__name__])
    JUDGED.clear()
    DOWN.clear()


MODEL = "scripted:judged_model:model"


def values(**more: Any) -> dict[str, Any]:
    return {
        "recipe": "evoprompt-ga",
        "population": 4,
        "steps": 2,
        "models": {"task": MODEL, "operator": MODEL, "judge": {"model": MODEL, "price": {"input": 1.0, "output": 2.0}}},
        "task": {
            "cases": {"path": "cases.jsonl"},
            "dev": 3,
            "test": 2,
            "scorer": {"judge": "rubric", "votes": 2, "criteria": "it is long"},
            "seeds": ["Is it good or bad?", "Say good or bad.", "Name the feeling.", "Good? Bad?"],
        },
        **more,
    }


def run(file: Path, folder: Path | None = None) -> runs.Result:
    config = read_config(file)
    return asyncio.run(runs.run(config, load_task(config.task, seed=config.seed, near=file.parent), folder=folder))


@pytest.mark.fault("E14")
def test_a_run_file_with_a_judge_pauses_goes_on_and_replays(tmp_path: Path) -> None:
    file, folder = write_run(tmp_path, values()), tmp_path / "run"
    DOWN.append(True)
    paused = run(file, folder)
    assert paused.pause is not None and paused.best is None and "judge is down" in str(paused.pause)
    DOWN.clear()
    done = run(file, folder)
    assert done.pause is None and done.best is not None and done.held_out is not None
    assert 0 < done.best.fitness.value <= 1 and "more of it" in done.best.fitness.feedback[0]
    asked = len(JUDGED)
    again = run(file, folder)
    assert len(JUDGED) == asked and again.outcome.history == done.outcome.history, "no vote is paid twice"
    config = read_config(file)
    replayed = runs.replay_run(config, load_task(config.task, seed=0, near=tmp_path), folder)
    assert replayed.history == done.outcome.history

    write_run(tmp_path, values(task={**values()["task"], "scorer": {"judge": "rubric", "votes": 3, "criteria": "it is long"}}))
    with pytest.raises(ConfigError, match=r"task\.scorer\.votes: 2 -> 3"):
        run(file, folder)


def test_the_judge_is_in_the_plan_and_in_the_budget(tmp_path: Path) -> None:
    file = write_run(tmp_path, values())
    config = read_config(file)
    task = load_task(config.task, seed=0, near=tmp_path)
    search = assemble(config, task, Connections(budget=budget_of(config)))
    row = next(row for row in estimate(search, task) if row.role == "judge")
    done = run(file)
    assert row.expected.calls == 2 * (search.plan.matings * 3 + 2)
    assert len(JUDGED) <= row.expected.calls < row.worst.calls and row.priced
    spent = sum(len(request.messages[0].content.split()) for request in JUDGED)
    assert 0 < spent < row.worst.tokens_in and 0 < done.spent.price < row.worst.price

    paused = run(write_run(tmp_path / "less", values(budget={"calls": 10})))
    assert paused.pause is not None and "calls" in str(paused.pause)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"models": {"task": MODEL, "operator": MODEL}}, "which model is the judge model"),
        ({"task": {**values()["task"], "scorer": {"judge": "rubrik"}}}, "did you mean 'rubric'"),
        ({"task": {**values()["task"], "scorer": {"judge": "rubric", "vote": 2}}}, "task.scorer.vote: unknown key; did you mean 'votes'"),
        ({"task": {**values()["task"], "scorer": {"judge": "rubric", "votes": 0}}}, "task.scorer.votes"),
        ({"task": {**values()["task"], "scorer": {"judge": "rubric", "slots": {"tone": "warm"}}}}, "has the slots: criteria"),
        ({"task": {**values()["task"], "scorer": {"functoin": "a:b"}}}, "did you mean 'function'"),
        ({"task": {**values()["task"], "scorer": "exact"}}, "nobody is judged"),
    ],
)
def test_mistakes_are_named_before_anything_is_asked(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(write_run(tmp_path, values(**change)))
    assert words in str(caught.value) and not JUDGED


def test_a_judge_refines_an_answer(tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": MODEL, "population": 4, "steps": 3, "run": tmp_path / "run"}
    found = refine("Why?", judge={"judge": "rubric", "good": 0.9, "votes": 2}, **options)
    assert found.answer is not None and found.score is not None and found.feedback[0].startswith("grade from 1 to 10")
    assert found.valid == (found.score >= 0.9)
    asked = len(JUDGED)
    again = refine("Why?", judge={"judge": "rubric", "good": 0.9, "votes": 2}, **options)
    assert (again.answer, again.score) == (found.answer, found.score) and len(JUDGED) == asked
    with pytest.raises(ConfigError, match=r"judge\.good: 0\.9 -> 0\.8"):
        refine("Why?", judge={"judge": "rubric", "good": 0.8, "votes": 2}, **options)
    for wrong in ({}, {"check": None}):
        with pytest.raises(ConfigError, match="give a check"):
            refine("Why?", **wrong)


def words(answer: str) -> Verdict:
    """Fewer words are better, and at most four are valid."""
    count = len(answer.split())
    return Verdict(-count / 10, float(max(0, count - 4)), (f"{count} words",))


def test_a_judge_beside_a_check_gives_a_front_on_which_only_the_check_says_what_is_valid(tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": MODEL, "population": 4, "steps": 4, "recipe": "nsga2", "seed": 2, "run": tmp_path / "run"}
    options |= {"operator": ("semantic-crossover", "textual-mutation")}
    found = refine("Why?", words, judge={"judge": "rubric", "votes": 1, "weight": 2.0}, **options)
    assert found.valid and found.score is not None and found.evaluations > 5, "a valid answer does not end it"
    best = found.lineage[-1].fitness
    assert set(best.objectives) == {"check", "judge"} and best.value == pytest.approx(best.objectives["check"] + 2 * best.objectives["judge"])
    assert best.feedback[0].endswith("words") and best.feedback[1].startswith("grade from 1 to 10")
    points = [(one.fitness.objectives["check"], one.fitness.objectives["judge"]) for one in found.front]
    assert len(points) >= 2 and points == sorted(points) and [p[1] for p in points] == sorted((p[1] for p in points), reverse=True)
    assert all(one.fitness.violation == 0 for one in found.front), "a longer answer is judged better, and is not valid"
    asked = len(JUDGED)
    assert refine("Why?", words, judge={"judge": "rubric", "votes": 1, "weight": 2.0}, **options).front == found.front
    assert len(JUDGED) == asked
    with pytest.raises(ConfigError, match=r"judge\.weight: 2\.0 -> 1\.0"):
        refine("Why?", words, judge={"judge": "rubric", "votes": 1}, **options)


def test_beside_a_check_a_good_answer_has_to_be_valid_too() -> None:
    options: dict[str, Any] = {"model": MODEL, "population": 4, "steps": 10, "seed": 2}
    found = refine("Why?", words, judge={"judge": "rubric", "votes": 1, "good": 0.4}, **options)
    assert found.reason == "an answer is valid" and found.lineage[-1].fitness.objectives["judge"] >= 0.4
    assert words(found.answer or "").violation == 0


def test_a_judge_among_the_scorers_of_a_run(tmp_path: Path) -> None:
    objectives = {"short": "judged_model:short", "liked": {"judge": "rubric", "votes": 2}}
    scorer = {"objectives": objectives, "weights": {"short": 0.1, "liked": 1.0}}
    file = write_run(tmp_path, values(recipe="nsga2", task={**values()["task"], "scorer": scorer}))
    config = read_config(file)
    task = load_task(config.task, seed=0, near=tmp_path)
    search = assemble(config, task, Connections(budget=budget_of(config)))
    assert [row.expected.calls for row in estimate(search, task) if row.role == "judge"] == [2 * (search.plan.matings * 3 + 2)]
    done = run(file, tmp_path / "run")
    assert done.best is not None and set(done.best.fitness.objectives) == {"short", "liked"} and JUDGED
    assert runs.replay_run(config, task, tmp_path / "run").history == done.outcome.history
    for wrong, said in (
        ({"objectives": {"liked": {"judge": "rubric"}}, "weights": {"liked": 1.0}}, "at least two"),
        ({"objectives": objectives, "weights": {"like": 1.0}}, "there is no objective 'like'; did you mean 'liked'"),
        ({"objectives": {**objectives, "liked": {"judge": "rubric", "vote": 2}}, "weights": {"short": 1.0}}, "did you mean 'votes'"),
    ):
        with pytest.raises(ConfigError, match=said):
            run(write_run(tmp_path / "wrong", values(task={**values()["task"], "scorer": wrong})))


def short(answer: str, case: Any) -> float:
    return -len(answer) / 100


def test_a_comparison_is_with_the_same_panel_to_the_end() -> None:
    found = refine("Why?", judge={"judge": "pairwise", "votes": 1, "panel": 2}, model=MODEL, population=4, steps=3)
    assert found.score is not None and 0 <= found.score <= 1 and not found.valid
    panels = [{text.split("\n[end ")[0].split("]\n", 1)[1] for text in one.messages[0].content.split("[begin ")[2:]} for one in JUDGED]
    answers = {text for panel in panels for text in panel}
    assert len(answers) > 3 and len(set.intersection(*panels)) == 0
    assert sum(1 for text in answers if sum(text in panel for panel in panels) * 2 >= len(panels)) <= 2, "two references, the same for all"
    given = refine("Why?", judge={"judge": "pairwise", "votes": 1, "references": ["word"]}, model=MODEL, population=4, steps=1)
    assert given.score == 1.0
