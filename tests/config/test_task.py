"""The data of a run: what cannot be evolved on is refused with the count found, before anything is paid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmevo.config import Task, check_config, load_task
from llmevo.config.schema import CasesConfig, TaskConfig
from llmevo.core import ConfigError, Seed
from llmevo.llm import ScriptedLLM
from llmevo.recipes.text import TextKit


def load(near: Path, **task: Any) -> Task:
    config = check_config({"recipe": "seeds", "task": {"cases": {"path": "cases.jsonl"}, **task}})
    return load_task(config.task, seed=0, near=near)


def rows(*pairs: tuple[str, str], **more: str) -> str:
    return "".join(json.dumps({"input": a, "target": b, **more}) + "\n" for a, b in pairs)


MANY = [(f"text {i}", "ab"[i % 2]) for i in range(10)]


@pytest.mark.fault("C4")
@pytest.mark.parametrize(
    ("text", "task", "expected"),
    [
        ("", {}, "no case found"),
        ("\n\n", {}, "no case found"),
        (rows(("one", "a")), {}, "1 case found; at least 2"),
        (rows(*((f"text {i}", "same") for i in range(6))), {}, "1 class found"),
        ("{broken\n", {}, "cases.jsonl:1: not JSON"),
        ("[1]\n", {}, "one JSON object a line"),
        (json.dumps({"words": "x"}) + "\n", {}, "which of the columns words is the input"),
        (rows(*MANY), {"cases": {"path": "cases.jsonl", "columns": {"input": "inptu"}}}, "did you mean 'input'"),
        (rows(*MANY), {"cases": {"path": "cases.jsonl", "labels": ["a", "c"]}}, "unknown label 'b'"),
        (rows(*MANY), {"cases": {"path": "cases.jsonl", "split": "test"}}, "task.cases: a file has no splits"),
        (rows(*MANY), {"dev": 8, "test": 8}, "8 dev and 8 test cases wanted, 10 found"),
        (rows(*MANY), {"dev": 1}, "1 case found; at least 2"),
        (rows(*MANY), {"test": {"path": "cases.jsonl"}}, "10 of 10 test cases are also in dev"),
        (rows(*MANY), {"test": {"path": "tests.jsonl"}}, "relative to the folder of that file"),
        (rows(*MANY), {"scorer": "exakt"}, "did you mean 'exact'"),
        (rows(*MANY), {"scorer": "first-label"}, "two labels or more"),
        (rows(*MANY), {"scorer": "nowhere:score"}, "no module 'nowhere'"),
        (rows(*MANY), {"prompt": "revievs"}, "did you mean 'reviews"),
        (rows(*MANY), {"seeds": "seeds.txt"}, "seeds.txt"),
        (rows(*MANY), {"phenotype": "encoded", "encoder": "x"}, "need the label names"),
        (
            rows(*MANY),
            {"phenotype": "encoded", "encoder": "x", "cases": {"path": "cases.jsonl", "labels": {"a": "a", "b": "b"}}, "seeds": ["x"]},
            "maps each of the labels a, b",
        ),
    ],
)
def test_data_that_cannot_work(tmp_path: Path, text: str, task: dict[str, Any], expected: str) -> None:
    (tmp_path / "cases.jsonl").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **task)
    assert expected in str(caught.value)


@pytest.mark.fault("C4")
def test_a_missing_data_file_that_a_command_makes_names_it(tmp_path: Path) -> None:
    cases = {"path": "cases.jsonl", "made_by": "python make.py"}
    with pytest.raises(ConfigError, match=r"cases\.jsonl: there is no such file yet; make it with: python make\.py"):
        load(tmp_path, cases=cases)
    (tmp_path / "cases.jsonl").write_text(rows(*MANY))
    assert load(tmp_path, cases=cases)


@pytest.mark.fault("C4")
def test_a_missing_data_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "case.jsonl").write_text(rows(*MANY))
    with pytest.raises(ConfigError, match=r"no such file; did you mean 'case\.jsonl'"):
        load(tmp_path)


@pytest.mark.fault("C4")
def test_repeated_ids_are_refused_and_repeated_rows_stay_on_one_side(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text(rows(*MANY, id="same"))
    with pytest.raises(ConfigError, match="1 of 10 ids are not unique"):
        load(tmp_path)
    (tmp_path / "cases.jsonl").write_text(rows(*MANY, *MANY))
    task = load(tmp_path, dev=10)
    assert not {case.input for case in task.dev} & {case.input for case in task.test}


def test_the_split_is_the_seed_s(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text(rows(*MANY))
    config = check_config({"recipe": "seeds", "task": {"cases": {"path": "cases.jsonl"}, "dev": 4, "test": 3}})
    first, again, other = (load_task(config.task, seed=seed, near=tmp_path) for seed in (1, 1, 2))
    assert first.dev == again.dev and first.test == again.test and first.dev != other.dev
    assert len(first.dev) == 4 and len(first.test) == 3


def test_paths_are_found_beside_the_run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near = tmp_path / "häuser 東"
    near.mkdir()
    (near / "cases.jsonl").write_text(rows(*MANY))
    (near / "seeds.txt").write_text("Eins\nZwei\n")
    monkeypatch.chdir(tmp_path)
    task = load(near, seeds="seeds.txt")
    assert task.seeds == ("Eins", "Zwei") and len(task.dev) == 5


def test_class_descriptions_begin_with_the_label_names(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text(rows(*((text, str("ab".index(label))) for text, label in MANY)))
    cases = {"path": "cases.jsonl", "labels": ["poor", "fine"]}
    task = load(tmp_path, cases=cases, phenotype="encoded", encoder="x")
    assert task.seeds == ({"poor": "poor", "fine": "fine"},)
    given = load(tmp_path, cases=cases, phenotype="encoded", encoder="x", seeds=[{"fine": "B", "poor": "A"}])
    assert [list(one.items()) for one in given.seeds if not isinstance(one, str)] == [[("poor", "A"), ("fine", "B")]]


def test_the_classes_of_the_data_reach_the_task_template(tmp_path: Path) -> None:
    rows = "".join(f"text {i}\t{'spam' if i % 2 else 'ham'}\n" for i in range(20))
    (tmp_path / "mail.tsv").write_text(rows)
    config = TaskConfig(cases=CasesConfig(path="mail.tsv"), prompt="classification")
    template = load_task(config, seed=0, near=tmp_path).template
    assert "Classes: ham, spam" in template.render("Sort it.", "hello")
    many = "".join(f"text {i}\tanswer {i}\n" for i in range(60))
    (tmp_path / "mail.tsv").write_text(many)
    assert "Classes" not in load_task(config, seed=0, near=tmp_path).template.render("Sort it.", "hello")


def test_slots_of_an_operator_of_ones_own_come_from_the_run_file(tmp_path: Path) -> None:
    (tmp_path / "operators").mkdir()
    text = "---\nparents: [a]\nslots: [tone]\nanswer: prompt\n---\nSay {{ a }} in a {{ tone }} tone, in <prompt>...</prompt>.\n"
    (tmp_path / "operators" / "toned.md").write_text(text)
    kit = TextKit(["one"], ScriptedLLM([]), seed=Seed.of(0), slots={"tone": "warm"}, near=tmp_path)
    assert kit.operator("toned").arity == 1
    with pytest.raises(ConfigError, match="slots of your own"):
        TextKit(["one"], ScriptedLLM([]), seed=Seed.of(0), near=tmp_path).operator("toned")
