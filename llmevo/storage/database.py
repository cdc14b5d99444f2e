"""One SQLite file, one writer thread, group commit: the durable ground under journal, answers and spending."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from llmevo.core.crash import crash_point
from llmevo.core.errors import StorageError
from llmevo.storage import soundness
from llmevo.storage.opening import Connect, close, create, open_file, open_memory, sqlite_connection
from llmevo.storage.schema import insert, row_hash
from llmevo.storage.spare import Row, Spare, counted, taken_over

T = TypeVar("T")
Done = Callable[[Exception | None], None]
"""Is called once, in the writer's thread: with None when the work is durable, else with what prevented it."""


@dataclass(slots=True, eq=False)
class _Job:
    """Rows to add, or work on the connection (which may give a result); who waits; paid rows that must not be lost."""

    done: Done
    rows: Sequence[Row] = ()
    work: Callable[[sqlite3.Connection], None] | None = None
    paid: Sequence[Sequence[Row]] = ()


class Database:
    """A database that one thread owns. `submit` queues work in order; what waits together is committed together.

    A future resolves after the commit that holds its work (WAL, `synchronous=FULL`), so a resolved future is a durable fact.
    After an error (disk full, damaged or deleted file) every later call raises `StorageError`: nothing is acknowledged that may
    be lost. `path` None keeps the same tables in memory, and all work is done at once. With `spare` a file beside it tells when
    acknowledged rows are gone, and takes paid answers when the disk is full; only for a file that one process holds.
    `connect` opens a connection to a file (tests give one that loses power).
    """

    def __init__(self, path: Path | None, connect: Connect = sqlite_connection, *, spare: bool = False) -> None:
        self.path = path
        self._broken: Exception | None = None
        self._spare: Spare | None = None
        self._memory = open_memory() if path is None else None
        self._alone = threading.RLock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        if path is None:
            return
        if not path.exists():
            create(path, connect)
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, args=(path, connect, spare, opened), name="llmevo-writer", daemon=True)
        self._thread.start()
        opened.result()

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queues work on the connection; the future gives its result once it is durable."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # who waits may be cancelled, the work may not: it would break the writer
        results: list[T] = []

        def done(error: Exception | None) -> None:
            if error is None:
                future.set_result(results[0])
            else:
                future.set_exception(error)

        self._queue(_Job(done, work=lambda connection: results.append(job(connection))))
        return future

    def insert(self, table: str, rows: Iterable[tuple[Any, ...]]) -> Future[None]:
        """Queues rows for a table, each with its hash appended. A row whose primary key exists is left as it is."""
        return self.record(*((table, row) for row in rows))

    def record(self, *rows: Row, keep: bool = False) -> Future[None]:
        """Queues single rows of several tables, (table, row) each, for one transaction: all of them are stored or none.

        `keep`: they were paid for, and are put aside when there is no room for them.
        """
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        self.write(rows, lambda error: future.set_result(None) if error is None else future.set_exception(error), (rows,) if keep else ())
        return future

    def write(self, rows: Sequence[Row], done: Done, paid: Sequence[Sequence[Row]] = ()) -> None:
        """`record` without a future, which costs more than the row: `done` is called instead. `paid` are those of the rows
        that were paid for, by transaction."""
        self._queue(_Job(done, rows, paid=paid))

    def rows(self, table: str, where: str = "", values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a table without their hashes, in the order of the primary key.

        Raises `StorageError` on a damaged row and, when all are asked for, on a missing one.
        """
        if where:
            return self.checked(table, self.query(table, where, values).result())
        rows, problems = self.submit(lambda connection: soundness.read(connection, table)).result()
        if problems:
            whole = self.submit(soundness.last_sound).result()
            raise StorageError(
                f"{self.path}: {problems[0]}. The file was changed or damaged and is not used. The last good cohort is "
                f"{f'number {whole}' if whole else 'none'}; `llmevo doctor` lists all that is wrong."
            )
        return rows

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

    def _queue(self, job: _Job) -> None:
        if self._memory is not None:
            with self._alone:
                self._commit(self._memory, [job])
        elif self._thread.is_alive():
            self._jobs.put(job)
        else:
            job.done(StorageError(f"{self.path} is closed"))

    def close(self) -> None:
        """Commits what is queued and closes the file."""
        if self._memory is not None:
            self._memory.close()
        elif self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def _work(self, path: Path, connect: Connect, spare: bool, opened: Future[None]) -> None:
        connection: sqlite3.Connection | None = None
        try:
            connection = open_file(path, connect)
            self._inode = path.stat().st_ino
            if spare:
                self._spare = taken_over(path, connection)
        except Exception as error:
            close(connection)
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
        close(connection)
        if self._spare:
            self._spare.close()

    def _commit(self, connection: sqlite3.Connection, jobs: list[_Job]) -> None:
        try:
            if self._broken:
                raise self._broken
            connection.execute("BEGIN IMMEDIATE")
            _carry_out(connection, jobs)
            if self.path:
                crash_point("commit")
            connection.execute("COMMIT")
            if self.path:
                crash_point("committed")
                self._in_place(self.path)
                if self._spare:
                    self._spare.mark(counted(connection))
        except Exception as error:
            self._broken = error
            with contextlib.suppress(Exception):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            failure = StorageError(f"{self.path or 'the journal in memory'}: {error}. {self._put_aside(jobs)}")
            for job in jobs:
                job.done(failure)
        else:
            for job in jobs:
                job.done(None)

    def _in_place(self, path: Path) -> None:
        """A deleted file takes commits as before; they would be lost with the last process that has it open."""
        try:
            if path.stat().st_ino == self._inode:
                return
        except OSError:
            pass
        raise StorageError("the file was deleted or replaced while the run was writing to it")

    def _put_aside(self, jobs: list[_Job]) -> str:
        """Puts paid answers aside that could not be committed; what to say about it."""
        said = "What was acknowledged before is safe."
        if self.path is None or not self.path.exists():
            return "What it held is gone, unless there is a copy; choose another folder with --run, or restore this one."
        if self._spare is None:
            return said
        try:
            for paid in (rows for job in jobs for rows in job.paid):
                self._spare.keep(paid)
        except OSError as error:
            return f"{said} Answers that were just paid for are lost: {error}."
        return f"{said} Paid answers are kept in {self._spare.path.name}. Make room and continue the run."


def _carry_out(connection: sqlite3.Connection, jobs: Sequence[_Job]) -> None:
    """All jobs in their order. Rows that follow each other go in together: every statement lets the other threads in and
    has to wait for its turn again, which costs more than the row."""
    rows: list[Row] = []
    for job in jobs:
        if job.work is not None:
            insert(connection, rows)
            rows = []
            job.work(connection)
        rows += job.rows
    insert(connection, rows)
