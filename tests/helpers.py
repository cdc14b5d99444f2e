"""What many tests need: a run on the toy representation, in memory or in a file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmevo.core import Fitness, Individual, Seed, Strategy
from llmevo.engine import Outcome, evolve
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.testing.toy import Digits, Distance

SEED = Seed.of(7)


def named(value: Any) -> str:
    """The id of a parameter: how it shows itself, without the addresses that differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value) if not hasattr(value, "key") else str(value))


def journal(path: Path | None = None) -> Journal:
    return Journal(Database(path), MemoryBlobs(), {Digits.kind: Digits})


def run(
    strategy: Strategy[Digits],
    evaluate: Any = None,
    *,
    stops: Sequence[Callable[..., Any]] = (),
    batch: int = 4,
    slots: int = 1,
    path: Path | None = None,
    seed: Seed = SEED,
    **more: Any,
) -> Outcome[Digits]:
    """One run; the database is closed behind it, also when it raises."""
    record = journal(path)
    try:
        return asyncio.run(
            evolve(strategy, evaluate or Distance(), record, seed=seed, batch=batch, slots=slots, stop=stops, **more)
        )
    finally:
        record.database.close()


def one(name: str, value: float | None, *, seat: int = 0, digits: str | None = None, **fitness: Any) -> Individual[Digits]:
    """An individual for tests of selection and succession; None = failed."""
    genome = Digits(tuple(int(c) for c in (digits if digits is not None else str(sum(map(ord, name))))))
    score = Fitness.failed("broken") if value is None else Fitness(value, **fitness)
    return Individual(name, genome, score, seat=seat)
