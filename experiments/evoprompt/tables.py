"""From the rows of the study to the tables of README.md: means, intervals, paired differences and what they say.

python tables.py writes README.md anew from results/study.jsonl.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from llmevo.llm.embedded import EmbeddedLLM

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
RESAMPLES = 10_000
NAMES = {
    "none": "as written",
    "climber": "blind (1+1) word climber on accuracy",
    "random": "random search",
    "(1+1)": "(1+1)",
    "GA": "evoprompt-ga",
    "DE": "evoprompt-de",
    "(1+1) by model": "(1+1), children by the embedded model",
    "GA by model": "evoprompt-ga, children by the embedded model",
    "DE by model": "evoprompt-de, children by the embedded model",
}
STARTS = {"bare": "bare label names", "written": "hand-written descriptions"}

Bits = np.ndarray


def bits(rows: list[dict[str, Any]], part: str) -> Bits:
    """Seeds by cases, in the order of the seeds: 1 where the answer was right."""
    return np.array([[int(bit) for bit in row[f"{part}_right"]] for row in sorted(rows, key=lambda row: row["seed"])], float)


def paired(a: Bits, b: Bits) -> Bits:
    """The differences by seed and case. What has one seed (it is not searched for) stands against every seed of the other; while a study
    is under way, the seeds that both have count."""
    seeds = max(len(a), len(b)) if 1 in (len(a), len(b)) else min(len(a), len(b))
    a, b = (np.repeat(one, seeds, axis=0) if len(one) == 1 else one[:seeds] for one in (a, b))
    difference: Bits = a - b
    return difference


def interval(a: Bits, b: Bits | None = None) -> tuple[float, float, float]:
    """Mean (of a, or of a - b) and its 95 % percentile bootstrap interval; seeds and cases are resampled, both paired."""
    d = a if b is None else paired(a, b)
    seeds, cases = d.shape
    rng = np.random.default_rng(20260101)
    by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
    by_case = rng.multinomial(cases, np.full(cases, 1 / cases), size=RESAMPLES) / cases
    means = ((by_seed @ d) * by_case).sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(d.mean()), float(low), float(high)


def verdict(found: tuple[float, float, float]) -> str:
    mean, low, high = found
    what = "better" if low > 0 else "worse" if high < 0 else "no difference"
    return f"{what} ({mean:+.3f} [{low:+.3f}, {high:+.3f}])"


def shown(found: tuple[float, float, float]) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(*found)


def tables(rows: list[dict[str, Any]]) -> str:
    """Markdown: one table of scores, one of paired differences, one over all data sets, and the sentences they allow."""
    tasks = sorted({row["task"] for row in rows})
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["start"], row["method"]), []).append(row)
    methods = [name for name in NAMES if any(key[2] == name for key in groups)]
    starts = [start for start in STARTS if any(key[1] == start for key in groups)]
    lines = ["### Accuracy", ""]
    lines += ["| data | begins from | method | seeds | evaluations | dev (200) | test |", "|---|---|---|---|---|---|---|"]
    for task in tasks:
        for start in starts:
            for method in methods:
                some = groups.get((task, start, method))
                if some:
                    used = sorted({row["evaluations"] for row in some})
                    count = f"{used[0]}" if len(used) == 1 else f"{used[0]}-{used[-1]}"
                    test = bits(some, "test")
                    dev = shown(interval(bits(some, "dev")))
                    scores = f"{dev} | {shown(interval(test))} (n = {test.shape[1]})"
                    lines.append(f"| {task} | {STARTS[start]} | {NAMES[method]} | {len(some)} | {count} | {scores} |")
    lines += ["", "### Paired differences on test", ""]
    against = [
        ("hand-written", "none", "written"),
        ("word climber", "climber", None),
        ("(1+1)", "(1+1)", None),
        ("random", "random", None),
    ]
    lines += [
        f"| data | begins from | method | {' | '.join(f'against {name}' for name, _, _ in against)} |",
        "|---" * (3 + len(against)) + "|",
    ]
    said: list[str] = []
    for task in tasks:
        for start in starts:
            for method in methods:
                some = groups.get((task, start, method))
                if not some or method == "none":
                    continue
                cells = []
                for name, other, fixed in against:
                    rival = groups.get((task, fixed or start, other))
                    if rival is None or other == method:
                        cells.append("")
                        continue
                    found = verdict(interval(bits(some, "test"), bits(rival, "test")))
                    cells.append(found)
                    if method in ("GA", "DE") and not found.startswith("better"):
                        said.append(f"{NAMES[method]} does not beat {name} on {task} from {STARTS[start]}: {found}.")
                lines.append(f"| {task} | {STARTS[start]} | {NAMES[method]} | {' | '.join(cells)} |")
    lines += ["", "### All data sets together", ""]
    lines += ["Differences of the mean over the data sets; every data set counts the same.", ""]
    lines += ["| begins from | method | mean test | " + " | ".join(f"against {name}" for name, _, _ in against) + " |"]
    lines += ["|---" * (3 + len(against)) + "|"]
    for start in starts:
        for method in methods:
            mine = [groups.get((task, start, method)) for task in tasks]
            if not all(mine):
                continue
            cells = []
            for _, other, fixed in against:
                theirs = [groups.get((task, fixed or start, other)) for task in tasks]
                same = (other, fixed or start) == (method, start)
                cells.append("" if same or not all(theirs) else verdict(together(mine, theirs)))
            mean = np.mean([bits(some, "test").mean() for some in mine if some])
            lines.append(f"| {STARTS[start]} | {NAMES[method]} | {mean:.3f} | {' | '.join(cells)} |")
    if said:
        lines += ["", "### Where an evolutionary recipe does not win", ""] + [f"* {one}" for one in said]
    return "\n".join(lines)


def together(mine: list[Any], theirs: list[Any]) -> tuple[float, float, float]:
    """The mean difference over data sets, with seeds and cases resampled within each."""
    means, draws = [], []
    rng = np.random.default_rng(20260102)
    for a_rows, b_rows in zip(mine, theirs, strict=True):
        d = paired(bits(a_rows, "test"), bits(b_rows, "test"))
        seeds, cases = d.shape
        by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
        by_case = rng.multinomial(cases, np.full(cases, 1 / cases), size=RESAMPLES) / cases
        means.append(d.mean())
        draws.append(((by_seed @ d) * by_case).sum(axis=1))
    low, high = np.quantile(np.mean(draws, axis=0), [0.025, 0.975])
    return float(np.mean(means)), float(low), float(high)


def write(results: Path, readme: Path | None) -> None:
    """Puts the tables between the two marks of the README; without one, prints them. Rows by other weights stay out."""
    model = EmbeddedLLM().key
    rows = [row for line in results.read_text().splitlines() if (row := json.loads(line)).get("model") in (None, model)]
    text = tables(rows)
    if any("model" in row for row in rows):
        text = f"Children by the embedded model: `{model}`.\n\n{text}"
    if readme is None:
        print(text)
        return
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    write(HERE / "results" / "study.jsonl", HERE / "README.md")
