"""What the engine itself costs: client CPU and wall time per candidate, with free variation and fitness, journal on a file.

    python experiments/benchmarks/engine/run.py [--sizes 100 1000 10000] [--folder DIR] [--cases 6]

Prints a Markdown table. CPU is of the whole process (event loop and writer thread); "fsync" is the time of as many bare
write-and-fsync rounds on the same file system as the run made commits.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmevo.breeding import BestFirst, Known, Weighted, ladder, per_cell, rank, truncation, uniform
from llmevo.core import Context, Fitness, Seed, Strategy, Usage
from llmevo.engine import evolve, stop
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.strategies import Founding, Genetic, Islands, sequence
from llmevo.testing.toy import Digits, Toy, fresh, mutate

SEED = Seed.of(0)
DIGITS = 12


def cross(parents: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Sequence[int]:
    """Every digit from one of the parents, then one changed. The toy's own draws digit by digit: a quarter of what is measured."""
    rows = rng.integers(len(parents), size=DIGITS).tolist()
    return mutate([tuple(parents[row][i] for i, row in enumerate(rows))], rng)


def founding(count: int, seed: Seed, deme: int = 0) -> Founding[Digits]:
    return Founding([Toy(f"fresh{i}", fresh(DIGITS), 0) for i in range(count)], seed=seed, deme=deme)


def breeding() -> Strategy[Digits]:
    return sequence(founding(50, SEED), Genetic(Toy("cross", cross, 2), rank, truncation(50), seed=SEED))


def map_elites() -> Strategy[Digits]:
    cells = per_cell(lambda measures: (int(measures[0]), int(measures[1])))
    return sequence(founding(50, SEED), Genetic(Toy("mutate", mutate, 1), uniform, cells, seed=SEED))


def islands() -> Strategy[Digits]:
    def island(i: int) -> Strategy[Digits]:
        seed = SEED.fold("island", i)
        return sequence(founding(12, seed, i), Genetic(Toy("cross", cross, 2), rank, truncation(12), seed=seed, deme=i))

    return Islands([island(i) for i in range(4)], interval=10, migrants=2)


def best_first() -> Strategy[Digits]:
    """What `ga-llm` does: archive of 32, best first, a look-up of everything that is known, rungs."""
    known: Known[Digits] = Known(lambda digits: [digits.values], key="digits")
    child = Weighted([(ladder(Toy("cross", cross, 3), Toy("mutate", mutate, 1)), 0.2), (ladder(Toy("mutate", mutate, 1)), 0.8)])
    return sequence(founding(8, SEED), Genetic(child, BestFirst(), truncation(32), seed=SEED, known=known))


def archipelago() -> Strategy[Digits]:
    """Islands that each keep an archive of 100 cells, and know together what was tried."""
    known: Known[Digits] = Known(lambda digits: [digits.values], key="digits")
    cells = per_cell(lambda measures: (int(measures[0]), int(measures[1])))

    def island(i: int) -> Strategy[Digits]:
        seed = SEED.fold("island", i)
        return sequence(founding(12, seed, i), Genetic(Toy("mutate", mutate, 1), BestFirst(), cells, seed=seed, deme=i, known=known))

    return Islands([island(i) for i in range(4)], interval=10, migrants=2)


STRATEGIES: dict[str, Callable[[], Strategy[Digits]]] = {
    "truncation(50)": breeding, "map-elites (100 cells)": map_elites, "4 islands of 12": islands,
    "best first, known, ladder": best_first, "4 islands of 100 cells, known": archipelago,
}  # fmt: skip


class Free:
    """A fitness that costs nothing worth naming, with as many cases as asked for."""

    whole_cohort = False

    def __init__(self, cases: int) -> None:
        self.ids = tuple(f"case-{i}" for i in range(cases))

    async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> list[Fitness]:
        return [self.score(genome.values) for genome in genomes]

    def score(self, values: tuple[int, ...]) -> Fitness:
        cases = {name: float(values[i % DIGITS] * (i + 1) % 10) for i, name in enumerate(self.ids)}
        usage = Usage(calls=len(cases))
        return Fitness(float(sum(values)), cases=cases, measures=(float(values[0]), float(values[1])), usage=usage)


class Counting(Database):
    """Counts the commits."""

    commits = 0

    def _commit(self, *args: Any) -> None:
        super()._commit(*args)
        self.commits += 1


def measure(build: Callable[[], Strategy[Digits]], size: int, batch: int, slots: int, cases: int, folder: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        database = Counting(Path(place) / "run.sqlite")
        commits, cpu, wall = database.commits, time.process_time(), time.perf_counter()
        record = Journal(database, MemoryBlobs(), {Digits.kind: Digits})
        limit = [stop.matings(size)]
        asyncio.run(evolve(build(), Free(cases), record, seed=SEED, batch=batch, slots=slots, stop=limit))
        database.close()
        cpu, wall, commits = time.process_time() - cpu, time.perf_counter() - wall, database.commits - commits
        return {"cpu": cpu / size, "wall": wall / size, "commits": commits, "fsync": bare(Path(place), commits) / size}


def bare(folder: Path, rounds: int, size: int = 4096) -> float:
    """Seconds for that many appends with an fsync each."""
    handle = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    began = time.perf_counter()
    for _ in range(rounds):
        os.write(handle, b"x" * size)
        os.fsync(handle)
    os.close(handle)
    return time.perf_counter() - began


def memory(size: int, cases: int) -> float:
    """Bytes that one candidate leaves behind in the engine, journal in memory excluded (it is on a file)."""
    with tempfile.TemporaryDirectory() as place:
        database = Database(Path(place) / "run.sqlite")
        record = Journal(database, MemoryBlobs(), {Digits.kind: Digits})
        seen: list[int] = []

        def watch(told: Any) -> None:
            if told.progress.births in (size // 2, size):
                seen.append(tracemalloc.get_traced_memory()[0])

        tracemalloc.start()
        asyncio.run(
            evolve(breeding(), Free(cases), record, seed=SEED, batch=10, stop=[stop.matings(size)], on_cohort=watch)
        )
        tracemalloc.stop()
        database.close()
        return (seen[1] - seen[0]) / (size - size // 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--only", choices=STRATEGIES, action="append", help="this strategy; may be repeated")
    parser.add_argument("--memory", action="store_true", help="measure memory per candidate instead (slow)")
    args = parser.parse_args()
    if args.memory:
        print("| cases | bytes kept per candidate |\n|---|---|")
        for cases in (6, 200):
            print(f"| {cases} | {memory(2000, cases):,.0f} |", flush=True)
        return
    heads = ("strategy", "batch x slots", "candidates", "CPU per candidate", "wall per candidate", "commits per cohort")
    print(f"| {' | '.join(heads)} | bare fsync per candidate |")
    print("|---|---|---|---|---|---|---|")
    for name, build in STRATEGIES.items() if not args.only else [(name, STRATEGIES[name]) for name in args.only]:
        for batch, slots in ((10, 1), (1, 4)):
            for size in args.sizes:
                seen = measure(build, size, batch, slots, args.cases, args.folder)
                row = [name, f"{batch} x {slots}", f"{size:,}", f"{seen['cpu'] * 1e3:.2f} ms", f"{seen['wall'] * 1e3:.2f} ms"]
                row += [f"{seen['commits'] * batch / size:.2f}", f"{seen['fsync'] * 1e3:.2f} ms"]
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
