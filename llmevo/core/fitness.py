"""Scores: what an evaluation says of one genome, and how two of them are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from llmevo.core.errors import InvalidFitness
from llmevo.core.scores import Scores, same_cases

NOTHING: Mapping[str, float] = Scores({})

_index = attrgetter("cases.index")
"""What scores of the same cases share; reading it for a whole population is what comparing costs most."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What something cost, nominally: the same whether an answer was bought or came from the cache.

    `price` is in US dollars; 0 where prices are unknown or the model is free.
    """

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    price: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.price + other.price,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.calls - other.calls,
            self.tokens_in - other.tokens_in,
            self.tokens_out - other.tokens_out,
            self.price - other.price,
        )


FREE = Usage()


@dataclass(frozen=True, slots=True)
class Fitness:
    """The evaluation of one genome. HIGHER `value` IS BETTER, always.

    A failed evaluation has `error` set and `value` -inf; it is never selected, never averaged and never best.
    Raises `InvalidFitness` when built from what is not finite numbers: use `Fitness.measured` to turn whatever a fitness function
    returned into a score or a failure. What was accepted can be written to the run file and reads back equal.
    """

    value: float
    violation: float = 0.0
    """How far from valid, 0 = valid. Feasibility is apart from the score: any valid genome outranks any invalid one."""
    objectives: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """Several objectives, each higher-is-better; `value` is their declared scalarisation."""
    cases: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """Score per example, by case id: frontiers, racing, paired tests, resource sharing."""
    measures: tuple[float, ...] = ()
    """Where it lives in a MAP-Elites grid."""
    feedback: tuple[str, ...] = ()
    """What went wrong, in words: reflective mutation."""
    usage: Usage = FREE
    error: str | None = None

    def __post_init__(self) -> None:
        if self.error is not None:
            if self.value != -math.inf:
                raise InvalidFitness(f"a failed fitness has value -inf, not {self.value!r}: use Fitness.failed(error)")
        elif type(self.value) is not float or not math.isfinite(self.value):
            object.__setattr__(self, "value", as_score(self.value))
        if not isinstance(self.violation, int | float) or not self.violation >= 0:
            raise InvalidFitness(f"a violation is 0 (valid) or positive, not {self.violation!r}")
        for name in ("objectives", "cases"):
            scores = getattr(self, name)
            if type(scores) is not Scores:
                object.__setattr__(self, name, Scores(scores))
        if len(self.measures):
            object.__setattr__(self, "measures", tuple(map(as_score, self.measures)))
        if isinstance(self.feedback, str) or not all(isinstance(words, str) for words in self.feedback):
            raise InvalidFitness(f"feedback is a tuple of strings, not {self.feedback!r}")

    @property
    def ok(self) -> bool:
        """Whether the genome was scored at all."""
        return self.error is None

    @classmethod
    def failed(cls, error: str, usage: Usage = FREE) -> Fitness:
        """No score, and why. It never wins."""
        return cls(-math.inf, usage=usage, error=error)

    @classmethod
    def measured(cls, value: Any, **more: Any) -> Fitness:
        """A score from what a fitness function returned, or a failure that says what was wrong with it."""
        try:
            return cls(as_score(value), **more)
        except InvalidFitness as error:
            return cls.failed(str(error), more.get("usage", FREE))


UNSCORED = Fitness.failed("not evaluated")


def as_score(value: Any) -> float:
    """A finite float from an int, float, bool (1.0 or 0.0) or a one-element array or tensor; else `InvalidFitness`."""
    if not isinstance(value, int | float) and callable(getattr(value, "item", None)):
        try:
            value = value.item()
        except (ValueError, RuntimeError, TypeError):
            raise InvalidFitness(f"a fitness must be one number, not a {type(value).__name__} of many") from None
    if not isinstance(value, int | float):
        raise InvalidFitness(f"a fitness must be a number, not {type(value).__name__} ({str(value)[:80]!r})")
    try:
        score = float(value)
    except OverflowError:
        score = math.inf
    if not math.isfinite(score):
        raise InvalidFitness(f"a fitness must be finite, not {score!r}")
    return score


def common_cases(all_of: Iterable[Fitness]) -> frozenset[str] | None:
    """The cases that every one of them was scored on; None when all were scored on the same ones (or on none)."""
    every = list(all_of)
    if not every or len(set(map(id, map(_index, every)))) == 1:
        return None
    common: Set[str] = every[0].cases.keys()
    differ = False
    for other in every[1:]:
        if not same_cases(every[0].cases, other.cases):
            common, differ = common & other.cases.keys(), True
    return frozenset(common) if differ else None


def standing(fitness: Fitness, common: frozenset[str] | None = None) -> tuple[bool, float, float]:
    """The sort key of a fitness (larger is better): scored, then less violation, then value.

    `common` restricts the value to the mean over those cases; with no case in common all values tie.
    """
    scored = fitness.error is None
    if common is None or not scored:
        value = fitness.value
    else:
        value = math.fsum(fitness.cases[case] for case in common) / len(common) if common else 0.0
    return (scored, -fitness.violation, value)


def outranks(a: Fitness, b: Fitness) -> bool:
    """Whether a is strictly better than b: scored first, then valid, then higher value on the cases that both were scored on."""
    if a.ok != b.ok or a.violation != b.violation:
        return (a.ok, -a.violation) > (b.ok, -b.violation)
    if not a.ok or same_cases(a.cases, b.cases):
        return a.value > b.value
    common = common_cases((a, b))
    return standing(a, common)[2] > standing(b, common)[2]


def revised(old: Fitness, new: Fitness) -> Fitness:
    """The fitness after further evaluation: cases are united (the newer score of a case stands), usage is added.

    Where both have cases, `value` is the mean over all of them, and so is every objective; otherwise they are the newer ones. A
    failed re-evaluation leaves the old fitness standing, with its cost added.
    """
    usage = old.usage + new.usage
    if not new.ok or not old.ok:
        base = new if new.ok else old
        return Fitness(
            base.value, base.violation, base.objectives, base.cases, base.measures, base.feedback, usage, base.error
        )
    cases = {**old.cases, **new.cases}
    united = old.cases and new.cases
    return Fitness(
        math.fsum(cases.values()) / len(cases) if united else new.value,
        max(old.violation, new.violation) if united else new.violation,
        _united(old, new) if united else new.objectives,
        cases,
        new.measures,
        new.feedback or old.feedback,
        usage,
    )


def _united(old: Fitness, new: Fitness) -> Mapping[str, float]:
    """The objectives over the cases of both: the means weighted by the number of cases, those that were repeated counted once."""
    if old.objectives.keys() != new.objectives.keys():
        return new.objectives
    kept, fresh = len(old.cases.keys() - new.cases.keys()), len(new.cases)
    return {name: (kept * old.objectives[name] + fresh * value) / (kept + fresh) for name, value in new.objectives.items()}
