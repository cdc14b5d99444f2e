"""Engine and size of a pass from shapes alone; what was decided is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from llmevo.core import ConfigError
from llmevo.weights.plans import Plan, Plans, choose


def shapes(width: int, layers: int, rank: int = 8) -> tuple[list[tuple[int, int]], dict[str, tuple[int, int, int]]]:
    sizes = [(width, width)] * 4 + [(3 * width, width)] * 2 + [(width, 3 * width)]
    every = sizes * layers
    return every, {f"m{i}": (*size, rank) for i, size in enumerate(every)}


def test_long_prompts_are_merged_and_few_short_steps_are_stacked() -> None:
    layers, adapted = shapes(512, 6)
    assert choose(layers, adapted, 10, [64] * 200, 0).engine == "merge"
    assert choose(layers, adapted, 10, [64] * 4, 32).engine == "stack"
    assert choose(layers, adapted, 1, [64] * 200, 0).engine == "merge"


def test_it_depends_on_the_kind_of_device() -> None:
    layers, adapted = shapes(2048, 22)
    for device in ("cpu", "cuda", "cuda:1", "mps", "xpu"):
        plan = choose(layers, adapted, 10, [128] * 200, 0, device)
        assert plan == choose(layers, adapted, 10, [128] * 200, 0, device)
        assert plan.tokens > 0


def test_chunks_hold_all_samples_once_and_no_more_than_fits() -> None:
    lengths = {i: 1 + (7 * i) % 40 for i in range(50)}
    for plan in (Plan("merge", 1, 100), Plan("stack", 4, 100), Plan("stack", 100, 7)):
        chunks = plan.chunks(lengths)
        assert sorted(i for chunk in chunks for i in chunk) == list(range(50))
        size = plan.size(max(lengths.values()))
        for chunk in chunks:
            assert len(chunk) == 1 or len(chunk) * max(lengths[i] for i in chunk) * size <= plan.tokens


def test_halving_ends() -> None:
    plan: Plan | None = Plan("stack", 10, 4096)
    for _ in range(20):
        if plan is None:
            break
        last, plan = plan, plan.halved(50)
    assert plan is None and last.size(50) == 1 and last.tokens <= 50


def test_a_ceiling_holds_for_every_plan_of_the_model(tmp_path: Path) -> None:
    plans = Plans(tmp_path / "plans.json")
    plans.put("model", "a", Plan("merge", 1, 4096))
    plans.lower("model", "a", Plan("merge", 1, 512))
    assert plans.put("model", "b", Plan("stack", 4, 4096)).tokens == 512
    assert plans.put("other", "b", Plan("stack", 4, 4096)).tokens == 4096
    read = Plans(tmp_path / "plans.json")
    assert (read.get("model", "a"), read.get("model", "b")) == (Plan("merge", 1, 512), Plan("stack", 4, 512))
    assert read.get("model", "c") is None


@pytest.mark.parametrize("text", ["", "{", '{"plans": {"a": {"engine": "x", "group": 1, "tokens": 1}}, "ceilings": {}}', "[]"])
def test_what_is_no_record_is_refused(tmp_path: Path, text: Any) -> None:
    path = tmp_path / "plans.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"plans\.json: is no record of plans"):
        Plans(path)
