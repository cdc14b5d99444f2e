"""The study of refinement: the operators of ga-llm on and off, and simple search, at equal checks and at equal tokens.

    python experiments/refinement/run.py [--smoke] [--only bars] [--config FILE] [--operator embedded]

Without options it runs what is missing in results/study.jsonl and results/bars.jsonl, then writes tables and figures. It can be stopped
and started at will. With `--operator embedded` the model in the package writes the answers, as embedded.yaml says. `--smoke` takes about
a minute and writes nothing here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from search import ARMS, name_of, search, weights_of  # noqa: E402
from tables import write  # noqa: E402

TASKS = ("modules-8", "traps-3", "meetings", "trip", "grid", "summary", "simplification")

Job = dict[str, Any]


def studied(config: dict[str, Any]) -> list[Job]:
    """Every arm on every task from every seed."""
    return [
        {"task": task, "arm": arm, "seed": seed, "evaluations": config["evaluations"], "operator": config["operator"]}
        for seed in range(config["seeds"]) for task in config["tasks"] for arm in config["arms"]
    ]  # fmt: skip


def barred(share: float) -> list[Job]:
    """What the default policy has to reach: (task, checks, seeds by arm), with a clean, a sloppy and a corrupting proposer."""
    free, alone, anew, never = "ga-llm", "one-plus-one", "best-of-n", "ga-llm, never spent"
    rows: list[tuple[str, int, dict[str, int], dict[str, Any]]] = [
        ("modules-4", 100, {free: 200, alone: 100}, {}),
        ("modules-8", 1000, {free: 200, alone: 50}, {}),
        ("traps-1", 6, {free: 100, alone: 100, anew: 100}, {}),
        ("traps-2", 40, {free: 100, alone: 300, anew: 100, never: 50}, {}),
        ("traps-3", 150, {free: 50, alone: 50, anew: 50, never: 50}, {}),
        ("traps-3", 600, {free: 50, "ga-llm, duplicates allowed": 50}, {"sloppy": True}),
        ("modules-4", 600, {free: 50, "ga-llm, duplicates allowed": 50}, {"sloppy": True}),
        ("modules-8", 60, {free: 25, "ga-llm, no repair": 25}, {"corrupt": 0.35}),
        ("meetings", 60, {free: 25, "ga-llm, no repair": 25}, {"corrupt": 0.35}),
        ("traps-4", 400, {free: 25, alone: 25, anew: 25}, {}),
        ("circles", 200, {free: 5, alone: 5, anew: 5}, {}),
    ]
    return [
        {"task": task, "arm": arm, "seed": seed, "evaluations": checks, "operator": "stub", **more}
        for task, checks, arms, more in rows for arm, count in arms.items() for seed in range(round(count * share))
    ]  # fmt: skip


def key(job: Job) -> tuple[Any, ...]:
    more = (job.get("corrupt", 0.0), job.get("sloppy", False), job.get("budget", job.get("evaluations")))
    return (job["task"], job["arm"], job["seed"], name_of(job["operator"]), *more)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, without those of former weights of the model in the package."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [row for row in rows if row.get("weights") == weights_of(row["operator"])]


def work(jobs: Iterable[Job], path: Path) -> None:
    """Runs what has no row yet; every row is written as soon as it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = rows_of(path)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = {key(row) for row in rows}
    left = [job for job in jobs if key(job) not in done]
    began = time.monotonic()
    with path.open("a") as file:
        for i, job in enumerate(left, start=1):
            row = asyncio.run(search(**job))
            file.write(json.dumps(row) + "\n")
            file.flush()
            if i % 50 == 0 or i == len(left):
                said = f"{row['task']} {row['arm']} {row['seed']}: {row['best']}"
                print(f"{time.monotonic() - began:6.0f} s  {i}/{len(left)}  {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="by default OPERATOR.yaml beside this file, or else config.yaml")
    parser.add_argument("--operator", help="`stub`, `embedded` or a model, instead of the one of the configuration")
    parser.add_argument("--seeds", type=int, help="instead of those of the configuration")
    parser.add_argument("--only", choices=("bars", "study"), help="one half of it")
    parser.add_argument("--smoke", action="store_true", help="one seed, 30 checks, no real text; tables on the screen")
    options = parser.parse_args()
    beside = HERE / f"{options.operator}.yaml"
    file = options.config or (beside if beside.exists() else HERE / "config.yaml")
    config = yaml.safe_load(file.read_text())
    if options.operator and options.operator != name_of(config["operator"]):
        config["operator"] = options.operator
    config["seeds"] = options.seeds or config["seeds"]
    config["tasks"] = config.get("tasks") or TASKS
    config["arms"] = config.get("arms") or [name for name in ARMS if name != "ga-llm, no repair"]
    if options.smoke:
        with tempfile.TemporaryDirectory() as folder:
            own = [task for task in config["tasks"] if task not in ("summary", "simplification")]
            config |= {"seeds": 2, "evaluations": 30, "tasks": own}
            study, bars = Path(folder) / "study.jsonl", Path(folder) / "bars.jsonl"
            work(studied(config), study)
            work([job for job in barred(0.04) if job["evaluations"] <= 150], bars)
            write(rows_of(study), rows_of(bars), None)
        return
    study, bars = HERE / "results" / "study.jsonl", HERE / "results" / "bars.jsonl"
    if options.only != "study":
        work(barred(1), bars)
    if options.only != "bars":
        work(studied(config), study)
    write(rows_of(study), rows_of(bars), HERE)


if __name__ == "__main__":
    main()
