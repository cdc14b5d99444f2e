"""What a check may return, and what of it counts."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from llmevo.core import ConfigError, Context, Fitness, InvalidFitness, Pause, Seed
from llmevo.fitness.check import Checked, Verdict, verdict
from llmevo.text import TextGenome
from tests.helpers import named


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (True, Verdict(1.0, 0.0)),
        (False, Verdict(0.0, 1.0)),
        (0.5, Verdict(0.5, 1.0, decides=False)),
        (3, Verdict(3.0, 1.0, decides=False)),
        ((0.5, "too long"), Verdict(0.5, 1.0, ("too long",), decides=False)),
        ((True, ["a", "b"]), Verdict(1.0, 0.0, ("a", "b"))),
        (Verdict(0.2, 0.0, ("fine",), (1, 2.5)), Verdict(0.2, 0.0, ("fine",), (1.0, 2.5))),
    ],
)
def test_a_verdict_from_what_a_check_returned(found: Any, wanted: Verdict) -> None:
    assert verdict(found) == wanted


BAD = [None, "0.9", {"score": 1}, math.nan, math.inf, -math.inf, [1], (0.5, 3), (0.5, [3]), Verdict(math.nan), Verdict(1.0, -1.0),
       Verdict(1.0, math.nan), Verdict(None), object()]  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize("found", BAD, ids=named)
def test_nothing_else_is_a_verdict(found: Any) -> None:
    with pytest.raises(InvalidFitness):
        verdict(found)
    fitness = check(lambda answer: found)
    assert not fitness.ok and fitness.value == -math.inf and "no verdict" in str(fitness.error)


def check(function: Any) -> Fitness:
    checked: Checked[TextGenome] = Checked(function, reads=lambda genome: genome.text)
    return asyncio.run(checked([TextGenome("an answer")], [Context(Seed.of(0))]))[0]


def test_a_check_sees_the_answer_sync_or_async() -> None:
    async def later(answer: str) -> tuple[bool, str]:
        await asyncio.sleep(0)
        return answer == "an answer", "seen"

    assert check(lambda answer: len(answer)).value == 9.0
    assert check(later).violation == 0 and check(later).feedback == ("seen",)


def test_what_a_check_raises_fails_the_answer_and_a_pause_stops_the_run() -> None:
    def broken(answer: str) -> float:
        raise RuntimeError("the checker has a bug")

    def down(answer: str) -> float:
        raise Pause("the judge is down")

    assert "the checker has a bug" in str(check(broken).error)
    with pytest.raises(Pause):
        check(down)
    with pytest.raises(ConfigError):
        Checked("not a function", reads=str)  # type: ignore[arg-type]
