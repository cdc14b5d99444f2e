"""A check-up of a run folder: every row against its hash, every genome and blob that is named, what is left over."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmevo.core import LlmevoError, content_key
from llmevo.report.summary import open_record
from llmevo.storage.blobs import FolderBlobs
from llmevo.storage.database import Database, row_hash
from llmevo.storage.journal import START

KEY = re.compile(r"b2:[0-9a-f]{32}")
TABLES = ("meta", "cohorts", "genomes", "births", "told", "answers", "intents", "settled")


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found. `problems` make the run unusable as it is; `notes` do not."""

    rows: int
    told: int
    """The last told cohort up to which everything is sound, counted from 1; 0 = none."""
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def examine(folder: Path) -> Checkup:
    """Checks a run folder and changes nothing. Raises `ConfigError` if it holds no run."""
    database = open_record(folder)
    try:
        return _examine(folder, database)
    finally:
        database.close()


def _examine(folder: Path, database: Database) -> Checkup:
    problems: list[str] = []
    notes: list[str] = []
    tables: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES}
    for table in TABLES:
        try:
            found = database.submit(lambda connection, table=table: _all_rows(connection, table)).result()  # type: ignore[misc]
        except LlmevoError as error:
            problems.append(f"{table}: cannot be read: {error}")
            break
        for row in found:
            if row[-1] == row_hash(table, row[:-1]):
                tables[table].append(row[:-1])
            else:
                problems.append(f"{table}: row {row[0]!r} does not match its hash")
    told = 0
    try:
        told = _meaning(folder, tables, problems, notes)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        problems.append(f"the rows do not hold what a run writes: {type(error).__name__}: {error}")
    return Checkup(sum(map(len, tables.values())), told, tuple(problems), tuple(notes))


def _meaning(folder: Path, tables: dict[str, list[tuple[Any, ...]]], problems: list[str], notes: list[str]) -> int:
    """What the sound rows say of each other; gives how many told cohorts are sound."""
    told = _sound(tables)
    if told < len(tables["told"]):
        problems.append(f"cohort {told}: what was told does not match its births")
    asked = {j: len(json.loads(ids)) for j, ids in tables["cohorts"]}
    problems += [f"birth {i} of cohort {j} was never asked for" for j, i, _ in tables["births"] if i >= asked.get(j, 0)]
    genomes = {row[0] for row in tables["genomes"]}
    named = {json.loads(row[2]).get("genome") for row in tables["births"]} - {None}
    problems += [f"genome {key} is named by a birth and missing" for key in sorted(named - genomes)]
    notes += _open_calls(tables) + _left_over(folder, tables)
    problems += _blobs(folder, tables)
    return told


def _all_rows(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT * FROM {table}").fetchall()


def _sound(tables: dict[str, list[tuple[Any, ...]]]) -> int:
    """How many told cohorts, from the first on, have the births that their history hash covers."""
    births: dict[int, dict[int, dict[str, Any]]] = {}
    for j, i, text in tables["births"]:
        births.setdefault(j, {})[i] = json.loads(text)
    asked = {j: json.loads(ids) for j, ids in tables["cohorts"]}
    history, sound = START, 0
    for j, expected in sorted(tables["told"]):
        rows = [births.get(j, {}).get(i) for i in range(len(asked.get(j, ())))]
        if j != sound or j not in asked or None in rows:
            break
        history = content_key([history, [_told(row) for row in rows if row is not None]])
        if history != expected:
            break
        sound += 1
    return sound


def _told(row: dict[str, Any]) -> list[Any]:
    if "error" in row:
        return [row["id"], None]
    fitness = row["fitness"]
    return [row["id"], row["genome"], fitness["value"], fitness["violation"], fitness["cases"]]


def _open_calls(tables: dict[str, list[tuple[Any, ...]]]) -> list[str]:
    settled = {row[0] for row in tables["settled"]}
    flying = [row for row in tables["intents"] if row[0] not in settled]
    if not flying:
        return []
    return [f"{len(flying)} calls were in flight when a process ended; they are booked at their upper bound"]


def _left_over(folder: Path, tables: dict[str, list[tuple[Any, ...]]]) -> list[str]:
    unfinished = sorted(path.name for path in folder.rglob("*.new"))
    told = {row[0] for row in tables["told"]}
    waiting = sorted(row[0] for row in tables["cohorts"] if row[0] not in told)
    notes = [f"{name}: left over from an interrupted write; it can be removed" for name in unfinished]
    if waiting:
        notes.append(f"cohort {', '.join(map(str, waiting))} is open; the run continues with it")
    return notes


def _blobs(folder: Path, tables: dict[str, list[tuple[Any, ...]]]) -> list[str]:
    """What is wrong with the blobs that are there, and which ones a genome names that are not."""
    blobs = FolderBlobs(folder / "blobs")
    problems = []
    there = {path.name for path in (folder / "blobs").glob("*") if path.suffix != ".new"}
    for name in sorted(there):
        try:
            blobs.get(f"b2:{name}")
        except LlmevoError as error:
            problems.append(str(error))
    for key, _, record in tables["genomes"]:
        for blob in sorted(_named(json.loads(record)) - there):
            problems.append(f"blob b2:{blob} is named by genome {key} and missing")
    return problems


def _named(value: Any) -> set[str]:
    """The blobs that a record names: strings in it that are a content key and nothing else."""
    if isinstance(value, str):
        return {value[3:]} if KEY.fullmatch(value) else set()
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {name for one in inner for name in _named(one)}
