"""Which representation? Three studies, one command; what is done is not done again.

    python experiments/representation/run.py --data ../shared/data [--only matrix|encoder|reviews] [--seeds 10] [--smoke]

`matrix`: selection x succession x representation on small problems. `encoder`: class descriptions, adapters or both for a real
sentence encoder on agnews, sst2, subj and mr. `reviews`: prompt, few-shot set, adapter, prompt + adapter for the small model of the
package. Rows go to results/*.jsonl; tables into README.md. Without --data the second study is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

HERE = Path(__file__).resolve().parent
STUDIES = ("matrix", "encoder", "reviews")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows that are whole; a line that was cut is done again."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def go(
    path: Path, planned: list[tuple[Any, ...]], names: tuple[str, ...], search: Callable[..., dict[str, Any]], shard: str = "0/1"
) -> list[dict[str, Any]]:
    """Does what is planned and not yet in the file; the seed stands last in a plan."""
    place, of = map(int, shard.split("/"))
    planned = [one for one in planned if one[-1] % of == place]
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {tuple(row[name] for name in names) for row in rows_of(path)}
    todo = [one for one in planned if one not in done]
    print(f"{path.name}: {len(planned) - len(todo)} of {len(planned)} are done", flush=True)
    began = time.monotonic()
    for i, one in enumerate(todo):
        row = search(*one)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if i % 50 == 0 or time.monotonic() - began > 60 * (i // 50):
            print(f"{time.monotonic() - began:6.0f} s  {i + 1} of {len(todo)}: {' '.join(map(str, one))}", flush=True)
    return rows_of(path)


def studies(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each study with its rows."""
    seeds = 2 if options.smoke else options.seeds
    wanted = [options.only] if options.only else STUDIES
    if "matrix" in wanted:
        import matrix

        yield "matrix", go(
            folder / "matrix.jsonl",
            matrix.planned(seeds, options.smoke),
            ("representation", "selection", "succession", "seed"),
            matrix.search,
            options.shard,
        )
    if "encoder" in wanted and options.data is not None:
        import encoder

        study = encoder.Study(options.data, HERE / ".cache", options.smoke)
        yield "encoder", go(folder / "encoder.jsonl", study.planned(seeds), ("task", "arm", "seed"), study.search, options.shard)
    if "reviews" in wanted:
        import small

        file, weights = folder / "reviews.jsonl", small.weights_now()
        done = {(row["arm"], row["seed"]) for row in rows_of(file) if row["weights"] == weights}
        if len(done) < len(small.ARMS) * seeds:
            small.study(HERE / ".cache", seeds, options.smoke, file)
        yield "reviews", rows_of(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="the folder that holds classification/")
    parser.add_argument("--only", choices=STUDIES, default=None)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--shard", default="0/1", help="i/n: this process does every n-th seed only, beginning with the i-th")
    parser.add_argument("--smoke", action="store_true", help="every arm on a few cases: tables on the screen")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    folder = HERE / (".cache/smoke" if options.smoke else "results")
    if options.smoke:
        for old in folder.glob("*.jsonl"):
            old.unlink()
    found = dict(studies(options, folder))
    import findings

    findings.write({name: rows_of(folder / f"{name}.jsonl") for name in STUDIES}, None if options.smoke else HERE / "README.md")
    print({name: len(rows) for name, rows in found.items()})


if __name__ == "__main__":
    main()
