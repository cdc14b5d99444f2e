"""The smooth fitness of class descriptions, and the edits that draw on example texts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import pytest

from llmevo.core import CaseSlice, ConfigError, Context, Individual, Seed, VariationFailed
from llmevo.fitness import Case
from llmevo.fitness.contract import Failure
from llmevo.text import Encoded, TextGenome
from llmevo.text.likelihood import Likelihood
from llmevo.text.phrases import Corrections, Phrases

PLACES = {"north": (1.0, 0.0), "south": (0.0, 1.0), "mostly north": (0.8, 0.6), "mostly south": (0.6, 0.8)}
CASES = [Case("a", "mostly north", "N"), Case("b", "mostly south", "S"), Case("c", "north", "S")]


def encode(texts: Sequence[str]) -> np.ndarray:
    return np.array([PLACES[text] for text in texts], np.float32)


def likelihood(**more: float) -> Likelihood:
    return Likelihood(Encoded(encode, key="compass"), CASES, **more)  # type: ignore[arg-type]


def score(evaluate: Likelihood, *genomes: TextGenome, cases: CaseSlice | None = None):  # type: ignore[no-untyped-def]
    return asyncio.run(evaluate(list(genomes), [Context(Seed.of(0), cases=cases) for _ in genomes]))


def test_it_is_the_mean_log_probability_of_the_right_class() -> None:
    (fitness,) = score(likelihood(temperature=0.5), TextGenome({"N": "north", "S": "south"}))
    expected = {"a": -math.log1p(math.exp(-0.4)), "b": -math.log1p(math.exp(-0.4)), "c": -math.log1p(math.exp(2.0))}
    assert fitness.cases == pytest.approx(expected, abs=1e-6)
    assert fitness.value == pytest.approx(sum(expected.values()) / 3, abs=1e-6)
    assert fitness.objectives["accuracy"] == pytest.approx(2 / 3)


def test_it_tells_genomes_of_equal_accuracy_apart() -> None:
    some = CaseSlice(("a", "b"))
    clear, vague = score(
        likelihood(), TextGenome({"N": "north", "S": "south"}), TextGenome({"N": "mostly north", "S": "mostly south"}), cases=some
    )
    assert clear.objectives == vague.objectives and clear.value > vague.value
    assert set(clear.cases) == {"a", "b"}


def test_wrong_cases_are_kept_as_failures_by_part() -> None:
    (fitness,) = score(likelihood(), TextGenome({"N": "north", "S": "south"}))
    assert [Failure.parse(text) for text in fitness.feedback] == [Failure("c", "north", "N", "S")]


def test_what_cannot_be_scored_says_why() -> None:
    (fitness,) = score(likelihood(), TextGenome({"N": "north", "W": "south"}))
    assert fitness.error is not None and "no part 'S'" in fitness.error
    with pytest.raises(ConfigError, match="positive"):
        likelihood(temperature=0.0)
    with pytest.raises(ConfigError, match="0 given"):
        Likelihood(Encoded(encode, key="compass"), [])
    with pytest.raises(ConfigError, match="no case 'd'"):
        score(likelihood(), TextGenome({"N": "north", "S": "south"}), cases=CaseSlice(("d",)))


def parent(genome: TextGenome) -> Individual[TextGenome]:
    return Individual("p", genome, score(likelihood(), genome)[0])


def test_a_correction_goes_to_the_class_that_would_have_been_right() -> None:
    one = parent(TextGenome({"N": "north", "S": "south"}))
    for seed in range(20):
        child = asyncio.run(Corrections()([one], Context(Seed.of(seed))))
        assert child.part("N") == "north" and "north" in child.part("S").split()
    happy = Individual("q", one.genome, score(likelihood(), one.genome, cases=CaseSlice(("a", "b")))[0])
    with pytest.raises(VariationFailed, match="no failure"):
        asyncio.run(Corrections()([happy], Context(Seed.of(0))))


def test_phrases_come_from_the_texts_and_texts_stay_short() -> None:
    variation = Phrases(("one two three four five", "six"), longest=2, limit=3)
    one = Individual("p", TextGenome("here it begins"), score(likelihood(), TextGenome({"N": "north", "S": "south"}))[0])
    known = set("here it begins one two three four five six".split())
    for seed in range(30):
        tokens = asyncio.run(variation([one], Context(Seed.of(seed)))).text.split()
        assert 1 <= len(tokens) <= 3 and set(tokens) <= known
    again = [asyncio.run(variation([one], Context(Seed.of(7)))).text for _ in range(2)]
    assert again[0] == again[1]
    with pytest.raises(ConfigError, match="example text"):
        Phrases(())
