from __future__ import annotations

from typing import Any

import pytest

from llmevo.breeding import Reassess, Roles, always_replace, keep_all, one_to_one, roulette, swarm, truncation, uniform
from llmevo.core import FREE, Birth, Fitness, Individual, Mating, Seed, Strategy
from llmevo.strategies import Founding, Genetic
from llmevo.testing.toy import Digits, Toy, cross, fresh, mutate, step
from tests.helpers import one

SEED = Seed.of(0)


def founders(count: int, **more: Any) -> Founding[Digits]:
    return Founding([Toy(f"fresh{i}", fresh(), 0) for i in range(count)], seed=SEED, **more)


def bear(mating: Mating[Digits], value: float | None, digits: str | None = None) -> Birth[Digits]:
    if value is None:
        return mating.stillbirth("no", FREE, 0)
    genome = Digits(tuple(map(int, digits)) if digits else tuple(int(c, 16) % 10 for c in mating.id[3:11]))
    return mating.birth(genome, Fitness(value), FREE, 0)


def begun(strategy: Genetic[Digits], *members: Individual[Digits]) -> Genetic[Digits]:
    strategy.view = strategy.view.advance(members, members)
    return strategy


def test_founders_sit_on_their_own_seats_and_are_born_once() -> None:
    founding = founders(5)
    first, second = founding.ask(3), founding.ask(3)
    assert [m.seat for m in [*first, *second]] == [0, 1, 2, 3, 4] and founding.ask(3) == []
    assert founding.ending is None
    founding.tell([bear(m, 1.0) for m in first])
    founding.tell([bear(second[0], None), bear(second[1], 2.0)])
    assert founding.ending == "4 of 5 founders live; first loss: no"
    assert [x.seat for x in founding.view.population] == [0, 1, 2, 4]
    with pytest.raises(ValueError, match="at least one founder"):
        founders(0)


def test_founding_keeps_whom_its_succession_keeps_and_counts_no_guests() -> None:
    founding = founders(2, succession=truncation(1))
    matings = founding.ask(9)
    founding.tell([*(bear(m, 1.0) for m in matings), one("guest", 9.0)])
    assert [x.id for x in founding.view.population] == ["guest"] and founding.ending == "2 of 2 founders live"


def test_every_mating_has_a_seed_of_its_own_whatever_the_batch() -> None:
    whole, halves = founders(6), founders(6)
    assert whole.ask(6) == [*halves.ask(1), *halves.ask(5)]
    assert len({m.seed.value for m in founders(6).ask(6)}) == 6


def test_children_of_seatless_selections_get_free_seats() -> None:
    parents = [one("a", 1.0), one("b", 1.0, seat=1)]
    breeding = begun(Genetic(Toy("cross", cross, 2), roulette, truncation(3), seed=SEED), *parents)
    matings = breeding.ask(2)
    assert [m.seat for m in matings] == [2, 3]
    breeding.tell([bear(m, 5.0) for m in matings])
    assert sorted(x.seat for x in breeding.view.population) == [0, 2, 3]
    assert all(memory.previous is None for memory in breeding.view.memory.values())


def test_a_particle_keeps_its_own_best_when_its_moves_overlap() -> None:
    """As with slots > 1: the second move from a seat is told when the first has replaced its parent."""
    moving = begun(Genetic(Toy("step", step, 5), swarm, always_replace(), seed=SEED), one("a", 9.0, digits="111111"))
    first, second = moving.ask(1), moving.ask(1)
    moving.tell([bear(first[0], 2.0)])
    moving.tell([bear(second[0], 1.0)])
    (me,) = moving.view.population
    assert me.id == second[0].id and moving.view.memory[me.id].best.id == "a"
    previous = moving.view.memory[me.id].previous
    assert previous and previous.id == first[0].id


def test_births_are_told_in_the_order_of_asks() -> None:
    duel = begun(Genetic(Toy("m", mutate, 1), Roles(("self",)), one_to_one(), seed=SEED), one("a", 1.0), one("b", 1.0, seat=1))
    first, second = duel.ask(1), duel.ask(1)
    assert [first[0].seat, second[0].seat] == [0, 1]
    duel.tell([bear(first[0], 0.0)])
    duel.tell([bear(second[0], 2.0)])
    assert [x.id for x in duel.view.population] == ["a", second[0].id]
    duel.ask(2)
    with pytest.raises(ValueError, match="2 matings were asked, 1 births were told"):
        duel.tell([bear(first[0], 1.0)])


def test_a_reassessed_member_stays_where_it_is() -> None:
    again = begun(Genetic(Reassess(), uniform, truncation(2), seed=SEED), one("a", 1.0, digits="1"), one("b", 3.0, digits="2", seat=1))
    for _ in range(4):
        mating, = again.ask(1)
        again.tell([mating.birth(mating.parents[0].genome, Fitness(0.5), FREE, 0)])
    assert sorted(x.id for x in again.view.population) == ["a", "b"]
    assert sorted(x.seat for x in again.view.population) == [0, 1]


def test_nobody_to_breed_from_is_an_ending() -> None:
    empty: Strategy[Digits] = Genetic(Toy("m", mutate, 1), uniform, keep_all, seed=SEED)
    assert empty.ask(3) == [] and empty.ending == "nobody is left to breed from"


def test_what_is_learnt_is_learnt_from_own_matings_only() -> None:
    class Watch:
        seen: list[tuple[str, str]]
        variation = Toy("m", mutate, 1)

        def choose(self, rng: Any) -> Toy:
            return self.variation

        def credit(self, told: Any) -> None:
            self.seen = [(mating.id, birth.id) for mating, birth in told]

    watch = Watch()
    breeding = begun(Genetic(watch, uniform, keep_all, seed=SEED), one("a", 1.0))
    matings = breeding.ask(2)
    breeding.tell([bear(matings[0], 1.0), bear(matings[1], None), one("guest", 3.0)])
    assert watch.seen == [(m.id, m.id) for m in matings]
