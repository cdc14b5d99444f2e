"""The end of a run: who is crowned on fresh cases, and the winner's score on the test cases. Each is paid once, and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from llmevo.breeding import crown
from llmevo.core import ConfigError, Context, Evaluate, Fitness, Individual, Seed, canonical, content_key
from llmevo.core.crash import crash_point
from llmevo.report.held_out import CROWNING, TEST, Crowning, crowning_in, tests_in
from llmevo.report.statistics import Interval, interval
from llmevo.storage.database import Database


async def crowned(
    hall: Sequence[Individual[Any]], finalists: int, fresh: Evaluate[Any], database: Database, seed: Seed
) -> Crowning | None:
    """The crowning of the best of a search: each of the finalists is scored on the fresh cases; then, from the record.

    Only those run that are as valid as the best, and have scores by case. None when there is nobody. Raises `ConfigError` when none of
    them could be scored.
    """
    able = list(takewhile(lambda one: one.fitness.cases and one.fitness.violation == hall[0].fitness.violation, hall[:finalists]))
    if not able:
        return None
    known = crowning_in(dict(database.rows("meta")), able)
    if known is not None and len(known.finalists) == len(able):
        return known
    scores = await _scores(fresh, able, seed, "crowning")
    scored = [(one, fitness) for one, fitness in zip(able, scores, strict=True) if fitness.ok]
    if not scored:
        raise ConfigError(f"none of the finalists could be scored on the fresh cases: {scores[0].error}")
    found = crown([one.fitness.cases for one, _ in scored], [fitness.cases for _, fitness in scored])
    crowning = Crowning(
        tuple(one.id for one in able), scored[found.place][0].id, interval(list(found.honest), seed.fold("interval"))
    )
    crash_point("finalists-scored")
    await _write(database, CROWNING + content_key(list(crowning.finalists)), crowning.dump())
    return crowning


async def tested(best: Individual[Any], test: Evaluate[Any], database: Database, seed: Seed) -> Interval:
    """The winner's score on the test cases: once per winner, then from the record."""
    known = tests_in(dict(database.rows("meta")))
    if best.id in known:
        return known[best.id]
    (fitness,) = await _scores(test, [best], seed, "test")
    if not fitness.ok:
        raise ConfigError(f"the winner could not be scored on the test cases: {fitness.error}")
    found = interval(list(fitness.cases.values()), seed.fold("interval"))
    crash_point("held-out-scored")
    await _write(database, TEST + best.id, canonical(found.record()))
    return found


async def _scores(evaluate: Evaluate[Any], some: Sequence[Individual[Any]], seed: Seed, what: str) -> list[Fitness]:
    return await evaluate([one.genome for one in some], [Context(seed.fold(what, one.genome.key)) for one in some])


async def _write(database: Database, name: str, text: str) -> None:
    await asyncio.wrap_future(database.insert("meta", [(name, text)]))
