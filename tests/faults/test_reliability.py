"""The reliability page says what the tests prove, no more."""

from __future__ import annotations

import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("reliability", Path(__file__).with_name("reliability.py"))
assert spec is not None and spec.loader is not None
reliability = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reliability)


def test_the_page_is_up_to_date() -> None:
    assert reliability.PAGE.read_text(encoding="utf-8") == reliability.page(), "run: python tests/faults/reliability.py"


def test_every_mark_names_a_row() -> None:
    rows = reliability.yaml.safe_load(reliability.ROWS.read_text(encoding="utf-8"))
    assert set(reliability.proofs()) <= set(rows)
