"""A run's folder: made or found, held by one process, never anybody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmevo.core import ConfigError, RunHeld, StorageError
from llmevo.storage.database import Database
from llmevo.storage.folder import RunFolder

HOLD = """
import sys, time
from pathlib import Path
from llmevo.storage.folder import RunFolder
held = RunFolder(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_it_is_made_with_its_parents(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "a" / "b c" / "läuft 東") as folder:
        folder.write_config("x: 1\n")
        assert folder.config.read_text() == "x: 1\n" and folder.config.name == "run.yaml"
        folder.write_config("x: 2\n")
        assert folder.config.read_text() == "x: 2\n" and sorted(path.name for path in folder.path.iterdir()) == ["lock", "run.yaml"]


@pytest.mark.fault("S8")
def test_one_at_a_time_in_this_process(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run"):
        with pytest.raises(RunHeld) as caught:
            RunFolder(tmp_path / "run")
        holder = json.loads(str(caught.value).split("process ")[1].split("}")[0] + "}")
        assert holder["pid"] == os.getpid() and holder["host"] and holder["started"]
    with RunFolder(tmp_path / "run"):
        pass


@pytest.mark.fault("S8")
def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    with pytest.raises(RunHeld, match=str(child.pid)):
        RunFolder(tmp_path / "run")
    child.kill()
    child.wait()
    began = time.monotonic()
    with RunFolder(tmp_path / "run"):
        assert time.monotonic() - began < 1


def test_a_lock_file_that_was_left_behind_holds_nobody(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text('{"pid": 1, "host": "elsewhere", "started": "long ago", "more": "' + "x" * 500 + '"}')
    with RunFolder(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("strangers", [["thesis.txt"], ["run.yaml"], ["run.yaml", "data.csv"], ["blobs"], [".git"]])
def test_a_folder_of_something_else_is_refused_untouched(tmp_path: Path, strangers: list[str]) -> None:
    for name in strangers:
        (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match="not empty and holds no run"):
        RunFolder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(strangers)
    assert all((tmp_path / name).read_text() == "mine" for name in strangers)


@pytest.mark.parametrize("there", [[], ["lock"], ["run.new"], ["lock", "run.new"]])
def test_an_empty_folder_and_a_start_that_was_interrupted_are_welcome(tmp_path: Path, there: list[str]) -> None:
    for name in there:
        (tmp_path / name).write_text("")
    with RunFolder(tmp_path) as folder:
        Database(folder.record).close()
        assert folder.record.is_file()


def test_a_run_with_notes_beside_it_is_still_a_run(tmp_path: Path) -> None:
    Database(tmp_path / "run.sqlite").close()
    (tmp_path / "notes.txt").write_text("mine")
    with RunFolder(tmp_path):
        assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.fault("S5")
def test_what_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "lock").mkdir()
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for place in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / "taken", loop, Path("/proc/run"), tmp_path / ("x" * 300)):
        with pytest.raises(StorageError, match="--run"):
            RunFolder(place)


@pytest.mark.fault("S5")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="--run"):
        RunFolder(tmp_path / "run")


@pytest.mark.fault("X5")
def test_the_lock_follows_no_link(tmp_path: Path) -> None:
    target = tmp_path / "precious.txt"
    target.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").symlink_to(target)
    with pytest.raises(StorageError):
        RunFolder(tmp_path / "run")
    assert target.read_text() == "mine"


@pytest.mark.fault("X5")
def test_the_configuration_is_never_written_through_a_link(tmp_path: Path) -> None:
    target = tmp_path / "precious.txt"
    target.write_text("mine")
    with RunFolder(tmp_path / "run") as folder:
        folder.config.symlink_to(target)
        (folder.path / "run.new").symlink_to(target)
        folder.write_config("x: 1\n")
        assert target.read_text() == "mine" and not folder.config.is_symlink() and folder.config.read_text() == "x: 1\n"
