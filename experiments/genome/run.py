"""The study of searches over adapters: four regimes, eight pools, three draws, every method at equal evaluations.

    python experiments/genome/run.py [--workers 2] [--smoke]

Trains bases and pools that are not there yet (times in results/pools.jsonl), then runs every draw that has no row in
results/study.jsonl, then writes tables and the figure. It can be stopped and started at will. `--smoke` takes one small pool of each
regime and writes nothing here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import torch  # noqa: E402
from pools import REGIMES, members, train_pool  # noqa: E402
from rows import Row, append, rows_of  # noqa: E402
from search import Cell, Sizes, run_cell  # noqa: E402
from tables import write  # noqa: E402
from world import World, load_base, train_base  # noqa: E402

from llmevo.core import Seed  # noqa: E402

POOLS, DRAWS = 8, 3
SMALL = Sizes(validation=60, confirmation=40, test=200, others=100, evaluations=30, base_steps=60, lesson=0.2)


def quiet() -> None:
    """One thread a process; no progress bars."""
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def world(pool: int) -> World:
    return World(Seed.of(0).fold("world", pool))


def prepare(pool: int, regime: str | None, cache: Path, sizes: Sizes) -> Row:
    """Trains the base of a pool, or its experts for a regime."""
    quiet()
    place = cache / f"pool-{pool}"
    began, cpu = time.perf_counter(), time.process_time()
    row: Row = {"pool": pool, "regime": regime}
    if regime is None:
        row["accuracy"] = round(train_base(world(pool), place / "base", most=sizes.base_steps), 4)
    else:
        train_pool(load_base(place / "base"), world(pool), REGIMES[regime].shortened(sizes.lesson), place / regime)
    return row | {"seconds": round(time.perf_counter() - began, 1), "cpu": round(time.process_time() - cpu, 1)}


def draw(pool: int, regime: str, number: int, cache: Path, sizes: Sizes) -> Row:
    """One row of the study."""
    quiet()
    place, began, cpu = cache / f"pool-{pool}", time.perf_counter(), time.process_time()
    runs = place / f"{regime}-{number}"
    row = run_cell(Cell(load_base(place / "base"), world(pool), REGIMES[regime], place / regime, number, sizes, runs))
    shutil.rmtree(runs)
    spent = {"seconds": round(time.perf_counter() - began, 1), "cpu": round(time.process_time() - cpu, 1)}
    return {"pool": pool, "regime": regime, "draw": number, **spent, **row}


def work(executor: Executor, function: Callable[..., Row], jobs: Iterable[tuple[Any, ...]], path: Path, name: str) -> None:
    """Runs jobs; every row is written as soon as it is there."""
    open_jobs = [executor.submit(function, *job) for job in jobs]
    began = time.monotonic()
    for done, job in enumerate(as_completed(open_jobs), start=1):
        row = job.result()
        append(path, row)
        shown = {key: value for key, value in row.items() if key != "methods"}
        print(f"{time.monotonic() - began:5.0f} s  {name} {done} of {len(open_jobs)}: {shown}", flush=True)


def study(pools: int, draws: int, workers: int, cache: Path, results: Path, sizes: Sizes) -> None:
    """What is missing: bases, then pools, then draws; the first draw of every pool comes before the second, so that a part is balanced."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        for regimes in ((None,), tuple(REGIMES)):
            done = {(row["pool"], row["regime"]) for row in rows_of(results / "pools.jsonl")}
            wanted = [(pool, one) for pool in range(pools) for one in regimes]
            jobs = [(*one, cache, sizes) for one in wanted if one not in done or not trained(cache, *one)]
            work(executor, prepare, jobs, results / "pools.jsonl", "trained")
        known = {(row["pool"], row["regime"], row["draw"]) for row in rows_of(results / "study.jsonl")}
        cells = [(pool, regime, number) for number in range(draws) for pool in range(pools) for regime in REGIMES]
        missing = [(*one, cache, sizes) for one in cells if one not in known]
        print(f"{len(missing)} draws to do, {len(cells) - len(missing)} are done", flush=True)
        work(executor, draw, missing, results / "study.jsonl", "draw")


def trained(cache: Path, pool: int, regime: str | None) -> bool:
    """Whether what `prepare` makes lies there."""
    place = cache / f"pool-{pool}"
    return (place / "base").is_dir() if regime is None else all(one.is_dir() for one in members(place / regime))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, default=POOLS, help="the first so many; the others can follow later")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes, of one thread each")
    parser.add_argument("--cache", type=Path, default=HERE / ".cache" / "study", help="where bases, pools and unfinished searches lie")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    if options.smoke:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            study(1, 1, options.workers, folder, folder, SMALL)
            write(folder, None)
        return
    study(options.pools, options.draws, options.workers, options.cache, HERE / "results", Sizes())
    write(HERE / "results", HERE / "README.md")


if __name__ == "__main__":
    main()
