"""Writes the shipped review cases: `python experiments/embedded_lm/generate.py` makes `prompts/reviews/cases.jsonl`.

The task: is the delivery praised ("good") or blamed ("bad")? The products occur nowhere in training. The mood of a
review agrees with the delivery in two of three, so that a prompt with the right labels and the wrong question is half right.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random

from instructions import Instruction
from language import HELD_OUT_PRODUCTS, Review, review

TASK = ("sign", "delivery")
LABELS = ("good", "bad")
FILE = Path(__file__).resolve().parents[2] / "prompts" / "reviews" / "cases.jsonl"


def reviews(n: int, seed: int, aspect: str = "delivery", generic: float = 0.1) -> list[Review]:
    """Held-out reviews that mention an aspect, each text once, both signs equally often."""
    rng, seen, out = Random(f"cases {seed}"), set(), []
    while len(out) < n:
        r = review(rng, generic=generic, must=aspect, products=HELD_OUT_PRODUCTS)
        if aspect in r.signs and r.signs[aspect] != (len(out) % 2 == 0):
            continue
        if r.text not in seen:
            seen.add(r.text)
            out.append(r)
    return out


def main() -> None:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--cases", type=int, default=600)
    p.add_argument("--seed", type=int, default=20)
    p.add_argument("--out", type=Path, default=FILE)
    a = p.parse_args()
    right = Instruction(TASK, LABELS)
    found = reviews(a.cases, a.seed)
    Random(a.seed).shuffle(found)
    with a.out.open("w", encoding="utf-8") as file:
        for i, r in enumerate(found):
            file.write(json.dumps({"id": f"review-{i:04}", "input": r.text, "target": right.answer(r)}) + "\n")


if __name__ == "__main__":
    main()
