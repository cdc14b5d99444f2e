"""Words and weights that answer together: grouped by what the model is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from llmevo.breeding import Product
from llmevo.core import Context, Fitness, Seed
from llmevo.fitness.joint import KEPT, Joint
from llmevo.testing.toy import Digits
from llmevo.text import TextGenome


class Under:
    whole_cohort = True
    calls: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, words: str) -> None:
        self.words = words

    async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> list[Fitness]:
        self.calls.append((self.words, len(genomes)))
        return [Fitness(float(genome.values[0]) + len(self.words)) for genome in genomes]


def pair(words: str, digit: int) -> Product:
    return Product({"prompt": TextGenome(words), "adapter": Digits((digit,))})


def scored(joint: Joint[str], genomes: Sequence[Product]) -> list[float]:
    contexts = [Context(Seed.of(0)) for _ in genomes]
    return [one.value for one in asyncio.run(joint(genomes, contexts))]


def test_those_with_the_same_words_go_together_and_scores_keep_their_order() -> None:
    made: list[str] = []

    def under(words: str) -> Any:
        made.append(words)
        return Under(words)

    Under.calls.clear()
    joint = Joint(lambda genome: genome.taken("prompt").text, lambda genome: genome.taken("adapter"), under)
    assert scored(joint, [pair("aa", 1), pair("b", 2), pair("aa", 3)]) == [3.0, 3.0, 5.0]
    assert Under.calls == [("aa", 2), ("b", 1)]
    assert scored(joint, [pair("b", 5)]) == [6.0] and made == ["aa", "b"], "an evaluation is made once for its words"
    for i in range(KEPT + 1):
        scored(joint, [pair(f"words {i}", 1)])
    scored(joint, [pair("aa", 1)])
    assert made.count("aa") == 2, "the oldest one was let go"
