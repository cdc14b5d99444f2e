from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.storage import crashing

ROOT = Path(__file__).parents[2]


def start(path: Path, slots: int, log: Path) -> subprocess.Popen[str]:
    # Every process has hash seeds of its own: nothing may depend on the order of a set.
    code = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_module('tests.storage.crashing', run_name='__main__')"
    command = [sys.executable, "-c", code, "crashing", str(path), str(slots), str(log)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)


def told_births(path: Path) -> set[str]:
    """Ids of the births of told cohorts, read by other means than our own."""
    if not path.exists():
        return set()
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT record FROM births WHERE j IN (SELECT j FROM told)").fetchall()
    finally:
        connection.close()
    return {json.loads(record)["id"] for (record,) in rows}


@pytest.mark.fault("S1")
@pytest.mark.parametrize("slots", [1, 4])
def test_killed_at_random_times_the_run_ends_as_an_undisturbed_one(slots: int, tmp_path: Path) -> None:
    path, log, chance = tmp_path / "run.sqlite", tmp_path / "log", random.Random(slots)
    kills = 0
    for _ in range(5):
        process = start(path, slots, log)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.01, 0.09))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        told = told_births(path)
        before = Counter(log.read_text().split()) if log.exists() else Counter()
        process.stdout.close()
    last = start(path, slots, log)
    output = last.communicate(timeout=60)[0].split()
    assert last.returncode == 0
    handle = os.open(os.devnull, os.O_WRONLY)
    assert output[-1] == crashing.go(None, slots, handle).history
    os.close(handle)
    assert kills >= 2, "the run is over before it can be killed"
    conceived = Counter(log.read_text().split())
    assert all(conceived[name] == before[name] for name in told), "a told birth was conceived again"
    assert max(conceived.values()) <= 1 + kills
