from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.breeding import (
    BestFirst,
    Roles,
    Roulette,
    Tournament,
    boltzmann,
    centered_rank,
    distinct,
    flat,
    linear_rank,
    proportional,
    rank,
    roulette,
    swarm,
    targets,
    uniform,
)
from llmevo.breeding.selection import values
from llmevo.core import Individual, Seed, Stillborn, View
from llmevo.testing.toy import Digits
from tests.helpers import named, one

POOLED = [uniform, rank, roulette, Roulette(boltzmann(0.5)), Tournament(2), Tournament(5), BestFirst(), BestFirst(1, 1)]
SEATED = [targets, swarm, Roles(("self",)), Roles(("self", "random"))]


def view_of(*members: Individual[Digits], turn: int = 0) -> View[Digits]:
    empty: View[Digits] = View(turn=turn)
    return empty.advance(members, members)


def people(scores: list[float], genomes: list[int] | None = None, violations: list[float] | None = None) -> View[Digits]:
    genomes, violations = genomes or list(range(len(scores))), violations or [0.0] * len(scores)
    rows = enumerate(zip(scores, genomes, violations, strict=True))
    return view_of(*[one(f"n{i}", v, seat=i, digits=str(g), violation=w) for i, (v, g, w) in rows])


def rng(i: int = 0) -> np.random.Generator:
    return Seed.of(i).rng()


HARD = [
    [0.0] * 4, [-1.0, -2.0, -3.0], [0.5] * 5, [1.0], [1.0, 2.0], [1e308, 1e308, -1e308], [5e-324, 0.0], [-0.0, 0.0], [1e-9, 1e9],
]  # fmt: skip


@pytest.mark.parametrize("selection", POOLED, ids=named)
@pytest.mark.parametrize("scores", HARD, ids=named)
@pytest.mark.parametrize("arity", [0, 1, 2, 3, 7, None])
def test_any_population_gives_full_tuples(selection: Any, scores: list[float], arity: int | None) -> None:
    pool = people(scores)
    for parents in selection(pool, 3, arity, rng()):
        assert len(parents) == (len(scores) if arity is None else arity)
        assert all(one in pool.population for one in parents)
    assert selection(View(), 3, arity, rng()) == []


POPULATION = st.lists(
    st.tuples(st.floats(-10, 10), st.integers(0, 4), st.sampled_from([0.0, 0.0, 0.0, 1.0, math.inf])), min_size=1, max_size=8
)


@given(POPULATION, st.sampled_from(POOLED), st.integers(1, 6), st.integers(0, 99))
def test_never_two_parents_of_one_genome_while_others_exist(people_: Any, selection: Any, arity: int, seed: int) -> None:
    scores, genomes, violations = map(list, zip(*people_, strict=True))
    for parents in selection(people(scores, genomes, violations), 4, arity, rng(seed)):
        kinds = len(set(genomes))
        assert len({one.genome.key for one in parents[:kinds]}) == min(arity, kinds)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(0, 99))
def test_partners_of_a_seat_differ_from_it_while_others_exist(genomes: list[int], seed: int) -> None:
    pool = people([float(i) for i in range(len(genomes))], genomes)
    for parents in Roles(("self", "random", "random"))(pool, len(genomes), 3, rng(seed)):
        assert len({one.genome.key for one in parents}) >= min(3, len(set(genomes)))


def share(selection: Any, pool: View[Digits], draws: int = 4000) -> dict[str, float]:
    firsts = Counter(parents[0].id for parents in selection(pool, draws, 1, rng(5)))
    return {one.id: firsts[one.id] / draws for one in pool.population}


def test_frequencies() -> None:
    pool = people([1.0, 2.0, 5.0])
    tolerance = 0.03  # four standard deviations at 4,000 draws
    assert share(roulette, pool) == pytest.approx({"n0": 1 / 8, "n1": 2 / 8, "n2": 5 / 8}, abs=tolerance)
    assert share(uniform, pool) == pytest.approx({"n0": 1 / 3, "n1": 1 / 3, "n2": 1 / 3}, abs=tolerance)
    assert share(rank, pool) == pytest.approx({"n0": 1 / 6, "n1": 2 / 6, "n2": 3 / 6}, abs=tolerance)
    assert share(Tournament(2), pool) == pytest.approx({"n0": 0.0, "n1": 1 / 3, "n2": 2 / 3}, abs=tolerance)
    assert share(Tournament(3), pool) == {"n0": 0.0, "n1": 0.0, "n2": 1.0}
    assert share(roulette, people([-3.0, -2.0, 0.0])) == pytest.approx({"n0": 0.0, "n1": 1 / 4, "n2": 3 / 4}, abs=tolerance)


def test_without_replacement_the_second_parent_follows_the_same_weights() -> None:
    pairs = Counter(tuple(one.id for one in pair) for pair in roulette(people([1.0, 2.0, 5.0]), 8000, 2, rng(1)))
    assert pairs["n2", "n1"] / 8000 == pytest.approx(5 / 8 * 2 / 3, abs=0.025)
    assert pairs["n0", "n1"] / 8000 == pytest.approx(1 / 8 * 2 / 7, abs=0.02)


@pytest.mark.parametrize("worst", [0.1, 1000.0, math.inf])
def test_the_infeasible_are_below_every_feasible_one_and_do_not_flatten_the_rest(worst: float) -> None:
    pool = people([0.2, 0.8, 99.0], violations=[0.0, 0.0, worst])
    low, high, invalid = values(pool.population)
    assert invalid < low < high and math.isfinite(invalid)
    drawn = share(roulette, pool)
    assert drawn["n2"] < drawn["n0"] and drawn["n1"] > 1.4 * drawn["n0"]


def test_more_violation_is_worse_also_among_the_infeasible() -> None:
    scores = values(people([9.0, 5.0, 1.0], violations=[math.inf, 2.0, 1.0]).population)
    assert scores == sorted(scores) and len(set(scores)) == 3


def test_scores_are_compared_on_common_cases() -> None:
    lucky, whole = one("lucky", 1.0, cases={"a": 0.2}), one("whole", 0.5, cases={"a": 0.4, "b": 0.6}, seat=1)
    assert values([lucky, whole]) == [0.2, 0.4]


def test_shapings() -> None:
    assert proportional([]).tolist() == [] and flat([1.0, 2.0]).tolist() == [1.0, 1.0]
    assert proportional([2.0, 1.0]).tolist() == [1.0, 0.5], "in proportion"
    assert proportional([-1.0, -1.0]).tolist() == [1.0, 1.0] == proportional([0.0, 0.0]).tolist()
    assert linear_rank([5.0, -1.0, 5.0, 7.0]).tolist() == [2.5, 1.0, 2.5, 4.0]
    assert centered_rank([3.0, 1.0, 2.0]).tolist() == [0.5, -0.5, 0.0] and centered_rank([1.0]).tolist() == [-0.5]
    assert boltzmann(1e-9)([0.0, 1.0]).tolist() == [0.0, 1.0] and boltzmann(1.0)([]).tolist() == []
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="positive"):
            boltzmann(wrong)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.sampled_from([flat, proportional, linear_rank]))
def test_weights_are_finite_non_negative_and_not_all_zero(scores: list[float], shaping: Any) -> None:
    weights = shaping(scores)
    assert len(weights) == len(scores) and np.isfinite(weights).all() and weights.min() >= 0 and weights.sum() > 0


def test_targets_go_round_the_seats_with_donors_and_the_best() -> None:
    pool = people([3.0, 9.0, 1.0, 4.0])
    tuples = targets(pool, 8, 4, rng())
    assert [t[0].seat for t in tuples] == [0, 1, 2, 3] * 2
    for me, a, b, best in tuples:
        assert len({me.id, a.id, b.id}) == 3 and best.id == "n1"
    later = View(pool.population, pool.memory, pool.hall, pool.worst, turn=2)
    assert [t[0].seat for t in targets(later, 3, 4, rng())] == [2, 3, 0]


def test_swarm_roles_come_from_the_memory() -> None:
    view = people([3.0, 9.0])
    moved = one("m", 1.0, digits="55", seat=0)
    moved = Individual(moved.id, moved.genome, moved.fitness, ("n0",), seat=0)
    view = view.advance([moved, view.population[1]], [moved], {"m"})
    first, second = swarm(view, 2, 5, rng())
    assert [x.id for x in first] == ["m", "n0", "n0", "n1", "m"]
    assert [x.id for x in second] == ["n1", "n1", "n1", "n1", "m"], "a founder has no previous: it stands in itself"


def test_who_found_nothing_better_for_so_many_moves_begins_again_where_its_best_was() -> None:
    select, view = Roles(swarm.names, restart=2), people([3.0, 9.0])

    def moved(name: str, value: float, was: str) -> View[Digits]:
        made = one(name, value, digits=name[1:] * 2, seat=0)
        me = Individual(made.id, made.genome, made.fitness, (was,), seat=0)
        return view.advance([me, view.population[1]], [me], {name})

    view = moved("m1", 1.0, "n0")
    assert [x.id for x in select(view, 1, 5, rng())[0]] == ["m1", "n0", "n0", "n1", "m1"], "one move is not enough"
    view = moved("m2", 2.0, "m1")
    assert view.memory["m2"].since == 2
    (again,) = select(view, 1, 5, rng())
    assert [x.id for x in again] == ["n0", "n0", "n0", "n1", "m1"] and again[0].seat == 0, "at rest at its own best"
    assert [x.id for x in swarm(view, 1, 5, rng())[0]][:2] == ["m2", "m1"], "without a restart it goes on"
    view = moved("m3", 4.0, "m2")
    assert view.memory["m3"].since == 0
    assert [x.id for x in select(view, 1, 5, rng())[0]][:3] == ["m3", "m2", "m3"], "better than ever: it moves on"


def test_roles_are_checked() -> None:
    with pytest.raises(ValueError, match="at least one move"):
        Roles(swarm.names, restart=0)
    with pytest.raises(ValueError, match="roles start with 'self'"):
        Roles(("best", "self"))
    with pytest.raises(ValueError, match="among"):
        Roles(("self", "freind"))
    with pytest.raises(ValueError, match="takes 2"):
        targets(people([1.0]), 1, 2, rng())
    with pytest.raises(ValueError, match="at least one contestant"):
        Tournament(0)


@pytest.mark.parametrize("selection", SEATED, ids=named)
def test_seated_selections_need_only_one_member(selection: Any) -> None:
    lonely = people([1.0])
    (parents,) = selection(lonely, 1, len(selection.names), rng())
    assert {one.id for one in parents} == {"n0"}


def test_distinct_keeps_the_first() -> None:
    assert [one.id for one in distinct(people([1.0, 2.0, 3.0], [5, 6, 5]).population)] == ["n0", "n1"]


def test_best_first_climbs_while_it_improves_and_turns_to_others_when_it_does_not() -> None:
    select, view = BestFirst(patience=2, loss=1), people([1.0, 3.0, 2.0])
    order = []
    for i in range(8):
        [(parent,)] = select(view, 1, 1, rng(i))
        order.append(parent.id)
        view = view.advance(view.population, [Stillborn(f"s{i}", "nothing", (parent.id,))])
    assert order == ["n1", "n1", "n2", "n2", "n0", "n0", "n1", "n1"], "all are spent: the best is next again"
    better = one("new", 9.0, digits="99")
    view = view.advance([*view.population, better], [better])
    assert [parents[0].id for parents in select(view, 3, 2, rng())] == ["new"] * 3
    young = people([1.0, 2.0])
    young = young.advance(young.population, [Stillborn("gone", "known", ("n1",))])
    assert BestFirst(patience=4)(young, 1, 1, rng())[0][0].id == "n0", "a stillbirth counts as four children"
    assert BestFirst(patience=5)(young, 1, 1, rng())[0][0].id == "n1"


def test_best_first_draws_the_other_roles_from_the_rest() -> None:
    drawn = Counter(pair[1].id for pair in BestFirst()(people([1.0, 3.0, 2.0, 0.0]), 300, 2, rng()))
    assert drawn["n1"] == 0 and drawn["n2"] > drawn["n0"] > 0 == drawn["n3"], "the worst of three loses against either of the others"
    with pytest.raises(ValueError, match="patience"):
        BestFirst(patience=0)
