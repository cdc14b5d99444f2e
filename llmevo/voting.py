"""The best of a run vote, the winner among them: how many is chosen on the dev cases; the score on the test cases is reported beside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmevo.core import Context, Individual, Seed, canonical
from llmevo.core.crash import crash_point
from llmevo.fitness import Answer, Case, NoAnswer, Phenotype, Scorer
from llmevo.report.statistics import interval
from llmevo.report.votes import Voted, name_of, voted_from
from llmevo.storage.database import Database


@dataclass(frozen=True, slots=True)
class Ballot:
    """Who answers what, and up to how many may vote."""

    answers: Phenotype[Any]
    scorer: Scorer
    dev: Sequence[Case]
    test: Sequence[Case]
    most: int


async def vote(best: Sequence[Individual[Any]], ballot: Ballot, database: Database, seed: Seed) -> Voted | None:
    """Lets the best vote, the winner first, once per set of candidates, then from the record. None with fewer than two candidates.

    Each case goes to the most frequent answer, among equals to that of the first member; an answer that did not come is no voice. The size
    is the one with the best score on the dev cases, the smallest of equals.
    """
    best = [one for one in best if one.fitness.ok][: ballot.most]
    if len(best) < 2:
        return None
    name = name_of([one.genome.key for one in best])
    known = dict(database.rows("meta"))
    if name in known:
        return voted_from(known[name])
    from llmevo.weights.ensemble import chosen, plurality

    seed = seed.fold("vote")
    rows = await _answers(best, ballot, ballot.dev, seed)
    scores = await _scores(rows, ballot, ballot.dev, seed)

    def right(answer: str, i: int) -> float:
        return scores[i][answer]

    size = chosen(rows, right, range(1, len(best) + 1))

    def mean(count: int) -> float:
        return sum(right(plurality(column[:count]), i) for i, column in enumerate(zip(*rows, strict=True))) / len(ballot.dev)

    held_out = None
    if ballot.test:
        tested = await _answers(best[:size], ballot, ballot.test, seed)
        worth = await _scores(tested, ballot, ballot.test, seed)
        outcome = [worth[i][plurality(column)] for i, column in enumerate(zip(*tested, strict=True))]
        held_out = interval(outcome, seed.fold("interval"))
    found = Voted(tuple(one.genome.key for one in best), size, mean(size), mean(1), held_out)
    crash_point("vote-counted")
    await asyncio.wrap_future(database.insert("meta", [(name, canonical(found.record()))]))
    return found


async def _answers(members: Sequence[Individual[Any]], ballot: Ballot, cases: Sequence[Case], seed: Seed) -> list[list[str]]:
    """[member][case]; "" where none came."""
    contexts = [Context(seed.fold("answers", one.genome.key)) for one in members]
    rows = await ballot.answers([one.genome for one in members], cases, contexts)
    return [[_words(answer) for answer in row] for row in rows]


def _words(answer: Answer) -> str:
    return "" if isinstance(answer, NoAnswer) else answer


async def _scores(rows: Sequence[Sequence[str]], ballot: Ballot, cases: Sequence[Case], seed: Seed) -> list[dict[str, float]]:
    """Per case the score of every answer that was given."""
    found = []
    for i, (case, column) in enumerate(zip(cases, zip(*rows, strict=True), strict=True)):
        worth = {}
        for answer in dict.fromkeys(column):
            context = Context(seed.fold("score", i, answer))
            worth[answer] = (await ballot.scorer(answer, case, context)).value if answer else ballot.scorer.minimum
        found.append(worth)
    return found
