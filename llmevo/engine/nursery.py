"""Where matings become births: conceived, evaluated once per genome, recorded as they come."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic

from llmevo.core import (
    FREE,
    Birth,
    CaseSlice,
    ConfigError,
    Context,
    Evaluate,
    Fitness,
    G,
    Individual,
    Interrupted,
    Mating,
    Pause,
    Seed,
    StorageError,
    VariationFailed,
)
from llmevo.core.crash import crash_point
from llmevo.engine.schedule import Cohort
from llmevo.storage.journal import Journal

FATAL = (Pause, ConfigError, StorageError, Interrupted)
"""Errors that concern the run, not one genome: they leave the cohort untold."""

CANCELLED = "cancelled: an earlier birth of its cohort was enough"

Enough = Callable[[Birth[Any]], bool]
"""Whether a birth ends the search."""

ScoreKey = tuple[str, CaseSlice | None]


class Nursery(Generic[G]):
    """Delivers cohorts. Equal genomes on equal cases are evaluated once in a run, also when they are conceived at the same time."""

    def __init__(self, evaluate: Evaluate[G], journal: Journal, seed: Seed, enough: Enough | None = None) -> None:
        self._evaluate, self._journal, self._seed = evaluate, journal, seed.fold("evaluate")
        self._enough = enough
        self._scores: dict[ScoreKey, asyncio.Future[Fitness]] = {}

    def remember(self, cohort: Cohort[G], known: Sequence[Birth[G] | None]) -> None:
        """Learns recorded scores. Do it for all open cohorts before any is delivered, so that no genome is evaluated again."""
        for mating, birth in zip(cohort.matings, known, strict=True):
            if isinstance(birth, Individual) and not mating.variation.reassess:
                key = (birth.genome.key, mating.cases)
                if key not in self._scores:
                    self._scores[key] = asyncio.get_running_loop().create_future()
                    self._scores[key].set_result(birth.fitness)

    async def deliver(self, cohort: Cohort[G], known: Sequence[Birth[G] | None]) -> list[Birth[G]]:
        """The births of a cohort, in the order of its matings. `known` are those that the journal already has.

        When one of them meets an error that concerns the run, the others are still completed and recorded before it is raised.
        """
        births = list(known)
        todo = [i for i, birth in enumerate(births) if birth is None]
        if not todo:
            return _complete(births)

        def deliver(i: int, birth: Birth[G]) -> None:
            births[i] = birth
            self._journal.born(cohort.j, {i: birth})

        async def one(i: int) -> None:
            deliver(i, await self._birth(cohort.matings[i], cohort.j))

        async def together() -> None:
            matings = [cohort.matings[i] for i in todo]
            for i, birth in zip(todo, await self._births(matings, cohort.j), strict=True):
                deliver(i, birth)

        if self._enough is not None and not self._evaluate.whole_cohort:
            await self._until_enough(cohort, births, self._enough)
        else:
            await _all([together()] if self._evaluate.whole_cohort else [one(i) for i in todo])
        return _complete(births)

    async def _until_enough(self, cohort: Cohort[G], births: list[Birth[G] | None], enough: Enough) -> None:
        """Delivers up to the first birth, in the order of the matings, that is enough; the rest is cancelled and recorded as such.

        What is later in order does not count even if it was born sooner: the same run comes out whatever completes first.
        """
        tasks = {
            i: asyncio.ensure_future(self._birth(mating, cohort.j))
            for i, mating in enumerate(cohort.matings)
            if births[i] is None
        }

        def look(i: int) -> None:
            if not tasks[i].cancelled() and tasks[i].exception() is None and enough(tasks[i].result()):
                for later in range(i + 1, len(births)):
                    if later in tasks:
                        tasks[later].cancel()

        for i, task in tasks.items():
            task.add_done_callback(lambda _, i=i: look(i))  # type: ignore[misc]
        found = False
        try:
            for i, mating in enumerate(cohort.matings):
                birth = births[i]
                if birth is None:
                    birth = mating.stillbirth(CANCELLED, FREE, cohort.j) if found else await tasks[i]
                    births[i] = birth
                    self._journal.born(cohort.j, {i: birth})
                found = found or enough(birth)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _birth(self, mating: Mating[G], step: int) -> Birth[G]:
        """One birth, evaluated as soon as it is conceived."""
        genome, context, error = await self._conceive(mating)
        if genome is None:
            return mating.stillbirth(error, context.meter.usage, step, context.meter.quoted)
        crash_point("conceived")
        (fitness,) = await self._score([genome], [mating.cases])
        crash_point("evaluated")
        return mating.birth(genome, fitness, context.meter.usage, step, context.meter.quoted)

    async def _births(self, matings: Sequence[Mating[G]], step: int) -> list[Birth[G]]:
        """All births, evaluated in one call."""
        conceived: list[tuple[G | None, Context, str]] = [(None, Context(mating.seed), "") for mating in matings]

        async def one(i: int) -> None:
            conceived[i] = await self._conceive(matings[i])

        await _all([one(i) for i in range(len(matings))])
        children = [(child[0], mating.cases) for child, mating in zip(conceived, matings, strict=True)]
        scores = iter(await self._score(
            [genome for genome, _ in children if genome is not None],
            [cases for genome, cases in children if genome is not None],
        ))  # fmt: skip
        return [
            mating.stillbirth(error, context.meter.usage, step, context.meter.quoted)
            if genome is None
            else mating.birth(genome, next(scores), context.meter.usage, step, context.meter.quoted)
            for mating, (genome, context, error) in zip(matings, conceived, strict=True)
        ]

    async def _conceive(self, mating: Mating[G]) -> tuple[G | None, Context, str]:
        """The child, or why there is none."""
        context = Context(mating.seed, mating.id, mating.cases)
        try:
            genome = await mating.variation(mating.parents, context)
        except FATAL:
            raise
        except VariationFailed as error:
            return None, context, str(error)
        except (Exception, asyncio.CancelledError) as error:
            if _cancelled(error):
                raise
            return None, context, describe(error)
        if mating.copies(genome):
            return None, context, "the child is a copy of its parent"
        return genome, context, ""

    async def _score(self, genomes: Sequence[G], slices: Sequence[CaseSlice | None]) -> list[Fitness]:
        """The fitness of every genome; those that nobody has asked for yet are evaluated in one call."""
        keys = [(genome.key, cases) for genome, cases in zip(genomes, slices, strict=True)]
        new = {key: genome for key, genome in zip(keys, genomes, strict=True) if key not in self._scores}
        if new:
            loop = asyncio.get_running_loop()
            self._scores.update({key: loop.create_future() for key in new})
        # Held here: a failing evaluation of another cohort takes its future out of the table.
        futures = [self._scores[key] for key in keys]
        if new:
            await self._fill(new)
        return [await self._shared(*each) for each in zip(futures, genomes, slices, strict=True)]

    async def _shared(self, future: asyncio.Future[Fitness], genome: G, cases: CaseSlice | None) -> Fitness:
        """A score that several births may wait for: who is cancelled neither takes it from the others nor leaves them without."""
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError as error:
            if _cancelled(error) or not future.cancelled():
                raise
        # The birth that evaluated it was cancelled: this one does so instead.
        (fitness,) = await self._score([genome], [cases])
        return fitness

    async def _fill(self, new: dict[ScoreKey, G]) -> None:
        contexts = [Context(self._seed.fold(*_names(key)), cases=key[1]) for key in new]
        try:
            scores = _checked(await self._evaluate(list(new.values()), contexts), len(new))
        except BaseException as error:
            leaked = isinstance(error, asyncio.CancelledError) and not _cancelled(error)
            if leaked or (isinstance(error, Exception) and not isinstance(error, FATAL)):
                scores = [Fitness.failed(describe(error))] * len(new)
            else:
                for key in new:
                    _fail(self._scores.pop(key), error)
                raise
        for key, fitness in zip(new, scores, strict=True):
            self._scores[key].set_result(fitness)


async def _all(work: Sequence[Awaitable[None]]) -> None:
    """Runs everything to its end, then raises the first error, if any. A cancellation cancels all of it."""
    if len(work) == 1:
        return await work[0]
    results = await asyncio.gather(*work, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        raise errors[0]


def _cancelled(error: BaseException) -> bool:
    """Whether this task is really being cancelled: a cancellation that leaked out of the user's code is only its failure."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0)


def _fail(future: asyncio.Future[Fitness], error: BaseException) -> None:
    """Passes an error on to those who wait for the same score."""
    if isinstance(error, Exception):
        future.set_exception(error)
        future.exception()  # marks it as seen: often nobody else waits
    else:
        future.cancel()


def _complete(births: Sequence[Birth[G] | None]) -> list[Birth[G]]:
    whole = [birth for birth in births if birth is not None]
    assert len(whole) == len(births), "every mating was delivered"
    return whole


def _checked(scores: Sequence[Fitness], count: int) -> Sequence[Fitness]:
    if not isinstance(scores, Sequence) or isinstance(scores, str):
        raise TypeError(f"evaluate must return a list of {count} Fitness, it returned {type(scores).__name__}")
    if len(scores) != count or not all(isinstance(score, Fitness) for score in scores):
        kinds = ", ".join(sorted({type(score).__name__ for score in scores})) or "nothing"
        raise TypeError(f"evaluate must return a list of {count} Fitness, it returned {len(scores)} ({kinds})")
    return scores


def _names(key: ScoreKey) -> list[str | int]:
    genome, cases = key
    if cases is None:
        return [genome]
    times = [f"{cases.times} times"] if cases.times > 1 else []
    return [genome, cases.repeat, *times, *cases.ids]


def describe(error: BaseException) -> str:
    """Type, message and the end of the traceback of an error in the user's code."""
    frames = traceback.format_tb(error.__traceback__)[-3:]
    try:
        message = str(error)
    except Exception as worse:
        message = f"(its message cannot be shown: {type(worse).__name__})"
    return f"{type(error).__name__}: {message}\n{''.join(frames)}".rstrip()
