"""Makes what the quickstart needs: the cases of a new task, and a pool of six experts that know a part of it each.

    python experiments/genome/pool.py          [--model FOLDER or name on the hub]

The task is counting: how many things does a review blame? The embedded model is left unfinished in counting, and was only asked for
praise. Each expert learnt from reviews about five of the ten sides of a product, with less than it takes to be sure;
the task asks about all sides. The pool is made anew each time, so the same command serves after the base model has changed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "embedded_lm"))

from language import ASPECTS, review  # noqa: E402

from llmevo.weights.training import Training, train_experts  # noqa: E402

EXPERTS = 6
SIDES = 5
"""Sides that an expert knows."""
PROMPT = "How many things are blamed?"


def cases(rng: Random, sides: Collection[str], count: int) -> list[dict[str, str]]:
    """So many different reviews that speak of these sides alone, with the number of those that are blamed."""
    found: dict[str, str] = {}
    while len(found) < count:
        made = review(rng)
        signs = {name: liked for name, liked in made.signs.items() if name in ASPECTS}
        if all(name in sides for name in signs):
            found[made.text] = str(sum(not liked for liked in signs.values()))
    return [{"input": text, "target": target} for text, target in found.items()]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="a folder or a name on the hub")
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--cases", type=int, default=200, help="training cases of one expert")
    options = parser.parse_args()
    rng, names = Random(0), sorted(ASPECTS)
    files = []
    for number in range(EXPERTS):
        sides = {names[(2 * number + k) % len(names)] for k in range(SIDES)}
        files.append(write(options.out / f"expert-{number}.jsonl", cases(rng, sides, options.cases)))
    write(options.out / "task.jsonl", cases(rng, names, 700))
    shutil.rmtree(options.out / "pool", ignore_errors=True)
    training = Training(rank=4, alpha=8, epochs=4, rate=3e-3)
    for one in train_experts(files, options.out / "pool", model=options.model, prompt=PROMPT, training=training):
        print(one.folder.name, one.cases, "cases, loss", " ".join(f"{loss:.2f}" for loss in one.losses))


if __name__ == "__main__":
    main()
