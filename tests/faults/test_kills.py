"""Kills at every crash point and at random times: the run ends as if undisturbed, and no recorded answer is paid again."""

from __future__ import annotations

import ast
import json
import multiprocessing
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmevo.report.doctor import examine
from llmevo.storage.blobs import FolderBlobs, MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.spare import kept
from llmevo.testing.server import FaultyLLM
from tests.faults import hunted

ROOT = Path(__file__).resolve().parents[2]
IN_FLIGHT = 4
ASIDE = {"blob-new", "blob-named", "taken-over"}
"""Points to which the run of the hunt does not come."""
HELD = 10
"""Calls that may be begun and not yet recorded: half as many again as are in flight, and the preflights."""


def crash_points() -> list[str]:
    """Every point that the package names, so that a new one cannot be forgotten."""
    found = set()
    for path in (ROOT / "llmevo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "crash_point":
                assert isinstance(node.args[0], ast.Constant), f"{path}: a crash point is named by a literal"
                found.add(node.args[0].value)
    return sorted(found)


@pytest.fixture(scope="module")
def spawn() -> Any:
    """Children are forked from a process that has everything imported and no threads: a child costs milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["llmevo.runs", "aiohttp", "numpy", "tests.faults.hunted"])
    return context


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyLLM]:
    with FaultyLLM(hunted.answering, ledger=tmp_path_factory.mktemp("server") / "ledger.jsonl") as running:
        yield running


class Hunt:
    """A run folder that is killed again and again, and the server whose ledger is the judge."""

    def __init__(self, spawn: Any, folder: Path, server: FaultyLLM) -> None:
        self.spawn, self.folder, self.server = spawn, folder, server
        self.out = folder.with_suffix(".json")
        self.kills = 0
        self.before = len(server.billed)

    def sit(self, crash: str = "", kill_after: float = 0.0, in_flight: int = IN_FLIGHT) -> bool:
        """One sitting; whether it was killed."""
        args = (str(self.folder), self.server.url, crash, kill_after, str(self.out), in_flight)
        child = self.spawn.Process(target=hunted.run, args=args)
        child.start()
        child.join(120)
        assert child.exitcode in (0, -signal.SIGKILL), f"exit code {child.exitcode}"
        self.kills += child.exitcode != 0
        return child.exitcode != 0

    def finish(self) -> dict[str, Any]:
        """Sits until a sitting ends by itself; its outcome, checked against the server's ledger.

        Every billed call brought an answer into the record or was in flight at a kill: a recorded answer that is paid again would
        be one billed call too many.
        """
        while self.sit():
            pass
        outcome: dict[str, Any] = json.loads(self.out.read_text(encoding="utf-8"))
        billed = self.server.billed[self.before :]
        prompts = {seen.number: seen.prompt for seen in self.server.requests}
        preflights = sum(prompts[row["number"]] == "Hi" for row in billed)
        answers, flying = self._counts()
        lost = len(billed) - preflights - (answers - 1)
        assert 0 <= lost <= flying, f"{lost} billed calls brought no answer; {flying} were in flight at {self.kills} kills"
        assert flying <= self.kills * HELD
        self.paid = Counter(prompts[row["number"]] for row in billed)
        tokens = [sum(row[name] for row in billed) for name in ("tokens_in", "tokens_out")]
        assert all(mine >= theirs for mine, theirs in zip(outcome["spent"], [len(billed), *tokens], strict=True)), "understated"
        return outcome

    def _counts(self) -> tuple[int, int]:
        """Answers in the record (one of them is the preflight's), and calls of unknown outcome."""
        connection = sqlite3.connect(self.folder / "run.sqlite")
        try:
            (answers,) = connection.execute("SELECT count(*) FROM answers").fetchone()
            (flying,) = connection.execute("SELECT count(*) FROM intents WHERE id NOT IN (SELECT id FROM settled)").fetchone()
        finally:
            connection.close()
        return answers, flying


@pytest.fixture(scope="module")
def undisturbed(spawn: Any, tmp_path_factory: pytest.TempPathFactory, server: FaultyLLM) -> dict[str, Any]:
    # The endpoint's address is part of what a run is: all runs ask the same server.
    return Hunt(spawn, tmp_path_factory.mktemp("undisturbed") / "run", server).finish()


def same(outcome: dict[str, Any], plain: dict[str, Any]) -> None:
    for name in ("history", "best", "test", "reason"):
        assert outcome[name] == plain[name], name


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
@pytest.mark.parametrize("point", [point for point in crash_points() if point not in ASIDE])
def test_dying_at_a_crash_point(spawn: Any, tmp_path: Path, server: FaultyLLM, undisturbed: dict[str, Any], point: str) -> None:
    killed = 0
    for ordinal in (1, 2, 3):
        hunt = Hunt(spawn, tmp_path / f"run{ordinal}", server)
        killed += hunt.sit(crash=f"{point}:{ordinal}")
        same(hunt.finish(), undisturbed)
    assert killed, f"no run ever came to {point}"


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
    print(f"{kills} kills in {runs} runs")
