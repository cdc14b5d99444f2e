"""Edits without a model: children that differ, are never empty, and come from the seed alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.core import ConfigError, Context, Fitness, Individual, Seed, VariationFailed
from llmevo.text import ANY, Cut, Splice, TextGenome, WordEdits, on
from llmevo.text.edits import EDITS, clauses, joined, words

A = "Read the review, then decide: is it good or bad? Answer with one word."
B = "You label films. Say positive when the writer liked it; otherwise say negative."


def parent(text: str) -> Individual[TextGenome]:
    return Individual(text, TextGenome(text), Fitness(0.5))


def child(variation: Any, *texts: str, seed: int = 0) -> str:
    result: TextGenome = asyncio.run(variation([parent(text) for text in texts], Context(Seed.of(seed), "m")))
    return result.text


ALL: list[tuple[Any, int]] = [
    *((WordEdits(kinds=(kind,)), 1) for kind in EDITS),
    (WordEdits(most=4), 1),
    (WordEdits(unit="clauses"), 1),
    (WordEdits(arity=2), 2),
    (WordEdits(arity=3, most=3), 3),
    (Splice(), 2),
    (Splice(unit="clauses"), 2),
    (Cut(), 2),
    (Cut("words"), 2),
]


@pytest.mark.parametrize(("variation", "arity"), ALL, ids=lambda one: getattr(one, "key", one))
def test_children_differ_and_depend_on_the_seed_alone(variation: Any, arity: int) -> None:
    texts = (A, B, "Be brief.")[:arity]
    assert variation.arity == arity
    children = [child(variation, *texts, seed=seed) for seed in range(30)]
    assert all(one and one not in texts and one == one.strip() for one in children)
    assert len(set(children)) > 5
    assert children == [child(variation, *texts, seed=seed) for seed in range(30)]


@pytest.mark.parametrize("arity", [2, 3])
def test_words_come_from_the_other_parents(arity: int) -> None:
    variation = WordEdits(arity=arity, kinds=("insert", "replace"))
    own = set(A.split())
    new: set[str] = set()
    for seed in range(40):
        new |= set(child(variation, *(A, B, "zebra")[:arity], seed=seed).split()) - own
    assert new and new <= set(B.split()) | ({"zebra"} if arity == 3 else set())
    assert arity == 2 or "zebra" in new


def test_a_vocabulary_feeds_replacement() -> None:
    variation = WordEdits(vocabulary=("kiwi", "plum"), kinds=("replace",))
    for seed in range(20):
        assert set(child(variation, A, seed=seed).split()) - set(A.split()) <= {"kiwi", "plum"}


def test_crossovers_hold_spans_of_both_parents() -> None:
    for variation in (Splice(), Cut("words"), Cut()):
        both = 0
        for seed in range(30):
            made = child(variation, A, B, seed=seed)
            assert set(made.split()) <= set(A.split()) | set(B.split())
            both += bool(set(made.split()) & (set(A.split()) - set(B.split()))) and bool(
                set(made.split()) & (set(B.split()) - set(A.split()))
            )
        assert both >= 20, variation.key


def test_blind_edits_do_not_grow_texts_by_themselves() -> None:
    text = A
    for seed in range(300):
        text = child(WordEdits(), text, seed=seed)
    assert 3 <= len(text.split()) <= 45


def test_where_nothing_different_can_come_it_is_a_failed_birth() -> None:
    for variation, texts in (
        (WordEdits(kinds=("swap",)), ["one"]),
        (WordEdits(), [""]),
        (Splice(), ["x", "x"]),
        (Cut(), ["", ""]),
    ):
        with pytest.raises(VariationFailed, match="16 draws"):
            child(variation, *texts)


def test_parameters_are_checked_and_in_the_key() -> None:
    with pytest.raises(ConfigError, match="no edit 'swop'; did you mean 'swap'"):
        WordEdits(kinds=("swop",))
    for bad in (lambda: WordEdits(unit="letters"), lambda: Splice(unit="x"), lambda: Cut("x"), lambda: WordEdits(kinds=())):
        with pytest.raises(ConfigError):
            bad()
    assert len({one.key for one, _ in ALL} | {WordEdits(vocabulary=("a",)).key, WordEdits(vocabulary=("b",)).key}) == len(ALL) + 2


def test_edits_of_one_part_of_several() -> None:
    genome = TextGenome({"neg": "a bad film", "pos": "a good film"})
    one = Individual("x", genome, Fitness(0.1))
    made: TextGenome = asyncio.run(on(ANY, WordEdits())([one], Context(Seed.of(1), "m")))
    assert list(made.parts) == ["neg", "pos"]
    assert sum(made.part(name) != genome.part(name) for name in genome.parts) == 1


@given(st.text())
def test_cutting_loses_nothing_but_outer_white_space(text: str) -> None:
    assert "".join(words(text)) == text.lstrip()
    assert joined(words(text)) == text.strip()
    assert all(clause.strip() for clause in clauses(text))


def test_clauses_keep_their_punctuation() -> None:
    assert clauses(A) == ["Read the review, ", "then decide: ", "is it good or bad? ", "Answer with one word."]
    assert joined(["a", "b ", "", "c\n", "d"]) == "a b c\nd"
