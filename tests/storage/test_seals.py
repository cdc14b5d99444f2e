from __future__ import annotations

from pathlib import Path

import pytest

from llmevo.storage.seals import EXPORTS, FRESH, SEAL, checked_exports, differences, note_export, seal, sealed


def exported(run: Path, folder: Path) -> Path:
    note_export(run, folder, done=False)
    folder.mkdir()
    (folder / "a").write_bytes(b"one")
    (folder / "b").write_bytes(b"two")
    seal(folder, ("a", "b"))
    note_export(run, folder, done=True)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    place = tmp_path / "run"
    place.mkdir()
    return place


def test_a_run_without_exports_has_nothing_to_say(run: Path) -> None:
    assert checked_exports(run) == ([], [])


@pytest.mark.fault("W11")
def test_what_differs_is_named_and_what_is_gone_is_a_note(run: Path, tmp_path: Path) -> None:
    first, second = exported(run, tmp_path / "first"), exported(run, tmp_path / "second")
    assert checked_exports(run) == ([], []) and sorted(sealed(first)) == ["a", "b"]
    (first / "a").write_bytes(b"onE")
    (first / "b").unlink()
    ((problem,), notes) = checked_exports(run)
    assert problem.startswith(f"{first} is not what was exported from this run: a holds b2:") and "; b is missing. Export it" in problem
    assert not notes and len(differences(first, sealed(first))) == 2
    for path in (second / "a", second / "b", second / SEAL):
        path.unlink()
    second.rmdir()
    assert [note.endswith("is not there any more") for note in checked_exports(run)[1]] == [True]


@pytest.mark.fault("W11")
def test_what_an_interrupted_export_leaves_is_found(run: Path, tmp_path: Path) -> None:
    note_export(run, tmp_path / "out", done=False)
    assert checked_exports(run) == ([], []), "nothing was written yet, and nothing announced"
    (tmp_path / f"out{FRESH}").mkdir()
    (problems, (note,)) = checked_exports(run)
    assert not problems and "left over from an interrupted export" in note
    (tmp_path / f"out{FRESH}").rmdir()
    exported(run, tmp_path / "out")
    whole = (run / EXPORTS).read_bytes()
    (tmp_path / "out" / "a").write_bytes(b"other")
    assert len(checked_exports(run)[0]) == 1
    (run / EXPORTS).write_bytes(whole[:-5])
    assert checked_exports(run) == ([], []), "the line was cut off: that export was not announced"
    (exported(run, tmp_path / "next") / "a").write_bytes(b"other")
    assert [str(tmp_path / "next") in problem for problem in checked_exports(run)[0]] == [True], "the next one is"


def test_a_run_that_cannot_be_written_to_has_no_list(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, mode: str) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Path, "open", refused)
    note_export(run, tmp_path / "out", done=False)
    assert not (run / EXPORTS).exists()
