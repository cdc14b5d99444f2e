"""Cohorts that are told and not yet durable, when the disk fails or the run is broken off."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llmevo.core import Context, Fitness, Seed, StorageError
from llmevo.engine import Outcome, evolve
from llmevo.engine.loop import Told
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.strategies import Founding
from llmevo.testing.toy import Digits, Distance, Toy, fresh
from tests.helpers import run

SLOTS, LAST = 4, 7
"""The disk stands still once the observer heard of cohort `LAST`: the four cohorts behind it are told meanwhile."""


class Disk:
    """A disk whose next commit takes until the run has gone as far as it can, and then fails or comes about."""

    def __init__(self, fails: bool) -> None:
        self.stands, self.fails, self.went_on = False, fails, threading.Event()

    def connect(self, place: str) -> sqlite3.Connection:
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
                if sql == "COMMIT" and disk.stands:
                    assert disk.went_on.wait(30), "nothing was told beyond what is not yet durable"
                    if disk.fails:
                        raise sqlite3.OperationalError("disk I/O error")
                return super().execute(sql, *more)

        return sqlite3.connect(place, factory=Connection, isolation_level=None, timeout=60)


class Sitting:
    """One run whose disk stands still in the middle: its fitness, and what its observer heard of."""

    whole_cohort = False

    def __init__(self, path: Path, disk: Disk, cancels: bool = False) -> None:
        self.path, self.disk, self.cancels = path, disk, cancels
        self.heard: list[int] = []
        self.evaluated = 0

    def observed(self, told: Told[Digits]) -> None:
        self.heard.append(told.cohort.j)
        self.disk.stands = told.cohort.j >= LAST

    async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> list[Fitness]:
        self.evaluated += 1
        if self.evaluated == LAST + 2 * SLOTS + 1:  # it was asked after four tells behind the last one that is durable
            if self.cancels:
                self.task.cancel()
            self.disk.went_on.set()
        return list(await Distance()(genomes, contexts))

    def go(self) -> Outcome[Digits]:
        database = Database(self.path, self.disk.connect)

        async def work() -> Outcome[Digits]:
            record = Journal(database, MemoryBlobs(), {Digits.kind: Digits})
            evolving = evolve(founding(), self, record, seed=SEED, batch=1, slots=SLOTS, on_cohort=self.observed)
            self.task = asyncio.ensure_future(evolving)
            return await self.task

        try:
            return asyncio.run(work())
        finally:
            database.close()

    def recorded(self) -> list[int]:
        with closing(sqlite3.connect(self.path)) as other:
            return [j for (j,) in other.execute("SELECT j FROM told ORDER BY j")]


SEED = Seed.of(4)


def founding() -> Founding[Digits]:
    return Founding([Toy(f"f{i}", fresh(), 0) for i in range(30)], seed=SEED)


@pytest.mark.fault("S4")
def test_a_disk_that_fails_ends_the_run_and_nothing_acknowledged_is_lost(quick_path: Path) -> None:
    sitting = Sitting(quick_path / "run.sqlite", Disk(fails=True))
    with pytest.raises(StorageError, match="disk I/O error"):
        sitting.go()
    assert sitting.heard == list(range(LAST + 1)) == sitting.recorded(), "heard of what is on the disk, and of nothing else"
    undisturbed = run(founding(), batch=1, slots=SLOTS, seed=SEED)
    resumed = run(founding(), batch=1, slots=SLOTS, seed=SEED, path=sitting.path)
    assert resumed.history == undisturbed.history and resumed.best == undisturbed.best


@pytest.mark.fault("S13")
def test_who_breaks_off_a_run_hears_of_all_that_is_durable(quick_path: Path) -> None:
    sitting = Sitting(quick_path / "run.sqlite", Disk(fails=False), cancels=True)
    with pytest.raises(asyncio.CancelledError):
        sitting.go()
    assert len(sitting.heard) > LAST + SLOTS and sitting.heard == sitting.recorded()
