"""The tables of a run file. Rows are only ever added; every row ends with its hash, and every table is counted."""

from __future__ import annotations

import hashlib
from typing import Any

_FIRST = """
    CREATE TABLE meta    (name TEXT PRIMARY KEY, value TEXT NOT NULL, hash BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE cohorts (j INTEGER PRIMARY KEY, matings TEXT NOT NULL, hash BLOB NOT NULL);
    CREATE TABLE genomes (key TEXT PRIMARY KEY, kind TEXT NOT NULL, record TEXT NOT NULL, hash BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE births  (j INTEGER, i INTEGER, record TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (j, i)) WITHOUT ROWID;
    CREATE TABLE told    (j INTEGER PRIMARY KEY, history TEXT NOT NULL, hash BLOB NOT NULL);
    CREATE TABLE answers (key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL, finish TEXT NOT NULL,
                          calls INTEGER NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, price REAL NOT NULL,
                          hash BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE intents (id INTEGER PRIMARY KEY, key TEXT NOT NULL, model TEXT NOT NULL, tokens_in INTEGER NOT NULL,
                          tokens_out INTEGER NOT NULL, price REAL NOT NULL, hash BLOB NOT NULL);
    CREATE TABLE settled (id INTEGER PRIMARY KEY, outcome TEXT NOT NULL, calls INTEGER NOT NULL, tokens_in INTEGER NOT NULL,
                          tokens_out INTEGER NOT NULL, price REAL NOT NULL, note TEXT NOT NULL, hash BLOB NOT NULL)"""

TABLES = ("meta", "cohorts", "genomes", "births", "told", "answers", "intents", "settled", "seconds")


def _counted(table: str) -> tuple[str, str]:
    """What is there is counted, and from then on what is added. A hash cannot miss a row that is gone; a count does."""
    return (
        f"INSERT INTO tally SELECT '{table}', count(*) FROM {table}",
        f"CREATE TRIGGER count_{table} AFTER INSERT ON {table} BEGIN UPDATE tally SET n = n + 1 WHERE name = '{table}'; END",
    )


MIGRATIONS: tuple[tuple[str, ...], ...] = (
    tuple(_FIRST.split(";")),
    (
        "CREATE TABLE seconds (id INTEGER PRIMARY KEY, elapsed REAL NOT NULL, hash BLOB NOT NULL)",
        "CREATE TABLE tally (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID",
        *(statement for table in TABLES for statement in _counted(table)),
    ),
)
"""The statements that lead from each version to the next, beginning with an empty file. Released ones are never changed."""

VERSION = len(MIGRATIONS)


def row_hash(table: str, row: tuple[Any, ...]) -> bytes:
    """64 bits of BLAKE2b over a row's table and typed values."""
    return hashlib.blake2b(repr((table, row)).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def insertion(table: str, columns: int) -> str:
    """The statement that adds a row, and leaves one with the same primary key as it is."""
    return f"INSERT OR IGNORE INTO {table} VALUES ({','.join('?' * columns)})"
