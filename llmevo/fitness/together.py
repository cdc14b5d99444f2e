"""Scores made of scores: a check that also says where an answer lives in a grid, a judge beside a check, a judge among scorers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError, InvalidFitness
from llmevo.core.fitness import as_score
from llmevo.core.resolve import function_key
from llmevo.core.seed import Seed
from llmevo.fitness.check import Verdict, asked, verdict
from llmevo.fitness.contract import Scorer
from llmevo.fitness.judge import JudgedAnswer, Judging
from llmevo.fitness.objectives import Scalarisation, Several, go_together
from llmevo.llm.contract import LLM

CHECK, JUDGE = "check", "judge"
"""The objectives of an answer that is checked and judged."""


def words(answer: str) -> float:
    """How many words an answer has."""
    return float(len(answer.split()))


def characters(answer: str) -> float:
    """How long an answer is."""
    return float(len(answer))


def sentence(answer: str) -> float:
    """Words per sentence: a plain measure of style."""
    ends = sum(answer.count(sign) for sign in ".!?") or 1
    return len(answer.split()) / ends


MEASURES: Mapping[str, Callable[[str], float]] = {"words": words, "characters": characters, "sentence": sentence}
"""The measures that ship, by name."""


@dataclass(frozen=True)
class Measured:
    """A check whose verdicts get measures: a number by each of these functions of an answer, in their order."""

    check: Callable[..., Any]
    measures: tuple[Callable[..., Any], ...]

    @property
    def key(self) -> str:
        """The check and the measures."""
        return f"measured({_key(self.check)} by {', '.join(map(_key, self.measures))})"

    async def __call__(self, answer: str, context: Context) -> Verdict:
        said = verdict(await asked(self.check, answer, context))
        found = []
        for measure in self.measures:
            try:
                found.append(as_score(await asked(measure, answer, context)))
            except InvalidFitness as error:
                raise InvalidFitness(f"the measure {_key(measure)}: {error}") from error
        return replace(said, measures=tuple(found))


@dataclass(frozen=True)
class AlsoJudged:
    """A check and a judge of the same answer, each an objective; what is valid is what the check says.

    The value is the check's plus `weight` times the judge's score. Objectives of the check stand beside the judge's; with a plain score
    it is the objective `check`.
    """

    check: Callable[..., Any]
    judge: JudgedAnswer
    weight: float = 1.0

    @property
    def key(self) -> str:
        """The check, the judge and the weight."""
        return f"{_key(self.check)}+{self.weight:g}*{self.judge.key}"

    async def __call__(self, answer: str, context: Context) -> Verdict:
        said = verdict(await asked(self.check, answer, context))
        if JUDGE in said.objectives:
            raise ConfigError(f"the check has an objective {JUDGE!r} of its own; give it another name, or leave the judge out")
        ruled = await self.judge(answer, context)
        objectives = {**(said.objectives or {CHECK: said.value}), JUDGE: ruled.value}
        return replace(
            said, value=said.value + self.weight * ruled.value, objectives=objectives, feedback=(*said.feedback, *ruled.feedback)
        )


@dataclass(frozen=True)
class SeveralJudging:
    """Several scorers of which at least one is a judge, to whom no model is bound yet."""

    scorers: Mapping[str, Scorer | Judging]
    scalarise: Scalarisation

    def __post_init__(self) -> None:
        go_together(self.scorers, self.scalarise)

    @property
    def judges(self) -> tuple[Judging, ...]:
        """Those that need a model."""
        return tuple(one for one in self.scorers.values() if isinstance(one, Judging))

    def by(self, llm: LLM, seed: Seed) -> Several:
        """The scorers, the judges among them with their model."""
        return Several(
            {name: one.by(llm, seed) if isinstance(one, Judging) else one for name, one in self.scorers.items()}, self.scalarise
        )


def _key(check: Any) -> str:
    """What it says it is, or where it is and what its source hashes to."""
    return str(getattr(check, "key", None) or function_key(check))


__all__ = ["CHECK", "JUDGE", "MEASURES", "AlsoJudged", "Measured", "SeveralJudging"]
