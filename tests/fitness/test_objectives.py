"""Several objectives as one value: weighted, lexicographic; as scorers of an evaluation and in a check's verdict."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.core import ConfigError, Context, InvalidFitness, Seed
from llmevo.core.fitness import Fitness, revised
from llmevo.fitness import Case, Evaluator, FunctionScorer, Lexicographic, Several, WeightedSum, scorer_named
from llmevo.fitness.check import Checked, Verdict, verdict
from llmevo.fitness.contract import NoAnswer
from llmevo.text import TextGenome
from llmevo.text.phenotypes import Verbatim

numbers = st.floats(-1e3, 1e3)


def test_a_weighted_sum() -> None:
    rule = WeightedSum({"right": 1.0, "length": -0.01})
    assert rule({"right": 0.8, "length": 20.0, "other": 9.0}) == pytest.approx(0.6)
    with pytest.raises(InvalidFitness, match="no objective 'length'"):
        rule({"right": 1.0})
    for bad in ({}, {"a": 0.0}, {"a": math.nan}, {"a": math.inf, "b": 1.0}):
        with pytest.raises(ConfigError):
            WeightedSum(bad)


@given(numbers, numbers, numbers, numbers, st.sampled_from([1e-3, 0.01, 0.5]))
def test_the_first_objective_decides_and_the_next_within_a_step(a: float, b: float, x: float, y: float, step: float) -> None:
    rule = Lexicographic(("first", "second"), step)
    one, two = rule({"first": a, "second": x}), rule({"first": b, "second": y})
    if a - b > step * (1 + 1e-6):
        assert one > two
    if a == b and x - y > 1e-3:
        assert one > two
    assert a - step * (1 + 1e-6) <= one <= a + step * (1 + 1e-6), "the value stays within a step of the first"


def test_three_in_turn_and_mistakes() -> None:
    rule = Lexicographic(("a", "b", "c"), 0.1)
    values = [rule({"a": a, "b": b, "c": c}) for a in (0.0, 0.5, 1.0) for b in (0.0, 9.0) for c in (0.0, 1.0)]
    assert values == sorted(values) and len(set(values)) == len(values)
    for order, step in ((("a",), 0.1), (("a", "a"), 0.1), (("a", "b"), 0.0), (("a", "b"), math.nan)):
        with pytest.raises(ConfigError):
            Lexicographic(order, step)


def brevity(answer: str, case: Case) -> float:
    return 1 / len(answer)


CASES = [Case("1", "?", "yes"), Case("2", "?", "no")]


def several(rule: Any) -> Several:
    return Several({"right": scorer_named("exact"), "short": FunctionScorer(brevity)}, rule)


def test_scorers_as_objectives_of_an_evaluation() -> None:
    scorer = several(WeightedSum({"right": 1.0, "short": 0.5}))
    evaluate: Evaluator[TextGenome] = Evaluator(Verbatim(), CASES, scorer)
    [fitness] = asyncio.run(evaluate([TextGenome("yes")], [Context(Seed.of(0))]))
    assert dict(fitness.objectives) == {"right": 0.5, "short": pytest.approx(1 / 3)}
    assert fitness.value == pytest.approx(0.5 + 0.5 / 3)
    assert fitness.value == pytest.approx(math.fsum(fitness.cases.values()) / 2)
    assert scorer.key != several(Lexicographic(("right", "short"))).key
    step = several(Lexicographic(("right", "short"), 0.5))
    [fitness] = asyncio.run(Evaluator(Verbatim(), CASES, step)([TextGenome("yes")], [Context(Seed.of(0))]))
    assert fitness.value == step.scalarise(fitness.objectives) and 0.5 < fitness.value < 1.0


def test_an_answer_that_did_not_come_has_every_minimum() -> None:
    class Silent:
        key, whole_cohort = "silent", False

        async def __call__(self, genomes: Any, cases: Any, contexts: Any) -> Any:
            return [[NoAnswer("refused")] * len(cases) for _ in genomes]

    evaluate: Evaluator[TextGenome] = Evaluator(Silent(), CASES, several(WeightedSum({"right": 1.0, "short": 1.0})))
    [fitness] = asyncio.run(evaluate([TextGenome("yes")], [Context(Seed.of(0))]))
    assert dict(fitness.objectives) == {"right": 0.0, "short": 0.0} and fitness.value == 0.0


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'short'"):
        several(WeightedSum({"right": 1.0, "shrt": 1.0}))
    with pytest.raises(ConfigError, match="at least two"):
        Several({"right": scorer_named("exact")}, WeightedSum({"right": 1.0}))


def test_a_check_with_several_objectives() -> None:
    rule = WeightedSum({"right": 1.0, "length": -0.1})
    checked: Checked[TextGenome] = Checked(
        lambda answer: (Verdict.of({"right": 1.0, "length": len(answer)}, rule), "fine"), reads=lambda genome: genome.text
    )
    [fitness] = asyncio.run(checked([TextGenome("12345")], [Context(Seed.of(0))]))
    assert dict(fitness.objectives) == {"right": 1.0, "length": 5.0}
    assert fitness.value == pytest.approx(0.5) and fitness.violation == 0 and fitness.feedback == ("fine",)
    with pytest.raises(InvalidFitness):
        verdict(Verdict(1.0, objectives={"a": math.nan}))


def test_objectives_are_revised_over_all_cases() -> None:
    old = Fitness(0.5, objectives={"a": 0.5, "b": 1.0}, cases={"1": 0.0, "2": 1.0})
    new = Fitness(1.0, objectives={"a": 1.0, "b": 0.0}, cases={"3": 1.0})
    assert dict(revised(old, new).objectives) == {"a": pytest.approx(2 / 3), "b": pytest.approx(2 / 3)}
    again = Fitness(1.0, objectives={"a": 1.0, "b": 0.0}, cases={"1": 1.0, "2": 1.0})
    assert dict(revised(old, again).objectives) == {"a": 1.0, "b": 0.0}
