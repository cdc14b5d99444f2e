from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from llmevo.breeding import Behind, Capo, Truncate, crown
from llmevo.breeding.racing import Lap, Rule, tail
from llmevo.core import Seed


def lap(rows: list[list[float]], running: int | None = None, cases: int = 100, share: float = 1.0, places: int = 1) -> Lap:
    return Lap(np.array(rows), len(rows) if running is None else running, cases, share, places)


def bits(share: float, n: int = 20) -> list[float]:
    """Right on the first cases, wrong on the others."""
    return [1.0 if i < share * n else 0.0 for i in range(n)]


@pytest.mark.parametrize(("t", "freedom", "p"), [(0.0, 5, 0.5), (2.015, 5, 0.05), (-2.015, 5, 0.95), (3.747, 4, 0.01), (1.697, 30, 0.05)])
def test_the_tail_of_t_is_that_of_the_tables(t: float, freedom: int, p: float) -> None:
    assert tail(t, freedom) == pytest.approx(p, abs=0.004)


def test_who_is_surely_behind_is_dropped_with_a_reason() -> None:
    out = Behind(keep=1)(lap([bits(0.9), bits(0.85), bits(0.1)]))
    assert list(out) == [2] and out[2].startswith("0.800 behind place 1 (p = ")


def test_incumbents_are_compared_with_and_never_dropped() -> None:
    assert list(Behind(keep=1)(lap([bits(0.9), bits(0.1)], running=1))) == []
    assert list(Behind(keep=1)(lap([bits(0.1), bits(0.9)], running=1))) == [0]


def test_the_best_places_stay_and_so_do_the_kept() -> None:
    rows = [bits(0.9), bits(0.5), bits(0.1), bits(0.0)]
    assert set(Behind(keep=1)(lap(rows))) == {1, 2, 3}
    assert set(Behind(keep=1)(lap(rows, places=2))) == {2, 3}
    assert set(Behind(keep=3)(lap(rows))) == {3}


def test_a_share_of_nothing_drops_nobody_and_the_last_case_neither() -> None:
    rows = [bits(0.9), bits(0.0)]
    assert not Behind(keep=1)(lap(rows, share=0.0))
    assert not Behind(keep=1)(lap(rows, cases=20))


def test_near_the_end_less_is_enough() -> None:
    """Two of twenty cases are nothing when a hundred decide, and much when there are 21."""
    rows = [bits(0.9), bits(0.8)]
    assert not Behind(keep=1)(lap(rows)) and Behind(keep=1)(lap(rows, cases=21))


def test_two_cases_that_agree_are_no_certainty() -> None:
    assert not Behind(keep=1)(lap([[1.0, 1.0], [0.0, 0.0]]))


@pytest.mark.parametrize(("rivals", "bound"), [(1, 0.05), (19, 0.1)])
def test_equals_are_dropped_about_as_often_as_stated(rivals: int, bound: float) -> None:
    """Equals on six blocks: how often the one who would be best in full is dropped. The error is stated against one rival."""
    rng, wrong, races = Seed.of(1).rng(), 0, 400
    for _ in range(races):
        scores, alive = rng.normal(size=(rivals + 1, 6)), np.arange(rivals + 1)
        best = int(scores.mean(axis=1).argmax())
        for seen, share in ((2, 0.4), (3, 0.3), (4, 0.2), (5, 0.1)):
            out = Behind(keep=1)(Lap(scores[alive, :seen], len(alive), 6, share))
            alive = np.array([one for row, one in enumerate(alive) if row not in out])
        wrong += best not in alive
    assert 0 < wrong / races <= bound


def test_capo_counts_those_who_are_better() -> None:
    noisy = [[0.9, 0.8, 0.9], [0.8, 0.9, 0.8], [0.2, 0.1, 0.3]]
    assert set(Capo()(lap(noisy, places=2))) == {2}
    assert not Capo()(lap(noisy, places=3)) and not Capo()(lap([[0.9], [0.1]]))
    assert set(Capo()(lap([[0.5, 0.5], [0.4, 0.4]]))) == {1}, "a gap without deviation is certain, as in a t-test"


def test_truncation_keeps_a_share_and_never_less_than_the_places() -> None:
    rows = [[0.1], [0.9], [0.5], [0.7]]
    assert set(Truncate(0.5)(lap(rows))) == {0, 2}
    assert set(Truncate(0.1)(lap(rows, places=3))) == {0}


@pytest.mark.parametrize("bad", [0.0, 1.0, math.nan])
def test_an_error_is_between_0_and_1(bad: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Behind(bad)


@pytest.mark.parametrize("rule", [Behind(0.1), Capo(0.1), Truncate(0.1)])
def test_the_key_names_the_parameters(rule: Rule) -> None:
    assert "0.1" in rule.key


def scores(prefix: str, *values: float) -> Mapping[str, float]:
    return {f"{prefix}{i}": value for i, value in enumerate(values)}


def test_the_crown_is_for_the_best_of_both_and_its_score_is_honest() -> None:
    searched = [scores("s", 0.6, 0.6), scores("s", 0.5, 0.5)]
    fresh = [scores("f", 0.0, 0.6), scores("f", 1.0, 0.6)]
    found = crown(searched, fresh)
    assert found.place == 1
    # Without the first fresh case the first one would be crowned, and fails there; without the second the other one.
    assert found.honest == (0.0, 0.6)


def test_the_honest_score_is_not_too_good_where_all_are_equal() -> None:
    rng, claims, lucky = Seed.of(3).rng(), [], []
    for _ in range(400):
        table = rng.normal(size=(3, 10))
        found = crown([scores("s", *row[:6]) for row in table], [scores("f", *row[6:]) for row in table])
        claims.append(sum(found.honest) / 4)
        lucky.append(table[found.place, 6:].mean())
    assert abs(np.mean(claims)) < 0.05 < np.mean(lucky)


def test_a_tie_is_for_the_first() -> None:
    assert crown([scores("s", 0.5)] * 2, [scores("f", 0.5)] * 2).place == 0
