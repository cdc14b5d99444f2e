"""The recipes of the study: one kit of blind edits, a smooth fitness, the engine's loop, equal evaluations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from tasks import Shared, Task

from llmevo.config import KINDS
from llmevo.core import Context, Individual, Seed
from llmevo.core.variation import VariationBase
from llmevo.engine import evolve, stop
from llmevo.fitness import Evaluator
from llmevo.fitness.scorers import exact
from llmevo.llm.embedded import EmbeddedLLM
from llmevo.recipes import recipe
from llmevo.recipes.text import TextKit, common_words
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.text import ANY, Encoded, PartCrossover, TextGenome, WordEdits, given, on
from llmevo.text.likelihood import Likelihood
from llmevo.text.phrases import Corrections, Phrases
from llmevo.text.recombine import Recombine


@dataclass(frozen=True)
class OneOf(VariationBase):
    """One of several variations of a single parent, drawn by weight; the next one when it has no child to give."""

    several: tuple[Any, ...]
    weights: tuple[float, ...]
    arity = 1

    @property
    def key(self) -> str:
        return f"one-of({','.join(f'{one.key}:{weight:g}' for one, weight in zip(self.several, self.weights, strict=True))})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        from llmevo.core import VariationFailed

        rates = np.asarray(self.weights) / sum(self.weights)
        rng = context.seed.fold("which").rng()
        order = rng.choice(len(rates), size=int((rates > 0).sum()), replace=False, p=rates)
        for i in order[:-1]:
            try:
                return await self.several[i](parents, context.stage(int(i)))
            except VariationFailed:
                continue
        return await self.several[order[-1]](parents, context.stage(int(order[-1])))


class Then(VariationBase):
    """A recombination, then a mutation that may still read what the first parent got wrong."""

    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second
        self.arity = first.arity

    @property
    def key(self) -> str:
        return f"{self.first.key} then {self.second.key}"

    async def __call__(self, parents, context):
        genome = await self.first(parents, context.stage(0))
        return await self.second([replace(parents[0], genome=genome)], context.stage(1))


class Repeat(VariationBase):
    """A variation one to `most` times in a row, each number as likely."""

    arity = 1

    def __init__(self, variation: Any, most: int) -> None:
        self.variation, self.most = variation, most

    @property
    def key(self) -> str:
        return f"repeat({self.variation.key},{self.most})"

    async def __call__(self, parents, context):
        times = int(context.seed.fold("times").rng().integers(1, self.most + 1))
        genome = parents[0].genome
        for i in range(times):
            genome = await self.variation([replace(parents[0], genome=genome)], context.stage(i))
        return genome


class Kit:
    """Founders that are given, and blind edits in the place of the instructions."""

    def __init__(self, starts: Sequence[Mapping[str, str]], task: Task, seed: Seed, setting: Mapping[str, Any]) -> None:
        self.seed, self.founders = seed, given(starts)
        texts = tuple(case.input for case in task.dev)
        vocabulary = common_words(list(texts), setting.get("least", 2))
        longest = setting.get("longest", 4)
        mutate = OneOf(
            (
                on(ANY, WordEdits(vocabulary, most=setting.get("most", 1))),
                on(ANY, Phrases(texts, longest, setting.get("limit", 30))),
                Corrections(longest, setting.get("limit", 30)),
            ),
            tuple(setting.get("weights", (1, 1, 1))),
        )
        cross = PartCrossover()
        self._operators = {
            "mutate": Repeat(mutate, setting["repeat"]) if setting.get("repeat", 1) > 1 else mutate,
            "paraphrase": Repeat(mutate, setting.get("fill", 3)),
            "random": Repeat(mutate, setting.get("random", 8)),
            "evoprompt-ga": Then(cross, mutate),
            "evoprompt-de": Then(on(ANY, Recombine(rate=setting.get("rate", 0.3))), mutate),
            "evoprompt-de-plain": Then(on(ANY, Recombine(arity=3, rate=setting.get("rate", 0.3))), mutate),
        }

    def operator(self, name: str):
        return self._operators[name]


METHODS = ("climber", "random", "(1+1)", "GA", "DE", "(1+1) by model", "GA by model", "DE by model")
BY_MODEL = " by model"
"""Ends the name of a method whose children the model of the package writes under the shipped operators, instead of the blind edits."""
SETTING: dict[str, Any] = {"temperature": 0.1, "weights": [1, 0, 1], "longest": 3, "limit": 15, "rate": 0.1}
"""What was chosen on the development sets; see LOG.md."""

RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {"operator": "random"}),
    "(1+1)": ("one-plus-one", {}),
    "GA": ("evoprompt-ga", {}),
    "DE": ("evoprompt-de", {"batch": 10}),
}


@cache
def packaged() -> EmbeddedLLM:
    """The model of the package; runs at the same time share it, so that their questions go through it together."""
    return EmbeddedLLM()


async def search(
    task: Task, start: str, method: str, seed: int, encoder: Shared, evaluations: int, setting: Mapping[str, Any]
) -> dict[str, Any]:
    """One run: its row of results, with a bit for every test case."""
    root = Seed.of(seed)
    starts = [task.bare, task.written] if start == "both" else [task.start(start)]
    phenotype = Encoded(encoder, key="all-MiniLM-L6-v2")
    if method == "none":
        best, value, count = TextGenome(starts[0]), None, 1
    else:
        if method == "climber":
            kit: Any = TextKit(starts, None, seed=root, vocabulary=common_words([case.input for case in task.dev]))
            plan = recipe("one-plus-one")(kit)
            evaluate: Any = Evaluator(phenotype, task.dev, exact(), failures=0)
        else:
            name, options = RECIPES[method.removesuffix(BY_MODEL)]
            by_model = method.endswith(BY_MODEL)
            kit = TextKit(starts, packaged(), seed=root, cases=task.dev) if by_model else Kit(starts, task, root, setting)
            plan = recipe(name)(kit, **{**options, **setting.get(method, {})})
            if setting.get("fitness") == "accuracy":
                evaluate = Evaluator(phenotype, task.dev, exact())
            else:
                evaluate = Likelihood(phenotype, task.dev, temperature=setting.get("temperature", 0.05))
        database = Database(None)
        try:
            outcome = await evolve(
                plan.strategy,
                evaluate,
                Journal(database, MemoryBlobs(), KINDS),
                seed=root,
                batch=plan.batch,
                slots=plan.slots,
                stop=[stop.evaluations(evaluations - plan.batch + 1), stop.matings(4 * evaluations), stop.barren(100)],
            )
        finally:
            await asyncio.to_thread(database.close)
        assert outcome.best is not None, outcome.reason
        best, value, count = outcome.best.genome, outcome.best.fitness.value, outcome.progress.evaluations
    (dev,) = await Evaluator(phenotype, task.dev, exact(), failures=0)([best], [Context(root)])
    (test,) = await Evaluator(phenotype, task.test, exact(), failures=0)([best], [Context(root)])
    return {
        "task": task.name,
        "start": start,
        "method": method,
        **({"model": packaged().key} if method.endswith(BY_MODEL) else {}),
        "seed": seed,
        "evaluations": count,
        "fitness": value if value is None else round(value, 6),
        "dev": dev.value,
        "test": test.value,
        "parts": dict(best.parts),
        "dev_right": "".join(str(int(right)) for right in dev.cases.values()),
        "test_right": "".join(str(int(right)) for right in test.cases.values()),
    }
