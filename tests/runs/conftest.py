from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmevo.testing.server import FaultyLLM
from tests.runs.helpers import answer

MEMORY = Path("/dev/shm")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in memory where the system has one: a killed process loses nothing there, and an fsync costs nothing."""
    usable = MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
    with tempfile.TemporaryDirectory(dir=MEMORY if usable else None) as folder:
        yield Path(folder)


@pytest.fixture
def server(place: Path) -> Iterator[FaultyLLM]:
    """A server that plays task and operator model, with a ledger of what it billed."""
    with FaultyLLM(answer, ledger=place / "ledger.jsonl", models=("test", "writer")) as running:
        yield running
