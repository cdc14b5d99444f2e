"""A run that a test kills: `python crashing.py FILE SLOTS LOG`. Writes each conceived mating to LOG before it is conceived."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from llmevo.breeding import roulette, truncation
from llmevo.core import Context, Individual, Strategy
from llmevo.engine import Outcome, evolve, stop
from llmevo.strategies import Founding, Genetic, sequence
from llmevo.testing.toy import Digits, Distance, Toy, cross, fresh
from tests.helpers import SEED, journal

MATINGS = 60


class Logged(Toy):
    """Takes a moment, so that kills come at any place."""

    async def __call__(self, parents: Sequence[Individual[Digits]], context: Context) -> Digits:
        os.write(int(self.name.partition("#")[2]), f"{context.scope}\n".encode())
        await asyncio.sleep(0.001 * (context.seed.value % 4))
        return await super().__call__(parents, context)

    @property
    def key(self) -> str:
        return self.name.partition("#")[0]


def strategy(log: int) -> Strategy[Digits]:
    founding = Founding([Logged(f"fresh{i}#{log}", fresh(), 0, fails=0.1) for i in range(6)], seed=SEED)
    return sequence(founding, Genetic(Logged(f"cross#{log}", cross, 2, fails=0.1), roulette, truncation(6), seed=SEED))


def go(path: Path | None, slots: int, log: int) -> Outcome[Digits]:
    record = journal(path)
    try:
        return asyncio.run(
            evolve(strategy(log), Distance(), record, seed=SEED, batch=3, slots=slots, stop=[stop.matings(MATINGS)])
        )
    finally:
        record.database.close()


if __name__ == "__main__":
    handle = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    print("ready", flush=True)
    outcome = go(Path(sys.argv[1]), int(sys.argv[2]), handle)
    print(outcome.history, flush=True)
