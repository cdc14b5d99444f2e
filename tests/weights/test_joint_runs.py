"""A run file in which a prompt, its examples and an adapter evolve in one genome, on the model that ships with the package."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from typer.testing import CliRunner

from llmevo import exporting, runs
from llmevo.cli.app import app
from llmevo.core import ConfigError
from llmevo.report.doctor import examine
from llmevo.weights.leaves import load_expert
from tests.weights.test_runs import loaded, place, run

__all__ = ["place"]
TASK = {"cases": {"path": "cases.jsonl", "labels": ["good", "bad"]}, "seeds": ["Is it good?", "Good or bad?"], "dev": 14}
BOTH: dict[str, Any] = {
    "recipe": "evoprompt-ga", "founders": "all", "population": 4, "steps": 2, "genome": ["prompt", "adapter"],
    "models": {"base": "embedded", "operator": "edits"}, "task": TASK,
}  # fmt: skip


def parts_of(result: Any) -> set[tuple[str, ...]]:
    return {one.genome.names for one in result.outcome.view.hall}


def test_prompt_and_adapter_evolve_together_and_the_run_is_repeated_and_written(place: Path) -> None:
    folder = place / "runs" / "both"
    result = asyncio.run(run(place, folder, **BOTH))
    assert result.best is not None and result.held_out is not None and parts_of(result) == {("prompt", "adapter")}
    people = [*result.outcome.view.population]
    assert len({one.genome.taken("prompt").key for one in people}) > 1 and len({one.genome.taken("adapter").key for one in people}) > 1
    assert asyncio.run(run(place, None, **BOTH)).outcome.history == result.outcome.history
    assert runs.replay_run(*loaded(place, **BOTH), folder).history == result.outcome.history
    assert not examine(folder).problems
    done = CliRunner().invoke(app, ["best", str(folder), "-o", str(place / "best")])
    assert done.exit_code == 0, done.output
    assert (place / "best" / "prompt.txt").read_text().strip() == result.best.genome.taken("prompt").text
    assert load_expert(place / "best" / "adapter").base == "embedded"
    with pytest.raises(ConfigError, match="not empty"):
        exporting.export_parts(folder, place / "best")
    shown = json.loads(CliRunner().invoke(app, ["show", str(folder), "--json"]).output)
    assert set(shown["best"]["parts"]) == {"prompt", "adapter"}


@pytest.mark.parametrize(
    ("parts", "fixed"),
    [(["prompt"], {"adapter"}), (["adapter"], {"prompt"}), (["shots"], {"prompt", "adapter"}), (["prompt", "shots", "adapter"], set())],
)
def test_what_does_not_evolve_stays_as_it_was(place: Path, parts: list[str], fixed: set[str]) -> None:
    task = {**TASK, "shots": {"pool": 4, "most": 2}} if "shots" in parts else TASK
    result = asyncio.run(run(place, None, **{**BOTH, "genome": parts, "task": task}))
    births = result.outcome.view.hall
    assert births
    for name in births[0].genome.names:
        different = {one.genome.taken(name).key for one in births}
        assert len(different) == 1 if name in fixed else name in parts


def test_an_operator_that_reads_failures_is_shown_them(place: Path) -> None:
    result = asyncio.run(run(place, None, **BOTH, seed=1))
    wrong = [one for one in result.outcome.view.hall if one.fitness.value < 1]
    assert wrong and all(one.fitness.feedback for one in wrong)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"experts": None}, "without them it is the prompt"),
        ({"genome": []}, "names each part that evolves once"),
        ({"genome": ["prompt", "prompt"]}, "names each part that evolves once"),
        ({"genome": ["promt"]}, "genome.*promt"),
        ({"genome": ["prompt", "shots"]}, "go together"),
        ({"genome": None, "task": {**TASK, "shots": {"pool": 4}}}, "go together"),
        ({"recipe": "genome", "founders": None}, "for adapters alone"),
        ({"models": {"base": "embedded"}}, "operator model"),
        ({"task": {**TASK, "seeds": [{"a": "x", "b": "y"}]}}, "one text"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_before_anything_is_paid(place: Path, change: dict[str, Any], words: str) -> None:
    values = {name: value for name, value in {**BOTH, **change}.items() if value is not None or name in ("experts", "genome")}
    with pytest.raises(ConfigError, match=words):
        asyncio.run(run(place, None, **values))
