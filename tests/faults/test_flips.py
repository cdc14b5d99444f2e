"""Flipped bytes and truncations: a run file is either refused or says what it always said."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from llmevo.core import LlmevoError, Usage
from llmevo.engine import stop
from llmevo.report.doctor import TABLES
from llmevo.storage.answers import Answer, Answers
from llmevo.storage.database import Database
from tests.engine.test_skeletons import Parts, evoprompt_ga
from tests.helpers import run
from tests.storage.booking import intend, settle

FLIPS = int(os.environ.get("LLMEVO_FLIPS", "1000"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A run file with all its tables filled, closed properly."""
    path = tmp_path_factory.mktemp("flips") / "run.sqlite"
    run(evoprompt_ga(Parts([])), stops=[stop.matings(20)], path=path)
    database = Database(path)
    answers = Answers(database)
    for i in range(20):
        number, _ = intend(answers, f"b2:{i}", "model", Usage(1, 100, 200, 0.1))
        if i % 5:
            answer = Answer(f"the answer to question {i}", "stop", Usage(1, 80, 20, 0.05))
            settle(answers, number, f"b2:{i}", "model", "answer", answer.usage, answer=answer)
    database.insert("meta", [("frozen", "{}")]).result()
    database.close()
    return path.read_bytes()


def said(path: Path) -> dict[str, Any]:
    """Everything that a run reads from its file, in the way in which it reads it."""
    database = Database(path)
    try:
        return {table: database.rows(table) for table in TABLES}
    finally:
        database.close()


@pytest.mark.fault("S6")
def test_no_flip_changes_a_run_silently(file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    path.write_bytes(file)
    whole = said(path)
    chance = random.Random(6)
    refused = same = 0
    silent = []
    for _ in range(FLIPS):
        content = bytearray(file)
        if chance.random() < 0.1:
            where = chance.randrange(len(content))
            del content[where:]
        else:
            where = chance.randrange(len(content))
            content[where] ^= 1 << chance.randrange(8)
        for leftover in path.parent.glob("run.*"):
            leftover.unlink(missing_ok=True)
        path.write_bytes(content)
        try:
            found = said(path)
        except LlmevoError:
            refused += 1
            continue
        if found == whole:
            same += 1
        else:
            silent.append((where, [table for table in TABLES if found[table] != whole[table]]))
    print(f"{FLIPS} flips and truncations of {len(file)} bytes: {refused} refused, {same} harmless, {len(silent)} silent")
    assert not silent, silent[:40]
    assert refused > FLIPS / 4, "most of the file is content; changing it must be noticed"
