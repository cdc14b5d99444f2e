"""What was exported, by its hashes: beside the files themselves, and in a list of the run that they came from."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmevo.core import StorageError
from llmevo.storage.opening import sync

SEAL = "llmevo.json"
"""The file beside the exported ones that holds their hashes."""
EXPORTS = "exports.jsonl"
"""A run's list of its exports. No part of its record: `best` reads a run that another process may be writing."""
FRESH = ".new"
"""What the name of a folder ends with while it is being written."""


def digest(path: Path) -> str:
    """The content key of a file."""
    with path.open("rb") as file:
        return "b2:" + hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def seal(folder: Path, names: Sequence[str]) -> None:
    """Writes down what these files of a folder hold."""
    files = {name: digest(folder / name) for name in names}
    (folder / SEAL).write_text(json.dumps({"files": files}, indent=2) + "\n", encoding="utf-8")
    sync(folder / SEAL)


def sealed(folder: Path) -> Mapping[str, str]:
    """The hashes that stand beside the files of a folder, by name; empty where there are none. Raises `StorageError` for a torn seal."""
    try:
        files = json.loads((folder / SEAL).read_text(encoding="utf-8"))["files"]
        return {str(name): str(key) for name, key in files.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{folder / SEAL} cannot be read ({error}): export the folder again, or remove that file") from None


def differences(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Which files hold something else than these hashes say, in words."""
    found = []
    for name, wanted in files.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif (there := digest(path)) != wanted:
            found.append(f"{name} holds {there}, exported was {wanted}")
    return found


def note_export(run: Path, folder: Path, *, done: bool) -> None:
    """Adds to the run's list that a folder is about to be written, or was. A run that may not be written to has no list: the folder has its
    seal.
    """
    row: dict[str, Any] = {"folder": str(folder.resolve())}
    if done:
        row["files"] = dict(sealed(folder))
    path = run / EXPORTS
    try:
        with path.open("a+b") as out:
            out.seek(max(0, out.seek(0, os.SEEK_END) - 1))
            if out.read(1) not in (b"", b"\n"):
                out.write(b"\n")  # the last row was cut off
            out.write(json.dumps(row).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(f"{path} cannot be written: {error}") from error


def checked_exports(run: Path) -> tuple[list[str], list[str]]:
    """Problems and notes of what was exported from a run: folders that hold something else by now, are gone, or were never completed."""
    last: dict[str, Mapping[str, str] | None] = {}
    path = run / EXPORTS
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            name, files = str(row["folder"]), row.get("files")
            last[name] = {str(one): str(key) for one, key in files.items()} if files is not None else last.get(name)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # cut off while it was written: that export was not announced
    problems, notes = [], []
    for name, recorded in last.items():
        folder = Path(name)
        fresh = folder.with_name(folder.name + FRESH)
        if fresh.exists():
            notes.append(f"{fresh}: left over from an interrupted export; it can be removed")
        if recorded is None:
            continue
        if not folder.is_dir():
            notes.append(f"{folder}: an adapter was exported there, and is not there any more")
        elif wrong := differences(folder, recorded):
            problems.append(f"{folder} is not what was exported from this run: {'; '.join(wrong)}. Export it again under another name")
    return problems, notes


__all__ = ["EXPORTS", "FRESH", "SEAL", "checked_exports", "differences", "note_export", "seal", "sealed"]
