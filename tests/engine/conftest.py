from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """A folder in memory where the system has one: a killed process loses nothing there, and an fsync costs nothing.

    For what must survive the death of a process. What must survive a power cut is proven in tests/storage.
    """
    usable = MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
    with tempfile.TemporaryDirectory(dir=MEMORY if usable else None) as folder:
        yield Path(folder)
