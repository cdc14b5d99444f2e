"""Time that a run has taken, and clocks that jump."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from llmevo.storage.database import Database
from llmevo.storage.stopwatch import Stopwatch

PACKAGE = Path(__file__).parents[2] / "llmevo"
WALL = {
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "time.strftime", "datetime.now", "datetime.utcnow",
    "datetime.today", "date.today",
}  # fmt: skip
MESSAGES = {
    ("core/clock.py", "time.time"),
    ("storage/folder.py", "time.strftime"),
    ("llm/retry.py", "self._clock.now"),
    ("llm/faults.py", "clock.now"),
}
"""Where the wall clock may be looked at: in the clock that is handed on, to tell somebody the hour, and to understand an hour that a
server names without telling its own."""


@pytest.mark.fault("S12")
def test_the_wall_clock_decides_nothing() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        if place.startswith("testing/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name = ast.unparse(node.func)
                if name.removeprefix("datetime.") in WALL or name in WALL or name.endswith("clock.now"):
                    found.add((place, name))
    assert found == MESSAGES


def test_seconds_add_up_over_sittings(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    for before, notes in ((0.0, (1.5, 2.5)), (2.5, (4.0, 3.0)), (4.0, ())):
        database = Database(path)
        watch = Stopwatch(database)
        assert watch.earlier == before
        for elapsed in notes:
            watch.note(elapsed).result()
        database.close()
