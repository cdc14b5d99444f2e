"""Trials on the development sets mr and sst-5, by which the defaults of the study are chosen.

python develop.py NAME '{"setting": ...}' ...: appends to results/development.jsonl and prints means.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from methods import search
from tasks import DEVELOPMENT, HERE, Shared, load, shipped_encoder


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--evaluations", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--methods", default="(1+1),GA,DE")
    parser.add_argument("--starts", default="bare,written")
    parser.add_argument("trials", nargs="+", help="name={json setting}")
    options = parser.parse_args()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))
    encoder = Shared(shipped_encoder())
    tasks = {name: load(name, options.data) for name in DEVELOPMENT}
    for name, task in tasks.items():
        for part in ("dev", "test"):
            encoder.keep(f"{name}-{part}", [case.input for case in getattr(task, part)])
    began = time.time()
    runs = []
    for trial in options.trials:
        name, _, text = trial.partition("=")
        setting = json.loads(text or "{}")
        for method in options.methods.split(","):
            for task in tasks.values():
                for start in options.starts.split(","):
                    for seed in range(1000, 1000 + options.seeds):
                        runs.append((name, setting, method, task, start, seed))

    async def one(name, setting, method, task, start, seed):
        row = await search(task, start, method, seed, encoder, options.evaluations, setting)
        return {"trial": name, "setting": setting, **row}

    rows = await asyncio.gather(*(one(*run) for run in runs))
    (HERE / "results").mkdir(exist_ok=True)
    with (HERE / "results" / "development.jsonl").open("a") as file:
        for row in rows:
            row = {key: value for key, value in row.items() if not key.endswith("_right")}
            file.write(json.dumps(row) + "\n")
    print(f"{len(rows)} runs in {time.time() - began:.0f} s, {encoder.encoded} texts encoded")
    keys = [(task, start) for task in tasks for start in options.starts.split(",")]
    for trial in dict.fromkeys(row["trial"] for row in rows):
        for method in options.methods.split(","):
            mine = [row for row in rows if row["trial"] == trial and row["method"] == method]
            cells = []
            for key in keys:
                some = [row for row in mine if (row["task"], row["start"]) == key]
                cells.append(f"{sum(r['dev'] for r in some) / len(some):.3f}/{sum(r['test'] for r in some) / len(some):.3f}")
            mean = sum(row["test"] for row in mine) / len(mine)
            print(f"{trial:24s} {method:16s} {'  '.join(cells)}  test mean {mean:.4f}  evals {mine[0]['evaluations']}")


asyncio.run(main())
