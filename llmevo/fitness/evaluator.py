"""From genomes to fitness: phenotype, scorer, mean, and the three kinds of failure kept apart."""

from __future__ import annotations

import heapq
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError, InvalidFitness, Pause
from llmevo.core.fitness import Fitness
from llmevo.core.gather import gather
from llmevo.core.genome import Genome, content_key
from llmevo.core.mating import CaseSlice
from llmevo.core.resolve import nearest
from llmevo.fitness.contract import Answer, Case, Failure, NoAnswer, Phenotype, Score, Scorer
from llmevo.fitness.functions import described, scored
from llmevo.fitness.objectives import Several
from llmevo.library.reader import clean
from llmevo.llm.contract import CallFailed

G = TypeVar("G", bound=Genome)


@dataclass(frozen=True, slots=True)
class BadScore:
    """Why a scorer's result is no score; it fails the genome."""

    error: str


class Evaluator(Generic[G]):
    """Scores genomes on cases: `Fitness.value` is the mean score over the cases of the context, `cases` holds
    each.

    An answer that did not come scores the scorer's minimum, with its reason in the feedback. A model or judge
    that cannot be asked raises `Pause` and scores nothing. A scorer that raises or returns no finite number
    fails the genome, naming the case. `failures` is how many of the worst answers below `good` are kept for
    reflective operators, their texts cut to `excerpt` characters.
    """

    def __init__(
        self,
        phenotype: Phenotype[G],
        cases: Sequence[Case],
        scorer: Scorer,
        *,
        failures: int = 5,
        good: float = 1.0,
        excerpt: int = 500,
    ) -> None:
        if not cases:
            raise ConfigError("an evaluator needs at least one case; 0 given")
        self.phenotype = phenotype
        self.cases = tuple(cases)
        self.scorer = scorer
        self.failures, self.good, self.excerpt = failures, good, excerpt
        self._by_id = {case.id: case for case in self.cases}
        if len(self._by_id) != len(self.cases):
            raise ConfigError(f"{len(self.cases) - len(self._by_id)} of {len(self.cases)} case ids are not unique")
        check = getattr(scorer, "check_case", None)
        if check is not None:
            for case in self.cases:
                check(case)

    @property
    def key(self) -> str:
        """What decides its scores: phenotype, scorer, and the content of the cases."""
        content = [[case.id, case.input, case.target] for case in self.cases]
        return f"evaluator({self.phenotype.key},{self.scorer.key},{content_key(content)})"

    @property
    def whole_cohort(self) -> bool:
        """As its phenotype wants it."""
        return self.phenotype.whole_cohort

    async def __call__(self, genomes: Sequence[G], contexts: Sequence[Context]) -> list[Fitness]:
        groups: dict[CaseSlice | None, list[int]] = {}
        for i, context in enumerate(contexts):
            groups.setdefault(context.cases, []).append(i)
        result: list[Fitness] = [Fitness.failed("not evaluated")] * len(genomes)

        async def one_group(cases: Sequence[Case], members: list[int]) -> None:
            some, theirs = [genomes[i] for i in members], [contexts[i] for i in members]
            rows = await self.phenotype(some, cases, theirs)
            _same_shape(rows, len(some), len(cases), self.phenotype)
            found = await gather(self._fitness(*each, cases) for each in zip(some, rows, theirs, strict=True))
            for i, fitness in zip(members, found, strict=True):
                result[i] = fitness

        await gather(one_group(self.chosen(cases), members) for cases, members in groups.items())
        return result

    def chosen(self, cases: CaseSlice | None) -> Sequence[Case]:
        """The cases of a slice, in its order; all of them for None."""
        if cases is None:
            return self.cases
        try:
            chosen = [self._by_id[id] for id in cases.ids]
        except KeyError as error:
            raise ConfigError(f"there is no case {error.args[0]!r}{nearest(error.args[0], list(self._by_id)[:8])}") from None
        if not chosen:
            raise ConfigError("an evaluation on no cases was asked for; a slice needs at least one id")
        return chosen

    async def _fitness(self, genome: G, answers: Sequence[Answer], context: Context, cases: Sequence[Case]) -> Fitness:
        broken = next((answer for answer in answers if isinstance(answer, NoAnswer) and answer.fails), None)
        if broken is not None:
            return Fitness.failed(broken.reason, context.meter.usage)
        pairs = zip(answers, cases, strict=True)
        scoring = (self._score(answer, case, context) for answer, case in pairs)
        waits = getattr(self.scorer, "waits", True)
        scores = await gather(scoring) if waits else [await one for one in scoring]
        values: dict[str, float] = {}
        for case, score in zip(cases, scores, strict=True):
            if isinstance(score, BadScore):
                return Fitness.failed(f"case {case.id}: {score.error}", context.meter.usage)
            values[case.id] = score.value
        mean, objectives = math.fsum(values.values()) / len(values), {}
        if isinstance(self.scorer, Several):
            objectives = _means([score for score in scores if isinstance(score, Score)])
            mean = self.scorer.scalarise(objectives)
        return Fitness(
            mean,
            objectives=objectives,
            cases=values,
            feedback=tuple(self._failures(genome, cases, answers, scores)),
            usage=context.meter.usage,
        )

    async def _score(self, answer: Answer, case: Case, context: Context) -> Score | BadScore:
        if isinstance(answer, NoAnswer):
            minima = self.scorer.minima if isinstance(self.scorer, Several) else {}
            return Score(self.scorer.minimum, answer.reason, minima)
        try:
            score = await self.scorer(answer, case, context)
            return score if type(score) is Score and type(score.value) is float and math.isfinite(score.value) else scored(score)
        except (Pause, ConfigError):
            raise
        except CallFailed as error:
            raise Pause(
                f"the judge gave no verdict on case {case.id}: {error}; nothing was scored, continue when it does"
            ) from error
        except InvalidFitness as error:
            return BadScore(f"scorer {self.scorer.key}: {error}")
        except Exception as error:
            return BadScore(f"scorer {self.scorer.key} raised {described(error)}")

    def _failures(self, genome: G, cases: Sequence[Case], answers: Sequence[Answer], scores: Sequence[Any]) -> list[str]:
        """The worst answers as records; equally bad ones in an order that differs from genome to genome."""
        bad = [
            (score.value, zlib.crc32(f"{genome.key}{case.id}".encode()), i)
            for i, (case, score) in enumerate(zip(cases, scores, strict=True))
            if score.value < self.good
        ]
        records = []
        for _, _, i in heapq.nsmallest(self.failures, bad):
            answer = answers[i]
            shown = "(no answer)" if isinstance(answer, NoAnswer) else answer
            texts = (cases[i].input, shown, cases[i].targets[0], scores[i].explanation)
            records.append(Failure(cases[i].id, *(_cut(text, self.excerpt) for text in texts)).dump())
        return records


def _means(scores: Sequence[Score]) -> dict[str, float]:
    """The mean of every objective over the cases."""
    return {name: math.fsum(score.objectives[name] for score in scores) / len(scores) for name in scores[0].objectives}


def _same_shape(rows: Sequence[Sequence[Answer]], genomes: int, cases: int, phenotype: Any) -> None:
    shape = [len(row) for row in rows]
    if shape != [cases] * genomes:
        raise InvalidFitness(f"{phenotype.key} gave answers of shape {shape}, expected {cases} for each of {genomes} genomes")


def _cut(text: str, length: int) -> str:
    """The text as it may be stored and shown, at most so long."""
    text = clean(text)
    return text if len(text) <= length else text[: length - 1] + "…"
