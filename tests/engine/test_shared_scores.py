"""Equal genomes of one cohort share an evaluation; a birth that is cancelled leaves it to those that still want it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from llmevo.core import Birth, Context, Fitness, Individual, Stillborn
from llmevo.core.variation import VariationBase
from llmevo.engine.nursery import CANCELLED
from llmevo.strategies import Founding
from llmevo.testing.toy import Digits
from tests.helpers import SEED, run


@dataclass(frozen=True)
class Given(VariationBase):
    """A founder that takes some turns of the loop."""

    digit: int
    turns: int
    arity: ClassVar[int | None] = 0

    @property
    def key(self) -> str:
        return f"given({self.digit})"

    async def __call__(self, parents: Sequence[Individual[Digits]], context: Context) -> Digits:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        return Digits((self.digit,))


class Value:
    """The digit itself; a nine is known soon, all else late."""

    whole_cohort = False

    async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> list[Fitness]:
        for _ in range(3 if genomes[0].values == (9,) else 30):
            await asyncio.sleep(0)
        return [Fitness(float(genome.values[0])) for genome in genomes]


def nine(birth: Birth[Any]) -> bool:
    return isinstance(birth, Individual) and birth.fitness.value == 9


@pytest.mark.parametrize("turns", [(0, 1), (1, 0)], ids=["a later one waits for it", "a later one has begun it"])
def test_a_cancelled_birth_takes_nobody_elses_score_with_it(turns: tuple[int, int]) -> None:
    told: list[Any] = []
    founders = [Given(1, turns[0]), Given(9, 0), Given(1, turns[1])]
    ended = run(Founding(founders, seed=SEED), Value(), stops=[], batch=3, enough=nine, on_cohort=told.append)
    assert ended.reason == "a birth was enough"
    first, winner, last = told[0].births
    assert first.fitness.value == 1 and winner.fitness.value == 9
    assert isinstance(last, Stillborn) and last.error == CANCELLED
