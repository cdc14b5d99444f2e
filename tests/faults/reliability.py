"""Makes `docs/reliability.md` from the list of faults and from the marks of the tests, so that it cannot claim what nothing proves.

    python tests/faults/reliability.py          # writes the page
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
ROWS = Path(__file__).with_name("rows.yaml")
AREAS = {
    "L": "Language models",
    "E": "Evaluation",
    "S": "Storage and process",
    "C": "Configuration",
    "X": "Security",
    "W": "Weights",
}
WAITING = {
    "W": "waits for the weight wing",
    "X8": "waits for pages (there is no dashboard)",
    "X10": "waits for models that are loaded with code of their own",
    "S18": "waits for trackers (there is none yet)",
}
HEAD = """# Reliability

What llmevo promises when something goes wrong, and the tests that prove it. This page is made from the tests
(`python tests/faults/reliability.py`); a row without a test says so.

What a run folder can tell, and what it cannot. Every row of `run.sqlite` carries a hash, and every table is counted: rows that were
changed or are gone are found, and the run names the last good cohort. How many rows were acknowledged stands in `run.spare`
beside it, so that a lost `run.sqlite-wal` or an older `run.sqlite` is found as well. Nothing can be found when `run.spare` is gone or
is as old as the rest (a whole folder put back from a backup: that is an older run, and it goes on from there); nor what the
power took before it was acknowledged. A hash is no signature: who rewrites rows with their hashes is noticed only where the
history of told cohorts covers them. `run.spare` also keeps 4 MB free for paid answers when the disk is full; it may be removed
when a run is over.

Failing evaluations: `stop: {fail_on_error: ...}` says how many genomes may fail to be evaluated before the run pauses (exit 75): `true`
allows none, a whole number so many, a number below 1 that share of all births. By default any number may, and a failed one
never wins.

Noisy scores: `confirm: K` in a run file. Whoever would be the best ever is scored K more times on fresh answers to the same cases
before it may be, and the mean of these is its score from then on; the lucky score that brought it up does not count. At a noise of 0.2
and K = 16 eleven newcomers that are truly 1/6 worse replace the best in less than 1 of 20 runs, without it in more than 6 of 10
(200 seeds, `tests/strategies/test_confirmed.py`). A confirmation is one of the planned births, and costs K evaluations. Whoever was
unlucky at first is not looked at again: that costs progress, and never a false best.
"""


def proofs() -> dict[str, list[str]]:
    """Row to the tests that carry its mark, as `path::name`."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        whole = _marks([node.value for node in tree.body if isinstance(node, ast.Assign) and _names(node) == "pytestmark"])
        for name, marks in _tests(tree.body, "", whole):
            for row in marks:
                place = f"{path.relative_to(ROOT)}::{name}"
                if place not in found.setdefault(row, []):
                    found[row].append(place)
    return found


def _tests(body: list[ast.stmt], prefix: str, marks: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The tests of a module or class, each with its own marks and those around it."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield prefix + node.name, marks + _marks(node.decorator_list)
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _tests(node.body, f"{prefix}{node.name}::", marks + _marks(node.decorator_list))


def _names(node: ast.Assign) -> str:
    return node.targets[0].id if isinstance(node.targets[0], ast.Name) else ""


def _marks(expressions: list[ast.expr]) -> list[str]:
    rows = []
    for expression in expressions:
        for node in ast.walk(expression):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fault":
                rows += [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
    return [str(row) for row in rows]


def page() -> str:
    """The text of the page."""
    rows = yaml.safe_load(ROWS.read_text(encoding="utf-8"))
    proven = proofs()
    unknown = sorted(set(proven) - set(rows))
    if unknown:
        raise SystemExit(f"marks that no row of {ROWS.name} has: {', '.join(unknown)}")
    parts = [HEAD]
    for letter, area in AREAS.items():
        parts.append(f"\n## {area}\n\n| | Fault | Promise | Proof |\n|---|---|---|---|\n")
        for row, text in rows.items():
            if row[0] == letter:
                parts.append(f"| {row} | {_cell(text['fault'])} | {_cell(text['promise'])} | {_proof(row, proven)} |\n")
    return "".join(parts)


def _proof(row: str, proven: dict[str, list[str]]) -> str:
    if row in proven:
        return "<br>".join(f"`{place}`" for place in proven[row])
    return WAITING.get(row) or WAITING.get(row[0]) or "**no test yet**"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
