"""One SQLite file, one writer thread, group commit: the durable ground under journal, answers and spending."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from llmevo.core.errors import StorageError
from llmevo.storage.schema import MIGRATIONS, VERSION

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]
Connect = Callable[[str], sqlite3.Connection]


def sqlite_connection(place: str) -> sqlite3.Connection:
    """A connection on which transactions are begun and ended by hand, and which waits a minute for another process."""
    return sqlite3.connect(place, isolation_level=None, timeout=60)


class Database:
    """A database that one thread owns. `submit` queues work in order; what waits together is committed together.

    A future resolves after the commit that holds its work (WAL, `synchronous=FULL`), so a resolved future is a durable fact.
    After an error (disk full, damaged file) every later call raises `StorageError`: nothing is acknowledged that may be lost.
    `path` None keeps the same tables in memory. `connect` opens a connection to a file (tests give one that loses power).
    """

    def __init__(self, path: Path | None, connect: Connect = sqlite_connection) -> None:
        self.path, self._connect = path, connect
        if path is not None and not path.exists():
            _create(path, connect)
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Any]] | None] = queue.SimpleQueue()
        self._broken: Exception | None = None
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, args=(opened,), name="llmevo-writer", daemon=True)
        self._thread.start()
        opened.result()

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queues work on the connection; the future gives its result once it is durable."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def insert(self, table: str, rows: Iterable[tuple[Any, ...]]) -> Future[None]:
        """Queues rows for a table, each with its hash appended. A row whose primary key exists is left as it is."""
        hashed = [(*row, row_hash(table, row)) for row in rows]

        def job(connection: sqlite3.Connection) -> None:
            if hashed:
                connection.executemany(_insertion(table, len(hashed[0])), hashed)

        return self.submit(job)

    def record(self, *rows: tuple[str, tuple[Any, ...]]) -> Future[None]:
        """Queues single rows of several tables, (table, row) each, for one transaction: all of them are stored or none."""
        hashed = [(_insertion(table, len(row) + 1), (*row, row_hash(table, row))) for table, row in rows]

        def job(connection: sqlite3.Connection) -> None:
            for statement, row in hashed:
                connection.execute(statement, row)

        return self.submit(job)

    def rows(self, table: str, where: str = "", values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a table without their hashes, in the order of the primary key. Raises `StorageError` on a damaged
        row."""
        return self.checked(table, self.query(table, where, values).result())

    def query(self, table: str, where: str = "", values: tuple[Any, ...] = ()) -> Future[list[tuple[Any, ...]]]:
        """Queues a look-up; give the rows to `checked` before use."""
        query = f"SELECT * FROM {table} {where}"
        return self.submit(lambda connection: connection.execute(query, values).fetchall())

    def checked(self, table: str, found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows without their hashes. Raises `StorageError` on a damaged one."""
        for row in found:
            if row[-1] != row_hash(table, row[:-1]):
                raise StorageError(
                    f"{self.path}: a row of {table} ({row[0]!r}) does not match its hash. The file was changed or damaged; "
                    f"`llmevo doctor` lists the bad rows."
                )
        return [row[:-1] for row in found]

    def close(self) -> None:
        """Commits what is queued and closes the file."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def _work(self, opened: Future[None]) -> None:
        try:
            connection = _open(self.path, self._connect)
        except Exception as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        closing = False
        while not closing:
            group = [self._jobs.get()]
            while not self._jobs.empty():
                group.append(self._jobs.get())
            closing = None in group
            self._commit(connection, [job for job in group if job is not None])
        # Closing moves the log into the file; when that fails, what was committed stays in the log.
        with contextlib.suppress(Exception):
            connection.close()

    def _commit(self, connection: sqlite3.Connection, jobs: list[tuple[Job, Future[Any]]]) -> None:
        try:
            if self._broken:
                raise self._broken
            connection.execute("BEGIN IMMEDIATE")
            results = [job(connection) for job, _ in jobs]
            connection.execute("COMMIT")
        except Exception as error:
            self._broken = error
            with contextlib.suppress(Exception):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            failure = StorageError(f"{self.path or 'the journal in memory'}: {error}. What was acknowledged before is safe.")
            for _, future in jobs:
                future.set_exception(failure)
        else:
            for (_, future), result in zip(jobs, results, strict=True):
                future.set_result(result)


def _insertion(table: str, columns: int) -> str:
    return f"INSERT OR IGNORE INTO {table} VALUES ({','.join('?' * columns)})"


def row_hash(table: str, row: tuple[Any, ...]) -> bytes:
    """64 bits of BLAKE2b over a row's table and typed values."""
    return hashlib.blake2b(repr((table, row)).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _open(path: Path | None, connect: Connect) -> sqlite3.Connection:
    try:
        connection = connect(str(path or ":memory:"))
        connection.execute("PRAGMA synchronous=FULL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StorageError(f"{path} has schema {version}; this llmevo reads up to {VERSION}. Install a newer llmevo.")
        if path is None:
            _migrate(connection)
    except StorageError:
        raise
    except Exception as error:  # a damaged file raises more than sqlite3.Error, e.g. for a message that is no UTF-8
        raise StorageError(f"{path} cannot be opened as a run file: {error}. `llmevo doctor` tells what is damaged.") from error
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    connection.executescript("".join(MIGRATIONS) + f"PRAGMA user_version={VERSION};")


def _create(path: Path, connect: Connect) -> None:
    """Builds the file under a temporary name, syncs and renames it: it appears complete or not at all."""
    fresh = path.with_suffix(".new")
    try:
        # What an interrupted creation left, its rollback journal above all, would be applied to the new file.
        for leftover in path.parent.glob(f"{fresh.name}*"):
            leftover.unlink()
        connection = connect(str(fresh))
        _migrate(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        sync(fresh)
        os.replace(fresh, path)
        sync(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{path} cannot be created: {error}. Choose a folder that can be written to.") from error


def sync(path: Path) -> None:
    """Forces a file or a folder entry to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
