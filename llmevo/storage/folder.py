"""A run's folder: its files, and the lock that one process holds."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import IO

from llmevo.core import ConfigError, RunHeld, StorageError
from llmevo.core.crash import crash_point
from llmevo.storage.opening import refuse_network, sync

CONFIG, RECORD, BLOBS, LOCK, PLANS = "run.yaml", "run.sqlite", "blobs", "lock", "plans.json"
UNFINISHED = "run.new"
"""What an interrupted start leaves behind."""


class RunFolder:
    """A folder with `run.yaml`, `run.sqlite`, `blobs/` and a lock that dies with its process.

    Opening it creates it, or finds the run that it holds. Raises `StorageError` when it cannot be written, `RunHeld` when another
    process has it, `ConfigError` when it holds something else. Use it as a context manager.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.record, self.blobs = path / CONFIG, path / RECORD, path / BLOBS
        self.plans = path / PLANS
        """How cohorts of adapters go through the base model: decided once, kept for later sittings."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            strangers = [one.name for one in path.iterdir() if one.name != LOCK and not one.name.startswith(UNFINISHED)]
        except OSError as error:
            raise StorageError(f"{path} cannot be used as a run folder: {error}. Choose another with --run.") from error
        if strangers and not self.record.exists():
            way = f", its {RECORD} is missing: put it back, or" if CONFIG in strangers else ":"
            raise ConfigError(f"{path} is not empty and holds no run ({', '.join(sorted(strangers)[:3])}){way} choose another with --run")
        refuse_network(path)
        self._lock = hold(path)
        for leftover in path.glob(f"{UNFINISHED}*"):
            leftover.unlink(missing_ok=True)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.close()

    def write_config(self, text: str) -> None:
        """Writes `run.yaml`, complete or not at all."""
        fresh = self.path / UNFINISHED
        try:
            fresh.unlink(missing_ok=True)  # perhaps a link to elsewhere
            with fresh.open("x", encoding="utf-8") as out:
                out.write(text)
            sync(fresh)
            crash_point("config-new")
            os.replace(fresh, self.config)
            crash_point("config-named")
            sync(self.path)
        except OSError as error:
            raise StorageError(f"{self.config} cannot be written: {error}") from error


def hold(path: Path) -> IO[str]:
    """The lock of a folder, for this process as long as the handle is open. Raises `RunHeld` that says who has it."""
    place = path / LOCK
    try:
        handle = os.fdopen(os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644), "r+", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{place} cannot be written: {error}. Choose another folder with --run.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = handle.read().strip()
        handle.close()
        raise RunHeld(f"{path} is held by another process {holder}: wait for it, or choose another folder") from None
    handle.seek(0)
    handle.truncate()
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    handle.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started}))
    handle.flush()
    return handle
