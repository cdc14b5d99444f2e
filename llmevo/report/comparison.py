"""Runs beside each other: one table, paired differences, curves; all from rows that each stand for one finished run."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmevo.report.pairing import Difference, corrected, difference, gap_of, generator, mean_of
from llmevo.report.statistics import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Row:
    """One finished run: what its winner scored, by the scorer of the task, and what it cost."""

    name: str
    seed: int
    dev: Mapping[str, float]
    """Score per dev case; the search has seen these."""
    test: Mapping[str, float]
    """Score per test case; the search has not."""
    evaluations: int
    calls: int
    tokens: int
    seconds: float
    winner: str
    reason: str
    curve: tuple[tuple[float, float], ...]
    """What had been spent, in the compared unit, and the best score of the measure that selects by then."""
    key: str = ""
    """The key of the winner's genome; rows of older comparisons have none."""

    def dump(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)


def rows_of(path: Path) -> list[Row]:
    """The rows of a file, one a line. A line that was cut is as if it had not been written: its run is read again."""
    found: dict[tuple[str, int], Row] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
            row = Row(**{**record, "curve": tuple((x, y) for x, y in record["curve"])})
        except (ValueError, TypeError, KeyError):
            continue
        found[row.name, row.seed] = row
    return list(found.values())


def add_row(path: Path, row: Row) -> None:
    """Adds a line to a file, behind one that may have been cut."""
    with path.open("a+b") as out:
        if out.seek(0, os.SEEK_END):
            out.seek(-1, os.SEEK_END)
            out.write(b"" if out.read(1) == b"\n" else b"\n")
        out.write(row.dump().encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())


@dataclass(frozen=True)
class Line:
    """One contender over its seeds."""

    name: str
    runs: int
    dev: Interval
    test: Interval
    optimism: Interval
    """Dev less test: what the search owes to knowing the dev cases."""
    evaluations: float
    calls: float
    tokens: float
    seconds: float
    winners: int = 0
    """How many different winners there are; 0 where rows do not say."""


@dataclass(frozen=True)
class Comparison:
    """What the runs of a comparison say. Higher is better, as everywhere."""

    unit: str
    amount: float
    lines: tuple[Line, ...]
    differences: Mapping[tuple[str, str], Difference]
    """Of every pair (a, b): how far a is above b on the test cases, over the seeds that both have, corrected for the number of pairs."""
    same: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    """Of every pair that has any: the seeds with which both found the same winner, so that their difference there is 0."""

    def markdown(self) -> str:
        """The table and the differences."""
        head = ["contender", "runs", "dev", "test", "optimism", "evaluations", "calls", "tokens", "seconds"]
        lines = [f"Budget: {self.amount:g} {self.unit} a run. Mean [95 % interval over seeds and cases]; optimism = dev - test.", ""]
        lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for one in self.lines:
            scores = " | ".join(_shown(found) for found in (one.dev, one.test, one.optimism))
            costs = f"{one.evaluations:.1f} | {one.calls:,.0f} | {one.tokens:,.0f} | {one.seconds:.1f}"
            lines.append(f"| {one.name} | {one.runs} | {scores} | {costs} |")
        if self.differences:
            lines += ["", "Paired differences on the test cases (bootstrap over seeds and cases; p by Holm for all pairs):", ""]
            lines += ["| | against | difference [95 %] | p | seeds | |", "|---" * 6 + "|"]
        for (a, b), found in self.differences.items():
            numbers = f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}] | {found.p:.3f} | {found.runs}"
            lines.append(f"| {a} | {b} | {numbers} | {found.verdict} |")
        lines += ["", *self.notes] if self.notes else []
        return "\n".join(lines) + "\n"

    @property
    def notes(self) -> list[str]:
        """What has to be known to read the table, a line each."""
        found = []
        for line in self.lines:
            if line.runs > 1 and line.winners == 1:
                found.append(f"{line.name}: the winner is the same with all {line.runs} seeds.")
        for (a, b), seeds in self.same.items():
            words = f"{len(seeds)} of {self.differences[a, b].runs} seeds ({', '.join(map(str, seeds))})"
            found.append(f"{a} and {b}: the same winner in {words}; there they cannot differ.")
        return found

    def csv(self) -> str:
        """The table, with the ends of every interval in columns of their own."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        scores = ("dev", "test", "optimism")
        costs = ("evaluations", "calls", "tokens", "seconds")
        table.writerow(["contender", "runs", *(f"{one}{end}" for one in scores for end in ("", "_low", "_high")), *costs])
        for line in self.lines:
            ends = [end for one in scores for end in _ends(getattr(line, one))]
            table.writerow([line.name, line.runs, *(f"{end:.6f}" for end in ends), *(getattr(line, one) for one in costs)])
        return out.getvalue()

    def record(self) -> dict[str, Any]:
        """The same as JSON."""
        pairs = [{"a": a, "b": b, **asdict(one), "verdict": one.verdict} for (a, b), one in self.differences.items()]
        same = [{"a": a, "b": b, "seeds": list(seeds)} for (a, b), seeds in self.same.items()]
        lines = [asdict(one) for one in self.lines]
        return {"unit": self.unit, "amount": self.amount, "lines": lines, "differences": pairs, "same_winners": same}


def compare(rows: Sequence[Row], names: Sequence[str], unit: str, amount: float) -> Comparison:
    """The comparison of the runs that are there; a contender without any is left out."""
    groups = {name: sorted((row for row in rows if row.name == name), key=lambda row: row.seed) for name in names}
    groups = {name: some for name, some in groups.items() if some}
    lines = tuple(_line(name, some) for name, some in groups.items())
    found: dict[tuple[str, str], Difference] = {}
    for a, b in combinations(groups, 2):
        seeds = [row.seed for row in groups[a] if row.seed in {other.seed for other in groups[b]}]
        if seeds:
            tables = [_table([row for row in groups[one] if row.seed in seeds], "test") for one in (a, b)]
            found[a, b] = difference(tables[0], tables[1], generator("difference", a, b))
    whole = dict(zip(found, corrected(list(found.values())), strict=True))
    same = {(a, b): _same(groups[a], groups[b]) for a, b in found}
    return Comparison(unit, amount, lines, whole, {pair: seeds for pair, seeds in same.items() if seeds})


def _same(a: Sequence[Row], b: Sequence[Row]) -> tuple[int, ...]:
    """The seeds with which two found the same winner."""
    theirs = {row.seed: row.key for row in b}
    return tuple(row.seed for row in a if row.key and theirs.get(row.seed) == row.key)


def _line(name: str, rows: Sequence[Row]) -> Line:
    import numpy as np

    dev, test = _table(rows, "dev"), _table(rows, "test")
    means = {cost: float(np.mean([getattr(row, cost) for row in rows])) for cost in ("evaluations", "calls", "tokens", "seconds")}
    scores = [mean_of(table, generator(part, name)) for part, table in (("dev", dev), ("test", test))]
    scores.append(gap_of(dev, test, generator("optimism", name)))
    winners = len({row.key for row in rows}) if all(row.key for row in rows) else 0
    return Line(name, len(rows), scores[0], scores[1], scores[2], **means, winners=winners)


def _table(rows: Sequence[Row], part: str) -> NDArray[np.float64]:
    """(seeds, cases), cases in one order."""
    import numpy as np

    ids = list(getattr(rows[0], part))
    return np.array([[getattr(row, part)[case] for case in ids] for row in rows], dtype=float)


def _ends(one: Interval) -> tuple[float, float, float]:
    return one.mean, one.low, one.high


def _shown(one: Interval) -> str:
    return f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"


__all__ = ["Comparison", "Line", "Row", "add_row", "compare", "rows_of"]
