"""The server of the hunts, their children, and the run that nothing disturbs."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest

from llmevo.testing.server import FaultyLLM
from tests.faults import hunted
from tests.faults.hunt import Hunt


@pytest.fixture(scope="module")
def spawn() -> Any:
    """Children are forked from a process that has everything imported and no threads: a child costs milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["llmevo.runs", "llmevo.llm.http", "numpy", "tests.faults.hunted"])
    return context


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyLLM]:
    with FaultyLLM(hunted.answering, ledger=tmp_path_factory.mktemp("server") / "ledger.jsonl") as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(spawn: Any, tmp_path_factory: pytest.TempPathFactory, server: FaultyLLM) -> dict[str, Any]:
    # The endpoint's address is part of what a run is: all runs ask the same server.
    return Hunt(spawn, tmp_path_factory.mktemp("undisturbed") / "run", server).finish()


@pytest.fixture(scope="module")
def slots_undisturbed(spawn: Any, tmp_path_factory: pytest.TempPathFactory, server: FaultyLLM) -> dict[str, Any]:
    return Hunt(spawn, tmp_path_factory.mktemp("undisturbed") / "run", server, "slots").finish()


@pytest.fixture(scope="module")
def ends_undisturbed(spawn: Any, tmp_path_factory: pytest.TempPathFactory, server: FaultyLLM) -> dict[str, Any]:
    found = Hunt(spawn, tmp_path_factory.mktemp("undisturbed") / "run", server, "ends").finish()
    assert found["crowning"] and found["vote"], "a run that comes to every end that there is"
    return found
