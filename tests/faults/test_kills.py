"""Kills at every crash point and at random times: the run ends as if undisturbed, and no recorded answer is paid again."""

from __future__ import annotations

import ast
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from llmevo.report.doctor import examine
from llmevo.storage.blobs import FolderBlobs, MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.spare import kept
from llmevo.testing.server import FaultyLLM
from tests.faults import hunted
from tests.faults.hunt import Hunt, same

ROOT = Path(__file__).resolve().parents[2]
ASIDE = {"blob-new", "blob-named", "taken-over"}
"""Points to which the run of the hunt does not come."""
ADAPTERS = {"adapter-written", "adapter-named"}
"""Points of the export of adapters, which needs torch: `tests/weights` dies there."""
ENDS = ("finalists-scored", "held-out-scored", "vote-counted")
"""Points behind the search, to which every sitting comes once at most: just before the crowning, the winner's score on the test cases, and
the vote are recorded."""


def crash_points() -> list[str]:
    """Every point that the package names, so that a new one cannot be forgotten."""
    found = set()
    for path in (ROOT / "llmevo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "crash_point":
                assert isinstance(node.args[0], ast.Constant), f"{path}: a crash point is named by a literal"
                found.add(node.args[0].value)
    return sorted(found)


@pytest.mark.fault("S1", "L27")
@pytest.mark.parametrize("in_flight", [1, 4, 16])
def test_the_same_run_at_any_number_of_requests_in_flight(
    spawn: Any, tmp_path: Path, server: FaultyLLM, undisturbed: dict[str, Any], in_flight: int
) -> None:
    hunt, server_before = Hunt(spawn, tmp_path / "run", server), len(server.requests)
    assert not hunt.sit(in_flight=in_flight)
    same(json.loads(hunt.out.read_text(encoding="utf-8")), undisturbed)
    asked = [seen.prompt for seen in server.requests[server_before:] if seen.prompt != "Hi" and "<prompt>" not in seen.prompt]
    assert len(asked) == len(set(asked)), "equal questions are asked once"


@pytest.mark.fault("S1", "S3")
@pytest.mark.parametrize("point", [point for point in crash_points() if point not in ASIDE | ADAPTERS | {*ENDS}])
def test_dying_at_a_crash_point(spawn: Any, tmp_path: Path, server: FaultyLLM, undisturbed: dict[str, Any], point: str) -> None:
    killed = 0
    for ordinal in (1, 2, 3):
        hunt = Hunt(spawn, tmp_path / f"run{ordinal}", server)
        killed += hunt.sit(crash=f"{point}:{ordinal}")
        same(hunt.finish(), undisturbed)
    assert killed, f"no run ever came to {point}"


@pytest.mark.fault("S1")
@pytest.mark.parametrize("point", ENDS)
def test_dying_three_times_at_the_end(
    spawn: Any, tmp_path: Path, server: FaultyLLM, ends_undisturbed: dict[str, Any], point: str
) -> None:
    hunt = Hunt(spawn, tmp_path / "run", server, "ends")
    asked = []
    for _ in range(3):
        assert hunt.sit(crash=f"{point}:1"), f"the run never came to {point}"
        asked.append(len(server.billed))
    assert asked[0] == asked[-1], "what was asked for this point is on record, and is asked once"
    same(hunt.finish(), ends_undisturbed)
    assert point != ENDS[-1] or len(server.billed) == asked[-1], "behind the vote nothing is asked"


@pytest.mark.fault("S1")
@pytest.mark.parametrize("point", ["before-told", "after-told", "committed"])
def test_dying_while_several_cohorts_are_told_and_not_yet_durable(
    spawn: Any, tmp_path: Path, server: FaultyLLM, slots_undisturbed: dict[str, Any], point: str
) -> None:
    for ordinal in (2, 5, 9):
        hunt = Hunt(spawn, tmp_path / f"run{ordinal}", server, "slots")
        assert hunt.sit(crash=f"{point}:{ordinal}"), f"the run never came to {point} {ordinal} times"
        same(hunt.finish(), slots_undisturbed)


@pytest.mark.fault("S1", "S4", "W11")
@pytest.mark.parametrize("point", sorted(ASIDE))
def test_dying_while_something_large_is_stored(spawn: Any, tmp_path: Path, point: str) -> None:
    for ordinal in (1, 2, 3):
        folder = tmp_path / f"run{ordinal}"
        for crash, code in ((f"{point}:{ordinal}", -signal.SIGKILL), ("", 0)):
            child = spawn.Process(target=hunted.keep, args=(str(folder), crash))
            child.start()
            child.join(60)
            assert child.exitcode == code
        blobs = FolderBlobs(folder / "blobs")
        assert [blobs.get(MemoryBlobs().put(hunted.blob(i))) for i in range(4)] == [hunted.blob(i) for i in range(4)]
        database = Database(folder / "run.sqlite", spare=True)
        assert [row[0] for row in database.rows("answers")] == [f"b2:{i}" for i in range(4)]
        database.close()
        assert kept(folder / "run.spare") == ([], 0) and examine(folder).problems == ()


@pytest.mark.slow
@pytest.mark.fault("S1")
def test_random_kills(spawn: Any, tmp_path: Path, server: FaultyLLM, undisturbed: dict[str, Any]) -> None:
    times = random.Random(1)
    wanted = int(os.environ.get("LLMEVO_HUNT", "20"))
    kills = runs = 0
    while kills < wanted:
        runs += 1
        hunt = Hunt(spawn, tmp_path / f"run{runs}", server)
        for _ in range(5):
            hunt.sit(kill_after=times.uniform(0.02, 0.5))
        same(hunt.finish(), undisturbed)
        kills += hunt.kills
        assert runs <= wanted, "most sittings should be killed before they end by themselves"
    print(f"{kills} kills in {runs} runs")
