"""Makes `docs/reliability.md` from the list of faults and from the marks of the tests, so that it cannot claim what nothing proves.

    python tests/faults/reliability.py          # writes the page
"""

from __future__ import annotations

import ast
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
    "X2": "waits for pages (there is no HTML report yet)",
    "X8": "waits for pages (there is no dashboard)",
    "X10": "waits for models that are loaded with code of their own",
    "S18": "waits for trackers (there is none yet)",
    "E9": "waits for re-scoring of finalists",
}
HEAD = """# Reliability

What llmevo promises when something goes wrong, and the tests that prove it. This page is made from the tests
(`python tests/faults/reliability.py`); a row without a test says so.
"""


def proofs() -> dict[str, list[str]]:
    """Row to the tests that carry its mark, as `path::name`."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        whole = _marks([node.value for node in tree.body if isinstance(node, ast.Assign) and _names(node) == "pytestmark"])
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
                for row in whole + _marks(node.decorator_list):
                    place = f"{path.relative_to(ROOT)}::{node.name}"
                    if place not in found.setdefault(row, []):
                        found[row].append(place)
    return found


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
