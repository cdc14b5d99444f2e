"""How a run file comes to be, is migrated, and is refused."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from llmevo.core import StorageError
from llmevo.llm.build import Connections
from llmevo.report.doctor import examine
from llmevo.storage import opening, schema
from llmevo.storage.answers import Answers
from llmevo.storage.database import Database
from llmevo.storage.folder import RunFolder

RELEASED = Path(__file__).with_name("data")


@pytest.mark.fault("S10")
def test_a_file_of_version_1_is_migrated_after_a_backup(tmp_path: Path) -> None:
    old = RELEASED / "version-1.sqlite"
    path = tmp_path / "run.sqlite"
    shutil.copy(old, path)
    with pytest.warns(UserWarning, match=r"from schema 1 to 2\. The old file is kept as .*run\.version-1\.sqlite"):
        database = Database(path)
    answers = Answers(database)
    assert len(answers) == 4 and answers.unknown == 1
    assert [len(database.rows(table)) for table in schema.TABLES] == [1, 4, 13, 13, 4, 4, 5, 4, 0]
    database.insert("told", [(4, "history")]).result()
    assert len(database.rows("told")) == 5
    database.close()
    with sqlite3.connect(tmp_path / "run.version-1.sqlite") as connection, sqlite3.connect(old) as before:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        for table in ("births", "answers"):
            every = f"SELECT * FROM {table}"
            assert connection.execute(every).fetchall() == before.execute(every).fetchall()
    Database(path).close()
    assert len(list(tmp_path.glob("run.version*"))) == 1, "one migration, one backup"


@pytest.mark.fault("S10")
def test_a_migration_happens_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.sqlite"
    database = Database(path)
    database.insert("meta", [("a", "1")]).result()
    database.close()
    good = ("CREATE TABLE more (id INTEGER PRIMARY KEY, hash BLOB NOT NULL)", "INSERT INTO more VALUES (1, x'00')")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", schema.VERSION + 1)
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, (*good, "nonsense")))
        with pytest.raises(StorageError, match="cannot be opened"):
            Database(path)
        assert [kept.name for kept in tmp_path.glob("run.version*")] == ["run.version-2.sqlite"]
    again = Database(path)  # still the old version, and whole
    assert again.rows("meta") == [("a", "1")]
    again.close()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", schema.VERSION + 1)
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, good))
        with pytest.warns(UserWarning, match="from schema 2 to 3"):
            newer = Database(path)
        assert newer.rows("meta") == [("a", "1")]
        assert newer.submit(lambda connection: connection.execute("SELECT id FROM more").fetchall()).result() == [(1,)]
        newer.close()
    with pytest.raises(StorageError, match=r"has schema 3; this llmevo reads up to 2\. Install a newer llmevo"):
        Database(path)


@pytest.mark.fault("S11")
def test_a_newer_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={schema.VERSION + 7}")
    before = path.read_bytes()
    with pytest.raises(StorageError, match=f"has schema {schema.VERSION + 7}"):
        Database(path)
    with pytest.raises(StorageError, match="Install a newer llmevo"):
        examine(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.fault("S9")
@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "fuse.sshfs"])
def test_a_network_file_system_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(opening, "file_system", lambda folder: kind)
    with pytest.raises(StorageError, match=rf"network file system \({kind}\).*Choose a folder on a local disk"):
        RunFolder(tmp_path / "run")
    with pytest.raises(StorageError, match="network file system"):
        Connections(cache=tmp_path / "cache.sqlite")
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.fault("S9")
def test_the_file_system_is_found_in_the_table_of_mounts(tmp_path: Path) -> None:
    import os

    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"21 1 0:99 / / rw - ext4 /dev/a rw\n22 1 {number} / /mnt/a\\040b rw shared:1 - nfs4 host:/x rw\n")
    assert opening.file_system(tmp_path, mounts) == "nfs4"
    assert opening.file_system(tmp_path, tmp_path / "missing") == ""
    mounts.write_text("21 1 0:99 / / rw - ext4 /dev/a rw\n")
    assert opening.file_system(tmp_path, mounts) == ""
    assert opening.file_system(tmp_path) not in opening.NETWORK


def open_at_once(path: str, start: Any, name: str) -> None:
    start.wait()
    database = Database(Path(path))
    database.insert("meta", [(name, "1")]).result()
    database.close()


@pytest.mark.fault("S3")
def test_processes_that_create_the_same_cache_do_not_race(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(3):
        path = tmp_path / f"cache{attempt}.sqlite"
        start = context.Barrier(4)
        children = [context.Process(target=open_at_once, args=(str(path), start, str(i))) for i in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
        assert [child.exitcode for child in children] == [0] * 4
        database = Database(path)
        assert [name for name, _ in database.rows("meta")] == ["0", "1", "2", "3"], "nobody's file was replaced"
        database.close()
        assert not list(tmp_path.glob("*.new*"))


def test_a_file_system_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    database = Database(tmp_path / "run.sqlite")
    database.insert("meta", [("a", "1")]).result()
    database.close()
    assert [path.name for path in tmp_path.iterdir()] == ["run.sqlite"]


@pytest.mark.fault("S3")
def test_what_an_interrupted_creation_left_is_removed_by_the_next_start(tmp_path: Path) -> None:
    for name in ("run.new-1", "run.new-1-journal", "run.new"):
        (tmp_path / name).write_text("half")
    with RunFolder(tmp_path) as opened:
        Database(opened.record).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "run.sqlite"]
