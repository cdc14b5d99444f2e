"""What an adapter does with cases: it answers in words for any scorer, or it is graded directly where the right answer is fixed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError
from llmevo.core.fitness import Fitness, Usage
from llmevo.core.genome import Genome, content_key
from llmevo.core.resolve import nearest
from llmevo.fitness.contract import Answer, Case, NoAnswer
from llmevo.weights.answering import Answering
from llmevo.weights.asking import Asking
from llmevo.weights.population import Broken
from llmevo.weights.programs import Program, Result

Measure = Literal["exact", "likelihood"]
MEASURES = ("exact", "likelihood")
SLICES = 64
"""Minibatches whose tokens are kept."""


class Adapted:
    """A base model with a genome's adapter answers the cases, all genomes of a cohort together.

    With `labels` the answer is the most probable of them (ties go to the first): one pass. Without, it is decoded greedily, at most
    `most` tokens. An individual that cannot be run (out of memory, an overflow) fails with the reason.
    """

    whole_cohort = True

    def __init__(self, answering: Answering, asking: Asking, *, labels: Sequence[str] = (), most: int = 64) -> None:
        self.answering, self.asking, self.labels, self.most = answering, asking, tuple(labels), most
        self._programs: dict[tuple[str, ...], Program] = {}

    @property
    def key(self) -> str:
        """The model, the words around an input, and how an answer is taken."""
        return f"adapted({self.answering.backend.key},{self.asking.key},{content_key([self.labels, self.most])})"

    async def __call__(self, genomes: Sequence[Genome], cases: Sequence[Case], contexts: Sequence[Context]) -> list[list[Answer]]:
        program = await asyncio.to_thread(self._program, cases)
        usage = usage_of(program)
        answers: list[list[Answer]] = []
        for row, context in zip(await self.answering.rows(genomes, program), contexts, strict=True):
            context.charge(usage)
            if isinstance(row, Broken):
                answers.append([NoAnswer(row.reason, fails=True)] * len(cases))
            else:
                answers.append([self._answer(one) for one in row])
        return answers

    def _program(self, cases: Sequence[Case]) -> Program:
        key = tuple(case.input for case in cases)
        if key not in self._programs:
            if len(self._programs) > SLICES:
                self._programs.clear()
            made = self.asking.choice(cases, self.labels) if self.labels else self.asking.greedy(cases, self.most)
            self._programs[key] = made
        return self._programs[key]

    def _answer(self, result: Result) -> Answer:
        if self.labels:
            return self.labels[max(range(len(self.labels)), key=lambda i: (result[i], -i))]
        text = self.asking.text(result)
        return text if text.strip() else NoAnswer("the answer is empty")


@dataclass(frozen=True)
class Grading:
    """A program, and what its results are worth: per sample how right it is (1.0 or 0.0), and a smooth score, higher is better."""

    program: Program
    grade: Callable[[Result, int], tuple[float, float]]
    """From a result and the sample's number."""
    owners: Sequence[int]
    """The case of each sample; the best sample of a case counts."""


def fixed_targets(asking: Asking, cases: Sequence[Case]) -> Grading:
    """Right when greedy decoding would give a target, token by token, and end. The smooth score is the log-probability."""
    without = next((case for case in cases if not any(target.strip() for target in case.targets)), None)
    if without is not None:
        raise ConfigError(f"case {without.id} has no target: give one to every case, or score decoded answers with a scorer")
    owners = [i for i, case in enumerate(cases) for _ in case.targets]
    return Grading(asking.forced(cases), lambda result, _: (result[0], result[1]), owners)


def among_labels(asking: Asking, cases: Sequence[Case], labels: Sequence[str]) -> Grading:
    """Right when the target is the most probable of the labels (ties go to the first). The smooth score is its log-probability
    among them."""
    right = label_numbers(cases, labels)
    return Grading(asking.choice(cases, labels), lambda result, i: classified(result, right[i]), range(len(cases)))


def label_numbers(cases: Sequence[Case], labels: Sequence[str]) -> list[int]:
    """The place of each case's target. Raises `ConfigError` for fewer than two labels or a target that is none."""
    if len(set(labels)) < 2:
        raise ConfigError(f"labels: {list(labels)}: at least two different ones are needed")
    for case in cases:
        if case.targets[0] not in labels:
            raise ConfigError(f"case {case.id}: its target is no label{nearest(case.targets[0], labels)}")
    return [list(labels).index(case.targets[0]) for case in cases]


def classified(scores: Sequence[float], right: int) -> tuple[float, float]:
    """Whether the right one has the highest score (the first of equals), and its share in logarithms."""
    most = max(scores)
    total = most + math.log(sum(math.exp(score - most) for score in scores))
    return float(scores.index(most) == right), scores[right] - total


class Graded:
    """Scores adapters without a word being decoded. `Fitness.value` is the mean of the `measure` over the cases; both measures stand
    in `objectives`."""

    whole_cohort = True

    def __init__(
        self,
        answering: Answering,
        make: Callable[[Sequence[Case]], Grading],
        cases: Sequence[Case],
        *,
        measure: Measure = "exact",
    ) -> None:
        if not cases:
            raise ConfigError("grading needs at least one case; 0 given")
        if measure not in MEASURES:
            raise ConfigError(f"measure: {measure!r} is not known{nearest(measure, MEASURES)}")
        self.answering, self.make, self.cases, self.measure = answering, make, tuple(cases), measure
        self._by_id = {case.id: case for case in self.cases}
        self._gradings: dict[tuple[str, ...] | None, Grading] = {None: make(self.cases)}

    @property
    def key(self) -> str:
        """The model, the question, the measure, and the content of the cases."""
        program = self._gradings[None].program
        content = content_key([[case.id, case.input, case.target] for case in self.cases])
        samples = content_key(list(program.samples))
        return f"graded({self.answering.backend.key},{program.key},{samples},{self.measure},{content})"

    async def __call__(self, genomes: Sequence[Genome], contexts: Sequence[Context]) -> list[Fitness]:
        groups: dict[tuple[str, ...] | None, list[int]] = {}
        for i, context in enumerate(contexts):
            groups.setdefault(None if context.cases is None else context.cases.ids, []).append(i)
        result = [Fitness.failed("not evaluated")] * len(genomes)
        for ids, members in groups.items():
            cases, grading = self._grading(ids)
            usage = usage_of(grading.program)
            for i, row in zip(members, await self.answering.rows([genomes[i] for i in members], grading.program), strict=True):
                result[i] = (
                    Fitness.failed(row.reason, usage) if isinstance(row, Broken) else self._fitness(row, cases, grading, usage)
                )
        return result

    def _grading(self, ids: tuple[str, ...] | None) -> tuple[Sequence[Case], Grading]:
        """The cases of a slice and how they are graded; the latest slices are kept."""
        if ids is None:
            return self.cases, self._gradings[None]
        try:
            cases = [self._by_id[id] for id in ids]
        except KeyError as error:
            raise ConfigError(f"there is no case {error.args[0]!r}{nearest(error.args[0], list(self._by_id)[:8])}") from None
        if ids not in self._gradings:
            if len(self._gradings) > SLICES:
                self._gradings = {None: self._gradings[None]}
            self._gradings[ids] = self.make(cases)
        return cases, self._gradings[ids]

    def _fitness(self, row: Sequence[Any], cases: Sequence[Case], grading: Grading, usage: Usage) -> Fitness:
        right, smooth = [-math.inf] * len(cases), [-math.inf] * len(cases)
        for i, (result, owner) in enumerate(zip(row, grading.owners, strict=True)):
            a, b = grading.grade(result, i)
            right[owner], smooth[owner] = max(right[owner], a), max(smooth[owner], b)
        means = {"exact": math.fsum(right) / len(cases), "likelihood": math.fsum(smooth) / len(cases)}
        scores = right if self.measure == "exact" else smooth
        return Fitness.measured(
            means[self.measure],
            cases=dict(zip((case.id for case in cases), scores, strict=True)),
            objectives=means,
            usage=usage,
        )


def usage_of(program: Program) -> Usage:
    """What asking all samples costs, nominally: a call each, and their tokens."""
    return Usage(calls=len(program.samples), tokens_in=sum(program.lengths))
