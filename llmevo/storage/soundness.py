"""How much of a record can be trusted when a part of it cannot."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from llmevo.core import content_key
from llmevo.storage.records import told_again
from llmevo.storage.schema import row_hash

START = content_key("llmevo history")
Row = tuple[Any, ...]


def read(connection: sqlite3.Connection, table: str) -> tuple[list[Row], list[str]]:
    """The good rows of a table without their hashes, as far as they can be read, and what is wrong with it."""
    good: list[Row] = []
    problems: list[str] = []
    seen: set[bytes] = set()
    try:
        for row in connection.execute(f"SELECT * FROM {table}"):
            if row[-1] != row_hash(table, row[:-1]):
                problems.append(f"{table}: row {row[0]!r} does not match its hash")
            elif row[-1] in seen:
                problems.append(f"{table}: row {row[0]!r} is there twice")
            else:
                seen.add(row[-1])
                good.append(row[:-1])
        counted = connection.execute("SELECT n FROM tally WHERE name = ?", (table,)).fetchall()
    except Exception as error:  # a damaged file raises more than sqlite3.Error
        return good, [*problems, f"{table}: cannot be read: {error}"]
    if not problems and (not counted or counted[0][0] != len(good)):
        written = counted[0][0] if counted else "an unknown number"
        problems.append(f"{table}: {len(good)} rows are there, {written} were written")
    return good, problems


def last_sound(connection: sqlite3.Connection) -> int:
    """How many told cohorts, from the first on, are whole; 0 when the rows do not hold what a run writes."""
    try:
        return sound({table: read(connection, table)[0] for table in ("cohorts", "births", "told")})
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return 0


def sound(tables: Mapping[str, Sequence[Row]]) -> int:
    """How many told cohorts, from the first on, have the births that their history hash covers."""
    births: dict[int, dict[int, dict[str, Any]]] = {}
    for j, i, text in tables["births"]:
        births.setdefault(j, {})[i] = json.loads(text)
    asked = {j: json.loads(ids) for j, ids in tables["cohorts"]}
    history, whole = START, 0
    for j, expected in sorted(tables["told"]):
        rows = [births.get(j, {}).get(i) for i in range(len(asked.get(j, ())))]
        if j != whole or j not in asked or None in rows:
            break
        history = content_key([history, [told_again(row) for row in rows if row is not None]])
        if history != expected:
            break
        whole += 1
    return whole
