"""From the rows of the study to the tables and the figure of README.md: scores, paired differences and what they say.

python experiments/genome/tables.py writes README.md anew from results/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rows import rows_of

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
RESAMPLES = 10_000
BAR = -0.005
"""How far below the best of the portfolio a search may be."""
REGIMES = ("noisy", "complementary", "shared", "disjoint")
GRADIENT = "gradient LoRA on the 200"
SIMPLE = ("base", "best expert", "best expert, scaled", "average", "greedy soup", "random search", GRADIENT)
"""The portfolio: single adapters that no search has made. What is best of them on confirmation is the one to beat."""
SEARCHES = (
    "genome", "genome-plus", "model-swarms", "lorahub", "cma", "eggroll", "deep-ga", "m2n2", "genome, as released",
)  # fmt: skip
VOTES = ("vote of experts", "genome-plus, vote")
CHOSEN = "best of the portfolio, by confirmation"
CROWNED = "best of all, by confirmation"
Row = Mapping[str, Any]
Found = tuple[float, float, float]


def right(cell: Row, method: str) -> np.ndarray:
    """1 per test sample that a method answers rightly."""
    packed = bytes.fromhex(cell["methods"][chosen(cell, method)]["right"])
    return np.unpackbits(np.frombuffer(packed, np.uint8)).astype(int)


def chosen(cell: Row, method: str) -> str:
    """The method itself, or who has the best confirmation score (then validation, then the simpler one)."""
    if method not in (CHOSEN, CROWNED):
        return method
    some = SIMPLE if method == CHOSEN else (*SIMPLE, *SEARCHES)
    scores = cell["methods"]
    return max(some, key=lambda name: (scores[name]["confirmation"], scores[name]["validation"], -some.index(name)))


def interval(cells: Sequence[Row], method: str, against: str | None = None) -> Found:
    """Mean accuracy on test (or difference to `against`) and its 95 % percentile bootstrap interval.

    Pools, the draws of each, and test samples are resampled, both methods alike. A difference of one sample is -1, 0 or 1, so its
    resamples are multinomial.
    """
    rng = np.random.default_rng(20261124)
    pools: dict[tuple[str, int], list[np.ndarray]] = {}
    means: dict[tuple[str, int], list[float]] = {}
    for cell in cells:
        d = right(cell, method) - (right(cell, against) if against else 0)
        counts = np.array([(d == value).sum() for value in (-1, 0, 1)])
        drawn = rng.multinomial(len(d), counts / len(d), size=RESAMPLES)
        key = (cell["regime"], cell["pool"])
        pools.setdefault(key, []).append((drawn[:, 2] - drawn[:, 0]) / len(d))
        means.setdefault(key, []).append(float(d.mean()))
    by_pool = []
    for draws in pools.values():
        table = np.array(draws)
        picks = rng.integers(len(table), size=(len(table), RESAMPLES))
        by_pool.append(np.take_along_axis(table, picks, axis=0).mean(axis=0))
    resampled = np.zeros(RESAMPLES)
    regimes = list(dict.fromkeys(regime for regime, _ in pools))
    for regime in regimes:
        table = np.array([one for one, (name, _) in zip(by_pool, pools, strict=True) if name == regime])
        picks = rng.integers(len(table), size=(len(table), RESAMPLES))
        resampled += np.take_along_axis(table, picks, axis=0).mean(axis=0) / len(regimes)
    mean = np.mean([np.mean([np.mean(one) for (name, _), one in means.items() if name == regime]) for regime in regimes])
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(mean), float(low), float(high)


def points(found: Found, sign: str = "") -> str:
    return "{0:{3}.1f} [{1:{3}.1f}, {2:{3}.1f}]".format(*(100 * one + 0.0 for one in found), sign)


def verdict(found: Found) -> str:
    _, low, high = found
    return f"{points(found, '+')} {'better' if low > 0 else 'worse' if high < 0 else ''}".strip()


def part(cells: Sequence[Row], method: str, name: str) -> float:
    """Mean of another score, in points."""
    return 100 * float(np.mean([cell["methods"][chosen(cell, method)][name] for cell in cells]))


def tables(pools: Sequence[Row], rows: Sequence[Row]) -> str:
    """Markdown: a table per regime, differences over all regimes, the sentences they allow, and what it took."""
    groups = {regime: [row for row in rows if row["regime"] == regime] for regime in REGIMES}
    groups = {regime: some for regime, some in groups.items() if some}
    methods = (*SIMPLE, CHOSEN, *SEARCHES, CROWNED, *VOTES)
    whole = all(counted(some) == (8, 24) for some in groups.values())
    planned = "" if whole else " Planned are 8 pools and 24 draws of each: this is a part."
    lines = ["Test accuracy in points with 95 % intervals. " + "; ".join(
        f"{regime}: {counted(some)[0]} pools, {counted(some)[1]} draws" for regime, some in groups.items()
    ) + f".{planned}", ""]  # fmt: skip
    for regime, some in groups.items():
        lines += [f"### {regime}", "", "| method | validation | confirmation | test | against the best of the portfolio | other skills |"]
        lines += ["|---|---|---|---|---|---|"]
        for method in methods:
            means = " | ".join(f"{part(some, method, name):.1f}" for name in ("validation", "confirmation"))
            versus = "" if method == CHOSEN else verdict(interval(some, method, CHOSEN))
            kept = f"{part(some, method, 'others'):.1f}"
            lines.append(f"| {shown(method)} | {means} | {points(interval(some, method))} | {versus} | {kept} |")
        lines += [""]
    lines += ["### All regimes together", "", "Differences on test; every regime counts the same.", ""]
    against = {"base": "base", "best expert": "best expert", "random search": "random search", "best of the portfolio": CHOSEN}
    lines += ["| method | " + " | ".join(f"against {name}" for name in against) + " |", "|---" * (1 + len(against)) + "|"]
    every = [row for some in groups.values() for row in some]
    said = []
    for method in (*SEARCHES, CROWNED, *VOTES):
        found = {other: interval(every, method, other) for other in against.values()}
        lines.append(f"| {shown(method)} | " + " | ".join(verdict(one) for one in found.values()) + " |")
        if found[CHOSEN][1] <= 0:
            said.append(f"`{method}` does not beat the best of the portfolio: {points(found[CHOSEN], '+')}.")
        if found[CHOSEN][0] < BAR:
            said[-1] += " **It is worse by more than 0.5 points.**"
    lines += ["", "### Where search does not win", ""] + [f"* {one}" for one in said or ["It wins everywhere."]]
    return "\n".join([*lines, "", *costs(pools, rows)])


def costs(pools: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    """What it took: processor time, and evaluations of each search."""
    bases, trained = ([row for row in pools if (row["regime"] is None) is kind] for kind in (True, False))
    spread = [f"{row['accuracy']:.2f}" for row in bases]
    lines = ["### What it took", ""]
    lines += [f"Training, once: {len(bases)} bases in {sum(row['cpu'] for row in bases) / 60:.0f} minutes of processor time (accuracy "
              f"{', '.join(spread)}), {10 * len(trained)} experts in {sum(row['cpu'] for row in trained) / 60:.0f}. "
              f"{len(rows)} draws in {sum(row['cpu'] for row in rows) / 60:.0f} minutes, "
              f"{np.mean([row['cpu'] for row in rows]):.0f} s each."]  # fmt: skip
    used = {name: [row["methods"][name]["evaluations"] for row in rows] for name in ("random search", *SEARCHES)}
    most, least = max(map(max, used.values())), min(map(min, used.values()))
    lines += [f"Adapters evaluated by a search: {least} to {most}; a repeated recipe counts as asked, not as evaluated."]
    return lines


def counted(rows: Sequence[Row]) -> tuple[int, int]:
    """Pools and draws."""
    return len({row["pool"] for row in rows}), len(rows)


def shown(method: str) -> str:
    return f"**{method}**" if method in (CHOSEN, CROWNED) else f"`{method}`" if method in SEARCHES else method


def figure(rows: Sequence[Row]) -> str:
    """Difference to the best of the portfolio by method, a panel per regime, with intervals, as SVG."""
    methods = ("base", "best expert", "average", "greedy soup", "random search", GRADIENT, *SEARCHES, CROWNED)
    groups = {regime: [row for row in rows if row["regime"] == regime] for regime in REGIMES}
    groups = {regime: some for regime, some in groups.items() if some}
    found = {regime: {method: interval(some, method, CHOSEN) for method in methods} for regime, some in groups.items()}
    low = min(one[1] for each in found.values() for one in each.values())
    high = max(one[2] for each in found.values() for one in each.values())
    low, high = min(low, -0.01), max(high, 0.01)
    label, panel, line, top = 200, 170, 17, 40
    height = top + line * len(methods) + 24
    marks = []
    for i, method in enumerate(methods):
        marks.append(f'<text x="{label - 8}" y="{top + line * i + 4}" text-anchor="end">{method}</text>')
    for k, (regime, each) in enumerate(found.items()):
        left = label + k * (panel + 14)

        def x(value: float, left: int = left) -> float:
            return left + panel * (value - low) / (high - low)

        marks.append(f'<text x="{left}" y="16" font-weight="bold">{regime}</text>')
        marks.append(f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{top - 12}" y2="{height - 22}" stroke="#999"/>')
        for value in (low, 0.0, high):
            marks.append(f'<text x="{x(value):.1f}" y="{height - 8}" text-anchor="middle" fill="#777">{100 * value:+.0f}</text>')
        for i, method in enumerate(methods):
            mean, a, b = each[method]
            y, colour = top + line * i, "#1f77b4" if method in SEARCHES else "#d62728" if method == CROWNED else "#777"
            marks.append(f'<line x1="{x(a):.1f}" x2="{x(b):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="1.6"/>')
            marks.append(f'<circle cx="{x(mean):.1f}" cy="{y}" r="3" fill="{colour}"/>')
    width = label + len(found) * (panel + 14) + 10
    style = 'font-family="sans-serif" font-size="11" fill="#333"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {style}>' + "".join(marks) + "</svg>\n"


def write(results: Path, readme: Path | None) -> None:
    """Puts the tables between the two marks of the README and the figure beside it; without a README, prints them."""
    pools, rows = (rows_of(results / f"{name}.jsonl") for name in ("pools", "study"))
    text, drawn = tables(pools, rows), figure(rows)
    if readme is None:
        print(text)
        assert drawn.endswith("</svg>\n")
        return
    (readme.parent / "study.svg").write_text(drawn)
    before, _, rest = readme.read_text().partition(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{text}\n\n![differences to the best of the portfolio](study.svg)\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    write(HERE / "results", HERE / "README.md")
