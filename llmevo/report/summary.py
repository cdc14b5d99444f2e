"""A run in numbers, read from its file: finished or not, held by another process or not."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmevo.breeding import frontier
from llmevo.core import ConfigError, Genome, Individual, InvalidFitness, StorageError, Usage, View, living
from llmevo.report import races, votes
from llmevo.report.held_out import Crowning, crowning_in, tests_in
from llmevo.report.statistics import Interval
from llmevo.storage.answers import Answers
from llmevo.storage.blobs import FolderBlobs
from llmevo.storage.database import Database
from llmevo.storage.folder import RECORD
from llmevo.storage.genomes import Genomes
from llmevo.storage.records import birth_from, evaluations_in

PLAN = "compare.json"
"""The file by which the folder of a comparison is known."""


@dataclass(frozen=True, slots=True)
class Step:
    """One told cohort."""

    j: int
    births: int
    living: int
    best: float | None
    """Best score of the cohort's living births."""
    median: float | None
    best_so_far: float | None
    cases: tuple[int, ...] = ()
    """On how many cases its living births were scored so far: fewer than all while they race."""
    born: int = 0
    """How many were born or stillborn by then."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run file says."""

    folder: Path
    frozen: Mapping[str, Any]
    """The settings that cannot change, flat."""
    steps: tuple[Step, ...]
    best: Individual[Any] | None
    hall: tuple[Individual[Any], ...]
    """The best ever, best first."""
    front: tuple[Individual[Any], ...]
    """With several objectives: the valid ones that nobody dominates; else empty."""
    held_out: Interval | None
    """The best one's score on the test cases, if it was scored."""
    tests: int
    """How many winners were scored on the test cases: more than one makes the score optimistic."""
    births: int
    """Whoever was born or stillborn, once, however often it was reassessed."""
    stillborn: Mapping[str, tuple[int, int]]
    """By variation: stillbirths and all births."""
    evaluations: int
    """Genomes that were evaluated, and each further lap or confirmation of one."""
    spent: Usage
    """Paid in all sittings, calls of unknown outcome at their upper bound."""
    unknown: int
    """Calls that were in flight when a process died."""
    history: str | None
    crowning: Crowning | None
    """Who was crowned on fresh cases, and the score on these; `best` is that one."""
    quoted: Mapping[str, int]
    """Cases that were shown to the model that writes, by id: in how many births."""
    ended: Mapping[str, int]
    """How the calls ended, as in `llmevo.storage.answers.Outcome`."""
    makers: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """By title of the variation: how many of its children live, and the best score among them."""
    vote: votes.Voted | None = None
    """What came of letting the best vote, if they did."""
    dropped: tuple[races.Drop, ...] = ()
    """Who was dropped in a race, in the order of the steps."""
    reassessed: int = 0
    """How often somebody known was evaluated further: laps of a race, confirmations."""
    previews: Mapping[str, str] = field(default_factory=dict)
    """Those who were dropped, in a line each, by id."""
    points: tuple[tuple[int, float, bool], ...] = ()
    """Of whoever has a score: as which it was born, counted from 1, its last score, and whether that is on all cases."""


def summarise(folder: Path, kinds: Mapping[str, type[Genome]]) -> Summary:
    """The summary of a run folder. Raises `ConfigError` if it holds no run, `StorageError` if its rows are damaged."""
    database = open_record(folder)
    try:
        return _summary(folder, database, kinds)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, InvalidFitness) as error:
        raise StorageError(
            f"{folder / RECORD} does not hold what a run writes ({type(error).__name__}: {error}); `llmevo doctor {folder}` says more"
        ) from error
    finally:
        database.close()


def _summary(folder: Path, database: Database, kinds: Mapping[str, type[Genome]]) -> Summary:
    told = dict(database.rows("told"))
    records = {(j, i): json.loads(text) for j, i, text in database.rows("births") if j in told}
    written = {key: (kind, text) for key, kind, text in database.rows("genomes")}
    shelf = Genomes(FolderBlobs(folder / "blobs"), kinds, written.get, folder / RECORD)
    # In the order of their births, so that those that a genome names are there before it.
    genomes = {row["genome"]: shelf.genome(row["genome"]) for _, row in sorted(records.items()) if "genome" in row}
    meta = dict(database.rows("meta"))
    frozen = json.loads(meta.get("frozen", "{}"))
    if not isinstance(frozen, dict):
        raise TypeError(f"the settings are a {type(frozen).__name__}")
    answers = Answers(database)
    view: View[Any] = View()
    steps: list[Step] = []
    lost: Counter[str] = Counter()
    all_births: Counter[str] = Counter()
    quoted: Counter[str] = Counter()
    reassessed = 0
    seen: dict[str, Individual[Any]] = {}
    known: dict[str, int] = {}
    """By id, as which it was born."""
    makers: dict[str, tuple[int, float]] = {}
    everybody: dict[str, Individual[Any]] = {}
    cohorts: dict[int, list[Mapping[str, Any]]] = {}
    for place in sorted(records):
        cohorts.setdefault(place[0], []).append(records[place])
    raced = any(name.startswith("racing.") for name in frozen)
    complete = max((len(row["fitness"]["cases"]) for row in records.values() if "fitness" in row), default=0) if raced else 0
    for j, rows in cohorts.items():
        births = [birth_from(row, genomes) for row in rows]
        for birth in births:
            if birth.id in known:  # one that was reassessed comes back under its own id
                reassessed += 1
            else:
                all_births[birth.variation] += 1
                quoted.update(birth.quoted)
                lost[birth.variation] += not isinstance(birth, Individual)
                known[birth.id] = len(known) + 1
            if isinstance(birth, Individual):
                seen[birth.id] = birth
        # The memory of the best is the search's own, so that a revised score counts here as it does there. Who still races, or was
        # dropped, has fewer cases than those who came through, and is not in it.
        done = [birth for birth in births if not isinstance(birth, Individual) or len(birth.fitness.cases) >= complete]
        view = view.advance((), done)
        everybody.update({one.id: one for one in living(done)})
        scores = [one.fitness.value for one in living(births)]
        top, middle = (max(scores), statistics.median(scores)) if scores else (None, None)
        counts = tuple(sorted({len(birth.fitness.cases) for birth in births if isinstance(birth, Individual) and birth.fitness.ok}))
        steps.append(Step(j, len(rows), len(scores), top, middle, view.best.fitness.value if view.best else None, counts, len(known)))
    # Once per individual, with its last score: laps and confirmations come back under the same id.
    for one in everybody.values():
        if one.fitness.ok:
            count, most = makers.get(title(one.variation), (0, one.fitness.value))
            makers[title(one.variation)] = (count + 1, max(most, one.fitness.value))
    crowning, tests = crowning_in(meta, view.hall), tests_in(meta)
    best = view.best if crowning is None else next(one for one in view.hall if one.id == crowning.crowned)
    first = [best, *(one for one in view.hall if one.id != best.id)] if best else []
    told_steps = max(cohorts, default=-1) + 1
    drops = tuple(one for one in races.drops_in(meta) if one.step <= told_steps)
    return Summary(
        folder,
        frozen,
        tuple(steps),
        best,
        view.hall,
        tuple(frontier(list(everybody.values()))) if best is not None and len(best.fitness.objectives) > 1 else (),
        tests.get(best.id) if best else None,
        len(tests),
        sum(all_births.values()),
        {name: (lost[name], count) for name, count in all_births.items()},
        evaluations_in(row for _, row in sorted(records.items())),
        answers.restored,
        answers.unknown,
        told[max(told)] if told else None,
        crowning,
        quoted,
        Counter(row[1] for row in database.rows("settled")),
        makers,
        votes.find(meta, [one.genome.key for one in first]),
        drops,
        reassessed,
        {one.id: seen[one.id].genome.preview() for one in drops if one.id in seen},
        tuple((known[one.id], one.fitness.value, one.id in everybody) for one in seen.values() if one.fitness.ok),
    )


def title(variation: str) -> str:
    """What a variation is called, without its settings: of a chain, the whole way."""
    own, _, more = variation.partition(": ")
    return own if more and "(" not in own else " > ".join(stage.partition("(")[0].strip() for stage in variation.split(" > "))


def _instead(folder: Path) -> str:
    """What a folder without a record is, where that is known, and what to open."""
    found = sorted(one.parent for pattern in ("*", "*/*") for one in folder.glob(f"{pattern}/{RECORD}"))
    example = f", e.g. {found[0]}" if found else ""
    if (folder / PLAN).is_file():
        table = f" Its table is {folder / 'table.md'}." if (folder / "table.md").is_file() else " It has no finished run yet."
        return f". It is the folder of a comparison.{table} Each of its runs is a folder NAME/seed-N in it{example}"
    return f". There are runs in it{example}" if found else ""


def open_record(folder: Path) -> Database:
    """The database of a run folder, which must exist."""
    if not (folder / RECORD).is_file():
        raise ConfigError(f"{folder} holds no run: there is no {RECORD} in it{_instead(folder)}")
    return Database(folder / RECORD)
