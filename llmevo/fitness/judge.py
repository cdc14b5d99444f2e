"""A language model as judge: rubric or comparison, several votes, an unreadable verdict is an error and never a score."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError, InvalidFitness
from llmevo.core.gather import gather
from llmevo.core.genome import content_key
from llmevo.core.seed import Seed
from llmevo.fitness.check import Verdict
from llmevo.fitness.contract import Case, Score
from llmevo.library.fence import drawn
from llmevo.library.judge import SIDES, JudgeTemplate, bound
from llmevo.library.reader import clean, read
from llmevo.llm.contract import LLM, CallFailed, Message, Request, Sampling

TEMPERATURE = 0.7
MAX_TOKENS = 400
REMARK = 500
"""Characters that are kept of what a judge says it found."""
Aggregate = Literal["median", "mean"]


class NoVerdict(InvalidFitness):
    """Too few votes could be read. It fails the answer; it is no score, not even a bad one."""


@dataclass(frozen=True, slots=True)
class Judging:
    """A judge to whom no model is bound yet: the instruction, its slots, how many votes and how they become one score."""

    template: JudgeTemplate
    slots: Mapping[str, str]
    votes: int = 3
    aggregate: Aggregate | None = None
    """By default the median of a rubric's votes and the mean of a comparison's."""

    def __post_init__(self) -> None:
        bound(self.template, self.slots)
        if self.votes < 1:
            raise ConfigError(f"judge {self.template.name!r}: votes: at least one vote is needed, not {self.votes}")

    @property
    def compares(self) -> bool:
        """Whether answers are compared with references."""
        return bool(self.template.choices)

    def calls(self, references: int) -> int:
        """Calls for one answer, unless a reply has to be repaired. A comparison is made from both sides."""
        return self.votes * (2 * references if self.compares else 1)

    @property
    def needs_reference(self) -> bool:
        """Whether it is shown a reference."""
        return self.compares or "reference" in self.template.shows

    def check_case(self, case: Case) -> None:
        """Raises `ConfigError` for a case without the reference that the judge is shown."""
        if self.needs_reference and not any(target.strip() for target in case.targets):
            raise ConfigError(f"judge {self.template.name!r} is shown a reference, and case {case.id} has none: give targets")

    def by(self, llm: LLM, seed: Seed) -> Judge:
        """The judge, with its model."""
        return Judge(self, llm, seed)


@dataclass(frozen=True, slots=True)
class _Ballot:
    """One question to the judge: what it is shown, and what each verdict is worth."""

    shown: Mapping[str, str]
    worth: Mapping[str, float]
    """Of a comparison, by the word; empty for a rubric."""


@dataclass(frozen=True, slots=True)
class _Cast:
    """A vote that was read: from 0 to 1, and what the judge found."""

    value: float
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the votes come to: a score from 0 to 1, and notes on the votes and on what was found, the harshest vote first."""

    value: float
    notes: tuple[str, ...]


class Judge:
    """A scorer that asks a model; scores are from 0 to 1.

    A rubric's vote is a number on the scale of its file. A comparison's vote is the share of a win against a reference (the targets
    of the case), asked with the sides both ways: a verdict that changes with the side is a tie. Votes are sample indices, so they are
    recorded and never paid for twice. What is judged stands between two lines with a mark that is drawn from the seed and from the
    texts themselves, so no text can hold it. A reply that cannot be read is shown to the judge once more; then, and when it refuses, the
    vote is lost. With half of the votes lost `NoVerdict` is raised. A judge that cannot be asked raises `Pause`.
    """

    minimum = 0.0
    """Of an answer that did not come."""

    def __init__(self, judging: Judging, llm: LLM, seed: Seed) -> None:
        self.judging, self.llm, self._seed = judging, llm, seed.fold("judge")
        template = self._template = judging.template
        self._sampling = Sampling(
            TEMPERATURE if template.temperature is None else template.temperature,
            template.top_p,
            template.max_tokens or MAX_TOKENS,
        )
        self._merged = judging.aggregate or ("mean" if judging.compares else "median")
        content = [template.key, llm.key, dict(judging.slots), judging.votes, self._merged]
        self.key = f"judge({template.name},{content_key(content)})"

    def check_case(self, case: Case) -> None:
        """Raises `ConfigError` for a case without the reference that the judge is shown."""
        self.judging.check_case(case)

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        found = await self.rule(answer, case, context)
        return Score(found.value, "; ".join(found.notes))

    async def rule(self, answer: str, case: Case, context: Context) -> Ruling:
        """The score of an answer, with notes. Raises `NoVerdict` and `Pause`."""
        ballots = self._ballots(clean(answer), case)
        cast = await gather(
            self._vote(pair, f"{context.repeat}/{vote}", context) for pair in ballots for vote in range(self.judging.votes)
        )
        rulings = [self._ruling(cast[i * self.judging.votes : (i + 1) * self.judging.votes]) for i in range(len(ballots))]
        value = math.fsum(one.value for one in rulings) / len(rulings)
        return Ruling(value, tuple(note for one in sorted(rulings, key=lambda one: one.value) for note in one.notes))

    def _ballots(self, answer: str, case: Case) -> list[tuple[_Ballot, ...]]:
        """What a vote consists of: one question of a rubric; two of a comparison, for each reference."""
        references = tuple(dict.fromkeys(clean(target) for target in case.targets if target.strip()))
        if not self.judging.compares:
            values = {"question": case.input, "answer": answer, "reference": "\n\n".join(references)}
            return [(_Ballot({name: values[name] for name in self._template.shows}, {}),)]
        win, loss, tie = (word.casefold() for word in self._template.choices)
        return [
            tuple(
                _Ballot({"question": case.input, mine: answer, theirs: reference, "reference": reference}, {**worth, tie: 0.5})
                for mine, theirs, worth in ((*SIDES, {win: 1.0, loss: 0.0}), (*SIDES[::-1], {win: 0.0, loss: 1.0}))
            )
            for reference in references
        ]

    async def _vote(self, ballots: Sequence[_Ballot], sample: str, context: Context) -> _Cast | str:
        """The mean of its ballots; why it is lost when one of them is."""
        cast = await gather(self._ask(ballot, sample, context) for ballot in ballots)
        read_ones = [one for one in cast if isinstance(one, _Cast)]
        lost = next((one for one in cast if isinstance(one, str)), None)
        if lost is not None:
            return lost
        remarks = dict.fromkeys(remark for one in read_ones for remark in one.remarks)
        return _Cast(math.fsum(one.value for one in read_ones) / len(read_ones), tuple(remarks))

    async def _ask(self, ballot: _Ballot, sample: str, context: Context) -> _Cast | str:
        """The vote of one question, or in words why there is none."""
        source = content_key(sorted(ballot.shown.items()))
        question = self._template.render(ballot.shown, self.judging.slots, self._fence(ballot.shown))
        messages = (Message("system", self._template.system),) if self._template.system else ()
        messages = (*messages, Message("user", question))
        try:
            reply = await self._reply(messages, sample, source, context)
            value = self._read(reply, ballot)
            if isinstance(value, str):
                again = (*messages, Message("assistant", reply), Message("user", self._repair(value)))
                second = await self._reply(again, f"{sample}+", source, context)
                value = self._read(second, ballot)
                reply = f"{reply}\n{second}"
        except CallFailed as error:
            context.charge(error.usage)
            return f"{type(error).__name__}: {error}"
        if isinstance(value, str):
            return f"{value}, also after one repair"
        remark = read(reply, self._template.remark) if self._template.remark else None
        return _Cast(value, (_cut(remark),) if isinstance(remark, str) else ())

    async def _reply(self, messages: tuple[Message, ...], sample: str, source: str, context: Context) -> str:
        reply = await self.llm(Request(messages, self._sampling, sample, source))
        context.charge(reply.usage)
        return reply.text

    def _fence(self, shown: Mapping[str, str]) -> str:
        """A mark that is in none of the texts. They decide it, so none of them can be written to hold it."""
        return drawn(self._seed, [part for item in sorted(shown.items()) for part in item])

    def _read(self, reply: str, ballot: _Ballot) -> float | str:
        """The worth of the verdict in a reply, from 0 to 1, or in words why there is none. Nothing is clamped or guessed."""
        found = read(reply, self._template.verdict)
        if not isinstance(found, str):
            return found.detail
        said = found.strip().strip(".").casefold()
        if self._template.scale is None:
            worth = ballot.worth.get(said)
            return f"{found[:40]!r} is none of the words {', '.join(self._template.choices)}" if worth is None else worth
        low, high = self._template.scale
        number = re.fullmatch(r"([-+]?\d{1,9}(?:\.\d{1,9})?)(?:\s*/\s*(\d{1,9}))?", said, re.ASCII)
        if number is None or (number[2] is not None and float(number[2]) != high) or not low <= float(number[1]) <= high:
            return f"{found[:40]!r} is no number from {low:g} to {high:g}"
        return (float(number[1]) - low) / (high - low)

    def _repair(self, detail: str) -> str:
        scale = self._template.scale
        wanted = f"one number from {scale[0]:g} to {scale[1]:g}" if scale else f"one of the words {', '.join(self._template.choices)}"
        tag = self._template.verdict
        return f"Your reply cannot be used: {detail}. Write {wanted} between <{tag}> and </{tag}>, and nothing else."

    def _ruling(self, cast: Sequence[_Cast | str]) -> Ruling:
        """The score of the votes on one comparison or rubric."""
        votes = sorted((one for one in cast if isinstance(one, _Cast)), key=lambda one: one.value)
        lost = [one for one in cast if isinstance(one, str)]
        if 2 * len(votes) <= len(cast):
            raise NoVerdict(f"judge {self._template.name!r}: {len(lost)} of {len(cast)} votes are lost ({lost[0]})")
        values = [one.value for one in votes]
        value = statistics.median(values) if self._merged == "median" else statistics.fmean(values)
        low, high = self._template.scale or (0.0, 1.0)
        shown = ", ".join(f"{low + one * (high - low):.4g}" for one in values)
        what = "share of a win against the reference" if self.judging.compares else f"grade from {low:g} to {high:g}"
        note = f"{what}: {low + value * (high - low):.4g}"
        if len(cast) > 1:
            note += f" (votes {shown}; spread {(values[-1] - values[0]) * (high - low):.4g}{f'; {len(lost)} lost' if lost else ''})"
        return Ruling(value, tuple(dict.fromkeys([note, *(remark for one in votes for remark in one.remarks)])))


class JudgedAnswer:
    """A judge as the check of answers to one question. From a score of `good` on an answer is valid; without it none ever is.

    `references` is what answers are compared with: the same ones for the whole search, or its scores could not be compared.
    """

    def __init__(self, judge: Judge, question: str, references: Sequence[str] = (), *, good: float | None = None) -> None:
        self.judge, self._good = judge, good
        self._case = Case("question", question, tuple(references))
        self.key = f"judged({judge.key},{content_key([question, good])})"

    async def __call__(self, answer: str, context: Context) -> Verdict:
        self.judge.check_case(self._case)
        found = await self.judge.rule(answer, self._case, context)
        valid = self._good is not None and found.value >= self._good
        return Verdict(found.value, 0.0 if valid else 1.0, found.notes, decides=self._good is not None)


def _cut(text: str) -> str:
    return text if len(text) <= REMARK else text[: REMARK - 1] + "…"


__all__ = ["Aggregate", "Judge", "JudgedAnswer", "Judging", "NoVerdict", "Ruling"]
