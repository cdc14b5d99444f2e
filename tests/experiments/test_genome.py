"""The study of searches over adapters: skills are graded and regimes differ, tables say what the numbers say, one command runs it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
STUDY = CHECKOUT / "experiments" / "genome"


def module_of(name: str) -> ModuleType:
    """A module of the study, which finds its neighbours as when it runs as a script."""
    spec = importlib.util.spec_from_file_location(f"genome_{name}", STUDY / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(STUDY))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(STUDY))
    return module


def tables() -> ModuleType:
    return module_of("tables")


def cell(compared: ModuleType, share: dict[str, float], regime: str = "noisy", pool: int = 0, draw: int = 0) -> dict[str, Any]:
    """A row in which each method is right on this share of 400 samples: on the first ones, so that methods are paired."""
    import numpy as np

    methods = (*compared.SIMPLE, *compared.SEARCHES, *compared.VOTES)
    scores = {}
    for name in methods:
        value = share.get(name, 0.5)
        right = np.packbits(np.arange(400) < 400 * value).tobytes().hex()
        scores[name] = {"validation": value, "confirmation": value, "test": value, "others": 0.5, "evaluations": 110, "right": right}
    return {"regime": regime, "pool": pool, "draw": draw, "cpu": 1.0, "methods": scores}


TRAINED = [{"pool": 0, "regime": None, "accuracy": 0.6, "cpu": 60}, {"pool": 0, "regime": "noisy", "cpu": 60}]


def test_the_table_says_who_wins_who_does_not_and_who_breaks_the_bar() -> None:
    compared = tables()
    share = {"average": 0.6, "genome": 0.7, "cma": 0.55, "m2n2": 0.6}
    rows = [cell(compared, share, regime, pool) for regime in ("noisy", "disjoint") for pool in range(3)]
    text = compared.tables(TRAINED, rows)
    lines = {line.split("|")[1].strip(): line for line in text.partition("### All regimes")[2].splitlines() if line.startswith("|")}
    assert lines["`genome`"].count("better") == 4
    assert lines["`cma`"].rstrip(" |").endswith("worse")
    assert "`genome` does not beat" not in text
    assert "`m2n2` does not beat the best of the portfolio: +0.0 [+0.0, +0.0]." in text
    (broken,) = [line for line in text.splitlines() if line.startswith("* `cma`")]
    assert "worse by more than 0.5 points" in broken
    assert "this is a part" in text and "noisy: 3 pools, 3 draws" in text


def test_the_best_by_confirmation_never_looks_at_test() -> None:
    compared = tables()
    one = cell(compared, {"average": 0.6, "genome": 0.7})
    one["methods"]["genome"]["confirmation"] = 0.55
    assert compared.chosen(one, compared.CROWNED) == compared.chosen(one, compared.CHOSEN) == "average"
    one["methods"]["genome"]["confirmation"] = 0.65
    assert compared.chosen(one, compared.CROWNED) == "genome" and compared.chosen(one, compared.CHOSEN) == "average"


def test_methods_are_paired_and_pools_are_resampled() -> None:
    compared = tables()
    alike = [cell(compared, {"genome": 0.6}, pool=pool) for pool in range(8)]
    apart = [cell(compared, {"genome": 0.4 + 0.4 * (pool % 2)}, pool=pool) for pool in range(8)]
    (mean, low, high), (_, wide_low, wide_high) = (compared.interval(rows, "genome", "base") for rows in (alike, apart))
    assert mean == pytest.approx(0.1) and 0.08 < low < high < 0.12
    assert wide_low < 0.05 and wide_high > 0.15
    assert compared.figure(alike).count("<circle") == 16


def test_a_line_that_was_cut_off_is_done_again_and_a_damaged_one_is_not_passed_over(tmp_path: Path) -> None:
    rows, path = module_of("rows"), tmp_path / "rows.jsonl"
    assert rows.rows_of(path) == []
    first, second, third = ({"pool": i, "said": "\u2028 \u00e9"} for i in range(3))
    rows.append(path, first)
    start = path.stat().st_size
    rows.append(path, second)
    whole = path.read_bytes()
    assert rows.rows_of(path) == [first, second]
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        assert rows.rows_of(path) == [first], f"cut after {end} bytes"
        rows.append(path, third)
        assert rows.rows_of(path) == [first, third]
    for line in (b'{"pool": 1, "said"\n', b"7\n", b"\xff\n"):
        path.write_bytes(whole[:start] + line + whole[start:])
        with pytest.raises(ValueError, match="line 2 is damaged"):
            rows.rows_of(path)


def test_skills_are_drawn_and_regimes_ask_what_they_say() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    code = """
import numpy as np
from pools import REGIMES
from world import SKILLS, World
from llmevo.core import Seed
world, seed = World(Seed.of(1)), Seed.of(2)
assert World(Seed.of(1)).cases([3], 50, seed) == world.cases([3], 50, seed) != World(Seed.of(5)).cases([3], 50, seed)
_, answers = world.draw(range(16), 20_000, seed)
assert np.bincount(answers, minlength=10).min() > 1000
for regime in REGIMES.values():
    lesson = regime.lesson(world, 4, seed)
    asked = {SKILLS.index(case.input[0]) for case in lesson}
    assert len(lesson) == regime.cases and (asked == {4} or regime.replay or asked == set(regime.target)), (regime, asked)
assert not set(REGIMES["disjoint"].target) & set(range(10))
clean, wrong = (world.cases([0], 1000, seed, wrong=share) for share in (0.0, 0.5))
assert 0.4 < np.mean([a.target != b.target for a, b in zip(clean, wrong)]) < 0.5
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=STUDY)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_one_command_runs_every_method() -> None:
    for package in ("torch", "peft", "cma"):
        pytest.importorskip(package)
    before = {path: path.read_bytes() for path in STUDY.glob("*.md")}
    done = subprocess.run(
        [sys.executable, str(STUDY / "run.py"), "--smoke"], capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for words in ("### disjoint", "| `genome-plus` |", "| gradient LoRA on the 200 |", "### Where search does not win", "this is a part"):
        assert words in done.stdout, done.stdout
    assert before == {path: path.read_bytes() for path in STUDY.glob("*.md")}
