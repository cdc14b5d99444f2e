"""Races of adapters, and of prompt and adapter in one genome, through run files, on the model that ships with the package."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from llmevo import runs
from llmevo.config import KINDS
from llmevo.report.doctor import examine
from llmevo.report.summary import summarise
from llmevo.weights.leaves import load_expert
from tests.weights.test_joint_runs import BOTH
from tests.weights.test_runs import loaded, place, run, settings

__all__ = ["place"]
RACING: dict[str, Any] = {"block": 4, "places": 1, "fresh": 4, "finalists": 2}
ADAPTERS: dict[str, Any] = {"racing": RACING, "task": {**settings()["task"], "dev": 16}}
TOGETHER: dict[str, Any] = {**BOTH, "racing": RACING, "task": {**BOTH["task"], "dev": 16}}
VOTING: dict[str, Any] = {**ADAPTERS, "recipe": "genome-plus", "vote": 2, "task": {**ADAPTERS["task"], "fitness": "score"}}


@pytest.mark.parametrize("more", [ADAPTERS, TOGETHER, VOTING], ids=["adapters", "prompt and adapter", "adapters that vote"])
def test_a_race_from_a_run_file_to_the_crowned_one(place: Path, more: dict[str, Any]) -> None:
    folder = place / "runs" / "race"
    found = asyncio.run(run(place, folder, **more))
    assert found.outcome.reason == "all planned births were made" and found.crowning is not None and found.held_out is not None
    assert found.best is not None and found.crowning.fresh.n == 4 and len(found.best.fitness.cases) == 12
    assert found.outcome.progress.reassessed > 0, "somebody ran a second lap"
    summary = summarise(folder, KINDS)
    assert summary.best == found.best and summary.evaluations == found.outcome.progress.evaluations and summary.vote == found.vote
    assert runs.replay_run(*loaded(place, **more), folder).history == found.outcome.history and not examine(folder).problems
    assert asyncio.run(run(place, folder, **more)).outcome.history == found.outcome.history
    if found.vote is not None:
        assert found.vote.candidates[0] == found.best.genome.key, "the crowned one votes first"
    if "genome" not in more:
        assert load_expert(found.export(place / "best")).adapter


def test_adapters_are_dropped_and_cost_no_further_lap(place: Path) -> None:
    folder = place / "runs" / "race"
    found = asyncio.run(run(place, folder, **{**ADAPTERS, "racing": {**RACING, "rule": "truncation"}}))
    dropped = summarise(folder, KINDS).dropped
    births = found.outcome.progress.births - found.outcome.progress.reassessed
    assert dropped and found.outcome.progress.evaluations < 3 * births and all("not among the best" in one.why for one in dropped)
