"""Power cuts: nothing that was acknowledged is lost, and every run file opens again."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("apsw")

from llmevo.core import LlmevoError
from llmevo.storage.database import Database
from llmevo.storage.schema import TABLES
from tests.faults.powercut import Connection, Disk

# apsw tells of what it meets while a dead disk is let go.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

COHORTS = 8
FULL = os.environ.get("LLMEVO_CUTS") == "full"
"""Every place at which the power can go, with three fates of what was not synced; otherwise every fourth place with one."""


def write(path: Path, disk: Disk | None) -> list[str]:
    """A few commits as a run makes them; returns the names of those that were acknowledged."""
    acknowledged: list[str] = []
    connect = None if disk is None else (lambda place: Connection(place, vfs=disk.vfs_name))
    database = None
    try:
        database = Database(path) if connect is None else Database(path, connect)  # type: ignore[arg-type]
        for j in range(COHORTS):
            births = database.insert("births", [(j, i, "x" * 700) for i in range(4)])
            told = database.insert("told", [(j, f"history {j}")])
            for name, future in ((f"births {j}", births), (f"told {j}", told)):
                future.result()
                acknowledged.append(name)
    except (LlmevoError, sqlite3.Error, OSError):
        pass
    except Exception as error:
        if "power cut" not in str(error):
            raise
    finally:
        if database is not None:
            database.close()
    return acknowledged


def cut_at(path: Path, cut: int | None, seed: int) -> tuple[Disk, list[str]]:
    disk = Disk(f"powercut-{cut}-{seed}", cut)
    disk.vfs_name = f"powercut-{cut}-{seed}"  # type: ignore[attr-defined]
    try:
        return disk, write(path, disk)
    finally:
        disk.unregister()


@pytest.mark.fault("S2", "S3")
def test_every_power_cut_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    whole, everything = cut_at(tmp_path / "whole.sqlite", None, 0)
    assert len(everything) == 2 * COHORTS
    cuts = lost = unreadable = 0
    for cut in range(0, whole.done, 1 if FULL else 4):
        for seed in range(3) if FULL else (cut // 4 % 3,):
            path = tmp_path / f"{cut}-{seed}" / "run.sqlite"
            path.parent.mkdir()
            disk, acknowledged = cut_at(path, cut, seed)
            disk.after_the_cut(seed)
            cuts += 1
            if not path.exists():
                assert not acknowledged, "a file that never appeared acknowledged something"
                continue
            try:
                database = Database(path)
            except LlmevoError:
                unreadable += 1
                continue
            found = {f"told {j}" for j, _ in database.rows("told")}
            births = [j for j, _, _ in database.rows("births")]
            found |= {f"births {j}" for j in births if births.count(j) == 4}
            lost += not set(acknowledged) <= found
            told = sorted(int(name.split()[1]) for name in found if name.startswith("told"))
            assert told == list(range(len(told))), "what is there is a prefix"
            database.close()
    print(f"{cuts} power cuts: {lost} lost something acknowledged, {unreadable} unreadable")
    assert cuts >= (399 if FULL else 35) and not lost and not unreadable


@pytest.mark.fault("S2", "S10")
@pytest.mark.filterwarnings("ignore:.*was brought from schema 1")
def test_a_power_cut_during_a_migration_leaves_a_whole_file(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "storage" / "data" / "version-1.sqlite"
    cut, done = 0, False
    while not done:
        path = tmp_path / str(cut) / "run.sqlite"
        path.parent.mkdir()
        shutil.copy(old, path)
        disk = Disk(f"migration-{cut}", cut)
        try:
            Database(path, lambda place, name=f"migration-{cut}": Connection(place, vfs=name)).close()  # type: ignore[misc,arg-type]
            done = not disk.dead
        except LlmevoError:
            pass
        finally:
            disk.unregister()
        disk.after_the_cut(cut)
        database = Database(path)
        assert [len(database.rows(table)) for table in TABLES] == [1, 4, 13, 13, 4, 4, 5, 4, 0]
        database.close()
        cut += 1 if FULL else 7
    assert cut > 20
