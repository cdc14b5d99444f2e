"""Few-shot sets: what an edit may do, that no prompt is scored on what it shows, and a whole run that finds the example that helps."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo import runs
from llmevo.config import assemble, load_task, read_config
from llmevo.config.estimate import estimate
from llmevo.core import ConfigError, Context, Fitness, Individual, Seed, VariationFailed
from llmevo.fitness import Case
from llmevo.llm.build import Connections
from llmevo.llm.contract import Request
from llmevo.testing.contracts import check_variation
from llmevo.text import TextGenome, WordEdits
from llmevo.text.shots import PROMPT, SHOTS, ShotEdits, WithShots, packed, unpacked, with_shots
from tests.runs.helpers import write_run

POOL = tuple(Case(str(i), f"in {i}", f"out {i}") for i in range(6))
ALL = [(case.input, str(case.target)) for case in POOL]


def one(shots: list[tuple[str, str]]) -> Individual[TextGenome]:
    return Individual("1", TextGenome({PROMPT: "say it well and in full", SHOTS: packed(shots)}), Fitness(0.5))


def child(variation: Any, shots: list[tuple[str, str]], number: int) -> list[tuple[str, str]]:
    genome = asyncio.run(variation([one(shots)], Context(Seed.of(number), "x")))
    assert genome.part(PROMPT) == "say it well and in full"
    return unpacked(genome.part(SHOTS))


@given(st.lists(st.sampled_from(ALL), max_size=4, unique=True), st.integers(0, 10_000), st.integers(1, 4))
def test_an_edit_adds_drops_swaps_or_exchanges_one(shots: list[tuple[str, str]], number: int, most: int) -> None:
    edits = ShotEdits(POOL, most)
    new = child(edits, shots, number)
    assert new != shots and len(set(new)) == len(new) and set(new) <= set(ALL)
    assert len(new) <= max(most, len(shots)) and abs(len(new) - len(shots)) <= 1
    if len(new) == len(shots):
        assert set(new) == set(shots) or len(set(new) & set(shots)) == len(shots) - 1
    else:
        longer, shorter = sorted((new, shots), key=len, reverse=True)
        assert [shot for shot in longer if shot in shorter] == shorter, "the others keep their order"


def test_every_kind_of_edit_occurs_and_the_contract_is_kept() -> None:
    edits = ShotEdits(POOL, 3)
    found = [child(edits, ALL[:2], number) for number in range(60)]
    assert {len(new) for new in found} == {1, 2, 3}
    assert ALL[1::-1] in found and any(len(new) == 2 and set(new) != set(ALL[:2]) for new in found)
    check_variation(edits, [one(ALL[:2])])
    check_variation(WithShots(WordEdits(("calmly",)), edits), [one(ALL[:2])])
    alone = ShotEdits(POOL[:1], 1)
    assert child(alone, [], 0) == ALL[:1] and child(alone, ALL[:1], 0) == []
    for pool, most in (((), 3), (POOL, 0)):
        with pytest.raises(ConfigError):
            ShotEdits(pool, most)
    with pytest.raises(ConfigError, match="JSON list"):
        unpacked("Input: x")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        WithShots(WordEdits(), edits, 1.5)


def test_a_child_has_another_text_or_other_examples_never_both() -> None:
    mixed = WithShots(WordEdits(("calmly", "briefly")), ShotEdits(POOL, 3), 0.5)
    before = one(ALL[:2]).genome
    kinds = set()
    for number in range(40):
        try:
            after = asyncio.run(mixed([one(ALL[:2])], Context(Seed.of(number), "x")))
        except VariationFailed:
            continue
        changed = tuple(name for name in before.parts if before.part(name) != after.part(name))
        kinds.add(changed)
    assert kinds - {()} == {(PROMPT,), (SHOTS,)}


def test_a_model_reads_the_examples_behind_the_prompt() -> None:
    assert with_shots("Do it.", packed(ALL[:2])) == "Do it.\n\nInput: in 0\nAnswer: out 0\n\nInput: in 1\nAnswer: out 1"
    assert with_shots("Do it.", packed([])) == "Do it."


SEEN: list[str] = []


def model(request: Request) -> str:
    """Right as often as it was shown an example with `good`."""
    question = request.messages[-1].content
    SEEN.append(question)
    return "good" if "Answer: good" in question else "bad"


def values(**shots: Any) -> dict[str, Any]:
    return {
        "recipe": "evoprompt-ga",
        "population": 4,
        "steps": 4,
        "models": {"task": "scripted:shots_model:model", "operator": "edits"},
        "task": {
            "cases": {"path": "cases.jsonl"},
            "dev": 20,
            "test": 6,
            "seeds": ["Is it good or bad?", "Name the feeling."],
            "shots": {"pool": 8, "most": 2, **shots},
        },
    }


def test_a_run_evolves_examples_that_it_is_not_scored_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shots_model", sys.modules[__name__])
    SEEN.clear()
    file, folder = write_run(tmp_path, values(rate=1.0), rows=30), tmp_path / "run"
    config = read_config(file)
    task = load_task(config.task, seed=config.seed, near=tmp_path)
    assert task.shots is not None and len(task.shots.pool) == 8 and len(task.dev) == 12
    assert not {case.id for case in task.shots.pool} & {case.id for case in (*task.dev, *task.test)}
    row = next(row for row in estimate(assemble(config, task, Connections()), task) if row.role == "task")
    done = asyncio.run(runs.run(config, task, folder=folder))
    assert done.best is not None and set(done.best.genome.parts) == {PROMPT, SHOTS}
    assert any(answer == "good" for _, answer in json.loads(done.best.genome.part(SHOTS))) or done.best.fitness.value == 0.5
    pool = {case.input for case in task.shots.pool}
    assert all(part.split("\n")[0] in pool for question in SEEN for part in question.split("Input: ")[1:])
    assert max(len(question.encode()) for question in SEEN) * len(SEEN) <= row.worst.tokens_in
    asked = len(SEEN)
    again = asyncio.run(runs.run(config, task, folder=folder))
    assert again.outcome.history == done.outcome.history and len(SEEN) == asked
    assert runs.replay_run(config, task, folder).history == done.outcome.history

    with pytest.raises(ConfigError, match=r"task\.shots\.pool: 19 of 20 dev cases"):
        load_task(read_config(write_run(tmp_path, values(pool=19))).task, seed=0, near=tmp_path)
