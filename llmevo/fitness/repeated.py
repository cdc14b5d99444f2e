"""An evaluation that can be asked for the mean of several fresh samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from llmevo.core import FREE, CaseSlice, Context, Evaluate, Fitness, Genome

G = TypeVar("G", bound=Genome)


class Repeated(Generic[G]):
    """Honours `CaseSlice.times`: such a genome is evaluated that often, with repeat numbers of its own, and every case has its mean
    score. A failure among them is the result. Everything else is passed on as it is.
    """

    def __init__(self, evaluate: Evaluate[G]) -> None:
        self.inner = evaluate
        """The evaluation that is repeated."""

    @property
    def whole_cohort(self) -> bool:
        """As the evaluation wants it."""
        return self.inner.whole_cohort

    async def __call__(self, genomes: Sequence[G], contexts: Sequence[Context]) -> list[Fitness]:
        wide = [_samples(context) for context in contexts]
        if all(len(samples) == 1 for samples in wide):
            return await self.inner(genomes, contexts)
        flat = [(genome, sample) for genome, samples in zip(genomes, wide, strict=True) for sample in samples]
        scores = iter(await self.inner([genome for genome, _ in flat], [sample for _, sample in flat]))
        return [_mean([next(scores) for _ in samples]) for samples in wide]


def _samples(context: Context) -> list[Context]:
    cases = context.cases
    if cases is None or cases.times == 1:
        return [context]
    slices = [CaseSlice(cases.ids, cases.repeat + i) for i in range(cases.times)]
    return [Context(context.seed.fold("sample", i), context.scope, one, context.meter) for i, one in enumerate(slices)]


def _mean(scores: Sequence[Fitness]) -> Fitness:
    if len(scores) == 1:
        return scores[0]
    usage = sum((one.usage for one in scores), FREE)
    failed = next((one for one in scores if not one.ok), None)
    if failed is not None:
        return replace(failed, usage=usage)
    cases = {case: math.fsum(one.cases[case] for one in scores) / len(scores) for case in scores[0].cases}
    objectives = {name: math.fsum(one.objectives[name] for one in scores) / len(scores) for name in scores[0].objectives}
    value = math.fsum(one.value for one in scores) / len(scores)
    violation = max(one.violation for one in scores)
    return replace(scores[0], value=value, violation=violation, cases=cases, objectives=objectives, usage=usage)
