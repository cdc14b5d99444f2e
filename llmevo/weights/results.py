"""What individuals have answered already: by genome, sample and settings, so that nothing is computed twice and nothing is stale."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmevo.core.errors import StorageError


class Results:
    """Results of samples under content keys, in memory; with a path also in a file to which lines are added.

    A line that was cut or damaged is as if it had never been written: its samples are computed again.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._whole = True
        if path is not None and path.exists():
            try:
                data = path.read_bytes()
            except OSError as error:
                raise StorageError(f"{path}: cannot be read: {error}") from error
            self._whole = data.endswith(b"\n") or not data
            for line in data.split(b"\n"):
                self._learn(line)

    def of(self, genome: str, settings: str) -> Mapping[str, Any]:
        """Results by sample key: of one genome key, under settings that name model, number format and question."""
        return self._known.get((genome, settings), {})

    def add(self, genome: str, settings: str, found: Mapping[str, Any]) -> None:
        """Keeps results; on disk when this returns, if there is a file. Raises `StorageError` when it cannot be written."""
        with self._lock:
            self._known.setdefault((genome, settings), {}).update(found)
            if self._path is None or not found:
                return
            text = json.dumps([genome, settings, dict(found)], separators=(",", ":"), allow_nan=False).encode()
            line = _digest(text) + b" " + text + b"\n"
            try:
                with self._path.open("ab") as out:
                    out.write(line if self._whole else b"\n" + line)
                    out.flush()
                    os.fsync(out.fileno())
            except OSError as error:
                self._whole = False
                raise StorageError(f"{self._path}: results cannot be written: {error}") from error
            self._whole = True

    def _learn(self, line: bytes) -> None:
        digest, _, text = line.partition(b" ")
        if digest and digest == _digest(text):
            genome, settings, found = json.loads(text)
            self._known.setdefault((genome, settings), {}).update(found)


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=8).hexdigest().encode()
