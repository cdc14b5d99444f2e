"""A disk that is full, a folder that vanishes: the run stops with a message, and what was paid for is not paid again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from llmevo import runs
from llmevo.core import StorageError
from llmevo.report.doctor import examine
from llmevo.storage.database import Database
from llmevo.storage.spare import kept
from llmevo.testing.server import FaultyLLM
from tests.faults import hunted
from tests.faults.hunt import Hunt, same


@pytest.mark.fault("S4")
@pytest.mark.parametrize("left", [0, 3_000, 60_000])
def test_a_file_that_may_not_grow(spawn: Any, tmp_path: Path, server: FaultyLLM, undisturbed: dict[str, Any], left: int) -> None:
    hunt, stops = Hunt(spawn, tmp_path / "run", server), 0
    for _ in range(3):
        child = spawn.Process(target=hunted.full, args=(str(hunt.folder), server.url, left))
        child.start()
        child.join(120)
        assert child.exitcode in (0, 74)
        stops += child.exitcode == 74
        found = examine(hunt.folder)
        assert found.problems == () and found.told >= 1
    assert stops
    hunt.stops = stops
    same(hunt.finish(), undisturbed)


@pytest.mark.fault("S4")
def test_a_database_that_is_full(
    spawn: Any, tmp_path: Path, server: FaultyLLM, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Database] = []

    def remember(*args: Any, **more: Any) -> Database:
        opened.append(Database(*args, **more))
        return opened[-1]

    def fill(_: Any) -> None:
        opened[-1].submit(lambda connection: connection.execute("PRAGMA max_page_count=1").fetchone()).result()

    hunt = Hunt(spawn, tmp_path / "run", server)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "Database", remember)
        with pytest.raises(StorageError, match=r"full.*Make room and continue the run") as stopped:
            hunted.sitting(str(hunt.folder), server.url, on_cohort=fill)
    assert stopped.value.exit_code == 74 and kept(hunt.folder / "run.spare")[0], "answers were on their way"
    same(hunt.finish(), undisturbed)


@pytest.mark.fault("S19")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_deleted_while_it_is_written_to(tmp_path: Path, server: FaultyLLM, replaced: bool) -> None:
    folder = tmp_path / "run"

    def delete(_: Any) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if replaced:
            folder.mkdir()
            Database(folder / "run.sqlite").close()

    with pytest.raises(StorageError, match="was deleted or replaced while the run was writing to it") as stopped:
        hunted.sitting(str(folder), server.url, on_cohort=delete)
    assert stopped.value.exit_code == 74
