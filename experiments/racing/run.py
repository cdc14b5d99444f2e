"""Rules of elimination on real score matrices, simulated: cells, quality, optimism, false eliminations.

`python experiments/racing/run.py` (1,000 runs a row; needs pyarrow and the score matrices of CAPO in `../shared/data/llm_scores`).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "llm_scores"
RUNS, PROMPTS, SEARCH = 1000, 20, 8
NOISE, WEIGHT = 0.075, 4
"""Standard deviation of the difference of two prompts on a block of 30, and how many blocks this prior is worth."""
Array = Any
Rule = Callable[[Array, Array, int], Array]
"""From the scores of those that are left on the blocks so far, their numbers, and how many blocks there were, to those that stay."""


def matrices() -> list[Array]:
    """Prompts by ten blocks, for each data set, model and seed; only prompts that were scored on all of them."""
    import pyarrow.parquet as pq

    found = []
    for name in ("sst-5", "gsm8k"):
        table = pq.read_table(DATA / f"{name}.parquet").to_pydict()
        blocks = np.array([table[f"block{i}"] for i in range(10)], dtype=float).T
        runs = list(zip(table["model"], table["seed"], strict=True))
        for run in sorted(set(runs)):
            chosen = ~np.isnan(blocks).any(1) & np.array([one == run for one in runs])
            if chosen.sum() >= 16:
                found.append(blocks[chosen])
    return found


def upper(z: Array) -> Array:
    return np.vectorize(lambda one: 0.5 * math.erfc(one / math.sqrt(2)))(z)


def paired(alpha: float, keep: int) -> Rule:
    """Out goes who is worse than the leader by a paired z-test with a shrunk deviation; the best `keep` always stay."""

    def rule(scores: Array, alive: Array, blocks: int) -> Array:
        if blocks < 2 or len(alive) <= keep:
            return alive
        gap = scores[scores.mean(1).argmax()] - scores
        deviation = np.sqrt((gap.var(1, ddof=1) * (blocks - 1) + WEIGHT * NOISE**2) / (blocks - 1 + WEIGHT))
        stays = upper(gap.mean(1) / (deviation / math.sqrt(blocks))) > alpha
        stays[np.argsort(-scores.mean(1), kind="stable")[:keep]] = True
        return alive[stays]

    return rule


def capo(survivors: int, alpha: float = 0.2) -> Rule:
    """CAPO: out goes who has at least `survivors` others better by a one-sided paired test."""

    def rule(scores: Array, alive: Array, blocks: int) -> Array:
        if blocks < 2:
            return alive
        better = []
        for own in scores:
            gap = scores - own
            z = gap.mean(1) / (gap.std(1, ddof=1) / math.sqrt(blocks) + 1e-12)
            better.append(int((upper(z) < alpha).sum()))
        return alive[np.array(better) < survivors]

    return rule


def truncation(shares: tuple[float, ...]) -> Rule:
    """The best share of all lives on after each block."""

    def rule(scores: Array, alive: Array, blocks: int) -> Array:
        left = max(1, math.ceil(shares[blocks - 1] * PROMPTS))
        return alive[np.sort(np.argsort(-scores.mean(1), kind="stable")[:left])]

    return rule


def simulate(rule: Rule, groups: list[Array]) -> Array:
    """Means over runs: cells, whether the best is left, held-out score of the winner and of the full evaluation's, claimed score."""
    rng, rows = np.random.default_rng(0), []
    for number in range(RUNS):
        group = groups[number % len(groups)]
        prompts = rng.choice(len(group), size=min(PROMPTS, len(group)), replace=False)
        scores = group[prompts][:, rng.permutation(10)]
        seen, held_out = scores[:, :SEARCH], scores[:, SEARCH:]
        alive, cells = np.arange(len(scores)), 0
        for blocks in range(1, SEARCH + 1):
            cells += len(alive)
            alive = rule(seen[alive, :blocks], alive, blocks)
        winner, best = alive[seen[alive].mean(1).argmax()], seen.mean(1).argmax()
        found = (cells / seen.size, best in alive, held_out[winner].mean(), held_out[best].mean(), seen[winner].mean())
        rows.append(found)
    return np.array(rows, dtype=float).mean(0)


def main() -> int:
    groups = matrices()
    rules: dict[str, Rule] = {"full evaluation": lambda scores, alive, blocks: alive}
    rules |= {f"paired, alpha {alpha:g}, keep {keep}": paired(alpha, keep) for alpha in (0.05, 0.1, 0.2) for keep in (3,)}
    rules |= {"truncation": truncation((0.7, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.15)), "CAPO, 10": capo(10)}
    print("| rule | cells | best eliminated | winner against full, points | optimism, points |\n|---|---|---|---|---|")
    for name, rule in rules.items():
        cells, kept, winner, full, claim = simulate(rule, groups)
        print(f"| {name} | {cells:.2f} | {1 - kept:.3f} | {100 * (winner - full):+.2f} | {100 * (claim - winner):+.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
