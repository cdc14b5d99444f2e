"""NSGA-II and several operator models from a run file: the front is printed, the bandit chooses among operators and models."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llmevo import runs
from llmevo.cli import main
from llmevo.config import KINDS, assemble, load_task, read_config
from llmevo.config.estimate import estimate
from llmevo.core import ConfigError
from llmevo.llm.build import Connections
from llmevo.llm.contract import Request
from llmevo.refining import refine
from llmevo.report.summary import summarise
from tests.runs.helpers import write_run

WRITTEN: Counter[str] = Counter()


def task(request: Request) -> str:
    """Right as often as the prompt has a `good`, and as long as the prompt."""
    prompt = request.messages[-1].content.split("\n\n")[0]
    return "good" if "good" in prompt.split()[:1] else "bad " * len(prompt.split())


def writer(name: str) -> Any:
    def write(request: Request) -> str:
        WRITTEN[name] += 1
        # The good writer adds words at the end: what it gains is seen by a score that counts words.
        return f"<prompt>{'so ' + 'good ' * (1 + WRITTEN[name]) if name == 'able' else request.sample[-4:]}</prompt>"

    return write


able, idle = writer("able"), writer("idle")


def words(answer: str, case: Any) -> float:
    return len(answer.split()) / 100


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "several_models", sys.modules[__name__])
    WRITTEN.clear()


def values(**more: Any) -> dict[str, Any]:
    return {
        "recipe": "nsga2",
        "population": 4,
        "steps": 3,
        "models": {"task": "scripted:several_models:task", "operator": "scripted:several_models:able"},
        "task": {
            "cases": {"path": "cases.jsonl"},
            "dev": 4,
            "test": 2,
            "scorer": {"objectives": {"right": "exact", "long": "several_models:words"}, "weights": {"right": 1.0, "long": 0.1}},
            "seeds": ["good", "say it", "name the feeling in words", "well"],
        },
        **more,
    }


def run(file: Path, folder: Path | None = None) -> runs.Result:
    config = read_config(file)
    return asyncio.run(runs.run(config, load_task(config.task, seed=config.seed, near=file.parent), folder=folder))


def test_nsga2_keeps_a_front_and_show_and_best_print_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, folder = write_run(tmp_path, values()), tmp_path / "run"
    done = run(file, folder)
    population = done.outcome.view.population
    assert len(population) == 4 and all(set(one.fitness.objectives) == {"right", "long"} for one in population)
    summary = summarise(folder, KINDS)
    points = [(one.fitness.objectives["long"], one.fitness.objectives["right"]) for one in summary.front]
    assert len(points) >= 2 and points == sorted(points) and [p[1] for p in points] == sorted((p[1] for p in points), reverse=True)
    for arguments in (["show", str(folder)], ["show", str(folder), "--json"], ["best", str(folder), "--json"]):
        with pytest.raises(SystemExit):
            sys.argv = ["llmevo", *arguments]
            main()
        out = capsys.readouterr().out
        assert len(json.loads(out)["front"]) == len(points) if "--json" in arguments else "the front" in out and "distinct-2" in out
    again = run(file, folder)
    assert again.outcome.history == done.outcome.history


@pytest.mark.parametrize(
    ("scorer", "words"),
    [
        ({"objectives": {"a": "exact", "b": "contains"}}, "either `weights: {...}` or `lexicographic: [...]`"),
        ({"objectives": {"a": "exact", "b": "contains"}, "weights": {"a": 1.0, "c": 1.0}}, "there is no objective 'c'"),
        ({"objectives": {"a": "exact"}, "weights": {"a": 1.0}}, "at least two"),
        ({"objectives": {"a": "exact", "b": "contains"}, "weigths": {"a": 1.0}}, "did you mean 'weights'"),
        ({"objectives": {"a": "exact", "b": "contans"}, "lexicographic": ["a", "b"]}, "did you mean 'contains'"),
    ],
)
def test_mistakes_in_objectives_are_named(tmp_path: Path, scorer: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(write_run(tmp_path, values(task={**values()["task"], "scorer": scorer})))
    assert words in str(caught.value)


def two_models(**more: Any) -> dict[str, Any]:
    operator = [{"model": f"scripted:several_models:{name}", "timeout": 30.0} for name in ("idle", "able")]
    task = {**values()["task"], "scorer": "several_models:words"}
    models = {"task": "scripted:several_models:task", "operator": operator}
    return values(recipe="evoprompt-ga", founders="all", population=4, steps=30, batch=1, models=models, task=task, **more)


def test_a_bandit_finds_the_model_that_gains(tmp_path: Path) -> None:
    run(write_run(tmp_path, two_models(choose="bandit")))
    chosen = dict(WRITTEN)
    WRITTEN.clear()
    run(write_run(tmp_path, two_models()))
    assert chosen["able"] > chosen["idle"] and abs(WRITTEN["able"] - WRITTEN["idle"]) < 60, (chosen, WRITTEN)


def test_several_models_are_planned_frozen_and_replayed(tmp_path: Path) -> None:
    file, folder = write_run(tmp_path, two_models(choose="bandit")), tmp_path / "run"
    config = read_config(file)
    loaded = load_task(config.task, seed=0, near=tmp_path)
    rows = estimate(assemble(config, loaded, Connections()), loaded)
    assert [row.model for row in rows if row.role == "operator"] == ["scripted:several_models:idle", "scripted:several_models:able"]
    done = run(file, folder)
    assert runs.replay_run(config, loaded, folder).history == done.outcome.history

    changed = two_models(choose="bandit")
    changed["models"]["operator"][1]["timeout"] = 5.0
    run(write_run(tmp_path, changed), folder)
    changed["models"]["operator"][1]["temperature"] = 0.1
    with pytest.raises(ConfigError, match=r"models\.operator\.1\.temperature"):
        run(write_run(tmp_path, changed), folder)
    changed["models"]["operator"][1] = {"modle": "x"}
    with pytest.raises(ConfigError, match=r"models\.operator\.1\.modle: unknown key; did you mean 'model'"):
        read_config(write_run(tmp_path, changed))


def test_ga_llm_chooses_by_a_bandit() -> None:
    def model(request: Request) -> str:
        return f"<answer>{'good ' * (1 + WRITTEN['x'])}</answer>" if not WRITTEN.update(["x"]) else ""

    sys.modules[__name__].model = model  # type: ignore[attr-defined]
    found = refine("?", lambda answer: len(answer.split()), model="scripted:several_models:model", population=3, steps=3, choose="bandit")
    assert found.score is not None and found.score > 3
