from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.core import Fitness, InvalidFitness, Usage, as_score, canonical, common_cases, outranks, revised, standing


class Tensor:
    """A tensor as far as a fitness sees one."""

    def __init__(self, *numbers: Any) -> None:
        self.numbers = numbers

    def item(self) -> Any:
        if len(self.numbers) != 1:
            raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")
        return self.numbers[0]


@pytest.mark.fault("E2", "E3")
@pytest.mark.parametrize(
    ("value", "score"),
    [
        (1, 1.0), (0.5, 0.5), (-3, -3.0), (True, 1.0), (False, 0.0), (np.float32(0.5), 0.5), (np.int64(2), 2.0),
        (np.bool_(True), 1.0), (np.array(0.25), 0.25), (np.array([0.25]), 0.25), (Tensor(0.75), 0.75),
        (math.nan, None), (math.inf, None), (-math.inf, None), (np.float64("nan"), None), (Tensor(math.nan), None),
        (None, None), ("0.5", None), (np.str_("0.5"), None), ({"accuracy": 1.0}, None), ([1.0], None), ((1.0,), None),
        (np.array([1.0, 2.0]), None), (np.array([]), None), (Tensor(1, 2), None), (1j, None), (np.complex128(1), None),
        (Decimal("0.5"), None), (Fraction(1, 2), None), (10**400, None), (object(), None), (float, None), (b"1", None),
    ],
)  # fmt: skip
def test_what_counts_as_a_score(value: Any, score: float | None) -> None:
    fitness = Fitness.measured(value)
    if score is None:
        with pytest.raises(InvalidFitness, match="a fitness must be"):
            as_score(value)
        assert not fitness.ok and fitness.value == -math.inf and fitness.error
    else:
        assert type(as_score(value)) is float and as_score(value) == score
        assert fitness.ok and type(fitness.value) is float and fitness.value == score


@pytest.mark.fault("E2", "E3")
@pytest.mark.parametrize(
    "broken",
    [
        {"cases": {"a": math.nan}}, {"cases": {"a": math.inf}}, {"cases": {"a": None}}, {"cases": {"a": "1"}}, {"cases": {1: 0.5}},
        {"cases": [0.5]}, {"objectives": {"x": math.nan}}, {"measures": (math.nan,)}, {"measures": ("a",)}, {"violation": math.nan},
        {"violation": -1.0}, {"violation": "0"}, {"feedback": "one string"}, {"feedback": (ValueError("x"),)},
        {"cases": {"a": 10**400}},
    ],
)  # fmt: skip
def test_no_part_of_a_fitness_can_be_what_the_journal_cannot_hold(broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidFitness):
        Fitness(0.5, **broken)
    assert not Fitness.measured(0.5, **broken).ok


def test_a_failure_has_no_value() -> None:
    with pytest.raises(InvalidFitness, match="-inf"):
        Fitness(0.0, error="broken")
    assert Fitness.measured(None, usage=Usage(calls=3)).usage.calls == 3, "a failed evaluation was paid for all the same"


def test_numpy_parts_become_plain_numbers() -> None:
    fitness = Fitness(np.float32(0.5), cases={"a": np.float32(0.25), "b": 1}, measures=np.array([1, 2]))  # type: ignore[arg-type]
    assert canonical([fitness.value, dict(fitness.cases), fitness.measures]) == '[0.5,{"a":0.25,"b":1.0},[1.0,2.0]]'


def test_scores_by_case_are_an_immutable_mapping() -> None:
    given_ = {"a": 1.0, "b": 2.0}
    fitness = Fitness(0.0, cases=given_)
    given_["a"] = 9.0
    assert fitness.cases == {"a": 1.0, "b": 2.0} and fitness.cases == {"b": 2.0, "a": 1.0}
    assert list(fitness.cases.items()) == [("a", 1.0), ("b", 2.0)] and "c" not in fitness.cases and len(fitness.cases) == 2
    with pytest.raises(KeyError):
        fitness.cases["c"]
    assert Fitness(0.0, cases=fitness.cases) == fitness


def f(value: float | None = 0.0, violation: float = 0.0, **cases: float) -> Fitness:
    if value is None:
        return Fitness.failed("broken")
    return Fitness(value, violation, cases=cases)


def test_failed_then_invalid_then_value() -> None:
    ladder = [f(None), f(9.0, 2.0), f(-9.0, 1.0), f(-5.0), f(3.0)]
    for i, low in enumerate(ladder):
        for j, high in enumerate(ladder):
            assert outranks(high, low) == (j > i)


def test_scores_are_compared_on_common_cases_only() -> None:
    lucky, whole = f(1.0, a=1.0), f(0.6, a=1.0, b=0.2)
    assert not outranks(lucky, whole) and not outranks(whole, lucky), "they tie on the case that both have"
    assert outranks(f(0.1, a=0.9, b=-0.7), f(0.5, a=0.5)), "on case a"
    assert not outranks(f(5.0, a=1.0), f(1.0, b=1.0)) and not outranks(f(1.0, b=1.0), f(5.0, a=1.0)), "nothing in common: a tie"
    assert outranks(f(5.0, a=0.0), f(1.0, a=0.0)), "with the same cases the value decides, whatever it is made of"


def test_common_cases() -> None:
    assert common_cases([]) is None
    assert common_cases([f(), f()]) is None
    assert common_cases([f(a=1, b=2), f(b=1, a=2)]) is None, "order does not matter"
    assert common_cases([f(a=1, b=2), f(b=1), f(b=3, c=1)]) == {"b"}
    assert common_cases([f(a=1), f(b=1), f(a=1)]) == frozenset()
    assert standing(f(0.3), frozenset())[2] == 0.0


FITNESS = st.builds(
    lambda value, violation, cases, ok: f(value if ok else None, violation, **cases),
    st.floats(-5, 5), st.sampled_from([0.0, 0.0, 1.0, math.inf]),
    st.dictionaries(st.sampled_from("abc"), st.floats(-5, 5), max_size=3), st.booleans(),
)  # fmt: skip


@given(FITNESS, FITNESS)
def test_outranks_is_strict_and_agrees_with_standing(a: Fitness, b: Fitness) -> None:
    assert not (outranks(a, b) and outranks(b, a)) and not outranks(a, a)
    common = common_cases((a, b)) if a.ok and b.ok else None
    assert outranks(a, b) == (standing(a, common) > standing(b, common))


def test_revised_unites_cases_and_adds_usage() -> None:
    old = Fitness(1.0, cases={"a": 1.0}, usage=Usage(calls=1), feedback=("old",))
    new = Fitness(0.0, cases={"b": 0.0, "c": 0.5}, usage=Usage(calls=2))
    both = revised(old, new)
    assert both.cases == {"a": 1.0, "b": 0.0, "c": 0.5} and both.value == 0.5
    assert both.usage.calls == 3 and both.feedback == ("old",)
    assert revised(both, Fitness(0.0, cases={"a": 0.0})).cases["a"] == 0.0, "the newer score of a case stands"
    assert revised(f(1.0), f(0.25)).value == 0.25, "without cases the newer value stands"


def test_a_failed_reassessment_changes_nothing_but_the_cost() -> None:
    old = Fitness(1.0, cases={"a": 1.0}, usage=Usage(calls=1))
    again = revised(old, Fitness.failed("down", Usage(calls=2)))
    assert again == Fitness(1.0, cases={"a": 1.0}, usage=Usage(calls=3))
    assert revised(Fitness.failed("first"), f(0.5)).value == 0.5
