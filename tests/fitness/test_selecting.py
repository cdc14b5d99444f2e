"""Cases of a test split do not select, whichever way they come, unless that is said in as many words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import llmevo
from llmevo.config import check_config, load_task
from llmevo.core import ConfigError
from llmevo.fitness import Case, not_test, split_of

ROWS = [{"input": f"text {i}", "target": "ab"[i % 2]} for i in range(12)]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def load(near: Path, cases: dict[str, Any], **task: Any) -> Any:
    config = check_config({"recipe": "seeds", "task": {"cases": cases, **task}})
    return load_task(config.task, seed=0, near=near)


@pytest.mark.parametrize("name", ["test.jsonl", "sst2_test.jsonl", "Test-00000-of-00001.jsonl"])
def test_a_file_that_is_a_test_split_by_its_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ROWS)
    with pytest.raises(ConfigError, match=r"by its name a test split(.|\n)*give these as `test`(.|\n)*`select_on_test: true`"):
        load(tmp_path, {"path": name})
    assert load(tmp_path, {"path": name}, select_on_test=True).dev


@pytest.mark.parametrize("name", ["contest.jsonl", "testimony.jsonl", "attested.jsonl", "train.jsonl"])
def test_a_name_that_only_sounds_like_it(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ROWS)
    assert load(tmp_path, {"path": name}).dev


def test_rows_that_say_so_of_themselves(tmp_path: Path) -> None:
    marked = [{**row, "split": "Test" if i < 3 else "train"} for i, row in enumerate(ROWS)]
    write(tmp_path / "all.jsonl", marked)
    with pytest.raises(ConfigError, match="3 of the 12 cases that select say `split: test`"):
        load(tmp_path, {"path": "all.jsonl"})
    assert load(tmp_path, {"path": "all.jsonl"}, select_on_test=True).dev


def test_in_their_own_place_they_are_welcome(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS)
    write(tmp_path / "test.jsonl", [{"input": f"other {i}", "target": "ab"[i % 2], "split": "test"} for i in range(6)])
    task = load(tmp_path, {"path": "train.jsonl"}, test={"path": "test.jsonl"})
    assert (len(task.dev), len(task.test)) == (12, 6)


@pytest.mark.parametrize(("split", "refused"), [("test", True), ("train+test", True), ("test[:50%]", True), ("validation", False)])
def test_a_split_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, split: str, refused: bool) -> None:
    cases = [Case(str(i), f"text {i}", "ab"[i % 2]) for i in range(12)]
    monkeypatch.setattr("llmevo.config.task.load_hub", lambda *arguments, **options: cases)
    where = {"dataset": "some/set", "split": split}
    if refused:
        with pytest.raises(ConfigError, match="the cases that select are the split"):
            load(tmp_path, where)
        assert load(tmp_path, where, select_on_test=True).dev
    else:
        assert load(tmp_path, where).dev


def adapters(cases: Any) -> Any:
    return llmevo.evolve_adapters(["a", "b"], cases, base="x")


@pytest.mark.parametrize("evolve", [llmevo.optimize_prompt, adapters])
def test_the_python_face_refuses_rows_and_data_sets(evolve: Any) -> None:
    with pytest.raises(ConfigError, match="12 of the 12 cases that select"):
        evolve([{**row, "split": "test"} for row in ROWS])


def test_the_python_face_takes_them_when_told_to() -> None:
    rows = [{**row, "split": "test"} for row in ROWS]
    found = llmevo.optimize_prompt(
        rows, prompts=["a", "b"], model="embedded", operator="edits", select_on_test=True, recipe="random", population=2, steps=1
    )
    assert found.best is not None


def test_a_loaded_data_set_knows_its_split() -> None:
    datasets = pytest.importorskip("datasets")
    found = datasets.Dataset.from_list(ROWS, split="test")
    assert split_of(found) == "test" and split_of(ROWS) is None and split_of("text") is None
    with pytest.raises(ConfigError, match="the cases that select are the split 'test'"):
        llmevo.optimize_prompt(found, prompts=["a"])


def test_what_selects_may_have_any_other_name() -> None:
    cases = [Case("1", "x", "y")]
    not_test(cases, "cases", split="train", path="data/dev.txt")
    with pytest.raises(ConfigError):
        not_test(cases, "cases", split="test", path="data/dev.txt")
