"""Fronts and crowding: against a brute-force sort, against pymoo where it is installed, and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.breeding import crowded_tournament, frontier, nondominated
from llmevo.breeding.pareto import crowding, fronts, places
from llmevo.core import ConfigError, Fitness, Individual, Seed, View
from llmevo.testing.toy import Digits

RNG = Seed.of(0).rng


def one(number: int, violation: float = 0.0, **objectives: float) -> Individual[Digits]:
    fitness = Fitness(sum(objectives.values()), violation, objectives)
    return Individual(str(number), Digits((number,)), fitness)


coordinates = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])
clouds = st.integers(1, 3).flatmap(lambda m: st.lists(st.tuples(*[coordinates] * m), min_size=1, max_size=12))


def beats(a: Any, b: Any) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))


@given(clouds, st.data())
def test_fronts_are_those_of_a_brute_force_sort(points: list[tuple[float, ...]], data: Any) -> None:
    violations = data.draw(st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.5]), min_size=len(points), max_size=len(points)))

    def dominates(i: int, j: int) -> bool:
        if violations[i] != violations[j]:
            return violations[i] < violations[j]
        return beats(points[i], points[j])

    left, expected = list(range(len(points))), []
    while left:
        front = [j for j in left if not any(dominates(i, j) for i in left)]
        expected.append(front)
        left = [j for j in left if j not in front]
    assert fronts(np.asarray(points), violations) == expected


@given(clouds)
def test_the_frontier_of_a_run_is_its_first_front_without_repetitions(points: list[tuple[float, ...]]) -> None:
    field = [one(i, **{f"o{k}": value for k, value in enumerate(point)}) for i, point in enumerate(points)]
    found = [tuple(member.fitness.objectives.values()) for member in frontier(field)]
    assert found == sorted({points[i] for i in fronts(np.asarray(points))[0]})


def test_crowding_by_hand() -> None:
    line = np.asarray([[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0]])
    assert crowding(line).tolist() == [math.inf, 3 / 4 + 3 / 4, 3 / 4 + 2 / 4, math.inf]
    twice = crowding(np.asarray([[0.0, 4.0], [1.0, 2.0], [1.0, 2.0], [4.0, 0.0]])).tolist()
    assert twice == [math.inf, 2.0, 0.0, math.inf], "of equal ones the first keeps its room"
    assert crowding(np.asarray([[1.0, 1.0]])).tolist() == [math.inf]
    assert crowding(np.asarray([[1.0, 5.0], [1.0, 7.0]])).tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("seed", range(5))
def test_against_pymoo(seed: int) -> None:
    sorting = pytest.importorskip("pymoo.util.nds.non_dominated_sorting")
    metrics = pytest.importorskip("pymoo.operators.survival.rank_and_crowding.metrics")
    points = np.random.default_rng(seed).integers(0, 12, size=(60, 2 + seed % 3)).astype(float)
    theirs = sorting.NonDominatedSorting().do(-points)
    assert [sorted(front.tolist()) for front in theirs] == fronts(points)
    # Where no two are equal in an objective, neighbours are unique; pymoo divides by the number of objectives, and minimises.
    cloud = np.random.default_rng(seed).random((60, 2 + seed % 3))
    first = cloud[fronts(cloud)[0]]
    room, ours = metrics.calc_crowding_distance(-first) * first.shape[1], crowding(first)
    assert np.array_equal(np.isinf(room), np.isinf(ours)) and np.allclose(room[~np.isinf(room)], ours[~np.isinf(ours)])


def test_succession_keeps_the_best_fronts_and_then_those_with_room() -> None:
    ends, middle = [one(0, a=0, b=4), one(1, a=4, b=0)], [one(2, a=2, b=2), one(3, a=2.1, b=1.9)]
    beaten, invalid = one(4, a=1, b=1), one(5, violation=0.1, a=9, b=9)
    population = nondominated(3)([*ends, invalid], [beaten, *middle], RNG())
    assert [member.id for member in population] == ["0", "1", "2"] or [member.id for member in population] == ["0", "1", "3"]
    everybody = nondominated(5)([*ends, invalid], [beaten, *middle], RNG())
    assert {member.id for member in everybody} == {"0", "1", "2", "3", "4"}, "feasible ones come before any that are not"
    # With equal objectives the incumbent stays.
    assert [member.id for member in nondominated(1)([one(7, a=1, b=1)], [one(8, a=1, b=1)], RNG())] == ["7"]


def test_one_objective_is_a_truncation() -> None:
    field = [Individual(str(i), Digits((i,)), Fitness(float(i))) for i in range(5)]
    assert [member.id for member in nondominated(2)(field, [], RNG())] == ["3", "4"]
    assert [rank for rank, _ in places(field)] == [-4, -3, -2, -1, 0] and places([]) == []


def test_the_crowded_tournament_prefers_the_better_front_then_room() -> None:
    field = (one(0, a=0, b=4), one(1, a=2, b=2), one(2, a=2.1, b=1.9), one(3, a=4, b=0), one(4, a=0, b=0))
    drawn = crowded_tournament(5)(View(field), 40, 1, RNG())
    assert {member.id for (member,) in drawn} <= {"0", "3"}
    few = crowded_tournament(2)(View(field), 300, 1, RNG())
    assert sum(member.id == "4" for (member,) in few) == 0, "who is dominated never wins against another"


def test_different_objectives_cannot_be_compared() -> None:
    with pytest.raises(ConfigError, match="a fitness has the objectives a"):
        places([one(0, a=1), one(1, a=1, b=2)])
