"""The study of refinement: problems can be solved and not cheated, the proposer keeps to its rules, one command runs it all."""

from __future__ import annotations

import asyncio
import importlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmevo.llm.contract import Message, Request
from llmevo.testing.server import Action, FaultyLLM

CHECKOUT = Path(__file__).resolve().parents[2]
STUDY = CHECKOUT / "experiments" / "refinement"
DATA = CHECKOUT.parent / "shared" / "data"
EXACT = ("modules-4", "modules-8", "traps-1", "traps-3", "meetings", "trip", "grid")


@pytest.fixture(autouse=True)
def importable() -> Iterator[None]:
    sys.path.insert(0, str(STUDY))
    yield
    sys.path.remove(str(STUDY))


def module(name: str) -> Any:
    return importlib.import_module(name)


@pytest.mark.parametrize("task", EXACT)
@pytest.mark.parametrize("seed", range(3))
def test_problems_are_solvable_and_scores_say_how_far(task: str, seed: int) -> None:
    """The generator asserts that its hidden solution is valid; what is no answer scores 0 and is told the form."""
    problem = module("problems").PROBLEMS[task](seed)
    again = module("problems").PROBLEMS[task](seed)
    assert problem.question == again.question
    chance = random.Random(seed)
    for _ in range(30):
        values = problem.sample(chance)
        text = problem.write(values)
        assert problem.read(f"so: {text}.") == values
        verdict = problem.check(text)
        assert 0 <= verdict.value <= 1 and (verdict.violation == 0) == (verdict.value == 1)
    nothing = problem.check("I win. score = 1.0, violation = 0")
    assert nothing.value == 0 and nothing.violation > 1 and nothing.feedback


def test_traps_lead_away_from_the_best() -> None:
    problem = module("problems").traps(5, 1)
    scores = {bits: problem.check(f"CONFIG = [{', '.join(bits)}]").value for bits in (f"{i:03b}" for i in range(8))}
    (best,) = [bits for bits, value in scores.items() if value == 1]
    by_right = {bits: sum(a == b for a, b in zip(bits, best, strict=True)) for bits in scores}
    assert {by_right[bits]: round(3 * value) for bits, value in scores.items()} == {3: 3, 2: 0, 1: 1, 0: 2}


def test_a_logic_grid_has_one_solution() -> None:
    import itertools

    problems = module("problems")
    for seed in range(3):
        problem = problems.grid(seed)
        orders = itertools.product(*map(itertools.permutations, problems.ATTRIBUTES.values()))
        valid = sum(problem.check(problem.write([v for row in rows for v in row])).violation == 0 for rows in orders)
        assert valid == 1


def test_circles_are_checked_exactly() -> None:
    problems = module("problems")
    two = problems.circles(0, 2)
    assert two.check("CIRCLES = [0.25 0.5 0.25; 0.75 0.5 0.25]").violation == 1.0, "touching is allowed"
    for wrong in ("0.25 0.5 0.250000000001; 0.75 0.5 0.25", "0.25 0.5 0.25; 0.749999999999 0.5 0.25", "0.2 0.5 0.3; 0.8 0.5 0.1"):
        assert two.check(f"CIRCLES = [{wrong}]").violation > 1
    for odd in ("nan nan nan; 0.75 0.5 0.25", "1e-1 0.5 0.1; 0.75 0.5 0.25", "0.25 0.5 9.9; 0.75 0.5 0.25", "0.25 0.5 0.25"):
        assert two.check(f"CIRCLES = [{odd}]").value == 0
    many = problems.circles(0)
    start = many.check(many.write(many.sample(random.Random(1))))
    assert start.violation == 1.0 and 0 < start.value < 2.635983


def request(prompt: str, sample: str) -> Request:
    return Request((Message("user", prompt),), sample=sample)


def test_the_proposer_mixes_half_the_time_and_changes_one_field() -> None:
    problems, proposer = module("problems"), module("proposer")
    stub = proposer.Proposer(problems.modules(0, 8))
    a, b = "CONFIG = [0, 0, 0, 0, 0, 0, 0, 0]", "CONFIG = [1, 1, 1, 1, 1, 1, 1, 1]"
    alone = [stub(request(f"Answer (score 0.5): {a}", str(i))) for i in range(50)]
    fields = [stub.problem.read(reply) for reply in alone]
    assert all(sum(value != "0" for value in one) == 1 for one in fields)
    both = [stub.problem.read(stub(request(f"Answer 1: {a}\nAnswer 2: {b}", str(i)))) for i in range(300)]
    mixed = sum(one.count("1") > 1 for one in both)
    assert 110 < mixed < 190
    assert stub(request("x", "1")) == stub(request("x", "1")) != stub(request("x", "2"))
    spoilt = proposer.Proposer(problems.modules(0, 8), corrupt=0.35)
    whole = sum(spoilt(request("x", str(i))) == stub(request("x", str(i))) for i in range(400))
    assert 0.58 < whole / 400 < 0.72


def test_a_search_says_what_became_of_every_birth() -> None:
    search = module("search")
    row = asyncio.run(search.search("modules-4", "ga-llm", 3, 60, corrupt=0.35))
    assert row["track"][-1][1] == row["best"] and row["checks"] <= 60
    assert row["best"] >= row["sample"] and sum(row["fates"].values()) >= row["checks"] - 8
    assert asyncio.run(search.search("modules-4", "ga-llm", 3, 60, corrupt=0.35))["track"] == row["track"]


@pytest.mark.data
@pytest.mark.parametrize("task", ["summary", "simplification"])
def test_real_texts_are_scored_against_their_references(task: str) -> None:
    if not DATA.is_dir():
        pytest.skip("needs the real data")
    if task == "summary":
        pytest.importorskip("rouge_score")
    problem = module("problems").PROBLEMS[task](2)
    chance = random.Random(0)
    texts = [problem.write(problem.sample(chance)) for _ in range(20)]
    scores = [problem.check(text).value for text in texts]
    assert all(0 <= score <= 1 for score in scores) and len(set(scores)) > 5
    assert all(problem.write(problem.read(text)) == text for text in texts)


def test_the_model_in_the_package_is_an_operator_of_the_study(tmp_path: Path) -> None:
    """Its requests come from the real recipe; rows of former weights do not count as done."""
    search, run = module("search"), module("run")
    operator = {"model": "embedded", "max_tokens": 40}
    row = asyncio.run(search.search("modules-4", "best-of-n", 0, 8, operator=operator, births=8))
    assert row["operator"] == "embedded" and len(row["weights"]) == 12 and row["calls"] > 0
    assert run.key(row) == run.key({"task": "modules-4", "arm": "best-of-n", "seed": 0, "evaluations": 8, "operator": operator})
    file = tmp_path / "study.jsonl"
    rows = (row, {**row, "weights": "former"}, {**row, "operator": "stub", "weights": None})
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert [one["operator"] for one in run.rows_of(file)] == ["embedded", "stub"]


def test_any_model_is_one_line_of_the_configuration(tmp_path: Path) -> None:
    """Behind a real socket; its answers come from the script, so the search goes as it goes with the script itself."""
    problems, proposer, run = module("problems"), module("proposer"), module("run")
    stub = proposer.Proposer(problems.PROBLEMS["modules-4"](0))

    def reply(seen: Any) -> Action:
        return Action(stub(Request((Message("user", seen.prompt),), sample=str(seen.number))))

    with FaultyLLM(reply) as server:
        (tmp_path / "config.yaml").write_text(
            (STUDY / "config.yaml").read_text().replace("operator: stub", f"operator: {{model: test, base_url: '{server.url}'}}")
        )
        config = yaml.safe_load((tmp_path / "config.yaml").read_text())
        jobs = run.studied({**config, "seeds": 1, "evaluations": 12, "tasks": ["modules-4"], "arms": ["ga-llm"]})
        run.work(jobs, tmp_path / "study.jsonl")
        (row,) = run.rows_of(tmp_path / "study.jsonl")
        assert row["operator"] == "test" and row["calls"] == len(server.requests) >= 12 and row["checks"] > 8
        run.work(jobs, tmp_path / "study.jsonl")
        assert row["calls"] == len(server.requests), "what has a row is not run again"


def test_circles_are_packed_by_a_blind_proposer_and_never_beyond_what_is_known() -> None:
    row = asyncio.run(module("search").search("circles", "one-plus-one", 0, 60))
    assert row["solved"] is None and row["sample"] < row["best"] < 2.635983


@pytest.mark.slow
def test_one_command_runs_the_study() -> None:
    done = subprocess.run(
        [sys.executable, str(STUDY / "run.py"), "--smoke"], capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for words in ("| ga-llm without crossover |", "| one-plus-one |", "Duplicates rejected first", "35 %", "Best score at 30 checks"):
        assert words in done.stdout, done.stdout
