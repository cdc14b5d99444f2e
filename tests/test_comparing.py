"""Run files beside each other: equal budgets, paired seeds, one folder that is continued, and what is refused."""

from __future__ import annotations

import asyncio
import csv
import importlib
import json
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import llmevo
from llmevo.cli.app import app
from llmevo.comparing import acompare
from llmevo.contending import contender_of, limited
from llmevo.core import BudgetExhausted, ConfigError, Interrupted, RunHeld, StorageError
from llmevo.engine.brake import Brake
from llmevo.report.comparison import Row, compare, rows_of
from llmevo.report.curves import as_csv, as_svg, curve
from llmevo.report.summary import summarise
from llmevo.storage.folder import hold

WORDS = {"good": ("fine", "lovely", "splendid", "nice"), "bad": ("awful", "poor", "dreadful", "ugly")}
BASE: dict[str, Any] = {
    "recipe": "evoprompt-ga", "population": 4, "steps": 1, "models": {"operator": "edits"},
    "task": {
        "cases": {"path": "cases.jsonl", "labels": ["good", "bad"]}, "dev": 24, "phenotype": "encoded", "encoder": "words",
        "vocabulary": [word for words in WORDS.values() for word in words],
    },
}  # fmt: skip


def file(place: Path, name: str, **change: Any) -> Path:
    path = place / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**BASE, **change}))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rows = [
        {"input": f"the {thing} is {word}", "target": label}
        for label, words in WORDS.items() for word in words for thing in ("lamp", "kettle", "chair", "phone", "watch", "door")
    ]  # fmt: skip
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file(tmp_path, "ga")
    file(tmp_path, "climber", recipe="one-plus-one")
    return tmp_path


def go(place: Path, *names: str, **options: Any) -> Any:
    files = [place / f"{name}.yaml" for name in names or ("ga", "climber")]
    return llmevo.compare(files, **{"seeds": 3, "budget": "evaluations=12", "run": place / "cmp", **options})


def test_a_comparison_from_run_files_to_table_and_curves(place: Path) -> None:
    found = go(place)
    comparison = found.comparison
    assert found.missing == 0 and [line.name for line in comparison.lines] == ["ga", "climber"]
    for line in comparison.lines:
        assert line.runs == 3 and 8 < line.evaluations <= 12, "the budget is used and not passed, whatever `steps` says"
        assert line.optimism.mean == pytest.approx(line.dev.mean - line.test.mean)
    assert list(comparison.differences) == [("ga", "climber")]
    table = (place / "cmp" / "table.md").read_text()
    assert "| ga | 3 |" in table and "Holm" in table and comparison.differences["ga", "climber"].verdict in table
    rows = list(csv.DictReader((place / "cmp" / "table.csv").open()))
    assert [row["contender"] for row in rows] == ["ga", "climber"] and float(rows[0]["test_low"]) <= float(rows[0]["test"])
    curves = list(csv.DictReader((place / "cmp" / "curves.csv").open()))
    assert {row["contender"] for row in curves} == {"ga", "climber"} and float(curves[-1]["evaluations"]) == 12
    assert ElementTree.parse(place / "cmp" / "curves.svg").getroot().tag.endswith("svg")


def test_rows_agree_with_the_runs_own_record(place: Path) -> None:
    from llmevo.config import KINDS

    go(place, seeds=1)
    for row in rows_of(place / "cmp" / "rows.jsonl"):
        own = summarise(place / "cmp" / row.name / "seed-0", KINDS)
        assert own.best is not None and own.held_out is not None
        assert row.test and sum(row.test.values()) / len(row.test) == pytest.approx(own.held_out.mean)
        assert sum(row.dev.values()) / len(row.dev) == pytest.approx(own.best.fitness.value) and row.curve[-1][1] == own.best.fitness.value


def test_what_is_done_is_not_done_again_and_seeds_may_be_added(place: Path) -> None:
    made: list[tuple[str, int]] = []

    def note(name: str, seed: int, number: int, of: int) -> None:
        made.append((name, seed))

    first = go(place, seeds=2, on_run=note)
    assert made == [("ga", 0), ("climber", 0), ("ga", 1), ("climber", 1)]
    go(place, seeds=2, on_run=note)
    assert len(made) == 4
    more = go(place, seeds=3, on_run=note)
    assert made[4:] == [("ga", 2), ("climber", 2)] and more.comparison.lines[0].runs == 3
    assert go(place, seeds=2).comparison == first.comparison, "fewer seeds give the comparison of those"


def test_a_kill_in_between_costs_one_row_and_a_cut_line_is_read_again(place: Path) -> None:
    whole = go(place, run=place / "other")

    class Killed(BaseException):
        pass

    def die(name: str, seed: int, number: int, of: int) -> None:
        if number == 4:
            raise Killed

    with pytest.raises(Killed):
        go(place, on_run=die)
    kept = place / "cmp" / "rows.jsonl"
    kept.write_text(kept.read_text()[:-40])
    again = go(place)
    assert again.missing == 0
    strip = [{**line.__dict__, "seconds": 0} for line in again.comparison.lines]
    assert strip == [{**line.__dict__, "seconds": 0} for line in whole.comparison.lines]
    assert again.comparison.differences == whole.comparison.differences


def test_an_interruption_leaves_a_comparison_that_goes_on(place: Path) -> None:
    brake = Brake()

    def stop(name: str, seed: int, number: int, of: int) -> None:
        if number == 2:
            brake.pull(Interrupted("enough"))

    files = [place / "ga.yaml", place / "climber.yaml"]
    work = acompare(files, seeds=2, budget="evaluations=12", run=place / "cmp", on_run=stop, brake=brake)
    with pytest.raises(Interrupted, match="enough"):
        asyncio.run(work)
    assert [(one.name, one.seed) for one in rows_of(place / "cmp" / "rows.jsonl")] == [("ga", 0)]
    assert go(place, seeds=2).missing == 0


@pytest.mark.parametrize("unit", ["calls=200", "tokens=9000"])
def test_other_units(place: Path, unit: str) -> None:
    task = {"cases": {"path": "cases.jsonl"}, "dev": 10, "test": 10, "seeds": ["Good or bad?", "Say it.", "Which?"]}
    for name, recipe in (("one", "evoprompt-ga"), ("two", "seeds")):
        change: dict[str, Any] = {"recipe": recipe, "task": task, "models": {"task": "embedded", "operator": "edits"}}
        path = file(place, name, **change)
        if recipe == "seeds":
            values = yaml.safe_load(path.read_text())
            path.write_text(yaml.safe_dump({k: v for k, v in values.items() if k not in ("population", "steps")}))
    found = go(place, "one", "two", seeds=1, budget=unit)
    name, _, amount = unit.partition("=")
    assert all(getattr(line, name) <= float(amount) for line in found.comparison.lines)
    assert found.missing == 0 and (place / "cmp" / "curves.svg").exists()


def test_seconds_end_a_run_and_what_was_found_by_then_counts(place: Path) -> None:
    found = go(place, seeds=1, budget="seconds=4")
    assert found.missing == 0 and found.pause is None
    assert all(line.seconds >= 4 and line.evaluations >= 2 for line in found.comparison.lines)
    assert "dev score by" in (place / "cmp" / "curves.svg").read_text()


def test_another_budget_that_is_spent_first_pauses_and_makes_no_row(place: Path) -> None:
    for name, recipe in (("ga", "evoprompt-ga"), ("climber", "one-plus-one")):
        file(place, name, recipe=recipe, budget={"evaluations": 6})
    found = go(place, seeds=1, budget="seconds=600")
    assert isinstance(found.pause, BudgetExhausted) and found.missing == 2


def test_the_common_budget_takes_the_place_of_an_equal_stop(place: Path) -> None:
    for name, recipe in (("ga", "evoprompt-ga"), ("climber", "one-plus-one")):
        file(place, name, recipe=recipe, stop={"evaluations": 5})
    assert all(line.evaluations > 8 for line in go(place, seeds=1).comparison.lines)


def test_without_any_curve_there_are_tables_and_no_figure(place: Path) -> None:
    go(place, seeds=1)
    folder = place / "cmp"
    kept = [replace(one, curve=()) for one in rows_of(folder / "rows.jsonl")]
    (folder / "rows.jsonl").write_text("".join(one.dump() + "\n" for one in kept))
    for name in ("table.md", "curves.csv", "curves.svg"):
        (folder / name).unlink()
    assert go(place, seeds=1).missing == 0
    assert (folder / "table.md").exists() and not (folder / "curves.svg").exists() and not (folder / "curves.csv").exists()


def test_the_command(place: Path) -> None:
    files = [str(place / "ga.yaml"), str(place / "climber.yaml")]
    words = ["compare", *files, "--seeds", "1", "--budget", "evaluations=8", "--run", str(place / "c")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "against climber" in done.output and all(len(line) <= 80 for line in done.output.splitlines() if str(place) not in line)
    assert "curves.svg" in done.output and "| ga | 1 |" in (place / "c" / "table.md").read_text()
    record = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert record["missing"] == 0 and record["differences"][0]["a"] == "ga" and record["unit"] == "evaluations"


TASK = BASE["task"]


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"task": {**TASK, "test": 8}}, {}, "the same test cases:\n.*ga.yaml: 24 of cases.jsonl.*\n.*climber.yaml: 8 of cases"),
        ({"task": {**TASK, "dev": 20}}, {}, "do not have the same"),
        ({"seed": 5}, {}, "do not have the same"),
        ({"task": {**TASK, "scorer": "exact-ignore-case"}}, {}, "do not have the same scorer"),
        ({"task": {**TASK, "dev": 48}}, {}, "no test cases"),
        ({"budget": {"evaluations": 5}}, {}, "its budget is evaluations: 5, and 12 is compared"),
        ({"budget": {"calls": 5}}, {}, "differ in budget.calls"),
        ({"stop": {"within": {"evaluations": 5}}}, {}, "stop.within.evaluations is 5, and 12 is compared"),
        ({"stop": {"within": {"calls": 5}}}, {}, "differ in stop.within"),
        ({"stop": {"target": 0.9}}, {}, "differ in stop.target"),
        ({"stop": {"evaluations": 5}}, {}, "differ in stop.evaluations"),
        ({"racing": True}, {}, "counts every lap as an evaluation.*compare by calls or tokens"),
        ({}, {"budget": None}, "equal in what"),
        ({}, {"budget": "evaluation=5"}, "did you mean 'evaluations'"),
        ({}, {"budget": "evaluations"}, "write unit=number"),
        ({}, {"budget": "calls=1.5"}, "whole number"),
        ({}, {"budget": {"calls": 5, "tokens": 5}}, "one budget is held equal, not 2"),
        ({}, {"seeds": 0}, "at least one"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_with_the_cure(place: Path, change: dict[str, Any], options: dict[str, Any], words: str) -> None:
    file(place, "climber", **{"recipe": "one-plus-one", **change})
    with pytest.raises(ConfigError, match=words):
        go(place, **options)
    assert not (place / "cmp").exists()


def test_names_and_folders_that_are_taken_are_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match="at least two"):
        go(place, "ga")
    with pytest.raises(ConfigError, match="same name"):
        go(place, "ga", "ga")
    go(place, seeds=1)
    with pytest.raises(ConfigError, match=r"holds another comparison \(budget 12 evaluations"):
        go(place, budget="evaluations=16")
    file(place, "ga", population=6)
    with pytest.raises(ConfigError, match=r"another comparison \(run files ga"):
        go(place)
    with pytest.raises(ConfigError, match="not empty"):
        go(place, run=place)
    file(place, "ga")
    held = hold(place / "cmp")
    with pytest.raises(RunHeld):
        go(place)
    held.close()


def test_a_limit_in_another_unit_holds_beside_the_budget(place: Path) -> None:
    file(place, "ga", stop={"within": {"calls": 10**6}})
    within = limited(contender_of(place / "ga.yaml", ()).config, 0, "evaluations", 8.0).stop.within
    assert dict(within) == {"calls": 10**6, "evaluations": 8}


def test_show_says_what_the_folder_of_a_comparison_is(place: Path) -> None:
    go(place, seeds=1)
    done = CliRunner().invoke(app, ["show", str(place / "cmp")])
    assert done.exit_code != 0 and isinstance(done.exception, ConfigError)
    words = str(done.exception)
    assert "folder of a comparison" in words and str(place / "cmp" / "table.md") in words and "climber/seed-0" in words


def test_the_same_winner_is_noted() -> None:
    rows = [replace(row(name, seed, "1100"), key=key) for name, seed, key in (("a", 0, "x"), ("a", 1, "x"), ("b", 0, "x"), ("b", 1, "y"))]
    found = compare(rows, ["a", "b"], "calls", 10)
    assert found.same == {("a", "b"): (0,)} and [line.winners for line in found.lines] == [1, 2]
    assert "a and b: the same winner in 1 of 2 seeds (0)" in found.markdown() and "the same with all 2 seeds" in found.markdown()
    old = compare([replace(one, key="") for one in rows], ["a", "b"], "calls", 10)
    assert not old.same and not old.notes, "rows that do not say are no equal ones"


def test_other_contents_of_the_same_file_of_cases_are_noticed(place: Path) -> None:
    go(place, seeds=1)
    cases = place / "cases.jsonl"
    cases.write_text(cases.read_text().replace("lamp", "sofa"))
    with pytest.raises(ConfigError, match=r"another comparison \(cases or scorer differ"):
        go(place, seeds=1)


def test_another_scorer_under_the_same_name_is_noticed(place: Path) -> None:
    def written(text: str) -> None:
        (place / "kind_scorer.py").write_text(f"def score(answer, case):\n    return float({text})\n")
        sys.modules.pop("kind_scorer", None)
        importlib.invalidate_caches()

    for name, recipe in (("ga", "evoprompt-ga"), ("climber", "one-plus-one")):
        file(place, name, recipe=recipe, task={**TASK, "scorer": "kind_scorer:score"})
    written("answer.strip() == case.target")
    go(place, seeds=1)
    written("answer.strip() == str(case.target).strip() or 0.0")
    with pytest.raises(ConfigError, match=r"another comparison \(cases or scorer differ"):
        go(place, seeds=1)


def test_the_plan_is_written_once_and_a_damaged_one_is_said(place: Path) -> None:
    folder = place / "cmp"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "compare.new").write_text("{")
    go(place, seeds=1)
    plan = folder / "compare.json"
    assert not (folder / "compare.new").exists()
    before = plan.stat().st_mtime_ns, plan.stat().st_ino
    go(place, seeds=1)
    assert (plan.stat().st_mtime_ns, plan.stat().st_ino) == before
    for text in ("{", "[]", '{"files": {}}'):
        plan.write_text(text)
        with pytest.raises(StorageError, match="choose another folder"):
            go(place, seeds=1)
        assert plan.read_text() == text
        hold(folder).close()


def test_a_folder_of_something_else_is_left_as_it_is(place: Path) -> None:
    before = sorted(place.iterdir())
    with pytest.raises(ConfigError, match="not empty"):
        go(place, run=place)
    assert sorted(place.iterdir()) == before


def test_budgets_of_the_files_count_when_they_agree(place: Path) -> None:
    for name, recipe in (("ga", "evoprompt-ga"), ("climber", "one-plus-one")):
        file(place, name, recipe=recipe, budget={"evaluations": 9})
    assert go(place, seeds=1, budget=None).comparison.amount == 9


def row(name: str, seed: int, right: str) -> Row:
    scores = {f"c{i}": float(bit) for i, bit in enumerate(right)}
    return Row(name, seed, scores, scores, 5, 10, 100, 1.0, "w", "r", ((1.0, 0.2), (5.0, 0.5 + seed / 10)))


def test_only_seeds_that_both_have_are_paired() -> None:
    rows = [row("a", 0, "1111"), row("a", 1, "1111"), row("b", 1, "0000")]
    found = compare(rows, ["a", "b", "c"], "calls", 10)
    assert [line.name for line in found.lines] == ["a", "b"] and found.differences["a", "b"].runs == 1
    assert found.differences["a", "b"].verdict == "better"


def test_curves_hold_the_best_and_escape_names() -> None:
    one = curve([row("a", 0, "1").curve, row("a", 1, "1").curve], 10.0)
    assert one.mean[0] == pytest.approx(0.2) and one.mean[-1] == pytest.approx(0.55) and one.places[-1] == 10
    assert one.low[-1] < one.mean[-1] < one.high[-1]
    name = 'a<script>,"b"'
    assert "<script>" not in as_svg({name: one}, "calls", "t<t>")
    assert next(csv.reader(as_csv({name: one}, "calls").splitlines()[1:]))[0] == name
