"""Power cuts: nothing that was acknowledged is lost, and every run file opens again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("apsw")

from llmevo.core import LlmevoError
from llmevo.storage.database import Database
from tests.faults.powercut import Connection, Disk

COHORTS = 8


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
    for cut in range(whole.done):
        for seed in range(3):
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
    assert cuts > 100 and not lost and not unreadable
