"""User functions as scorers and as whole evaluations, with the written rule of what counts as a score."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError, InvalidFitness, Pause
from llmevo.core.fitness import FREE, Fitness, as_score
from llmevo.core.gather import gather
from llmevo.core.genome import Genome
from llmevo.core.resolve import function_key
from llmevo.core.threads import pooled
from llmevo.fitness.contract import Case, Score

G = TypeVar("G", bound=Genome)


@dataclass(frozen=True)
class FunctionScorer:
    """A user's function as a scorer: `(answer, case)`, and `context` if it has such a parameter, to a number, a `Score`, or
    `(number, words)`.

    A sync function runs in a thread, several at a time; an async one runs in the event loop.
    """

    function: Callable[..., Any]
    minimum: float = 0.0

    @property
    def key(self) -> str:
        return f"function({function_key(self.function)},minimum={self.minimum:g})"

    @cached_property
    def _with_context(self) -> bool:
        return takes_context(self.function)

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        more = {"context": context} if self._with_context else {}
        if is_async(self.function):
            return scored(await self.function(answer, case, **more))
        value = await pooled(self.function, answer, case, **more)
        return scored(await value if inspect.isawaitable(value) else value)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine, also for an object with an async `__call__`."""
    inner = getattr(type(function), "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inner)


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether a user's function has a parameter `context`."""
    try:
        return "context" in inspect.signature(function).parameters
    except ValueError:
        return False


def scored(value: Any) -> Score:
    """A `Score` from what a user's function returned: a number, a `Score`, or a number with an explanation.

    Raises `InvalidFitness` that names what came.
    """
    if isinstance(value, Score):
        objectives = {name: as_score(one) for name, one in value.objectives.items()}
        return Score(as_score(value.value), str(value.explanation), objectives)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
        return Score(as_score(value[0]), value[1])
    if isinstance(value, dict):
        raise InvalidFitness(f"a score must be a number, not a dict with {', '.join(map(str, value)) or 'nothing'}")
    return Score(as_score(value))


class FunctionFitness(Generic[G]):
    """A user's function as an evaluation: what `reads` gives of a genome (itself by default) to a number, a
    `Score`, a `(number, words)` pair, or a whole `Fitness`.

    Numbers are ints, floats, bools and one-element arrays; None, text, dicts, NaN and infinity fail the
    genome and are named. An exception fails the genome, with its traceback; `Pause` stops the run. A sync
    function runs in a thread.
    """

    whole_cohort = False

    def __init__(self, function: Callable[[Any], Any], *, reads: Callable[[G], Any] | None = None) -> None:
        self.function = function
        self.reads = reads

    @property
    def key(self) -> str:
        """Where the function is and what its source hashes to."""
        return f"function({function_key(self.function)})"

    async def __call__(self, genomes: Sequence[G], contexts: Sequence[Context]) -> list[Fitness]:
        return await gather(self._one(*each) for each in zip(genomes, contexts, strict=True))

    async def _one(self, genome: G, context: Context) -> Fitness:
        try:
            subject = genome if self.reads is None else self.reads(genome)
            if is_async(self.function):
                value = await self.function(subject)
            else:
                value = await pooled(self.function, subject)
                value = await value if inspect.isawaitable(value) else value
        except (Pause, ConfigError):
            raise
        except Exception as error:
            return Fitness.failed(f"the fitness function raised {described(error)}", context.meter.usage)
        return fitness_of(value, context)


def fitness_of(value: Any, context: Context) -> Fitness:
    """A `Fitness` from what a user's function returned, with what the context was charged; a failure that
    names anything else.
    """
    usage = context.meter.usage
    if isinstance(value, Fitness):
        return value if usage == FREE else replace(value, usage=value.usage + usage)
    try:
        score = scored(value)
        return Fitness(as_score(score.value), feedback=(score.explanation,) if score.explanation else (), usage=usage)
    except InvalidFitness as error:
        return Fitness.failed(str(error), usage)


def described(error: BaseException) -> str:
    """An exception for a record: type, message, and the last 20 lines of its traceback."""
    lines = "".join(traceback.format_exception(error)).rstrip().split("\n")
    return f"{type(error).__name__}: {error}\n" + "\n".join(lines[-20:])
