"""From the rows to the tables and figures of README.md: means, bootstrap intervals, paired differences.

python tables.py writes them anew from results/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
RESAMPLES = 5000
MEASURED = ("distinct_2", "self_bleu")
COLOURS = ("#1b6ca8", "#c44536", "#2a9d5c", "#8e5ba6", "#d98e04", "#5f6b73", "#17a2b8")
SHOWN = ("ga-llm", "one-plus-one", "best-of-n", "revise", "evoscale", "mind-evolution", "ga-llm, never spent")
SOLVER = 2.635983
"""What a numerical solver alone reaches with 26 circles."""

Row = dict[str, Any]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean and its 95 % percentile bootstrap interval."""
    array = np.asarray(values, dtype=float)
    draws = np.random.default_rng(7).choice(array, size=(RESAMPLES, len(array))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(array.mean()), float(low), float(high)


def at_checks(row: Row, checks: int) -> float:
    """The best score among the first checks."""
    return float(max([value for place, value in row["track"] if place <= checks], default=0.0))


def at_tokens(row: Row, tokens: float) -> float:
    """The best score among the checks that were paid for with at most so many tokens, to the cohort."""
    return at_checks(row, max([checks for used, checks in row["marks"] if used <= tokens], default=0))


def grouped(rows: Sequence[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def scored(rows: Sequence[Row], quality: Callable[[Row], float]) -> list[str]:
    """Arms by tasks: the mean quality; and the paired difference to ga-llm over all tasks, every task counting the same."""
    tasks, arms = list(dict.fromkeys(row["task"] for row in rows)), list(dict.fromkeys(row["arm"] for row in rows))
    groups = grouped(rows, "arm", "task")
    lines = [f"| arm | {' | '.join(tasks)} | against ga-llm, all tasks |", "|---" * (len(tasks) + 2) + "|"]
    reference = {(row["task"], row["seed"]): quality(row) for row in rows if row["arm"] == "ga-llm"}
    for arm in arms:
        cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*interval([quality(row) for row in groups[arm, task]])) for task in tasks]
        cells.append("" if arm == "ga-llm" else compared([row for row in rows if row["arm"] == arm], quality, reference))
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return lines


def compared(
    rows: Sequence[Row],
    quality: Callable[[Row], float],
    reference: dict[tuple[str, int], float],
    words: tuple[str, str] = ("better", "worse"),
) -> str:
    """The mean difference, seeds resampled within each task, in words too."""
    pairs = [(row["task"], quality(row) - reference[row["task"], row["seed"]]) for row in rows if (row["task"], row["seed"]) in reference]
    tasks = dict.fromkeys(task for task, _ in pairs)
    rng, draws, means = np.random.default_rng(8), [], []
    for task in tasks:
        array = np.asarray([difference for name, difference in pairs if name == task])
        means.append(array.mean())
        draws.append(rng.choice(array, size=(RESAMPLES, len(array))).mean(axis=1))
    low, high = np.quantile(np.mean(draws, axis=0), [0.025, 0.975])
    what = words[0] if low > 0 else words[1] if high < 0 else "no difference"
    return f"{what} ({np.mean(means):+.3f} [{low:+.3f}, {high:+.3f}])"


def costs(rows: Sequence[Row]) -> list[str]:
    """What an arm pays."""
    lines = ["| arm | solved where one can | checks | calls per check | tokens per check | stillborn |", "|---" * 6 + "|"]
    for (arm,), some in grouped(rows, "arm").items():
        births = [sum(row["fates"].values()) - row["fates"]["cancelled"] for row in some]
        lost = [sum(row["fates"][fate] for fate in ("known", "copy", "unreadable")) for row in some]
        exact = [row for row in some if row["task"] not in ("summary", "simplification", "circles")]
        share = "{:.2f} [{:.2f}, {:.2f}]".format(*interval([row["solved"] is not None for row in exact])) if exact else ""
        checks = max(1, sum(row["checks"] for row in some))
        lines.append(
            f"| {arm} | {share} | {checks / len(some):.0f} | {sum(row['calls'] for row in some) / checks:.2f} | "
            f"{sum(row['tokens'] for row in some) / checks:.0f} | {sum(lost) / sum(births):.2f} |"
        )
    return lines


def diversity(rows: Sequence[Row]) -> list[str]:
    """How different the answers are that an arm has checked, and whether that is another diversity than that of ga-llm."""
    lines = ["| arm | different answers per birth | distinct-2 | self-BLEU | self-BLEU against ga-llm |", "|---" * 5 + "|"]
    known = [row for row in rows if row.get("self_bleu") is not None]
    reference = {(row["task"], row["seed"]): row["self_bleu"] for row in known if row["arm"] == "ga-llm"}
    for (arm,), some in grouped(known, "arm").items():
        share = [row["different"] / (sum(row["fates"].values()) - row["fates"]["cancelled"]) for row in some]
        cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*interval(v)) for v in (share, *([row[n] for row in some] for n in MEASURED))]
        against = "" if arm == "ga-llm" else compared(some, lambda row: float(row["self_bleu"]), reference, ("more alike", "less alike"))
        lines.append(f"| {arm} | {' | '.join(cells)} | {against} |")
    return lines


def study_tables(rows: Sequence[Row]) -> list[str]:
    lines: list[str] = []
    for (operator, budget), some in grouped(rows, "operator", "budget").items():
        seeds = len({row["seed"] for row in some})
        own = grouped([row for row in some if row["arm"] == "ga-llm"], "task")
        tokens = {
            task: budget / 2 * float(np.mean([row["tokens"] / max(1, row["checks"]) for row in each])) for (task,), each in own.items()
        }
        weights = f" (weights `{some[0]['weights']}`)" if some[0].get("weights") else ""
        lines += [f"### Operator `{operator}`{weights}, {seeds} seeds", "", f"Best score at {budget} checks:", ""]
        lines += scored(some, lambda row, n=budget: at_checks(row, n))  # type: ignore[misc]
        lines += ["", f"Best score at the tokens that {budget // 2} checks of ga-llm cost on that task:", ""]
        lines += scored(some, lambda row, n=tokens: at_tokens(row, n[row["task"]]))  # type: ignore[misc]
        lines += ["", "Cost, all tasks together. A search ends when it is solved; tokens are words for a scripted operator. What repeats",
                  "an answer to the letter costs a call and no check: an arm that is stuck has many calls per check.", "", *costs(some),
                  "", "Diversity of the answers that were checked, all tasks together. Distinct-2: different word pairs as a share of",
                  "all; self-BLEU: how like each answer is to all others (0 to 1). A share above 1: the last cohort was cut off by the",
                  "budget after its checks.", "", *diversity(some), ""]  # fmt: skip
    return lines


def bar_tables(rows: Sequence[Row]) -> list[str]:
    """The policy bars, each with the number of seeds, as it came."""
    clean = [row for row in rows if not row["corrupt"] and not row["sloppy"] and row["task"] != "circles"]
    lines = ["### The default policy, scripted proposer", ""]
    lines += ["| problem | checks | arm | seeds | solved | mean checks of those solved | calls |", "|---" * 7 + "|"]
    for (task, budget, arm), some in grouped(clean, "task", "budget", "arm").items():
        solved = [row["solved"] for row in some if row["solved"]]
        share = "{:.3f} [{:.3f}, {:.3f}]".format(*interval([row["solved"] is not None for row in some]))
        mean = "{:.1f} [{:.1f}, {:.1f}]".format(*interval(solved)) if solved else "none"
        lines.append(f"| {task} | {budget} | {arm} | {len(some)} | {share} | {mean} | {np.mean([row['calls'] for row in some]):.0f} |")
    lines += ["", "### Duplicates rejected first (a proposer whose spaces fall as they like)", ""]
    lines += ["Without rejection every birth is checked. *Checks to an equal rate*: how many it takes until as large a share of seeds is",
              "solved as the weaker of the two solves in all, at most 600 checks.", ""]  # fmt: skip
    lines += ["| problem | arm | seeds | solved | mean checks of those solved | checks to an equal rate | ratio |", "|---" * 7 + "|"]
    for (task,), some in grouped([row for row in rows if row["sloppy"]], "task").items():
        used = {}
        for (arm,), each in grouped(some, "arm").items():
            counts = [row["solved_births" if "allowed" in arm else "solved"] for row in each]
            used[arm] = sorted(count for count in counts if count and count <= 600)
        equal = min(len(each) for each in used.values())
        if not equal or "ga-llm, duplicates allowed" not in used:
            continue
        for arm, each in sorted(used.items(), key=lambda item: -len(item[0])):
            seeds = sum(row["arm"] == arm for row in some)
            ratio = each[equal - 1] / used["ga-llm, duplicates allowed"][equal - 1]
            mean = "{:.1f} [{:.1f}, {:.1f}]".format(*interval(each))
            lines.append(f"| {task} | {arm} | {seeds} | {len(each) / seeds:.2f} | {mean} | {each[equal - 1]} | {ratio:.2f} |")
    lines += ["", "### A proposer that corrupts 35 % of its replies", ""]
    lines += ["| problem | arm | seeds | births | read after repair | worse than the best sample | solved |", "|---" * 7 + "|"]
    for (task, arm), some in grouped([row for row in rows if row["corrupt"]], "task", "arm").items():
        births = sum(sum(row["fates"].values()) - row["fates"]["cancelled"] for row in some)
        lost = sum(row["fates"]["unreadable"] for row in some)
        worse = sum(row["sample"] is not None and row["best"] < row["sample"] for row in some)
        share = np.mean([row["solved"] is not None for row in some])
        lines.append(f"| {task} | {arm} | {len(some)} | {births} | {1 - lost / births:.3f} | {worse} | {share:.2f} |")
    return [*lines, "", *circle_tables([row for row in rows if row["task"] == "circles"])]


def circle_tables(rows: Sequence[Row]) -> list[str]:
    """The demonstration: what a blind proposer packs, beside a solver."""
    if not rows:
        return []
    lines = [f"### 26 circles as text, strict check, {rows[0]['budget']} checks: a demonstration", ""]
    lines += ["| arm | seeds | sum of radii | best | share of what a solver reaches alone |", "|---" * 5 + "|"]
    for (arm,), some in grouped(rows, "arm").items():
        sums = [row["best"] for row in some]
        mean = "{:.3f} [{:.3f}, {:.3f}]".format(*interval(sums))
        lines.append(f"| {arm} | {len(some)} | {mean} | {max(sums):.3f} | {max(sums) / SOLVER:.2f} |")
    return [*lines, ""]


def figure(rows: Sequence[Row], task: str) -> str:
    """Best score by checks, mean over seeds, one line per arm, as SVG."""
    budget = max(row["budget"] for row in rows)
    groups = {arm: [row for row in rows if row["task"] == task and row["arm"] == arm] for arm in SHOWN}
    places = range(1, budget + 1)
    lines = {arm: [float(np.mean([at_checks(row, n) for row in some])) for n in places] for arm, some in groups.items() if some}
    low, high = min(map(min, lines.values())), max(map(max, lines.values()))
    width, height, left, top = 460, 240, 48, 26

    def x(n: int) -> float:
        return left + (width - left - 130) * n / budget

    def y(value: float) -> float:
        return top + (height - top - 34) * (high - value) / ((high - low) or 1)

    marks = [f'<text x="{left}" y="16" font-weight="bold">{task}: best score by checks</text>']
    for value in (low, (low + high) / 2, high):
        marks.append(f'<line x1="{left}" x2="{x(budget):.0f}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>')
        marks.append(f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>')
    for n in (0, budget // 2, budget):
        marks.append(f'<text x="{x(n):.0f}" y="{height - 16}" text-anchor="middle">{n}</text>')
    for i, (arm, values) in enumerate(lines.items()):
        path = " ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in enumerate(values, start=1))
        marks.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[i]}" stroke-width="1.8"/>')
        marks.append(f'<text x="{x(budget) + 10:.0f}" y="{top + 14 + 17 * i}" fill="{COLOURS[i]}">{arm}</text>')
    style = 'font-family="sans-serif" font-size="11" fill="#333"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {style}>' + "".join(marks) + "</svg>\n"


def write(study: Sequence[Row], bars: Sequence[Row], folder: Path | None) -> None:
    """Puts the tables between the two marks of the folder's README and the figures beside it; without a folder, prints them."""
    lines = (bar_tables(bars) if bars else []) + (study_tables(study) if study else [])
    drawn = [row for row in study if row["operator"] == "stub"]
    tasks = list(dict.fromkeys(row["task"] for row in drawn))
    if folder is None:
        print("\n".join(lines))
        assert all("</svg>" in figure(drawn, task) for task in tasks)
        return
    (folder / "figures").mkdir(exist_ok=True)
    for task in tasks:
        (folder / "figures" / f"{task}.svg").write_text(figure(drawn, task))
    lines += ["### Figures", "", *[f"![{task}](figures/{task}.svg)" for task in tasks]]
    readme = folder / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    from run import rows_of

    write(rows_of(HERE / "results" / "study.jsonl"), rows_of(HERE / "results" / "bars.jsonl"), HERE)
