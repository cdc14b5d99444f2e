"""A comparison on a screen of 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from llmevo.console.inert import inert, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from llmevo.report.comparison import Comparison
    from llmevo.report.statistics import Interval


def show_comparison(found: Comparison, files: Sequence[Path]) -> None:
    """Scores, costs, paired differences, and where they are written."""
    out = stdout()
    out.print(Text(f"\nBudget: {found.amount:g} {found.unit} a run. Mean [95 % interval over seeds and cases]."))
    scores = _table("contender", "runs", "dev", "test", "optimism (dev - test)")
    costs = _table("mean cost of", "evaluations", "calls", "tokens", "seconds")
    for one in found.lines:
        name = Text(inert(one.name))
        scores.add_row(name, str(one.runs), _shown(one.dev), _shown(one.test), _shown(one.optimism))
        costs.add_row(name, f"{one.evaluations:.1f}", f"{one.calls:,.0f}", f"{one.tokens:,.0f}", f"{one.seconds:.1f}")
    out.print(scores)
    out.print(costs)
    if found.differences:
        out.print("Paired differences on the test cases; p by Holm for all pairs.")
        pairs = _table("", "difference [95 %]", "p", "seeds", "")
        for (a, b), gap in found.differences.items():
            words = f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
            pairs.add_row(Text(inert(f"{a} against {b}")), words, f"{gap.p:.3f}", str(gap.runs), gap.verdict)
        out.print(pairs)
    for note in found.notes:
        out.print(Text(inert(note)))
    if files:
        out.print(Text(inert(f"{files[0].parent}: {', '.join(one.name for one in files)}; each run is a folder in it")))


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1), pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _shown(one: Interval) -> str:
    """An interval in the room that three of them have."""
    mean, low, high = (_short(number) for number in (one.mean, one.low, one.high))
    return f"{mean} [{low}, {high}]"


def _short(number: float) -> str:
    text = f"{number:.3f}"
    text = "0.000" if text == "-0.000" else text
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


__all__ = ["show_comparison"]
