"""A vote of genomes that say fixed words: no model, no tensor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from llmevo.core import Context, Fitness, Individual, Seed
from llmevo.fitness import Answer, Case, NoAnswer, scorer_named
from llmevo.report.votes import Voted, find
from llmevo.storage.database import Database
from llmevo.testing.toy import Digits
from llmevo.voting import Ballot, vote

CASES = [Case(str(i), f"question {i}", "yes") for i in range(4)]
TEST = [Case(f"t{i}", f"test {i}", "yes") for i in range(4)]


class Say:
    """Answers from a table; counts how often it is asked."""

    key, whole_cohort = "say", True

    def __init__(self, table: dict[tuple[int, ...], dict[str, Sequence[Answer]]]) -> None:
        self.table, self.asked = table, 0

    async def __call__(self, genomes: Sequence[Any], cases: Sequence[Case], contexts: Sequence[Context]) -> list[list[Answer]]:
        self.asked += 1
        split = "test" if cases[0].id.startswith("t") else "dev"
        return [list(self.table[genome.values][split]) for genome in genomes]


def individual(number: int, value: float) -> Individual[Any]:
    return Individual(f"i{number}", Digits((number,)), Fitness.measured(value))


def answers(dev: str, test: str) -> dict[str, Sequence[Answer]]:
    words: dict[str, Answer] = {"y": "yes", "n": "no", "m": "maybe", "-": NoAnswer("silent")}
    return {"dev": [words[one] for one in dev], "test": [words[one] for one in test]}


def count(table: Sequence[dict[str, Sequence[Answer]]], most: int = 5, database: Database | None = None, say: Any = None) -> Voted | None:
    hall = [individual(i, 1 - i / 10) for i in range(len(table))]
    say = say or Say({(i,): one for i, one in enumerate(table)})
    ballot = Ballot(say, scorer_named("exact"), CASES, TEST, most)
    return asyncio.run(vote(hall, ballot, database or Database(None), Seed.of(1)))


def test_three_that_err_apart_are_better_than_the_best() -> None:
    found = count([answers("yyyn", "ynyy"), answers("nyyy", "yyny"), answers("ynyy", "yyyn")])
    assert found is not None and (found.size, found.alone, found.dev) == (3, 0.75, 1.0)
    assert found.held_out is not None and found.held_out.mean == 1.0 and found.held_out.n == 4


def test_the_size_is_chosen_on_dev_though_the_test_would_choose_another() -> None:
    found = count([answers("yyyy", "nnnn"), answers("nnnn", "yyyy"), answers("nnnn", "yyyy")])
    assert found is not None and found.size == 1
    assert found.held_out is not None and found.held_out.mean == 0.0, "an honest vote does not look at the test cases"


def test_a_tie_goes_to_the_best_member_and_is_worth_all_or_nothing() -> None:
    found = count([answers("yyny", "nyyy"), answers("nmym", "ymmm"), answers("mnyn", "mnnn")])
    assert found is not None and found.size == 3, "the third case is won, the others are ties of three answers"
    assert found.held_out is not None and found.held_out.mean == 0.75


def test_silence_is_no_voice() -> None:
    found = count([answers("yyy-", "yyy-"), answers("yyyy", "yyyy"), answers("yyy-", "yyy-")])
    assert found is not None and (found.size, found.dev) == (2, 1.0)
    silent = count([answers("----", "----"), answers("----", "----")])
    assert silent is not None and (silent.size, silent.dev) == (1, 0.0)


def test_one_alone_does_not_vote() -> None:
    assert count([answers("yyyy", "yyyy")]) is None and count([answers("yyyy", "yyyy")] * 2, most=1) is None


def test_a_vote_is_counted_once() -> None:
    database, table = Database(None), [answers("yyyn", "yyyy"), answers("nyyy", "yyyy"), answers("yyny", "yyyy")]
    say = Say({(i,): one for i, one in enumerate(table)})
    first = count(table, database=database, say=say)
    asked = say.asked
    assert count(table, database=database, say=say) == first and say.asked == asked
    assert first is not None
    meta = dict(database.rows("meta"))
    assert find(meta, first.candidates) == first and find(meta, (*first.candidates, "more")) == first
    assert find(meta, first.candidates[::-1]) is None, "of another best nobody has voted"
    database.close()


@pytest.mark.parametrize("most", [2, 3])
def test_up_to_so_many(most: int) -> None:
    found = count([answers("yyyn", "yyyy")] * 4, most=most)
    assert found is not None and len(found.candidates) == most
