from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from llmevo.breeding import Bandit, Chain, Given, Only, Reassess, Weighted, chain, ladder
from llmevo.core import Context, Fitness, Individual, Seed, Usage, VariationFailed, plan
from llmevo.testing.toy import Digits, Toy, mutate
from tests.helpers import SEED, one

A, B = one("a", 1.0, digits="12"), one("b", 2.0, digits="34", seat=1)


def make(variation: Any, parents: Sequence[Individual[Digits]], seed: int = 0) -> tuple[Digits, Context]:
    context = Context(Seed.of(seed), "mating")
    return asyncio.run(variation(parents, context)), context


def noise(digits: Sequence[tuple[int, ...]], rng: Any) -> Sequence[int]:
    return [int(x) for x in rng.integers(10, size=4)]


def test_every_stage_of_a_chain_draws_from_its_own_folded_seed() -> None:
    both = chain(Toy("first", noise, 2), Toy("second", noise, 1))
    child, context = make(both, [A, B])
    assert child.values == tuple(noise([], Seed.of(0).fold(1).rng())) and context.meter.usage.calls == 2
    assert (both.key, both.arity, both.picks, both.reassess) == ("first > second", 2, False, False)


def test_siblings_may_share_a_stage() -> None:
    """The same merge with and without noise: the first stage draws the same numbers in both."""
    merge = Toy("merge", noise, 2)
    alone, _ = make(chain(merge), [A, B])
    seen: list[tuple[int, ...]] = []
    make(chain(merge, Toy("look", lambda digits, rng: seen.append(digits[0]) or digits[0], 1)), [A, B])
    assert seen == [alone.values]


def test_a_later_stage_gets_the_child_without_a_score() -> None:
    class Look:
        key, arity, picks, reassess = "look", 1, False, False
        got: Sequence[Individual[Digits]] = ()

        async def __call__(self, parents: Sequence[Individual[Digits]], context: Context) -> Digits:
            self.got = parents
            return parents[0].genome

    look = Look()
    make(chain(Toy("first", noise, 2), look), [B, A])
    (child,) = look.got
    assert not child.fitness.ok and child.seat == B.seat and child.id == "mating/1" and child.genome != B.genome
    make(chain(Given(Digits((5,))), look), [])
    assert look.got[0].genome == Digits((5,))


def test_a_stage_that_fails_fails_the_birth() -> None:
    with pytest.raises(VariationFailed):
        make(chain(Toy("merge", noise, 2), Toy("broken", noise, 1, fails=1.0)), [A, B])


def test_chains_are_checked() -> None:
    for stages in ((), (Toy("a", noise, 1), Toy("b", noise, 2))):
        with pytest.raises(ValueError, match="a chain has"):
            Chain(stages)


def test_given_and_reassess() -> None:
    assert make(Given(Digits((7,))), [])[0] == Digits((7,)) and Given(Digits((7,))).key != Given(Digits((8,))).key
    assert make(Reassess(), [B])[0] == B.genome and Reassess().reassess and Reassess().picks


def test_weighted_frequencies() -> None:
    names = [Toy(name, mutate, 1) for name in "abc"]
    mixture = Weighted([(names[0], 1), (names[1], 3), (names[2], 0)])
    rng = Seed.of(0).rng()
    drawn = Counter(mixture.choose(rng).key for _ in range(4000))
    assert drawn["c"] == 0 and drawn["b"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert Only(names[0]).choose(rng) is names[0]
    for wrong in ([], [(names[0], 0)], [(names[0], -1), (names[1], 2)], [(names[0], float("nan"))], [(names[0], float("inf"))]):
        with pytest.raises(ValueError, match="weights"):
            Weighted(wrong)


def play(bandit: Bandit[Digits], rounds: int, gains: dict[str, float], cost: dict[str, int], late: int = 0) -> Counter[str]:
    """Rounds of choose and credit; `late` matings stay open, as with slots > 1."""
    chosen: Counter[str] = Counter()
    open_: list[Any] = []
    for i in range(rounds):
        variation = bandit.choose(Seed.of(i).rng())
        chosen[variation.key] += 1
        mating = plan(variation, (A,), Seed.of(i), i)
        usage = Usage(calls=cost[variation.key])
        gain = gains[variation.key]
        birth = mating.stillbirth("no", usage, 0) if gain < 0 else mating.birth(Digits((i,)), Fitness(1.0 + gain), usage, 0)
        open_.append((mating, birth))
        if len(open_) > late:
            bandit.credit([open_.pop(0)])
    return chosen


def test_a_bandit_learns_what_gains() -> None:
    arms = [Toy(name, mutate, 1) for name in ("good", "poor", "dead")]
    chosen = play(Bandit(arms, 0.3), 300, {"good": 1.0, "poor": 0.1, "dead": -1.0}, {"good": 1, "poor": 1, "dead": 1})
    assert chosen["good"] > 200 and chosen["poor"] >= 1 and chosen["dead"] >= 1, "mostly the best"


def test_a_bandit_counts_cost() -> None:
    arms = [Toy(name, mutate, 1) for name in ("cheap", "dear")]
    chosen = play(Bandit(arms, 0.3), 200, {"cheap": 1.0, "dear": 1.5}, {"cheap": 1, "dear": 4})
    assert chosen["cheap"] > 140


def test_a_bandit_replays_and_spreads_what_is_in_flight() -> None:
    arms = [Toy(name, mutate, 1) for name in "abc"]
    gains, cost = {"a": 0.3, "b": 0.5, "c": 0.0}, {"a": 1, "b": 1, "c": 1}
    one_, two = Bandit(arms), Bandit(arms)
    assert play(one_, 60, gains, cost, late=4) == play(two, 60, gains, cost, late=4)
    assert one_.gains == two.gains and one_.costs == two.costs
    fresh: Bandit[Digits] = Bandit(arms)
    assert {fresh.choose(Seed.of(0).rng()).key for _ in range(3)} == {"a", "b", "c"}, "before anything was told"
    with pytest.raises(ValueError, match="at least one"):
        Bandit([])


def test_a_bandit_weighs_money_against_money_and_not_against_calls() -> None:
    free, paid = Toy("free", mutate, 1), Toy("paid", mutate, 1)
    bandit: Bandit[Digits] = Bandit([free, paid], exploration=0.0)
    rng, parent = SEED.rng(), one("p", 0.0)
    for variation, gain, price in ((free, 0.5, 0.0), (paid, 0.1, 0.001)):
        bandit.choose(rng)
        mating = plan(variation, [parent], SEED, 0)
        child = replace(one("child", gain), birth_usage=Usage(1, 10, 10, price))
        bandit.credit([(mating, child)])
    assert bandit.choose(rng) is free, "it gains five times as much at the same number of calls and costs no money"


def test_a_ladder_gives_the_child_of_the_first_rung_that_has_one_and_pays_for_all() -> None:
    broken, modest = Toy("broken", noise, 2, fails=1.0), Toy("modest", noise, 1)
    child, context = make(ladder(broken, modest), [A, B])
    assert child.values == tuple(noise([], Seed.of(0).fold("rung", 1).rng())) and context.meter.usage.calls == 2
    first, context = make(ladder(modest, Toy("broken", noise, 1, fails=1.0)), [A])
    assert len(first.values) == 4 and context.meter.usage.calls == 1
    with pytest.raises(VariationFailed, match=r"broken gave no child; then other"):
        make(ladder(broken, Toy("other", noise, 1, fails=1.0)), [A, B])
    assert ladder(broken, modest).key == f"{broken.key} | modest" and ladder(broken, modest).arity == 2


def test_ladders_are_checked() -> None:
    for rungs, said in (
        ((), "at least one rung"),
        ((Toy("a", noise, 1), Toy("b", noise, 2)), "no more parents"),
        ((Toy("a", noise, 1), Reassess()), "neither picks nor reassesses"),
    ):
        with pytest.raises(ValueError, match=said):
            ladder(*rungs)
