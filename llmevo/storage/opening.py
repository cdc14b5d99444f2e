"""How a run file comes to be, is opened, and is brought to the schema of today."""

from __future__ import annotations

import os
import secrets
import sqlite3
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from llmevo.core.crash import crash_point
from llmevo.core.errors import StorageError
from llmevo.storage import schema

Connect = Callable[[str], sqlite3.Connection]
NETWORK = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "fuse.sshfs"))
"""File systems on which the locks and the shared memory of SQLite's write-ahead log cannot be trusted."""


def sqlite_connection(place: str) -> sqlite3.Connection:
    """A connection on which transactions are begun and ended by hand, and which waits a minute for another process."""
    return sqlite3.connect(place, isolation_level=None, timeout=60)


def open_memory() -> sqlite3.Connection:
    """The same tables in memory, for one process."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _migrate(connection, 0)
    return connection


def open_file(path: Path, connect: Connect = sqlite_connection) -> sqlite3.Connection:
    """A connection to a file in the schema of today. Raises `StorageError` if it is damaged or newer."""
    connection: sqlite3.Connection | None = None
    try:
        connection = connect(str(path))
        connection.execute("PRAGMA synchronous=FULL")
        version = _version(connection)
        if version > schema.VERSION:
            raise StorageError(f"{path} has schema {version}; this llmevo reads up to {schema.VERSION}. Install a newer llmevo.")
        if version < schema.VERSION:
            backup = _backed_up(path, connection, version)
            _migrate(connection, version)
            warnings.warn(f"{path} was brought from schema {version} to {schema.VERSION}. The old file is kept as {backup}.", stacklevel=2)
        return connection
    except StorageError:
        close(connection)
        raise
    except Exception as error:  # a damaged file raises more than sqlite3.Error, e.g. for a message that is no UTF-8
        close(connection)
        raise StorageError(f"{path} cannot be opened as a run file: {error}. `llmevo doctor` tells what is damaged.") from error


def close(connection: sqlite3.Connection | None) -> None:
    """Closes a connection. That moves the log into the file; when it fails, what was committed stays in the log."""
    if connection is not None:
        with suppress(Exception):
            connection.close()


def create(path: Path, connect: Connect = sqlite_connection) -> None:
    """Builds a new file under a name of its own, syncs it and links it to its name: it appears complete or not at all.

    When another process was quicker, its file stays.
    """
    try:
        fresh = path.with_name(f"{path.stem}.new-{secrets.token_hex(8)}")
        connection = connect(str(fresh))
        try:
            _migrate(connection, 0)
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            close(connection)
        sync(fresh)
        crash_point("database-new")
        _appear(fresh, path)
        crash_point("database-named")
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


def refuse_network(folder: Path) -> None:
    """Raises `StorageError` for a folder on a network file system (known on Linux only)."""
    kind = file_system(folder)
    if kind in NETWORK:
        raise StorageError(
            f"{folder} lies on a network file system ({kind}), where the record of a run cannot be kept safely. "
            f"Choose a folder on a local disk with --run, and copy it when the run is over."
        )


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system of a folder; empty when the system does not tell."""
    with suppress(OSError):
        device = folder.stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split()
            if fields[2] == number and "-" in fields:
                return fields[fields.index("-") + 1]
    return ""


def _appear(fresh: Path, path: Path) -> None:
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links: only here could two processes replace each other's new file
        os.replace(fresh, path)
        return
    fresh.unlink()


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchall()[0][0])


def _migrate(connection: sqlite3.Connection, known: int) -> None:
    """One transaction from whatever version the file has by now: another process may have been here since it was read."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        known = max(known, _version(connection))
        for statements in schema.MIGRATIONS[known:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={max(known, schema.VERSION)}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(Exception):
            connection.execute("ROLLBACK")
        raise


def _backed_up(path: Path, connection: sqlite3.Connection, version: int) -> Path:
    names = (path.with_name(f"{path.stem}.version-{version}{again}{path.suffix}") for again in ("", *(f"-{n}" for n in range(2, 99))))
    backup = next(name for name in names if not name.exists())
    connection.execute("VACUUM INTO ?", (str(backup),))
    sync(backup)
    sync(path.parent)
    return backup
