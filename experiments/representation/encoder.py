"""Class descriptions, an adapter, or both, for a real sentence encoder on real data: one recipe, equal evaluations.

The encoder is all-MiniLM-L6-v2; the class whose description is nearest wins. Adapters are on its last layer, over cached states of
the layers below. The pool of a data set holds experts of the other sets (halves of 500 lines each, without any line of a set that is
searched on). Every run selects on 100 lines drawn from the 200 of `dev.txt`, by the log-likelihood of the right class; the winner is
scored once on test.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "evoprompt"), str(HERE.parent / "genome")]

import methods  # noqa: E402
import real  # noqa: E402
import tasks as data_sets  # noqa: E402

from llmevo.config import KINDS  # noqa: E402
from llmevo.core import Context, Fitness, Seed  # noqa: E402
from llmevo.engine import evolve, stop  # noqa: E402
from llmevo.fitness import Case  # noqa: E402
from llmevo.fitness.joint import Joint  # noqa: E402
from llmevo.recipes import recipe  # noqa: E402
from llmevo.recipes.adapters import AdapterKit  # noqa: E402
from llmevo.recipes.products import ProductKit  # noqa: E402
from llmevo.storage.blobs import MemoryBlobs  # noqa: E402
from llmevo.storage.database import Database  # noqa: E402
from llmevo.storage.journal import Journal  # noqa: E402
from llmevo.weights.answering import Answering, Resident  # noqa: E402
from llmevo.weights.encoder import States, nearest_description  # noqa: E402
from llmevo.weights.hf import BaseSpec  # noqa: E402
from llmevo.weights.leaves import load_pool  # noqa: E402
from llmevo.weights.operators import OPERATORS  # noqa: E402
from llmevo.weights.phenotypes import Graded  # noqa: E402
from llmevo.weights.population import Population  # noqa: E402
from llmevo.weights.training import Training  # noqa: E402

TASKS = ("agnews", "sst2", "subj", "mr")
TEXTS, ADAPTER = "descriptions", "adapter"
ARMS: dict[str, tuple[str, ...]] = {TEXTS: (TEXTS,), ADAPTER: (ADAPTER,), "both": (TEXTS, ADAPTER)}
AS_WRITTEN = "as written"
LAYERS, SLICES = 1, 2
DEV, TEST, EVALUATIONS, POPULATION = 100, 300, 32, 8
TRAINING = Training(rank=8, alpha=16.0, epochs=3, batch=16, rate=1e-3, modules=("query", "key", "value", "dense"), layers=(5,))
SETTING = {"weights": [1, 1, 0], "longest": 3, "limit": 15, "rate": 0.1}
"""Edits of words and phrases only: the joint fitness says nothing of single failures, and the arms are to have the same operators."""


class Study:
    def __init__(self, data: Path, cache_folder: Path, smoke: bool) -> None:
        self.data, self.smoke = data, smoke
        self.limit = 30 if smoke else None
        self.pool_folder = cache_folder / ("encoder-smoke" if smoke else "encoder")
        real.LAYERS, real.TRAINING = LAYERS, TRAINING
        self.base = BaseSpec(str(data_sets.shipped_encoder()), "encoder", device="cpu", dtype="float32").load()
        self.states = States()
        self.train()
        self.population = Population(self.base)

    def planned(self, seeds: int) -> list[tuple[str, str, int]]:
        tasks = TASKS[:1] if self.smoke else TASKS
        runs = [(task, AS_WRITTEN, 0) for task in tasks]
        return runs + [(task, arm, seed) for seed in range(seeds) for task in tasks for arm in ARMS]

    def train(self) -> None:
        """Two experts per set, without any line that another set selects or tests on."""
        used = {real.plain(case) for name in TASKS for part in ("dev", "test") for case in self.part(name, part)}
        for name in real.DESCRIPTIONS:
            own = {real.plain(case) for part in ("dev", "test") for case in self.part(name, part)} if name in TASKS else set()
            others = used - own
            cases = [case for case in real.load(self.data, name, "dev_500") if real.plain(case) not in others][: self.limit]
            order = Seed.of(0).fold("slices", name).rng().permutation(len(cases)).tolist()
            for k in range(SLICES):
                some = [cases[i] for i in order[k::SLICES]]
                real.train(self.base, name, some, self.pool_folder / f"{name}-{k}", Seed.of(0).fold(name, k))

    def part(self, name: str, part: str) -> list[Case]:
        task = self.task(name)
        return list(getattr(task, part))

    @cache  # noqa: B019
    def task(self, name: str) -> data_sets.Task:
        return data_sets.load(name, self.data, self.limit)

    @cache  # noqa: B019
    def answering(self, name: str) -> tuple[Any, Answering]:
        folders = [self.pool_folder / f"{other}-{k}" for other in real.DESCRIPTIONS if other != name for k in range(SLICES)]
        pool = load_pool(folders)
        return pool, Answering(Resident(self.population), pool.builder(OPERATORS))

    def joint(self, name: str, cases: Sequence[Case], measure: Any) -> Joint[Any]:
        _, answering = self.answering(name)

        def under(words: tuple[tuple[str, str], ...]) -> Graded:
            make = nearest_description(self.base, dict(words), layers=LAYERS, states=self.states)
            return Graded(answering, make, cases, measure=measure)

        return Joint(lambda one: tuple(one.taken(TEXTS).parts.items()), lambda one: one.taken(ADAPTER), under)

    def search(self, name: str, arm: str, seed: int) -> dict[str, Any]:
        """One run: its row, with a bit for every test case."""
        task, root = self.task(name), Seed.of(seed)
        chosen = sorted(root.fold("dev", name).rng().permutation(len(task.dev))[:DEV].tolist())
        dev, test = [task.dev[i] for i in chosen], task.test[:TEST]
        pool, _ = self.answering(name)
        texts = methods.Kit([task.written, task.bare], data_sets.Task(name, tuple(dev), (), task.bare, task.written), root, SETTING)
        kits = {TEXTS: texts, ADAPTER: AdapterKit(pool.genomes, seed=root, from_base=True)}
        kit = ProductKit(kits, ARMS.get(arm, (TEXTS,)), seed=root)
        if arm == AS_WRITTEN:
            best, count = asyncio.run(kit.founders[0]((), Context(root))), 1
        else:
            best, count = self.evolved(name, dev, kit, root)
        (on_dev,) = self.scored(name, dev, best)
        (on_test,) = self.scored(name, test, best)
        return {
            "study": "encoder", "task": name, "arm": arm, "seed": seed, "evaluations": count, "dev": on_dev.value, "test": on_test.value,
            "n_dev": len(dev), "winner": best.preview(),
            "test_right": "".join(str(int(one)) for one in on_test.cases.values()),
        }  # fmt: skip

    def scored(self, name: str, cases: Sequence[Case], genome: Any) -> list[Fitness]:
        return asyncio.run(self.joint(name, cases, "exact")([genome], [Context(Seed.of(0))]))

    def evolved(self, name: str, dev: Sequence[Case], kit: ProductKit, root: Seed) -> tuple[Any, int]:
        plan = recipe("evoprompt-ga")(kit, population=POPULATION, steps=EVALUATIONS, founders="all", selection="tournament")
        evaluations = 12 if self.smoke else EVALUATIONS
        database = Database(None)
        try:
            done = asyncio.run(
                evolve(
                    plan.strategy, self.joint(name, dev, "likelihood"), Journal(database, MemoryBlobs(), KINDS), seed=root, batch=4,
                    stop=[stop.evaluations(evaluations - 3), stop.matings(4 * evaluations), stop.barren(60)],
                )
            )  # fmt: skip
        finally:
            database.close()
        assert done.best is not None, done.progress.last_error
        return done.best.genome, done.progress.evaluations
