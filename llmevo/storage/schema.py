"""The tables of a run file. Rows are only ever added; every row ends with its hash, and every table is counted."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
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


def insert(connection: sqlite3.Connection, rows: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
    """Adds (table, row) pairs, each with its hash appended. One with a primary key that is there is left as it is."""
    tables: dict[str, list[tuple[Any, ...]]] = {}
    for table, row in rows:
        tables.setdefault(table, []).append((*row, row_hash(table, row)))
    for table, hashed in tables.items():
        columns, begin = len(hashed[0]), 0
        while begin < len(hashed):
            # Powers of two, so that few different statements are ever prepared; 64 x 9 values are allowed everywhere.
            size = min(64, 1 << ((len(hashed) - begin).bit_length() - 1))
            connection.execute(insertion(table, columns, size), tuple(chain.from_iterable(hashed[begin : begin + size])))
            begin += size


@cache
def insertion(table: str, columns: int, rows: int = 1) -> str:
    """The statement that adds rows, and leaves those with the same primary key as they are."""
    row = f"({','.join('?' * columns)})"
    return f"INSERT OR IGNORE INTO {table} VALUES {','.join([row] * rows)}"
