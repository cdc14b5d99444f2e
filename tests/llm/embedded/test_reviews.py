"""The shipped review task: made by its generator, balanced, and readable by the library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from llmevo.library.prompts import load_prompts

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "prompts" / "reviews"


def test_the_cases_are_what_the_generator_makes(tmp_path: Path) -> None:
    out = tmp_path / "cases.jsonl"
    subprocess.run([sys.executable, str(ROOT / "experiments/embedded_lm/generate.py"), "--out", str(out)], check=True)
    assert out.read_bytes() == (FOLDER / "cases.jsonl").read_bytes()


def test_the_cases_are_balanced_and_distinct() -> None:
    cases = [json.loads(line) for line in (FOLDER / "cases.jsonl").read_text("utf-8").splitlines()]
    assert len({c["id"] for c in cases}) == len({c["input"] for c in cases}) == len(cases) >= 500
    good = sum(c["target"] == "good" for c in cases)
    assert {c["target"] for c in cases} == {"good", "bad"} and abs(good - len(cases) / 2) < 10


def test_the_library_reads_the_folder() -> None:
    found = load_prompts(str(FOLDER))
    assert len(found.seeds) >= 10
    assert found.task.render("Do it.", "It is late.") == "Do it.\n\nReview: It is late.\nAnswer:"
