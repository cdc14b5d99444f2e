"""The file beside a run file: rows that are gone are noticed, paid answers find room on a full disk."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from llmevo.core import StorageError, Usage
from llmevo.report.doctor import examine
from llmevo.storage.answers import Answer, Answers
from llmevo.storage.database import Database
from llmevo.storage.spare import HEAD, SIZE, Spare, acknowledged, kept
from tests.storage.booking import intend, settle

SPENT = Usage(1, 10, 20, 0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


def bought(database: Database, keys: str) -> None:
    answers = Answers(database)
    for key in keys:
        number, _ = intend(answers, key, "m", SPENT)
        settle(answers, number, key, "m", "answer", SPENT, answer=Answer(f"hi {key}", "stop", SPENT)).result()


@pytest.mark.fault("S4")
def test_answers_that_find_no_room_are_put_aside_and_taken_over(path: Path) -> None:
    database = Database(path, spare=True)
    bought(database, "ab")
    pages = database.submit(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0]).result()
    database.submit(lambda connection: connection.execute(f"PRAGMA max_page_count={pages}").fetchone()).result()
    answers = Answers(database)
    number, written = intend(answers, "c", "m", SPENT)
    written.result()
    long = Answer("\ufffd \u2028 \n" + "word " * 20_000, "stop", SPENT)
    for key in "cd":  # the second comes when the file is known to be full
        with pytest.raises(StorageError, match=r"full.*Paid answers are kept in run\.spare\. Make room and continue"):
            settle(answers, number if key == "c" else None, key, "m", "answer", SPENT, answer=long).result()
    with pytest.raises(StorageError, match="full"):
        intend(answers, "e", "m", SPENT)[1].result()
    database.close()

    assert "2 paid answers were put aside" in "".join(examine(path.parent).notes)
    again = Database(path, spare=True)
    answers = Answers(again)
    assert answers.get("c") == answers.get("d") == long and answers.get("e") is None
    assert answers.restored == SPENT + SPENT + SPENT + SPENT and answers.unknown == 0
    again.close()
    assert kept(path.with_suffix(".spare")) == ([], 0) and examine(path.parent).problems == ()


@pytest.mark.fault("S4")
def test_the_number_of_an_intent_that_found_no_room_is_not_used_again(path: Path) -> None:
    database = Database(path, spare=True)
    bought(database, "a")
    database.submit(lambda connection: connection.execute("PRAGMA max_page_count=1").fetchone()).result()
    answers = Answers(database)
    number, written = intend(answers, "b" * 9999, "m", SPENT)
    with pytest.raises(StorageError, match="full"):
        written.result()
    settle(answers, number, "b", "m", "unbilled", Usage())
    database.close()
    for before in (SPENT, SPENT + SPENT):
        again = Database(path, spare=True)
        answers = Answers(again)
        assert answers.restored == before and answers.unknown == 0
        number, _ = intend(answers, "c", "m", SPENT)
        settle(answers, number, "c", "m", "answer", SPENT, answer=Answer("hi", "stop", SPENT)).result()
        again.close()


@pytest.mark.fault("S4")
def test_the_room_is_taken_when_a_sitting_begins(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.posix_fallocate", full)
        with pytest.raises(StorageError, match=r"4 MB are needed.*No space left.*Make room"):
            Database(path, spare=True)
    Database(path, spare=True).close()
    assert path.with_suffix(".spare").stat().st_blocks * 512 >= SIZE


@pytest.mark.parametrize("way", ["unknown", "missing"])
def test_where_room_cannot_be_asked_for_it_is_written(path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def unknown(*args: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if way == "unknown":
        monkeypatch.setattr("os.posix_fallocate", unknown)
    else:
        monkeypatch.delattr("os.posix_fallocate")
    Database(path, spare=True).close()
    assert path.with_suffix(".spare").stat().st_blocks * 512 >= SIZE
    Database(path, spare=True).close()


@pytest.mark.fault("S4", "S6")
def test_a_line_that_was_cut_or_changed_is_not_taken_over(path: Path) -> None:
    Database(path, spare=True).close()
    spare = Spare(path.with_suffix(".spare"))
    for key in "ab":
        spare.keep([("answers", (key, "m", "text", "stop", 1, 2, 3, 0.5))])
    spare.close()
    content = bytearray(spare.path.read_bytes())
    content[content.index(b"text", HEAD)] ^= 1
    content[len(content.rstrip(b"\0")) - 9 :] = b"\0" * 99
    spare.path.write_bytes(content)
    with pytest.warns(UserWarning, match="2 answers put aside cannot be read"):
        database = Database(path, spare=True)
    assert database.rows("answers") == []
    database.close()


@pytest.mark.fault("S7")
def test_a_log_that_was_deleted_is_noticed(path: Path, tmp_path: Path) -> None:
    database = Database(path, spare=True)
    bought(database, "abc")
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("run.sqlite", "run.spare"):  # as after a kill, and then without run.sqlite-wal
        shutil.copy(tmp_path / name, copy / name)
    database.close()
    assert acknowledged(copy / "run.spare") == 9
    found = examine(copy)
    assert found.told == 0 and any("its log run.sqlite-wal is missing" in problem for problem in found.problems)
    with pytest.raises(StorageError, match=r"holds 0 rows, and 9 were safely written: its log .* is missing.*last told cohort"):
        Database(copy / "run.sqlite", spare=True)
    (copy / "run.spare").unlink()
    Database(copy / "run.sqlite", spare=True).close()


@pytest.mark.fault("S7")
def test_an_older_copy_in_its_place_is_noticed(path: Path) -> None:
    database = Database(path, spare=True)
    bought(database, "ab")
    database.close()
    old = path.read_bytes()
    database = Database(path, spare=True)
    bought(database, "c")
    database.close()
    path.write_bytes(old)
    with pytest.raises(StorageError, match="holds 6 rows, and 9 were safely written"):
        Database(path, spare=True)


@pytest.mark.fault("S7")
@pytest.mark.parametrize("log", [False, True])
def test_a_stale_shared_memory_file_does_no_harm(path: Path, tmp_path: Path, log: bool) -> None:
    database = Database(path, spare=True)
    bought(database, "ab")
    stale = Path(f"{path}-shm").read_bytes()
    bought(database, "c")
    if log:
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in ("run.sqlite", "run.sqlite-wal", "run.spare"):
            shutil.copy(tmp_path / name, copy / name)
        database.close()
        path = copy / "run.sqlite"
    else:
        database.close()
    Path(f"{path}-shm").write_bytes(stale)
    again = Database(path, spare=True)
    assert len(Answers(again)) == 3
    again.close()


@pytest.mark.fault("S2", "S7")
@pytest.mark.parametrize("head", [b"", b"\0" * 64, b"\xff" * 64, b"12x\n"])
def test_a_head_that_says_nothing_is_no_alarm(path: Path, head: bytes) -> None:
    Database(path, spare=True).close()
    path.with_suffix(".spare").write_bytes(head)
    database = Database(path, spare=True)
    assert database.rows("births") == []
    database.close()
