"""Paired differences, their correction, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from llmevo.report.pairing import Difference, corrected, difference, gap_of, generator, mean_of, together


def table(seed: int, share: float, runs: int = 10, cases: int = 200) -> np.ndarray:
    return (np.random.default_rng(seed).random((runs, cases)) < share).astype(float)


def test_a_difference_is_found_and_equals_are_not_told_apart() -> None:
    good, bad, alike = table(1, 0.9), table(2, 0.5), table(3, 0.9)
    found = difference(good, bad, generator("a"))
    assert found.verdict == "better" and 0.3 < found.low < found.mean < found.high < 0.5 and found.p < 0.001
    assert difference(bad, good, generator("a")).verdict == "worse"
    equal = difference(good, alike, generator("a"))
    assert equal.verdict == "no difference" and equal.low <= 0 <= equal.high and equal.p > 0.05
    same = difference(good, good, generator("a"))
    assert (same.mean, same.low, same.high, same.p, same.verdict) == (0, 0, 0, 1.0, "no difference")
    assert "n = 10 x 200" in str(found) and "better (+0." in str(found)


def test_pairing_takes_out_what_seeds_and_cases_share() -> None:
    rng = np.random.default_rng(5)
    hard = rng.random(200)[None, :] + 0.3 * rng.random(10)[:, None]
    found = difference(hard + 0.01 + 0.001 * rng.random((10, 200)), hard, generator("x"))
    assert found.verdict == "better" and found.high - found.low < 0.001


def test_intervals_cover_at_about_their_rate() -> None:
    """With seeds and cases drawn anew: a mean of 0 is inside the interval in most of 100 worlds."""
    inside = 0
    for world in range(100):
        rng = np.random.default_rng(world)
        d = rng.normal(size=(12, 1)) + rng.normal(size=(1, 40)) + rng.normal(size=(12, 40))
        found = difference(d, np.zeros_like(d), generator(world))
        inside += found.low <= 0 <= found.high
    assert 85 <= inside <= 100


def test_holm_by_hand() -> None:
    made = [Difference(0.1, 0.05, 0.15, p, 10, 100) for p in (0.01, 0.04, 0.03, 0.005)]
    assert [one.p for one in corrected(made)] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [one.verdict for one in corrected(made)] == ["better", "no difference", "no difference", "better"]
    assert corrected([]) == []


def test_tasks_count_the_same_whatever_their_size() -> None:
    large, small = (table(1, 0.9, cases=400), table(2, 0.7, cases=400)), (table(3, 0.5, cases=20), table(4, 0.9, cases=20))
    found = together([large, small], generator("t"))
    assert found.mean == pytest.approx(((large[0] - large[1]).mean() + (small[0] - small[1]).mean()) / 2)
    assert found.cases == 420 and found.runs == 10
    assert mean_of(table(1, 0.9), generator("m")).n == 10


def test_the_gap_between_two_sets_of_cases_is_unsure_also_where_all_seeds_agree() -> None:
    dev, test = np.tile([1.0, 1.0, 0.0, 1.0], (3, 1)), np.tile([0.0, 1.0, 0.0, 1.0, 0.0], (3, 1))
    gap = gap_of(dev, test, generator("gap"))
    assert gap.mean == pytest.approx(0.75 - 0.4) and gap.low < gap.mean - 0.2 and gap.high > gap.mean + 0.2 and gap.n == 3
