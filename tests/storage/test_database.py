"""One writer, group commit, rows with hashes, a file that appears whole."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from llmevo.core import StorageError
from llmevo.storage.database import Database
from llmevo.storage.schema import VERSION


def test_rows_of_several_tables_are_stored_together_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    database = Database(path)
    database.record(("meta", ("a", "1")), ("told", (0, "h"))).result()
    with pytest.raises(StorageError, match=r"What was acknowledged before is safe\."):
        database.record(("meta", ("b", "2")), ("meta", ("c",))).result()
    database.close()
    again = Database(path)
    assert again.rows("meta") == [("a", "1")] and again.rows("told") == [(0, "h")]
    again.close()


def test_after_an_error_nothing_more_is_acknowledged(tmp_path: Path) -> None:
    database = Database(tmp_path / "run.sqlite")
    database.submit(lambda connection: connection.execute("nonsense"))
    with pytest.raises(StorageError):
        database.insert("meta", [("a", "1")]).result()
    database.close()


@pytest.mark.parametrize("name", [None, "run.sqlite"])
def test_a_closed_database_answers_nothing_and_lets_nobody_wait(tmp_path: Path, name: str | None) -> None:
    database = Database(None if name is None else tmp_path / name)
    database.close()
    database.close()
    with pytest.raises(StorageError, match="closed"):
        database.insert("meta", [("a", "1")]).result(timeout=5)


def test_what_waits_together_is_committed_together(tmp_path: Path) -> None:
    database = Database(tmp_path / "run.sqlite")
    held, hold, commits = threading.Event(), threading.Event(), []

    def block(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(lambda statement: commits.append(statement) if statement == "COMMIT" else None)
        held.set()
        hold.wait()

    database.submit(block)
    held.wait()
    written = [database.insert("meta", [(str(i), "x")]) for i in range(50)]
    hold.set()
    for future in written:
        future.result()
    assert len(commits) == 2 and len(database.rows("meta")) == 50
    database.close()


@pytest.mark.fault("S11")
def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={VERSION + 1}")
    with pytest.raises(StorageError, match="Install a newer llmevo"):
        Database(path)


@pytest.mark.fault("S5")
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be created"):
        Database(tmp_path / "file" / "run.sqlite")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.sqlite").write_text("no database, and long enough to be taken for one " * 40)
    with pytest.raises(StorageError, match="cannot be opened"):
        Database(tmp_path / "run.sqlite")
