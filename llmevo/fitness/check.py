"""A user's check of an answer: a score, whether it is valid, and what is wrong with it in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError, InvalidFitness, Pause
from llmevo.core.fitness import FREE, Fitness, Usage, as_score
from llmevo.core.gather import gather
from llmevo.core.genome import Genome
from llmevo.core.resolve import function_key
from llmevo.core.threads import Raised, aside
from llmevo.fitness.contract import NO_OBJECTIVES
from llmevo.fitness.functions import described, is_async, takes_context
from llmevo.fitness.objectives import Scalarisation

G = TypeVar("G", bound=Genome)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of an answer.

    `value` is the score, higher is better; with several `objectives` it is their scalarisation (`Verdict.of`). `violation` is how far
    the answer is from valid: 0 is valid, and ends the search.
    `feedback` is shown to the model that writes the next answer; `measures` place the answer in a MAP-Elites grid.
    """

    value: float
    violation: float = 0.0
    feedback: tuple[str, ...] = ()
    measures: tuple[float, ...] = ()
    objectives: Mapping[str, float] = field(default_factory=lambda: NO_OBJECTIVES)
    decides: bool = True
    """Whether it could have been valid: not so of a bare score."""

    @classmethod
    def of(cls, objectives: Mapping[str, float], by: Scalarisation, violation: float = 0.0, **more: Any) -> Verdict:
        """A verdict with several objectives and the value that `by` makes of them, e.g. `WeightedSum({"right": 1, "length": -0.01})`."""
        return cls(by(objectives), violation, objectives=objectives, **more)


def verdict(found: Any) -> Verdict:
    """A verdict from what a check returned. Raises `InvalidFitness` for what is none.

    A `Verdict` is itself. True is valid (score 1), False is not (score 0, violation 1). A number is the score of an answer that is
    never called valid: the search goes on for a better one until its budget ends. A pair is any of these and feedback (a text or
    several). Nothing else is understood: no dicts, no text, no None, no NaN.
    """
    if isinstance(found, tuple) and len(found) == 2:
        words = (found[1],) if isinstance(found[1], str) else found[1]
        if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
            raise InvalidFitness(f"the second half of a check's pair is feedback (a text or several), not {type(found[1]).__name__}")
        inner = verdict(found[0])
        return replace(inner, feedback=(*inner.feedback, *words))
    if isinstance(found, Verdict):
        value, violation = as_score(found.value), as_score(found.violation)
        if violation < 0:
            raise InvalidFitness(f"a violation is 0 (valid) or positive, not {violation!r}")
        objectives = {str(name): as_score(one) for name, one in found.objectives.items()}
        return Verdict(value, violation, tuple(found.feedback), tuple(map(as_score, found.measures)), objectives, found.decides)
    if isinstance(found, bool):
        return Verdict(float(found), float(not found))
    return Verdict(as_score(found), 1.0, decides=False)


class Checked(Generic[G]):
    """A check as an evaluation. The check gets what `reads` gives of a genome: the answer's text; and `context`, if it has such a
    parameter.

    A sync check runs in a thread. What it raises, and what is no verdict, fails the answer and is recorded; a `Pause` stops the run.
    With `verify`, a stricter check, an answer that the check calls valid is so only when that one agrees.
    """

    whole_cohort = False

    def __init__(
        self, check: Callable[..., Any], reads: Callable[[G], str], verify: Callable[..., Any] | None = None
    ) -> None:
        for function in (check, *([] if verify is None else [verify])):
            if not callable(function):
                raise ConfigError(f"a check is a function of an answer, not {type(function).__name__}")
        self.check, self.verify, self._reads = check, verify, reads
        self.decides: bool | None = None
        """Whether any verdict so far could have been valid; None before the first."""

    @property
    def key(self) -> str:
        """What the check says it is, or where it is and what its source hashes to."""
        named = [getattr(one, "key", None) or function_key(one) for one in (self.check, self.verify) if one is not None]
        return f"check({', verified by '.join(named)})"

    async def __call__(self, genomes: Sequence[G], contexts: Sequence[Context]) -> list[Fitness]:
        return await gather(self._one(genome, context) for genome, context in zip(genomes, contexts, strict=True))

    async def _one(self, genome: G, context: Context) -> Fitness:
        answer = self._reads(genome)
        try:
            found = verdict(await asked(self.check, answer, context))
            self.decides = self.decides or found.decides
            if found.violation == 0 and (refusal := await self.refused(answer, context)) is not None:
                found = replace(found, violation=1.0, feedback=(*found.feedback, refusal))
            return as_fitness(found, context.meter.usage)
        except (Pause, ConfigError):
            raise
        except InvalidFitness as error:
            return Fitness.failed(f"the check returned no verdict: {error}", context.meter.usage)
        except Exception as error:
            return Fitness.failed(f"the check raised {described(error)}", context.meter.usage)

    async def refused(self, answer: str, context: Context) -> str | None:
        """Why `verify` does not call an answer valid; None when it does, or when there is no such check.

        It has to say so: True, or a verdict with a violation of 0. A number, an exception and anything else are a refusal.
        """
        if self.verify is None:
            return None
        try:
            found = verdict(await asked(self.verify, answer, context))
        except (Pause, ConfigError):
            raise
        except Exception as error:
            return f"not verified: {type(error).__name__}: {error}"
        return None if found.violation == 0 else f"not verified: {'; '.join(found.feedback) or 'the strict check says no'}"


async def asked(check: Callable[..., Any], answer: str, context: Context) -> Any:
    """What a check says of an answer. A sync one runs in a thread, which a deadline leaves behind; it gets the `context` if it has
    such a parameter.
    """
    more = {"context": context} if takes_context(check) else {}
    if not is_async(check):
        return await aside(check, answer, **more)
    try:
        return await check(answer, **more)
    except SystemExit as error:
        raise Raised(f"SystemExit: {error}") from error


def as_fitness(found: Verdict, usage: Usage = FREE) -> Fitness:
    """The fitness of a verdict."""
    return Fitness(found.value, found.violation, found.objectives, measures=found.measures, feedback=found.feedback, usage=usage)
