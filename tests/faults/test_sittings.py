"""What a run carries from one sitting to the next."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from llmevo.core import ConfigError, StorageError
from llmevo.storage.database import Database
from llmevo.storage.stopwatch import Stopwatch
from llmevo.testing.server import FaultyLLM
from tests.faults import hunted


@pytest.fixture
def paused(tmp_path: Path, server: FaultyLLM) -> Path:
    folder = tmp_path / "run"
    assert hunted.sitting(str(folder), server.url, budget={"calls": 30}).pause is not None
    return folder


@pytest.mark.fault("S12")
def test_seconds_of_earlier_sittings_count(paused: Path, server: FaultyLLM, undisturbed: dict[str, Any]) -> None:
    database = Database(paused / "run.sqlite")
    watch = Stopwatch(database)
    assert watch.earlier > 0
    watch.note(watch.earlier + 1000).result()
    database.close()
    late = hunted.sitting(str(paused), server.url, budget={"seconds": 500})
    assert late.pause is not None and re.search(r"seconds is 500 and 1\d\d\d have passed", str(late.pause))
    done = hunted.sitting(str(paused), server.url, budget={"seconds": 5000})
    assert done.pause is None and done.outcome.history == undisturbed["history"]


@pytest.mark.fault("S6")
@pytest.mark.parametrize("name", ["meta", "cohorts", "genomes", "births", "told", "answers", "intents", "settled", "seconds"])
def test_a_run_does_not_go_on_without_a_row(paused: Path, server: FaultyLLM, name: str) -> None:
    with sqlite3.connect(paused / "run.sqlite") as connection:
        first = connection.execute(f"SELECT name FROM pragma_table_info('{name}') LIMIT 1").fetchone()[0]
        connection.execute(f"DELETE FROM {name} WHERE {first} = (SELECT max({first}) FROM {name})")
    before = len(server.requests)
    with pytest.raises(StorageError, match=rf"{name}: \d+ rows are there, \d+ were written.*The last good cohort is (number \d|none)"):
        hunted.sitting(str(paused), server.url)
    assert len(server.requests) == before, "nothing was asked"


@pytest.mark.fault("S7")
def test_a_record_that_is_missing_is_named(paused: Path, server: FaultyLLM) -> None:
    (paused / "run.sqlite").unlink()
    with pytest.raises(ConfigError, match=r"holds no run \(.*\), its run\.sqlite is missing: put it back, or choose another"):
        hunted.sitting(str(paused), server.url)
