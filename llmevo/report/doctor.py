"""A check-up of a run folder: every row against its hash, every genome and blob that is named, what is left over."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmevo.core import LlmevoError
from llmevo.report.summary import open_record
from llmevo.storage.blobs import FolderBlobs
from llmevo.storage.database import Database
from llmevo.storage.folder import RECORD
from llmevo.storage.schema import TABLES
from llmevo.storage.seals import checked_exports
from llmevo.storage.soundness import read, sound
from llmevo.storage.spare import acknowledged, counted, kept

KEY = re.compile(r"b2:[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found. `problems` make the run unusable as it is; `notes` do not."""

    rows: int
    told: int
    """The last told cohort up to which everything is sound, counted from 1; 0 = none."""
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def examine(folder: Path) -> Checkup:
    """Checks a run folder, and what was exported from it, and changes nothing. Raises `ConfigError` if it holds no run."""
    database = open_record(folder)
    try:
        return _examine(folder, database)
    finally:
        database.close()


def _examine(folder: Path, database: Database) -> Checkup:
    problems, notes = _beside(folder, database)
    tables: dict[str, list[tuple[Any, ...]]] = {}
    for table in TABLES:
        tables[table], wrong = database.submit(lambda connection, table=table: read(connection, table)).result()  # type: ignore[misc]
        problems += wrong
    told = 0
    try:
        told = _meaning(folder, tables, problems, notes)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        problems.append(f"the rows do not hold what a run writes: {type(error).__name__}: {error}")
    changed, gone = checked_exports(folder)
    problems, notes = [*problems, *changed], [*notes, *gone]
    return Checkup(sum(map(len, tables.values())), told, tuple(problems), tuple(notes))


def _meaning(folder: Path, tables: dict[str, list[tuple[Any, ...]]], problems: list[str], notes: list[str]) -> int:
    """What the sound rows say of each other; gives how many told cohorts are sound."""
    told = sound(tables)
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


def _beside(folder: Path, database: Database) -> tuple[list[str], list[str]]:
    """What the file beside the record tells: rows that are gone, answers that wait."""
    spare = (folder / RECORD).with_suffix(".spare")
    safe, (waiting, unreadable) = acknowledged(spare), kept(spare)
    problems: list[str] = []
    there = database.submit(counted).result()
    if safe is not None and there < safe:
        problems.append(
            f"{RECORD} holds {there} rows, and {safe} were safely written: its log {RECORD}-wal is missing or belongs to another "
            f"copy, or an older file was put in its place"
        )
    if unreadable:
        problems.append(f"{spare.name}: {unreadable} of the answers put aside there cannot be read")
    notes = [f"{spare.name}: {len(waiting)} paid answers were put aside; the next sitting takes them over"] if waiting else []
    return problems, notes


def _open_calls(tables: dict[str, list[tuple[Any, ...]]]) -> list[str]:
    settled = {row[0] for row in tables["settled"]}
    flying = [row for row in tables["intents"] if row[0] not in settled]
    if not flying:
        return []
    return [f"{len(flying)} calls were in flight when a process ended; they are booked at their upper bound"]


def _left_over(folder: Path, tables: dict[str, list[tuple[Any, ...]]]) -> list[str]:
    unfinished = sorted(path.name for path in folder.rglob("*.new*"))
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
    there = {path.name for path in (folder / "blobs").glob("*") if not path.suffix.startswith(".new")}
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
