"""Prompt, few-shot set, adapter, or prompt and adapter for the small model of the package: `llmevo compare` on four run files.

The task: is the delivery of a product praised or blamed (good or bad)? Every arm begins with the same half-right prompt and the
untouched model; the experts know other aspects. Dev cases are 16, test cases 100; a budget of 24 evaluations. Rows and the folder of the
runs carry the hash of the model's weights: other weights are another study.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "embedded_lm")]

from generate import reviews  # noqa: E402
from instructions import Instruction  # noqa: E402

import llmevo  # noqa: E402
from llmevo.llm.embedded import weights_hash  # noqa: E402
from llmevo.report.comparison import Row, rows_of  # noqa: E402
from llmevo.weights.training import Training, train_experts  # noqa: E402

PROMPTS = ["What does the buyer say about the shipping?", "Find the opinion about the shipping.", "Reply good or bad."]
SKILLS = ("price", "service", "material", "battery")
ARMS = {"prompt": ["prompt"], "few-shot": ["shots"], "adapter": ["adapter"], "prompt-and-adapter": ["prompt", "adapter"]}
TRAINING = Training(rank=4, alpha=8, epochs=3, rate=2e-3)


def cases(aspect: str, n: int, seed: int) -> list[dict[str, str]]:
    right = Instruction(("sign", aspect), ("good", "bad"))
    return [{"input": one.text, "target": right.answer(one)} for one in reviews(n, seed, aspect)]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def prepare(place: Path, smoke: bool) -> list[Path]:
    """Data, experts and one run file per arm; what is there stays."""
    pool = 8 if smoke else 20
    write(place / "dev.jsonl", cases("delivery", (6 if smoke else 16) + pool, 5000))
    write(place / "test.jsonl", cases("delivery", 20 if smoke else 100, 4000))
    count = 16 if smoke else 96
    skills = SKILLS[: 2 if smoke else 4]
    files = [write(place / "skills" / f"{skill}.jsonl", cases(skill, count, 7000 + i)) for i, skill in enumerate(skills)]
    training = Training(rank=4, alpha=8, epochs=1, rate=2e-3) if smoke else TRAINING
    for one in train_experts(files, place / "pool", model="embedded", prompt=PROMPTS[0], training=training):
        print(one.folder.name, one.cases, "cases, loss", " ".join(f"{loss:.2f}" for loss in one.losses), flush=True)
    found = []
    for arm, parts in ARMS.items():
        task: dict[str, Any] = {
            "cases": {"path": "dev.jsonl"}, "test": {"path": "test.jsonl"}, "prompt": "reviews", "seeds": PROMPTS, "max_tokens": 6,
            "description": "Say whether the delivery is good or bad.",
        }  # fmt: skip
        if "shots" in parts:
            task["shots"] = {"pool": pool, "most": 3}
        values = {
            "recipe": "evoprompt-ga", "population": 6, "founders": "all", "selection": "random", "operator": "mutate", "genome": parts,
            "models": {"base": "embedded", "operator": "embedded"}, "experts": "pool", "task": task,
        }  # fmt: skip
        found.append(place / f"{arm}.yaml")
        found[-1].write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return found


def weights_now() -> str:
    """The hash of the model's weights."""
    return weights_hash()


def study(cache: Path, seeds: int, smoke: bool, results: Path) -> None:
    """Makes as many runs as are missing; the rows of those that are done are written after each, with those of other weights kept."""
    weights = weights_now()
    others = [line for line in results.read_text().splitlines() if weights not in line] if results.exists() else []
    place = cache / f"reviews-{'smoke-' if smoke else ''}{weights[:12]}"
    if smoke:
        shutil.rmtree(place, ignore_errors=True)
    files = prepare(place, smoke)

    def keep() -> None:
        made = [json.dumps(row_of(one, weights)) for one in rows_of(place / "compare" / "rows.jsonl")]
        results.write_text("".join(line + "\n" for line in [*others, *made]))

    def note(name: str, seed: int, number: int, of: int) -> None:
        keep()
        print(f"reviews: run {number} of {of}: {name}, seed {seed}", flush=True)

    results.parent.mkdir(parents=True, exist_ok=True)
    budget = "evaluations=10" if smoke else "evaluations=24"
    llmevo.compare(files, seeds=1 if smoke else seeds, budget=budget, run=place / "compare", on_run=note)
    keep()


def row_of(one: Row, weights: str) -> dict[str, Any]:
    """A run as a row of the study."""
    return {
        "study": "reviews", "weights": weights, "arm": one.name, "seed": one.seed, "evaluations": one.evaluations, "calls": one.calls,
        "tokens": one.tokens, "dev": sum(one.dev.values()) / len(one.dev), "test": sum(one.test.values()) / len(one.test),
        "winner": one.winner, "test_right": "".join(str(int(value)) for value in one.test.values()),
    }  # fmt: skip
