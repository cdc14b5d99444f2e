"""Several workers give what one gives: rows, bits, and the history of a run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from llmevo.breeding import rank, truncation  # noqa: E402
from llmevo.core import ConfigError, Context, Individual, Pause, Seed  # noqa: E402
from llmevo.engine import evolve, stop  # noqa: E402
from llmevo.fitness import Case  # noqa: E402
from llmevo.storage.blobs import MemoryBlobs  # noqa: E402
from llmevo.storage.database import Database  # noqa: E402
from llmevo.storage.journal import Journal  # noqa: E402
from llmevo.strategies import Founding, Genetic, sequence  # noqa: E402
from llmevo.weights.answering import Answering, Backend, Resident  # noqa: E402
from llmevo.weights.asking import Asking  # noqa: E402
from llmevo.weights.hf import BaseSpec  # noqa: E402
from llmevo.weights.phenotypes import Graded, among_labels  # noqa: E402
from llmevo.weights.plans import Plan, Plans  # noqa: E402
from llmevo.weights.population import Population  # noqa: E402
from llmevo.weights.programs import Forced  # noqa: E402
from llmevo.weights.training import embedded_folder  # noqa: E402
from llmevo.weights.workers import Spread  # noqa: E402
from tests.weights.tiny import Maker, Seeded, adapter, ids  # noqa: E402

SPEC = BaseSpec(embedded_folder(), device="cpu", dtype="float32")
LABELS = ("good", "bad")
CASES = [
    Case(f"c{i}", f"The price of the lamp is {word}.", LABELS[i % 2]) for i, word in enumerate("fair high fine poor".split())
]


@pytest.fixture(scope="module")
def base() -> Any:
    return SPEC.load()


@pytest.fixture
def threads() -> Iterator[list[Executor]]:
    pools: list[Executor] = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
    yield pools
    for pool in pools:
        pool.shutdown()


class Child:
    """The adapter of another seed."""

    key, arity, picks, reassess = "child", 1, False, False

    async def __call__(self, parents: Sequence[Individual[Seeded]], context: Context) -> Seeded:
        return Seeded(1 + context.seed.value % 1000)


class Founder(Child):
    key, arity = "founder", 0


def history(base: Any, backend: Backend) -> str:
    seed = Seed.of(3)
    make = lambda cases: among_labels(Asking(base), cases, LABELS)  # noqa: E731
    graded = Graded(Answering(backend, Maker(base)), make, CASES, measure="likelihood")
    search = sequence(Founding([Founder()] * 5, seed=seed), Genetic(Child(), rank, truncation(5), seed=seed))
    database = Database(None)
    journal = Journal(database, MemoryBlobs(), {Seeded.kind: Seeded})
    try:
        outcome = asyncio.run(evolve(search, graded, journal, seed=seed, batch=5, stop=[stop.matings(15)]))
    finally:
        database.close()
    assert outcome.best is not None and outcome.progress.births == 15
    return outcome.history


@pytest.mark.parametrize("engine", ["merge", "stack"])
def test_one_and_two_workers_make_the_same_history(base: Any, threads: list[Executor], engine: Any) -> None:
    alone = history(base, Resident(Population(base, engine=engine)))
    assert history(base, Spread([SPEC], executors=threads[:1], engine=engine)) == alone
    assert history(base, Spread([SPEC, SPEC], executors=threads, engine=engine)) == alone


@pytest.mark.slow
def test_two_processes_give_the_same_bits(base: Any) -> None:
    program = Forced(tuple(ids(i, 6) for i in range(5)), tuple(ids(10 + i, 2) for i in range(5)))
    adapters = [adapter(base, seed) for seed in range(3)]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        wanted = Population(base).run(adapters, program)
    finally:
        torch.set_num_threads(before)
    spread = Spread.over(SPEC, ["cpu", "cpu"], threads=1)
    try:
        assert spread.key == base.key
        assert asyncio.run(spread.run(["a", "b", "c"], adapters, program, range(5))) == wanted
        with pytest.raises(Pause, match=r"a worker with .* died"):
            asyncio.run(spread._submit(1, ends_its_process))
    finally:
        spread.close()


def ends_its_process(*_: Any) -> None:
    os._exit(1)


def test_lots_depend_on_the_plan_and_memory_is_remembered(base: Any) -> None:
    """An executor that only notes what it gets."""
    program = Forced(tuple(ids(i, 6) for i in range(5)), tuple(ids(10 + i, 2) for i in range(5)))
    sizes: list[int] = []

    class Notes(Executor):
        def submit(self, function: Any, /, *arguments: Any, **more: Any) -> Future[Any]:
            done: Future[Any] = Future()
            if function.__name__ == "run_lot":
                sizes.append(len(arguments[3]))
                done.set_result(([["row"]] * len(arguments[3]), Plan("stack", 4, 50)))
            else:
                done.set_result(base.key)
            return done

    for workers in (1, 3):
        sizes.clear()
        plans = Plans()
        plans.put(base.key, program.key, Plan("stack", 4, 100))
        spread = Spread([SPEC] * workers, executors=[Notes() for _ in range(workers)], plans=plans)
        rows = asyncio.run(spread.run(list("abcdefg"), [adapter(base, 1)] * 7, program, range(5)))
        assert rows == [["row"]] * 7 and sorted(sizes) == [3, 4]
        assert plans.get(base.key, program.key) == Plan("stack", 4, 50)


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one is needed"):
        Spread([])
    with pytest.raises(ConfigError, match="1 executors for 2 devices"):
        Spread([SPEC, SPEC], executors=[ThreadPoolExecutor(1)])
