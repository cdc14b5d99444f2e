"""A file beside a run file: how many rows were acknowledged, and room for paid answers when the disk is full."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmevo.core.crash import crash_point
from llmevo.core.errors import StorageError
from llmevo.storage import soundness
from llmevo.storage.schema import TABLES, insert, row_hash

SIZE = 4 * 2**20
HEAD = 4096
Row = tuple[str, tuple[Any, ...]]


class Spare:
    """Its room is taken when a sitting begins, so that a full disk cannot refuse it later.

    The count in its head is written after each commit and not synced: it outlives the process, and after a power cut it may be
    too low, never too high. Behind the head stand JSON lines, one for each transaction that found no room in the run file.
    """

    fresh: bool
    """Whether it was not there before: then nothing is kept in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            try:
                self.fresh = os.fstat(self._file).st_size == 0
                _take_room(self._file)
                self._end = HEAD if self.fresh else HEAD + len(os.pread(self._file, SIZE, HEAD).rstrip(b"\0"))
            except OSError:
                os.close(self._file)
                raise
        except OSError as error:
            raise StorageError(f"{path} cannot be written, {SIZE >> 20} MB are needed: {error}. Make room and start again.") from error

    def mark(self, rows: int) -> None:
        """Notes how many rows are safe in the run file. A note that fails leaves the one before it, which is true as well."""
        text = f"{rows}\n".encode()
        with suppress(OSError):
            os.pwrite(self._file, text.ljust(64, b"\0"), 0)

    def keep(self, rows: Sequence[Row]) -> None:
        """Stores the rows of one transaction durably. Raises `OSError` when there is no room left."""
        line = json.dumps([[table, row, row_hash(table, row).hex()] for table, row in rows]).encode() + b"\n"
        if os.pwrite(self._file, line, self._end) < len(line):
            raise OSError(f"no room left in {self.path}")
        os.fsync(self._file)
        self._end += len(line)

    def empty(self) -> None:
        """Forgets what was kept, which is in the run file by now."""
        os.pwrite(self._file, b"\0" * (self._end - HEAD), HEAD)
        os.fsync(self._file)
        self._end = HEAD

    def close(self) -> None:
        """Closes the file and leaves it there."""
        os.close(self._file)


def acknowledged(path: Path) -> int | None:
    """How many rows are said to be safe; None when nothing is said."""
    try:
        with path.open("rb") as file:
            return int(file.read(64).rstrip(b"\0"))
    except (OSError, ValueError):
        return None


def kept(path: Path) -> tuple[list[list[Row]], int]:
    """The transactions that wait to be taken over, and how many lines cannot be read (cut off by a crash, or damaged)."""
    try:
        content = path.read_bytes()[HEAD:].rstrip(b"\0")
    except OSError:
        return [], 0
    whole, unreadable = [], 0
    for line in content.splitlines():
        try:
            rows = [(table, tuple(row), digest) for table, row, digest in json.loads(line)]
            sound = all(table in TABLES and row_hash(table, row).hex() == digest for table, row, digest in rows)
        except (ValueError, TypeError):
            sound = False
        if sound:
            whole.append([(table, row) for table, row, _ in rows])
        unreadable += not sound
    return whole, unreadable


def _take_room(file: int) -> None:
    """Takes the blocks. Where that cannot be asked for they are written, on file systems that copy on write for nothing."""
    if hasattr(os, "posix_fallocate"):
        try:
            return os.posix_fallocate(file, 0, SIZE)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    there = os.fstat(file).st_size
    if there < SIZE:
        os.pwrite(file, b"\0" * (SIZE - there), there)


def counted(connection: sqlite3.Connection) -> int:
    """How many rows a run file has been given."""
    return int(connection.execute("SELECT sum(n) FROM tally").fetchall()[0][0])


def taken_over(path: Path, connection: sqlite3.Connection) -> Spare:
    """The spare file, after a look whether rows are missing, and after what it keeps has been moved into the run file."""
    spare = Spare(path.with_suffix(".spare"))
    there, safe = counted(connection), acknowledged(spare.path)
    if safe is not None and there < safe:
        whole = soundness.last_sound(connection)
        spare.close()
        raise StorageError(
            f"{path} holds {there} rows, and {safe} were safely written: its log {path.name}-wal is missing or belongs to another "
            f"copy, or an older {path.name} was put in its place. Its last told cohort is {f'number {whole}' if whole else 'none'}. "
            f"Put the missing file back. Or remove {spare.path.name} to go on from here: what is missing is asked and paid again."
        )
    waiting, unreadable = ([], 0) if spare.fresh else kept(spare.path)
    if unreadable:
        warnings.warn(f"{spare.path}: {unreadable} answers put aside cannot be read and will be paid again", stacklevel=2)
    if waiting or unreadable:
        connection.execute("BEGIN IMMEDIATE")
        insert(connection, [one for rows in waiting for one in rows])
        connection.execute("COMMIT")
        crash_point("taken-over")
        spare.empty()
    return spare
