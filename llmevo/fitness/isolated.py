"""User functions in worker processes: a deadline that holds, a memory limit, and a failure that concerns one genome only.

Ours instead of the library Pebble: that one (LGPL) unpickles what a child sends and kills only the child itself; here text and
numbers come back as JSON, the deadline sits in the parent, and what the child has started ends with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, Unpack

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError, InvalidFitness, Pause
from llmevo.core.fitness import Fitness, Usage, as_score
from llmevo.core.gather import gather
from llmevo.core.genome import Genome
from llmevo.core.secret import redact
from llmevo.fitness.contract import Case, Score
from llmevo.fitness.limits import EvaluationFailed, Options
from llmevo.fitness.pool import IsolatedFunction
from llmevo.library.reader import clean

G = TypeVar("G", bound=Genome)


def words(genome: Any) -> Any:
    """What a fitness function is given of a genome unless `reads` says otherwise: its text, its parts by name if it has several, or
    its record."""
    parts = getattr(genome, "parts", None)
    if isinstance(parts, Mapping):
        return next(iter(parts.values())) if len(parts) == 1 else dict(parts)
    return genome.dump(_NoBlobs())


class _NoBlobs:
    def put(self, data: bytes) -> str:
        raise ConfigError("tensors are not sent to a worker process: say with `reads` what the function needs of a genome")

    def get(self, key: str) -> bytes:
        raise ConfigError("tensors are not sent to a worker process")

    def holds(self, key: str) -> bool:
        return False

    genome = get


class _Fitness(IsolatedFunction):
    form = "fitness"


class _Scorer(IsolatedFunction):
    form = "scorer"


class IsolatedFitness(Generic[G]):
    """A user's function as an evaluation, in worker processes. It is called with what `reads` gives of a genome.

    It returns a number, a `Score`, `(number, words)`, a `Fitness`, or a mapping with `value` and any of `violation`, `objectives`,
    `cases`, `measures` and `feedback` (or `error` alone). Anything else, an exception, and whatever ends its process fails this
    one genome. `Pause` and `ConfigError`, raised in the function, stop the run.
    """

    whole_cohort = False

    def __init__(
        self, function: str | Callable[..., Any], *, reads: Callable[[G], Any] = words, **options: Unpack[Options]
    ) -> None:
        self.function = _Fitness(function, **options)
        self.reads = reads

    @property
    def key(self) -> str:
        """As `FunctionFitness` has it: isolation decides how a score is computed, not which."""
        return f"function({self.function.key})"

    async def __call__(self, genomes: Sequence[G], contexts: Sequence[Context]) -> list[Fitness]:
        return await gather(self._one(*each) for each in zip(genomes, contexts, strict=True))

    async def _one(self, genome: G, context: Context) -> Fitness:
        try:
            record = await self.function(self.reads(genome), seed=context.seed.fold("function").value)
            return _fitness(record, context)
        except InvalidFitness as error:
            return Fitness.failed(str(error), context.meter.usage)
        except (Pause, ConfigError):
            raise
        except Exception as error:  # what `reads` gives cannot be sent
            return Fitness.failed(f"the genome cannot be read: {type(error).__name__}: {error}", context.meter.usage)

    async def aclose(self) -> None:
        """Ends the workers."""
        await self.function.aclose()


class IsolatedScorer:
    """A user's `(answer, case)` function as a scorer, in worker processes. What ends its process fails the genome of the answer."""

    def __init__(self, function: str | Callable[..., Any], *, minimum: float = 0.0, **options: Unpack[Options]) -> None:
        self.function = _Scorer(function, **options)
        self.minimum = minimum

    @property
    def key(self) -> str:
        """As `FunctionScorer` has it."""
        return f"function({self.function.key},minimum={self.minimum:g})"

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        target = case.target if isinstance(case.target, str) else list(case.target)
        record = {"id": case.id, "input": case.input, "target": target, "fields": dict(case.fields)}
        pair = await self.function(answer, record, seed=context.seed.fold("function", case.id).value)
        if not isinstance(pair, list) or len(pair) != 2:
            raise EvaluationFailed("invalid", "the worker's reply is no score")
        return Score(as_score(pair[0]), clean(str(pair[1])))

    async def aclose(self) -> None:
        """Ends the workers."""
        await self.function.aclose()


def _fitness(record: Any, context: Context) -> Fitness:
    """The `Fitness` of a worker's record. Raises `InvalidFitness` for what is none."""
    try:
        usage = Usage(*record["usage"]) + context.meter.usage
        if record["error"] is not None:
            return Fitness.failed(redact(clean(str(record["error"]))), usage)
        return Fitness(
            as_score(record["value"]),
            record["violation"],
            record["objectives"],
            record["cases"],
            tuple(record["measures"]),
            tuple(clean(words) for words in record["feedback"]),
            usage,
        )
    except (KeyError, TypeError) as error:
        raise EvaluationFailed("invalid", f"the worker's reply is no fitness: {error}") from None


__all__ = ["EvaluationFailed", "IsolatedFitness", "IsolatedFunction", "IsolatedScorer", "Options", "words"]
