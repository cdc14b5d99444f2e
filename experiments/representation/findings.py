"""From the rows of the studies to the tables of README.md; every cell says how many seeds it holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from llmevo.report.pairing import Difference, corrected, difference, generator, mean_of, together

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
Row = dict[str, Any]


def whole(rows: Sequence[Row], *names: str) -> list[Row]:
    """The rows of the seeds that every cell has: an unfinished study compares equals."""
    cells: dict[tuple[Any, ...], set[int]] = {}
    for row in rows:
        cells.setdefault(tuple(row[name] for name in names), set()).add(row["seed"])
    seeds = set.intersection(*cells.values()) if cells else set()
    return [row for row in rows if row["seed"] in seeds]


def shown(table: np.ndarray, *names: str) -> str:
    found = mean_of(table, generator(*names))
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


def against(found: Difference) -> str:
    return f"{found.verdict} ({found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}], p = {found.p:.3f})"


def matrix_tables(rows: Sequence[Row]) -> list[str]:
    """Every cell, then each selection and each succession against a reference, and how alike the representations rank them."""
    rows = whole(rows, "representation", "selection", "succession")
    cells: dict[tuple[str, str, str], np.ndarray] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        key = (row["representation"], row["selection"], row["succession"])
        cells[key] = np.vstack([cells.get(key, np.empty((0, 1))), [[row["whole"]]]])
    kinds, selections, successions = (list(dict.fromkeys(key[i] for key in cells)) for i in range(3))
    n = len({row["seed"] for row in rows})
    lines = [f"### Selection x succession x representation ({n} seeds a cell)", "", "Best score after 96 evaluations; at most 1.", ""]
    lines += [f"| selection | succession | {' | '.join(kinds)} |", "|---" * (2 + len(kinds)) + "|"]
    for s in selections:
        for u in successions:
            lines.append(f"| {s} | {u} | {' | '.join(shown(cells[k, s, u], k, s, u) for k in kinds)} |")
    for what, names, others, pick in (
        ("Selection, over all successions, against uniform", selections, successions, lambda k, one, u: cells[k, one, u]),
        ("Succession, over all selections, against keep all", successions, selections, lambda k, one, s: cells[k, s, one]),
    ):
        rival = "uniform" if "uniform" in names and names is selections else ("keep all" if "keep all" in names else names[0])
        made = {
            (one, k): together([(pick(k, one, u), pick(k, rival, u)) for u in others], generator(what, one, k))
            for one in names if one != rival for k in kinds
        }  # fmt: skip
        made = dict(zip(made, corrected(list(made.values())), strict=True))
        lines += ["", f"{what} (paired seeds, Holm over the table):", "", f"| | {' | '.join(kinds)} |", "|---" * (1 + len(kinds)) + "|"]
        lines += [f"| {one} | {' | '.join(against(made[one, k]) for k in kinds)} |" for one in names if one != rival]
    ranks = {k: np.argsort(np.argsort([cells[k, s, u].mean() for s in selections for u in successions])) for k in kinds}
    alike = [f"{a} and {b} {np.corrcoef(ranks[a], ranks[b])[0, 1]:+.2f}" for a, b in combinations(kinds, 2)]
    lines += ["", f"Rank correlation of the {len(selections) * len(successions)} cells between representations: {', '.join(alike)}.", ""]
    return lines


def bits(rows: Sequence[Row]) -> np.ndarray:
    return np.array([[int(bit) for bit in row["test_right"]] for row in sorted(rows, key=lambda row: row["seed"])], float)


def encoder_tables(rows: Sequence[Row]) -> list[str]:
    """Scores per data set and arm, then the arms against each other, per set and over all of them."""
    written = {row["task"]: row for row in rows if row["arm"] == "as written"}
    rows = whole([row for row in rows if row["arm"] != "as written"], "task", "arm")
    tasks, arms = (list(dict.fromkeys(row[name] for row in rows)) for name in ("task", "arm"))
    if not rows:
        return ["### Sentence encoder on real data", "", "No whole seed is done yet.", ""]
    groups = {(t, a): [row for row in rows if (row["task"], row["arm"]) == (t, a)] for t in tasks for a in arms}
    n = len({row["seed"] for row in rows})
    lines = [f"### Sentence encoder on real data ({n} seeds a cell)", ""]
    lines += ["| data | what evolves | n | evaluations | dev | test | optimism |", "|---" * 7 + "|"]
    for t in tasks:
        if t in written:
            row = written[t]
            lines.append(f"| {t} | nothing: as written | 1 | 1 | {row['dev']:.3f} | {shown(bits([row]), t)} | |")
        for a in arms:
            some = groups[t, a]
            dev = np.array([[row["dev"]] for row in some])
            gap = dev - bits(some).mean(axis=1, keepdims=True)
            used = f"{min(row['evaluations'] for row in some)}-{max(row['evaluations'] for row in some)}"
            scores = f"{shown(dev, t, a, 'dev')} | {shown(bits(some), t, a)} | {shown(gap, t, a, 'gap')}"
            lines.append(f"| {t} | {a} | {len(some)} | {used} | {scores} |")
    pairs = [(a, b) for a, b in combinations(arms, 2)]
    made = {(t, a, b): difference(bits(groups[t, a]), bits(groups[t, b]), generator(t, a, b)) for t in tasks for a, b in pairs}
    made |= {
        ("all", a, b): together([(bits(groups[t, a]), bits(groups[t, b])) for t in tasks], generator("all", a, b)) for a, b in pairs
    }
    made |= {
        (t, a, "as written"): difference(bits(groups[t, a]), np.repeat(bits([written[t]]), n, axis=0), generator(t, a, "w"))
        for t in tasks if t in written for a in arms
    }  # fmt: skip
    made = dict(zip(made, corrected(list(made.values())), strict=True))
    lines += ["", "Paired differences on test (seeds and cases; Holm over the table):", "", "| data | | against | |", "|---|---|---|---|"]
    lines += [f"| {t} | {a} | {b} | {against(found)} |" for (t, a, b), found in made.items()]
    return [*lines, ""]


def reviews_tables(rows: Sequence[Row]) -> list[str]:
    """Scores per arm, then the arms against each other; a table for each set of weights that there are rows of."""
    lines: list[str] = []
    for weights in dict.fromkeys(row["weights"] for row in rows):
        some = whole([row for row in rows if row["weights"] == weights], "arm")
        arms = list(dict.fromkeys(row["arm"] for row in some))
        groups = {arm: sorted((row for row in some if row["arm"] == arm), key=lambda row: row["seed"]) for arm in arms}
        n = len({row["seed"] for row in some})
        lines += [f"### Small model, reviews ({n} seeds a cell, weights {weights[:12]})", ""]
        lines += ["| what evolves | evaluations | calls | dev | test | optimism | seeds with test = 1 |", "|---" * 7 + "|"]
        for arm, own in groups.items():
            dev = np.array([[row["dev"]] for row in own])
            gap = dev - bits(own).mean(axis=1, keepdims=True)
            used = f"{min(row['evaluations'] for row in own)}-{max(row['evaluations'] for row in own)}"
            calls = f"{np.mean([row['calls'] for row in own]):,.0f}"
            scores = f"{shown(dev, arm, 'dev')} | {shown(bits(own), arm)} | {shown(gap, arm, 'gap')}"
            lines.append(f"| {arm} | {used} | {calls} | {scores} | {sum(row['test'] == 1 for row in own)} of {n} |")
        pairs = list(combinations(arms, 2))
        made = corrected([difference(bits(groups[a]), bits(groups[b]), generator("reviews", a, b)) for a, b in pairs])
        lines += ["", "Paired differences on test (seeds and cases; Holm over the table):", "", "| | against | |", "|---|---|---|"]
        lines += [f"| {a} | {b} | {against(found)} |" for (a, b), found in zip(pairs, made, strict=True)]
        lines.append("")
    return lines


def write(rows: dict[str, list[Row]], readme: Path | None) -> None:
    """Puts the tables between the two marks of the page; without one, prints them."""
    makers = {"matrix": matrix_tables, "encoder": encoder_tables, "reviews": reviews_tables}
    text = "\n".join(line for name, some in rows.items() if some for line in makers[name](some))
    if readme is None:
        print(text)
        return
    before, _, rest = readme.read_text().partition(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
