"""Diversity of a set of texts, on examples that were worked out by hand, and ROUGE and BLEU against the libraries they come from."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.core import Context, Seed
from llmevo.fitness import Case, scorer_named
from llmevo.fitness.diversity import distinct, self_bleu


def test_distinct_by_hand() -> None:
    texts = ["the cat sat", "The cat ran."]
    assert distinct(texts, 1) == 4 / 6  # the cat sat ran, of six words
    assert distinct(texts, 2) == 3 / 4  # "the cat" twice
    assert distinct(texts, 3) == 1.0 and distinct(texts, 4) == 0.0
    assert distinct(["a a a a"], 1) == 1 / 4 and distinct([], 1) == 0.0 and distinct(["", "?!"], 1) == 0.0
    with pytest.raises(ValueError, match="at least one word"):
        distinct(texts, 0)


def test_self_bleu_by_hand() -> None:
    pytest.importorskip("sacrebleu")
    assert self_bleu(["one two three four five"] * 3) == pytest.approx(1.0)
    assert self_bleu(["one two three four five"]) == self_bleu([]) == 0.0
    # Each against the other: 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 quadruples; equal length, so no penalty.
    expected = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert self_bleu(["a b c d e", "a b c d f"]) == pytest.approx(expected)
    # Three texts: the third shares no word with the others and scores 0, the first two have each other.
    assert self_bleu(["a b c d e", "a b c d f", "v w x y z"]) == pytest.approx(2 * expected / 3)


@given(st.lists(st.text("ab ", min_size=1, max_size=12), max_size=5), st.integers(1, 3))
def test_distinct_is_a_share_that_no_repetition_raises(texts: list[str], n: int) -> None:
    value = distinct(texts, n)
    assert 0.0 <= value <= 1.0
    assert distinct([*texts, *texts], n) == value / 2


PAIRS = [
    ("the cat sat on the mat", "the cat is on the mat"), ("police killed the gunman", "the gunman was killed by police"), ("a", "b"),
    ("rivers run to the sea", "rivers run to the sea"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "target"), PAIRS)
def test_rouge_and_bleu_are_those_of_the_libraries(answer: str, target: str) -> None:
    rouge = pytest.importorskip("rouge_score.rouge_scorer")
    sacrebleu = pytest.importorskip("sacrebleu")

    def scored(name: str) -> float:
        return asyncio.run(scorer_named(name)(answer, Case("x", "", target), Context(Seed.of(0)))).value

    kept = rouge.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True).score(target, answer)
    for name, wanted in kept.items():
        assert scored(name) == pytest.approx(wanted.fmeasure)
    assert scored("rouge") == pytest.approx(sum(one.fmeasure for one in kept.values()) / 3)
    assert scored("bleu") == pytest.approx(sacrebleu.sentence_bleu(answer, [target], use_effective_order=True).score / 100)


def test_rouge_l_by_hand() -> None:
    pytest.importorskip("rouge_score")
    score = asyncio.run(scorer_named("rougeL")("the cat sat", Case("x", "", "the cat on a mat"), Context(Seed.of(0))))
    precision, recall = 2 / 3, 2 / 5  # the longest common subsequence is "the cat"
    assert score.value == pytest.approx(2 * precision * recall / (precision + recall))
