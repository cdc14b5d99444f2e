"""Circles in an answer are left, and text that repeats a word is not disturbed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llmevo.llm.embedded.loops import Circles
from llmevo.llm.embedded.runtime import WEIGHTS, Answer, Ask, EmbeddedModel
from llmevo.llm.embedded.tokenizer import ANSWER, END, Tokenizer

TOKENIZER = Tokenizer.load(WEIGHTS / "tokenizer.json")
CIRCLES = Circles(TOKENIZER)


@pytest.mark.parametrize(
    "text",
    [
        "It was very, very, very good.", " very very very very very very", "CONFIG = [0, 0, 0, 0, 0, 0, 0, 0, 0]", "----------",
        "price good, battery good, sound good, size good", " Read it. Read it. Then judge it. Read it. Judge it.",
        " one of A, one of B, one of C, one of D", "", " a",
    ],
    ids=["three times", "a word six times", "a list of zeros", "a ruler", "labels", "sentences", "alike", "nothing", "one token"],
)
def test_text_is_no_circle(text: str) -> None:
    written = TOKENIZER.encode(text)
    assert all(CIRCLES.barred(written[:n]) is None for n in range(len(written) + 1))


@pytest.mark.parametrize(
    ("before", "block", "times"),
    [
        (" World,", " zqxology,", 9), (" Say", " either as", 9), ("", " very", 14),
        (" It is", " told by nobody to a farmer that it was", 4),
        ("CONFIG = [", "0, ", 40), (" ", "-", 70),
    ],
    ids=["a word in pieces", "two words", "one word", "a clause", "digits", "signs"],
)
def test_a_circle_is_left_where_the_block_begins(before: str, block: str, times: int) -> None:
    first = TOKENIZER.encode(before)
    round_ = TOKENIZER.encode(before + block * 2)[len(first) :]
    round_ = round_[: len(round_) // 2]
    written = [*first, *round_ * times]
    left = next(n for n in range(len(written) + 1) if CIRCLES.barred(written[:n]) is not None)
    assert CIRCLES.barred(written[:left]) == written[left]
    assert len(first) + 3 * len(round_) <= left + 1, "said three times"
    assert not TOKENIZER.decode([written[left]])[0].isalpha(), "a word is not cut"


def test_pieces_of_a_word_alone_are_left_too() -> None:
    (piece,) = TOKENIZER.encode("ing")[-1:]
    assert CIRCLES.barred([piece] * 12) == piece


class Turning:
    """A decoder that goes round in a circle of tokens and would rather end than anything else."""

    limit = 500

    def __init__(self, circle: Sequence[int]) -> None:
        self.lengths = np.zeros(0)
        self._after = dict(zip(circle, [*circle[1:], circle[0]], strict=True)) | {ANSWER: circle[0]}

    def cache(self, rows: int, capacity: int) -> Turning:
        return self

    def branch(self, prefix: Turning, rows: int, capacity: int) -> Turning:
        return self

    def keep(self, rows: object) -> Turning:
        return self

    def roomy(self, cache: Turning) -> Turning:
        return self

    def read(self, cache: Turning, rows: Sequence[Sequence[int]], every: bool = False) -> np.ndarray:
        return self.step(cache, np.array([r[-1] for r in rows]))

    def step(self, cache: Turning, tokens: np.ndarray) -> np.ndarray:
        scores = np.zeros((len(tokens), len(TOKENIZER)), np.float32)
        scores[:, END] = 20
        for k, token in enumerate(tokens):
            scores[k, self._after[int(token)]] = 60
        return scores


def answers(circle: str, asks: Sequence[Ask]) -> list[Answer]:
    return EmbeddedModel(Turning(TOKENIZER.encode(circle)), TOKENIZER, Path()).generate(asks)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_an_answer_that_turns_in_a_circle_ends(temperature: float) -> None:
    asks = [Ask(f"question {i} of some", 150, temperature, 0.95, i) for i in range(20)]
    found = answers(" Zqx,", asks)
    assert {a.finish for a in found} == {"stop"}
    assert all(3 <= a.text.count("Zqx") <= 12 for a in found)
    assert found == [answers(" Zqx,", [a])[0] for a in asks]


def test_a_limit_below_the_rule_is_reached() -> None:
    (found,) = answers(" Zqx,", [Ask("question", 6)])
    assert (found.finish, found.tokens_out) == ("length", 6)
