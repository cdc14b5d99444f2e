from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.breeding import (
    Comma,
    Lottery,
    always_replace,
    keep_all,
    one_to_one,
    per_case,
    per_cell,
    ranked,
    seated,
    truncation,
)
from llmevo.core import ConfigError, Individual, Seed
from llmevo.testing.toy import Digits
from tests.helpers import one

CELL = per_cell(lambda measures: int(measures[0]))
ALL = [
    truncation(1), truncation(3), truncation(50), one_to_one(), always_replace(), CELL, per_case(), Comma(2), Lottery(3), Lottery(2, 0, 9),
    keep_all,
]  # fmt: skip
People = list[Individual[Digits]]


def rng(i: int = 0) -> Any:
    return Seed.of(i).rng()


def ids(people: People) -> list[str]:
    return [x.id for x in people]


@st.composite
def fields(draw: Any) -> tuple[People, People]:
    def person(i: int, prefix: str, alive: bool) -> Individual[Digits]:
        value = draw(st.one_of(st.floats(-3, 3), st.just(0.0)))
        extra: dict[str, Any] = {"cases": {"x": value, "y": -value}, "measures": (value, 0.0)}
        if not alive:
            return one(f"{prefix}{i}", None, seat=i)
        violation = draw(st.sampled_from([0.0, 0.0, 1.0]))
        return one(f"{prefix}{i}", value, seat=draw(st.integers(0, 3)), digits=str(draw(st.integers(0, 9))), violation=violation, **extra)

    population, keys = [], set()
    for i in range(draw(st.integers(0, 5))):
        member = person(i, "p", True).at(i)
        if member.genome.key not in keys:
            keys.add(member.genome.key)
            population.append(member)
    return population, [person(i, "b", draw(st.booleans())) for i in range(draw(st.integers(0, 5)))]


@given(fields(), st.sampled_from(ALL), st.integers(0, 9))
def test_only_the_living_one_place_per_genome_unique_seats(field: tuple[People, People], succession: Any, seed: int) -> None:
    population, births = field
    living = [x for x in births if x.fitness.ok]
    after = succession(population, births, rng(seed))
    assert all(x.fitness.ok for x in after)
    assert len({x.genome.key for x in after}) == len(after)
    assert {x.id for x in after} <= {x.id for x in [*population, *living]}
    if population or living:
        assert after, "nobody lives on although somebody could"
    seats = [x.seat for x in seated(after)]
    assert len(set(seats)) == len(seats)
    assert after == succession(population, births, rng(seed)), "the same generator gives the same survivors"


@given(fields(), st.sampled_from([truncation(1), one_to_one(), CELL, per_case()]))
def test_ties_go_to_the_incumbent(field: tuple[People, People], succession: Any) -> None:
    population = succession(field[0], [], rng())
    twins = [
        Individual(f"twin{i}", Digits((9, 9, i)), x.fitness, seat=x.seat) for i, x in enumerate(population)
    ]
    assert succession(population, twins, rng()) == population


ELITIST = [truncation(1), truncation(3), one_to_one(), CELL, per_case(), Lottery(3), Lottery(2, 0, 9), keep_all]


@pytest.mark.parametrize("succession", ELITIST)
def test_the_best_lives_on(succession: Any) -> None:
    population = [one(f"p{i}", float(i), seat=i, digits=f"{i}", cases={"x": float(i)}, measures=(float(i % 2),)) for i in range(5)]
    births = [one(f"b{i}", float(i) - 2, seat=i, digits=f"1{i}", cases={"x": i - 2.0}, measures=(float(i % 2),)) for i in range(5)]
    survivors = ids(succession(population, births, rng(3)))
    if succession == Lottery(2, 0, 9):
        assert "p4" in survivors or "p3" in survivors
    else:
        assert "p4" in survivors


def test_truncation_over_parents_and_children() -> None:
    population = [one("a", 1.0, digits="1"), one("b", 3.0, digits="2", seat=1)]
    births = [one("c", 2.0, digits="3"), one("d", None), one("e", 9.0, violation=1.0, digits="4")]
    assert ids(truncation(2)(population, births, rng())) == ["b", "c"]
    assert ids(ranked([*population, births[0], births[2]])) == ["b", "c", "a", "e"]
    with pytest.raises(ValueError, match="at least one"):
        truncation(0)


def test_a_duel_on_every_seat() -> None:
    population = [one("a", 1.0, digits="1", seat=0), one("b", 3.0, digits="2", seat=1)]
    births = [one("c", 1.0, digits="3", seat=0), one("d", 3.5, digits="4", seat=1), one("e", 0.0, digits="5", seat=2)]
    assert ids(one_to_one()(population, births, rng())) == ["a", "d", "e"]


def test_duels_are_fought_on_common_cases() -> None:
    a = one("a", 0.9, digits="1", cases={"x": 0.9})
    assert ids(one_to_one()([a], [one("b", 0.5, digits="2", cases={"x": 0.8, "y": 0.2})], rng())) == ["a"]
    assert ids(one_to_one()([a], [one("b", 0.5, digits="2", cases={"x": 1.0, "y": 0.0})], rng())) == ["b"]


def test_swarms_move_on_unless_the_place_is_taken() -> None:
    population = [one("a", 9.0, digits="1", seat=0), one("b", 3.0, digits="2", seat=1)]
    births = [one("c", 1.0, digits="3", seat=0), one("d", 1.0, digits="1", seat=1), one("e", 0.5, digits="4", seat=0)]
    assert ids(always_replace()(population, births, rng())) == ["b", "e"], "the newest on a seat; a duplicate of `a` is none"


def test_per_cell_keeps_the_best_of_every_cell() -> None:
    population = [one("a", 1.0, digits="1", measures=(0.0,)), one("b", 3.0, digits="2", measures=(1.0,))]
    births = [one("c", 2.0, digits="3", measures=(0.9,)), one("d", 0.0, digits="4", measures=(7.0,))]
    assert ids(CELL(population, births, rng())) == ["b", "c", "d"]
    with pytest.raises(ConfigError, match="measures"):
        CELL(population, [one("e", 1.0, digits="5")], rng())


def test_per_case_keeps_whoever_is_best_somewhere() -> None:
    population = [one("a", 0.5, digits="1", cases={"x": 1.0, "y": 0.0}), one("b", 0.5, digits="2", cases={"x": 0.0, "y": 1.0})]
    dull = one("c", 0.4, digits="3", cases={"x": 0.9, "y": 0.9})
    assert ids(per_case()(population, [dull], rng())) == ["a", "b"]
    generalist = one("d", 1.0, digits="4", cases={"x": 1.0, "y": 1.0})
    assert ids(per_case()(population, [generalist], rng())) == ["d"]
    assert ids(per_case()([one("e", 1.0, digits="5")], [one("f", 2.0, digits="6")], rng())) == ["f"], "no cases: the best"


def test_per_case_puts_the_feasible_first() -> None:
    valid = one("a", 0.1, digits="1", cases={"x": 0.1})
    cheat = one("b", 9.0, digits="2", violation=1.0, cases={"x": 9.0})
    assert ids(per_case()([valid], [cheat], rng())) == ["a"]


def test_comma_forgets_the_parents_unless_no_child_lives() -> None:
    population = [one("a", 9.0, digits="1")]
    births = [one("b", 1.0, digits="2"), one("c", 2.0, digits="3"), one("d", 0.0, digits="4")]
    assert ids(Comma(2)(population, births, rng())) == ["c", "b"]
    assert ids(Comma(2)(population, [one("e", None)], rng())) == ["a"]
    with pytest.raises(ValueError, match="at least one"):
        Comma(0)


def test_a_lottery_keeps_its_elites_and_prefers_the_better() -> None:
    field = [one(f"n{i}", float(i), digits=str(i), seat=i) for i in range(10)]
    wins = dict.fromkeys((x.id for x in field), 0)
    for i in range(300):
        survivors = Lottery(5, elites=2, tournament=3)(field, [], rng(i))
        assert len(survivors) == 5 == len({x.id for x in survivors}) and {"n9", "n8"} <= {x.id for x in survivors}
        for x in survivors:
            wins[x.id] += 1
    assert wins["n7"] > wins["n4"] > wins["n1"] and wins["n0"] < 30
    assert ids(Lottery(3)(field[:2], [], rng())) == ["n1", "n0"], "fewer than places: all live on"
    for wrong in ({"size": 0}, {"size": 2, "elites": 3}, {"size": 2, "elites": -1}, {"size": 2, "tournament": 0}):
        with pytest.raises(ValueError):
            Lottery(**wrong)


def test_a_lottery_by_roulette_draws_in_proportion_and_nobody_twice() -> None:
    field = [one(f"n{i}", float(i), digits=str(i), seat=i) for i in range(5)]
    first = dict.fromkeys((x.id for x in field), 0)
    for i in range(2000):
        elite, second, third = Lottery(3, elites=1, tournament=None)(field, [], rng(i))
        assert elite.id == "n4" and len({elite.id, second.id, third.id}) == 3 and "n0" not in (second.id, third.id)
        first[second.id] += 1
    assert [first[f"n{i}"] / 2000 for i in (1, 2, 3)] == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.045)
    assert len(Lottery(9, tournament=None)(field, [], rng())) == 5, "fewer than places: all live on"
    assert ids(Lottery(1, tournament=None)(field[:1], [], rng())) == ["n0"]
    wrong = [one("v", 9.0, digits="7", violation=1.0), *field[1:3]]
    assert all(Lottery(2, 0, None)(wrong, [], rng(i))[0].id != "v" for i in range(50)), "an invalid one comes last"


def test_seats_are_given_out_once() -> None:
    people = [one("a", 1.0, seat=2), one("b", 1.0, seat=2), one("c", 1.0, seat=0), one("d", 1.0, seat=2)]
    assert [(x.id, x.seat) for x in seated(people)] == [("a", 2), ("b", 1), ("c", 0), ("d", 3)]
    assert seated([]) == []
