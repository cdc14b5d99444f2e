"""Large contents, named by their hash."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from llmevo.core import StorageError
from llmevo.core.crash import crash_point
from llmevo.storage.opening import sync


def _key(data: bytes) -> str:
    return "b2:" + hashlib.blake2b(data, digest_size=16).hexdigest()


class MemoryBlobs:
    """Blobs of a run that leaves no folder."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        self._data[_key(data)] = bytes(data)
        return _key(data)

    def get(self, key: str) -> bytes:
        try:
            return self._data[key]
        except KeyError:
            raise StorageError(f"no blob {key} in memory") from None


class FolderBlobs:
    """Blobs as files of one folder: written under a temporary name, synced, renamed; checked when read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        path = self._path(_key(data))
        if not path.exists():
            fresh = path.with_suffix(".new")
            try:
                self._folder.mkdir(exist_ok=True)
                fresh.write_bytes(data)
                sync(fresh)
                crash_point("blob-new")
                os.replace(fresh, path)
                crash_point("blob-named")
                sync(self._folder)
            except OSError as error:
                raise StorageError(f"{path} cannot be written: {error}") from error
        return _key(data)

    def get(self, key: str) -> bytes:
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error}") from error
        if _key(data) != key:
            raise StorageError(f"{path} does not match its hash: the file was changed or damaged")
        return data

    def _path(self, key: str) -> Path:
        digest = key.removeprefix("b2:")
        if not digest.isalnum():
            raise StorageError(f"{key!r} is not a blob key")
        return self._folder / digest
