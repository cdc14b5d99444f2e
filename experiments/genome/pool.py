"""Makes what the quickstart needs: the cases of seven skills, and a pool of six experts, each trained on one of them.

    python experiments/genome/pool.py

Every skill is the same question about another side of a product: is it liked ("plum") or not ("fern")? The words are arbitrary, so that no
base model knows the answer. The experts know one side each; the new task asks
about all of them, and about two that no expert saw.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from experiments.embedded_lm.language import ASPECTS, review  # noqa: E402
from llmevo.weights.training import Training, train_experts  # noqa: E402

SKILLS = ("price", "delivery", "service", "material", "battery", "sound")
PROMPT = "Is it plum or fern?"
WORDS = {True: "plum", False: "fern"}


def cases(rng: Random, aspects: tuple[str, ...], count: int) -> list[dict[str, str]]:
    """So many different short reviews of these sides, with the truth."""
    found: dict[str, str] = {}
    while len(found) < count:
        one = rng.choice(aspects)
        made = review(rng, must=one, short=True, generic=0.1)
        found[made.text] = WORDS[made.signs[one]]
    return [{"input": text, "target": target} for text, target in found.items()]


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded", help="a folder or a name on the hub")
    parser.add_argument("--out", type=Path, default=HERE / "data")
    options = parser.parse_args()
    rng = Random(0)
    files = []
    for skill in SKILLS:
        files.append(options.out / f"{skill}.jsonl")
        write(files[-1], cases(rng, (skill,), 120))
    rows = cases(rng, tuple(sorted(ASPECTS)), 600)
    write(options.out / "task.jsonl", rows)
    for one in train_experts(
        files, options.out / "pool", model=options.model, prompt=PROMPT, training=Training(rank=4, alpha=8, epochs=4, rate=2e-3)
    ):
        print(one.folder.name, one.cases, "cases, loss", " ".join(f"{loss:.2f}" for loss in one.losses))


if __name__ == "__main__":
    main()
