"""A run that is disturbed again and again, and the server whose ledger is the judge."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from llmevo.testing.server import FaultyLLM
from tests.faults import hunted

IN_FLIGHT = 4
HELD = 10
"""Calls that may be begun and not yet recorded: as many again as are in flight, and the preflights."""


class Hunt:
    """A run folder that is killed again and again, and the server whose ledger is the judge."""

    def __init__(self, spawn: Any, folder: Path, server: FaultyLLM, way: str = "plain") -> None:
        self.spawn, self.folder, self.server, self.way = spawn, folder, server, way
        self.out = folder.with_suffix(".json")
        self.kills = 0
        self.stops = 0
        """Sittings that ended on a full disk."""
        self.before = len(server.billed)

    def sit(self, crash: str = "", kill_after: float = 0.0, in_flight: int = IN_FLIGHT) -> bool:
        """One sitting; whether it was killed."""
        args = (str(self.folder), self.server.url, crash, kill_after, str(self.out), in_flight, self.way)
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
        # A full disk may stop a sitting between an intent and its request: booked at its upper bound, never sent.
        assert lost <= self.kills * HELD, f"{lost} billed calls brought no answer at {self.kills} kills"
        assert flying <= (self.kills + self.stops) * HELD, f"{flying} calls of unknown outcome"
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


def same(outcome: dict[str, Any], plain: dict[str, Any]) -> None:
    for name in ("history", "best", "test", "reason", "crowning", "vote"):
        assert outcome[name] == plain[name], name
