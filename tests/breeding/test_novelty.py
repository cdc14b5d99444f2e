from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from llmevo.breeding import Known, Reassess
from llmevo.core import Context, Seed, Stillborn, VariationFailed
from llmevo.testing.toy import Digits, Toy
from tests.helpers import one


def parity(genome: Digits) -> list[int]:
    return [sum(genome.values) % 4]


def counting(parents: Sequence[tuple[int, ...]], rng: Any) -> list[int]:
    return [int(rng.integers(4))]


def known_of(*digits: str, tries: int = 2) -> Known[Digits]:
    known = Known(parity, key="parity", tries=tries)
    for i, each in enumerate(digits):
        known.learn([one(f"k{i}", 1.0, digits=each), Stillborn("s", "no")])
    return known


def test_a_known_child_is_tried_again_with_another_seed_and_then_fails() -> None:
    known = known_of("0", "1", "2", tries=50)
    toy = Toy("toy", counting, 0)
    context = Context(Seed.of(1), "m")
    assert asyncio.run(known.unless(toy)([], context)).values == (3,)
    assert context.meter.usage.calls == len(toy.log) >= 1
    full = known_of("0", "1", "2", "3", tries=3)
    toy = Toy("toy", counting, 0)
    with pytest.raises(VariationFailed, match="known already, 3 times"):
        asyncio.run(full.unless(toy)([], Context(Seed.of(1), "m")))
    assert len(toy.log) == 3, "it was paid for three times and evaluated never"


def test_only_what_was_told_before_the_plan_is_known() -> None:
    known = known_of("0")
    before = known.unless(Toy("toy", lambda parents, rng: [1], 0))
    known.learn([one("later", 1.0, digits="1")])
    assert asyncio.run(before([], Context(Seed.of(1)))).values == (1,)
    with pytest.raises(VariationFailed):
        asyncio.run(known.unless(before)([], Context(Seed.of(1))))
    assert known.holds(Digits((1,)), 2) and not known.holds(Digits((1,)), 1)


def test_it_keeps_the_key_and_leaves_alone_what_picks() -> None:
    known, toy, again = known_of("0"), Toy("toy", counting, 0), Reassess()
    assert known.unless(toy).key == toy.key and known.unless(toy).arity == 0
    assert known.unless(again) is again
    assert known_of().key != known_of(tries=5).key
    with pytest.raises(ValueError, match="at least once"):
        known_of(tries=0)
