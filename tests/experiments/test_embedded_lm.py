"""Training samples of the embedded model's second leg: what a child of two texts is."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "embedded_lm"


@pytest.fixture(scope="module")
def crossing() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        import crossing as found
    finally:
        sys.path.remove(str(FOLDER))
    module: ModuleType = found
    return module


def spans(text: str, k: int = 3) -> set[tuple[str, ...]]:
    words = [w.strip(".,:;?!()[]\"'").lower() for w in text.split()]
    return {tuple(words[i : i + k]) for i in range(len(words) - k + 1)}


def test_a_child_holds_a_span_of_each_parent_and_is_neither(crossing: ModuleType) -> None:
    rng = Random(1)
    for _ in range(500):
        a, b = crossing.texts(rng, 2)
        child = crossing.cross(a, b)
        assert spans(child) & spans(a) and spans(child) & spans(b) and child not in (a, b)


@pytest.mark.parametrize(
    ("a", "b", "child"),
    [
        ("Tell the reader what the farm is for.", "Write a short poem about rain, with a title of one word.",
         "Tell the reader what with a title of one word."),
        ("Find out why it is late and say so.", "Now you see it. Then you count the birds and name them.",
         "Find out why it. Then you count the birds and name them."),
        ("Say it again now", "Say it again later, please", "Say it again now. Say it again later, please"),
    ],
    ids=["a word that the first has not", "a sentence stays one", "nothing to cut"],
)
def test_the_place_of_the_change_can_be_foreseen(crossing: ModuleType, a: str, b: str, child: str) -> None:
    assert crossing.cross(a, b) == child


def test_texts_share_words_and_repeat_with_the_seed(crossing: ModuleType) -> None:
    assert crossing.texts(Random(5), 3) == crossing.texts(Random(5), 3)
    rng, shared = Random(2), 0
    for _ in range(200):
        a, b = (set(t.lower().split()) for t in crossing.texts(rng, 2))
        shared += len({w for w in a & b if len(w) > 5}) > 0
    assert shared > 80, "where texts share nothing there is nothing to confuse"
