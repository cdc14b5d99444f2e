from __future__ import annotations

import pytest

from llmevo.breeding import keep_all, truncation, uniform
from llmevo.core import Mating, Seed
from llmevo.strategies import For, Genetic, Phases, alternate, sequence
from llmevo.testing.toy import Digits, Toy, mutate
from tests.helpers import one
from tests.strategies.test_genetic import bear, founders

SEED = Seed.of(0)


def breed(name: str, keep: int = 9) -> Genetic[Digits]:
    return Genetic(Toy(name, mutate, 1), uniform, truncation(keep), seed=SEED.fold(name))


def names(phases: Phases[Digits], rounds: int, n: int = 1) -> str:
    """The variations that are asked, one letter each; every cohort is told at once."""
    out = ""
    for _ in range(rounds):
        matings = phases.ask(n)
        out += "".join(m.variation_key[0] for m in matings)
        if not matings:
            return out + "."
        phases.tell([bear(m, 1.0) for m in matings])
    return out


def test_each_phase_plans_its_matings_then_the_next() -> None:
    assert names(sequence(founders(2), For(breed("a"), 3), breed("b")), 8) == "ffaaabbb"
    assert names(alternate(For(founders(2), 2), For(breed("a"), 2), For(breed("b"), 1)), 8) == "ffaabaab"
    assert names(sequence(founders(2), For(breed("a"), 3)), 9, n=2) == "ffaaa."
    assert names(sequence(founders(3), For(breed("a"), lambda view: len(view.population)), breed("b")), 8) == "fffaaabb"


def test_a_phase_of_no_matings_is_passed_over() -> None:
    assert names(sequence(founders(1), For(breed("a"), 0), breed("b")), 3) == "fbb"
    nothing = sequence(founders(1), alternate(For(breed("a"), 0), For(breed("b"), 0)))
    assert names(nothing, 3) == "f." and nothing.ending


def test_a_phase_waits_for_its_last_births() -> None:
    phases = sequence(founders(2), breed("a"))
    first, second = phases.ask(1), phases.ask(1)
    assert phases.ask(1) == [] and phases.ending is None
    phases.tell([bear(first[0], 1.0)])
    assert phases.ask(1) == []
    phases.tell([bear(second[0], 1.0)])
    assert phases.ask(1)[0].variation_key == "a" and len(phases.view.population) == 2


def test_population_hall_and_memory_are_handed_over() -> None:
    phases = sequence(founders(2), For(breed("a", keep=1), 1), breed("b"))
    phases.tell([bear(m, v) for m, v in zip(phases.ask(2), (1.0, 5.0), strict=True)])
    before = phases.view
    (mating,) = phases.ask(1)
    assert phases.view == before
    phases.tell([bear(mating, 3.0)])
    phases.ask(1)
    assert phases.view.best == before.best and len(phases.view.hall) == 3


def test_endings() -> None:
    lost = sequence(founders(2), breed("a"))
    lost.tell([bear(m, None) for m in lost.ask(2)])
    assert lost.ask(1) == [] and lost.ending == "0 of 2 founders live; first loss: no"
    done = sequence(founders(1), For(breed("a"), 1))
    assert names(done, 9) == "fa." and done.ending == "all phases are complete"
    assert done.ask(1) == [], "an end is an end"
    with pytest.raises(ValueError, match="at least one phase"):
        Phases([])


def test_a_nested_sequence_begins_anew_when_its_turn_comes_again() -> None:
    inner = sequence(For(breed("a"), 1), For(breed("b"), 1))
    assert names(sequence(founders(1), alternate(inner, For(breed("c"), 1))), 7) == "fabcabc"


def test_a_view_that_the_first_phase_was_given_is_kept() -> None:
    first = breed("a")
    first.view = first.view.advance([one("x", 1.0)], [one("x", 1.0)])
    (mating,) = sequence(For(first, 1), breed("b")).ask(1)
    assert isinstance(mating, Mating) and mating.parents[0].id == "x"


def test_guests_reach_the_phase_that_runs() -> None:
    phases = sequence(founders(2), Genetic(Toy("a", mutate, 1), uniform, keep_all, seed=SEED))
    matings = phases.ask(2)
    phases.tell([*(bear(m, None) for m in matings), one("guest", 1.0)])
    (mating,) = phases.ask(1)
    assert mating.parents[0].id == "guest", "founders died, a guest carries on"
