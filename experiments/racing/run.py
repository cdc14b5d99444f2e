"""Racing on real score matrices: cells, false eliminations, quality and optimism of the product's own strategy and rules.

`python experiments/racing/run.py` prints the tables and writes `results.json` and `frontier.svg`; rows that are there already are not
simulated again. It needs pyarrow and the score matrices of CAPO in `../shared/data/llm_scores`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmevo.breeding import Behind, Capo, Given, Truncate, crown
from llmevo.breeding.racing import Lap, Rule
from llmevo.core import Birth, Fitness, Individual, Mating, Seed, Usage
from llmevo.engine import Schedule
from llmevo.strategies import Founding, Racing
from llmevo.testing.toy import Digits

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data" / "llm_scores"
PROMPTS, SEARCH, FRESH, FINALISTS = 20, 6, 2, 3
"""Prompts in a race; of ten blocks those that the race sees, those for the crowning; the other two test the winner."""
TIED = 0.005
"""Half a point: two prompts that are no further apart are called equal."""
Array = Any


@dataclass(frozen=True)
class Full:
    """Full evaluation: nobody is ever dropped."""

    key = "full"

    def __call__(self, lap: Lap) -> dict[int, str]:
        return {}


@dataclass(frozen=True)
class Row:
    """A rule in the table: `places` as the strategy is told them."""

    name: str
    rule: Rule
    places: int = 1


ROWS = [
    Row("full evaluation", Full()),
    *[Row(f"llmevo, alpha {alpha:g}", Behind(alpha)) for alpha in (0.05, 0.02, 0.1)],
    *[Row(f"llmevo, alpha {alpha:g}, three kept", Behind(alpha, keep=3)) for alpha in (0.005, 0.02, 0.05, 0.1)],
    *[Row(f"CAPO's rule, {places} others better", Capo(), places) for places in (10, 3)],
    *[Row(f"truncation to {share:.0%} a block", Truncate(share)) for share in (0.7, 0.8)],
]


def matrices() -> list[tuple[str, Array]]:
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
                found.append((name, blocks[chosen]))
    return found


def born(mating: Mating[Digits], scores: Array) -> Birth[Digits]:
    """The birth of a mating; its score on a block is what stands in the matrix."""
    genome = mating.parents[0].genome if mating.parents else getattr(mating.variation, "genome")  # noqa: B009
    assert mating.cases is not None
    cases = {block: float(scores[genome.values[0], int(block)]) for block in mating.cases.ids}
    return mating.birth(genome, Fitness(math.fsum(cases.values()) / len(cases), cases=cases), Usage(), 0)


def race(scores: Array, row: Row, seed: Seed) -> tuple[tuple[Individual[Digits], ...], tuple[Individual[Digits], ...], int]:
    """The product's strategy on the blocks of the search: who is left, the best of them first as finalists, and cells."""
    founders = [Given(Digits((i, 0))) for i in range(len(scores))]
    blocks = [str(i) for i in range(SEARCH)]
    strategy: Racing[Digits] = Racing(Founding(founders, seed=seed), blocks, seed=seed, block=1, places=row.places, rule=row.rule)
    schedule, cells = Schedule(strategy, batch=len(founders)), 0
    while cohort := schedule.ask():
        cells += sum(len(mating.cases.ids) for mating in cohort.matings if mating.cases is not None)
        schedule.tell([born(mating, scores) for mating in cohort.matings])
    return strategy.view.population, strategy.view.hall[:FINALISTS], cells


def one_run(number: int, groups: Sequence[tuple[str, Array]], row: Row) -> dict[str, float]:
    rng = np.random.default_rng(number)
    name, group = groups[number % len(groups)]
    prompts = rng.choice(len(group), size=min(PROMPTS, len(group)), replace=False)
    scores = group[prompts][:, rng.permutation(10)]
    seen, known = scores[:, :SEARCH].mean(1), scores[:, : SEARCH + FRESH].mean(1)
    everything, test = scores.mean(1), scores[:, SEARCH + FRESH :].mean(1)
    if isinstance(row.rule, Full):
        # Full evaluation spends all that is known on everybody, and its winner is the best on that.
        alive, winner, cells, claim = list(range(len(scores))), int(known.argmax()), len(scores) * (SEARCH + FRESH), float(known.max())
        claimed = slice(0, SEARCH + FRESH)
    else:
        left, finalists, cells = race(scores, row, Seed.of(number))
        alive = [one.genome.values[0] for one in left]
        fresh = [{str(i): float(scores[one.genome.values[0], i]) for i in range(SEARCH, SEARCH + FRESH)} for one in finalists]
        crowned = crown([one.fitness.cases for one in finalists], fresh)
        winner, claim = finalists[crowned.place].genome.values[0], math.fsum(crowned.honest) / FRESH
        cells += len(finalists) * FRESH
        claimed = slice(SEARCH, SEARCH + FRESH)
    return {
        "gsm8k": float(name == "gsm8k"),
        "cells": cells / (len(scores) * (SEARCH + FRESH)),
        "dropped": float(seen.argmax() not in alive),
        "dropped, not tied": float(seen[alive].max() < seen.max() - TIED - 1e-9),
        "dropped of ten": float(everything.argmax() not in alive),
        "dropped of ten, not tied": float(everything[alive].max() < everything.max() - TIED - 1e-9),
        "crowned another": float(everything[winner] < everything.max() - TIED - 1e-9),
        "quality": 100 * float(test[winner] - test[int(known.argmax())]),
        # How hard the blocks are is the same luck for all prompts, and on average none: taken out, it leaves the optimism of a choice.
        "optimism": 100 * float(claim - test[winner] - (scores[:, claimed].mean() - test.mean())),
    }


def simulate(row: Row, groups: Sequence[tuple[str, Array]], runs: int) -> dict[str, Any]:
    """Means over the runs, and their standard errors; for all, and for either data set."""
    rows = [one_run(number, groups, row) for number in range(runs)]
    names = list(rows[0])[1:]

    def summed(chosen: list[dict[str, float]]) -> dict[str, list[float]]:
        table = np.array([[one[name] for name in names] for one in chosen])
        means, errors = table.mean(0), table.std(0, ddof=1) / math.sqrt(len(chosen))
        return {name: [float(mean), float(error)] for name, mean, error in zip(names, means, errors, strict=True)}

    parts = {"all": rows, "sst-5": [one for one in rows if not one["gsm8k"]], "gsm8k": [one for one in rows if one["gsm8k"]]}
    found = {part: summed(chosen) for part, chosen in parts.items()}
    return {"rule": row.name, "key": f"{row.rule.key}, places {row.places}", "runs": runs, **found}


def table(results: Sequence[dict[str, Any]], part: str = "all") -> str:
    lines = [
        "| rule | cells | best dropped | and not tied | best of ten dropped | and not tied | another crowned | against full | optimism |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        found = one[part]
        shares = [f"{100 * found[name][0]:.1f} %" for name in list(found)[1:6]]
        points = [f"{found[name][0]:+.2f} ± {1.96 * found[name][1]:.2f}" for name in ("quality", "optimism")]
        lines.append(f"| {one['rule']} | {found['cells'][0]:.3f} | {' | '.join([*shares, *points])} |")
    return "\n".join(lines)


COLOURS = {"llmevo": "#0b6e4f", "CAPO": "#c1440e", "truncation": "#3a5a9b", "full": "#555555"}


def figure(results: Sequence[dict[str, Any]]) -> str:
    """The frontier: cells against false eliminations, a line per family of rules."""
    width, height, left, below, most = 640, 400, 70, 60, 0.35

    def at(one: dict[str, Any]) -> tuple[float, float]:
        cells, wrong = one["all"]["cells"][0], min(most, one["all"]["dropped"][0])
        return left + (cells - 0.2) / 0.8 * (width - left - 20), height - below - wrong / most * (height - below - 20)

    def place(cells: float, wrong: float) -> tuple[float, float]:
        return at({"all": {"cells": [cells], "dropped": [wrong]}})

    x, y = place(0.5, 0.05)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<rect x="{left}" y="{y:.1f}" width="{x - left:.1f}" height="{height - below - y:.1f}" fill="#e6f2ec"/>',
    ]
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        px, py = place(share, 0)
        parts.append(f'<text x="{px:.1f}" y="{py + 18:.1f}" text-anchor="middle">{share:.0%}</text>')
    for wrong in (0.0, 0.05, 0.1, 0.2, 0.3):
        px, py = place(0.2, wrong)
        parts.append(f'<text x="{px - 8:.1f}" y="{py + 4:.1f}" text-anchor="end">{wrong:.0%}</text>')
        parts.append(f'<line x1="{px:.1f}" y1="{py:.1f}" x2="{width - 20}" y2="{py:.1f}" stroke="#dddddd"/>')
    parts.append(f'<text x="{width / 2:.0f}" y="{height - 20}" text-anchor="middle">cells, share of full evaluation</text>')
    turned = f'x="16" y="{height / 2:.0f}" transform="rotate(-90 16 {height / 2:.0f})" text-anchor="middle"'
    parts.append(f"<text {turned}>best one dropped</text>")
    for k, (family, colour) in enumerate(COLOURS.items()):
        points = sorted(at(one) for one in results if one["rule"].startswith(family) and "kept" not in one["rule"])
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="{colour}"/>' for px, py in points]
        parts.append(f'<text x="{width - 130}" y="{40 + 18 * k}" fill="{colour}">{family}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=1000)
    runs = options.parse_args().runs
    groups, results = matrices(), []
    stored = HERE / "results.json"
    before = {one["rule"]: one for one in json.loads(stored.read_text(encoding="utf-8"))} if stored.exists() else {}
    for row in ROWS:
        known = before.get(row.name)
        done = known is not None and (known["key"], known["runs"]) == (f"{row.rule.key}, places {row.places}", runs)
        results.append(known if done else simulate(row, groups, runs))
        # What is still to come stays as it was, so that an interruption loses one row at most.
        kept = [before[one.name] for one in ROWS[len(results) :] if one.name in before]
        stored.write_text(json.dumps([*results, *kept], indent=1) + "\n", encoding="utf-8")
        print(f"{row.name}: done", file=sys.stderr, flush=True)
    for part in ("all", "sst-5", "gsm8k"):
        print(f"\n{part}\n\n{table(results, part)}")
    (HERE / "frontier.svg").write_text(figure(results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
