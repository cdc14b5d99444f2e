"""A disk that loses what was not synced when the power goes: a VFS under SQLite, for tests.

Content that was synced is safe. Writes since the last sync of a file are kept, lost, or torn at a sector, each by a seeded coin.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512


class PowerCut(Exception):
    """The power is gone."""


class Disk(apsw.VFS):
    """Counts writes, truncations and syncs; at number `cut` the power goes, and nothing works any more."""

    def __init__(self, name: str, cut: int | None = None) -> None:
        self.cut, self.done, self.dead = cut, 0, False
        self.safe: dict[str, bytes] = {}
        self.pending: dict[str, list[tuple[Any, ...]]] = {}
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if hasattr(name, "filename") else str(name)
        if path not in self.safe and not path.endswith("-shm"):
            there = Path(path)
            self.safe[path] = there.read_bytes() if there.exists() else b""
            self.pending[path] = []
        return File(self, name, flags, path)

    def xDelete(self, name: str, syncdir: bool) -> None:
        self.tick()
        super().xDelete(name, syncdir)

    def tick(self) -> None:
        if self.dead or self.done == self.cut:
            self.dead = True
            raise apsw.IOError("power cut")
        self.done += 1

    def after_the_cut(self, seed: int) -> None:
        """Leaves on the real disk what may be there when the power is back."""
        rng = random.Random(seed)
        for path, writes in self.pending.items():
            content = bytearray(self.safe[path])
            for kind, *rest in writes:
                fate = rng.random()
                if fate < 0.4:
                    continue
                if kind == "truncate":
                    del content[rest[0] :]
                    continue
                offset, data = rest
                if fate < 0.6:
                    data = data[: rng.randrange(0, len(data) + 1, SECTOR)]
                content.extend(b"\0" * (offset + len(data) - len(content)))
                content[offset : offset + len(data)] = data
            if Path(path).exists():
                Path(path).write_bytes(content)
        for path in {str(Path(path)) for path in self.pending}:
            Path(f"{path}-shm").unlink(missing_ok=True)


class File(apsw.VFSFile):
    """One file of the disk."""

    def __init__(self, disk: Disk, name: Any, flags: list[int], path: str) -> None:
        self.disk, self.path = disk, path
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.tick()
        self.disk.pending[self.path].append(("write", offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self.disk.tick()
        self.disk.pending[self.path].append(("truncate", size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self.disk.tick()
        super().xSync(flags)
        self.disk.safe[self.path] = Path(self.path).read_bytes()
        self.disk.pending[self.path] = []


class Connection(apsw.Connection):
    """An apsw connection with the one method of sqlite3's that the product uses and apsw has not."""

    def executescript(self, script: str) -> None:
        self.execute(script)
