from __future__ import annotations

from typing import Any

import pytest

from llmevo.core import Mating, Seed
from llmevo.strategies import Distribution
from llmevo.testing.toy import Digits, Toy, fresh
from tests.helpers import one
from tests.strategies.test_genetic import bear


def average(parents: Any, rng: Any) -> list[int]:
    return [round(sum(column) / len(column)) for column in zip(*parents, strict=True)]


def distribution(pairs: int = 2) -> Distribution[Digits]:
    plus, minus, update = Toy("plus", average, 1), Toy("minus", average, 1), Toy("update", average, None)
    return Distribution(Toy("mean", fresh(), 0), plus, minus, update, pairs=pairs, seed=Seed.of(0))


def begun(pairs: int = 2) -> Distribution[Digits]:
    es = distribution(pairs)
    es.tell([bear(es.ask(9)[0], 1.0)])
    return es


def step(es: Distribution[Digits], values: list[float | None]) -> list[Mating[Digits]]:
    members = es.ask(99)
    es.tell([bear(m, v) for m, v in zip(members, values, strict=True)])
    return members


def test_pairs_are_antithetic_they_share_a_seed_and_a_mean() -> None:
    es = begun(3)
    members = es.ask(99)
    assert [m.variation_key for m in members] == ["plus", "minus"] * 3
    seeds = [m.seed.value for m in members]
    assert seeds[0::2] == seeds[1::2] and len(set(seeds)) == 3
    assert len({m.parents[0].id for m in members}) == 1 and len({m.seat for m in members}) == 6
    assert len({m.id for m in members}) == 6


def test_the_update_gets_the_mean_and_whole_pairs_only() -> None:
    es = begun(3)
    members = step(es, [1.0, 2.0, None, 3.0, 4.0, 5.0])
    (update,) = es.ask(99)
    assert [p.id for p in update.parents[1:]] == [m.id for m in (members[0], members[1], members[4], members[5])]
    assert es.ask(99) == [], "nothing is asked before the update is told"
    es.tell([bear(update, 9.0)])
    assert {m.parents[0].id for m in es.ask(99)} == {update.id}


def test_a_failed_update_keeps_the_mean_and_draws_anew() -> None:
    es = begun()
    first = step(es, [1.0] * 4)
    mean = first[0].parents[0].id
    es.tell([bear(es.ask(9)[0], None)])
    again = es.ask(99)
    assert {m.parents[0].id for m in again} == {mean}
    assert not {m.seed.value for m in again} & {m.seed.value for m in first}


def test_a_step_may_come_in_several_cohorts() -> None:
    es = begun(2)
    first, second = es.ask(3), es.ask(3)
    assert (len(first), len(second), es.ask(3)) == (3, 1, [])
    es.tell([bear(m, 1.0) for m in first])
    assert es.ask(3) == []
    es.tell([bear(second[0], 1.0)])
    assert es.ask(3)[0].variation_key == "update"


def test_guests_belong_to_no_pair() -> None:
    es = begun(2)
    first = es.ask(2)
    es.tell([*(bear(m, 1.0) for m in first), one("guest1", 9.0), one("guest2", 8.0, digits="22")])
    second = es.ask(9)
    assert len(second) == 2
    es.tell([bear(m, 1.0) for m in second])
    (update,) = es.ask(9)
    assert [p.id for p in update.parents[1:]] == [m.id for m in (*first, *second)]
    assert es.view.best and es.view.best.id == "guest1"


def test_no_mean_is_an_ending() -> None:
    es = distribution()
    es.tell([bear(es.ask(9)[0], None)])
    assert es.ask(9) == [] and es.ending == "the mean was not born: no"
    with pytest.raises(ValueError, match="at least one pair"):
        distribution(0)


def test_the_view_holds_the_mean_and_its_members() -> None:
    es = begun()
    members = step(es, [1.0, None, 3.0, 4.0])
    assert [x.id for x in es.view.population[1:]] == [members[i].id for i in (0, 2, 3)]
    assert len({x.seat for x in es.view.population}) == 4
