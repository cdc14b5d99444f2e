"""A weight problem that costs microseconds: adapters should change the modules as a hidden mixture of the experts does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmevo.core import Context, Fitness, Seed, Usage
from llmevo.engine import Outcome, evolve, stop
from llmevo.recipes.adapters import AdapterKit
from llmevo.recipes.kit import Plan
from llmevo.storage.blobs import FolderBlobs, MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.weights.adapter import Adapter, LowRank, content
from llmevo.weights.build import Builder
from llmevo.weights.genome import AdapterGenome
from llmevo.weights.merge import task_arithmetic
from llmevo.weights.operators import OPERATORS
from tests.weights.helpers import adapter

SEED = Seed.of(5)
HIDDEN = [0.5, 0.4, 0.0, 0.3, -0.2]


def experts(count: int = 5) -> tuple[dict[str, Adapter], list[AdapterGenome]]:
    """Noisy copies of one adapter: mixing the right ones pays."""
    signal = adapter(100)
    made = []
    for i in range(count):
        noise = adapter(i)
        made.append({n: LowRank(one.down + 0.4 * noise[n].down, one.up + 0.4 * noise[n].up) for n, one in signal.items()})
    leaves = [AdapterGenome.expert(f"expert{i}", content(one)) for i, one in enumerate(made)]
    return {leaf.settings["content"]: one for leaf, one in zip(leaves, made, strict=True)}, leaves


EXPERTS, LEAVES = experts()


def kit(seed: Seed = SEED) -> AdapterKit:
    return AdapterKit(LEAVES, seed=seed)


class Near:
    """Minus the relative distance to the hidden mixture, per module; above -1 is better than the base model."""

    whole_cohort = True

    def __init__(self, builder: Builder | None = None) -> None:
        self.builder = builder or Builder(EXPERTS, OPERATORS)
        self.target = task_arithmetic(list(EXPERTS.values()), weights=HIDDEN, rank=10)
        self.asked: list[str] = []

    async def __call__(self, genomes: Sequence[AdapterGenome], contexts: Sequence[Context]) -> list[Fitness]:
        self.asked += [genome.key for genome in genomes]
        return [self._one(self.builder.build(genome)) for genome in genomes]

    def _one(self, adapter: Adapter) -> Fitness:
        cases = {}
        for name, wanted in self.target.items():
            for row in range(4):
                there, goal = adapter[name].delta()[row::4], wanted.delta()[row::4]
                cases[f"{name}/{row}"] = 2 - float((there - goal).norm() / goal.norm())
        return Fitness.measured(sum(cases.values()) / len(cases), cases=cases, usage=Usage(calls=len(cases)))


def journal(path: Path | None = None) -> Journal:
    blobs = MemoryBlobs() if path is None else FolderBlobs(path.parent / "blobs")
    return Journal(Database(path), blobs, {AdapterGenome.kind: AdapterGenome})


def go(plan: Plan[Any], near: Any = None, *, path: Path | None = None, limit: int | None = None, **more: Any) -> Outcome[Any]:
    record = journal(path)
    try:
        return asyncio.run(
            evolve(
                plan.strategy, near or Near(), record, seed=SEED, batch=plan.batch, slots=plan.slots,
                stop=[stop.matings(limit or plan.matings)], **more,
            )
        )  # fmt: skip
    finally:
        record.database.close()
