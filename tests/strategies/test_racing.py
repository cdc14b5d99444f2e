from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from llmevo.breeding import Behind, Truncate, rank, truncation
from llmevo.core import Birth, Context, Fitness, Individual, Mating, Seed, Stillborn, Strategy, View
from llmevo.engine import stop
from llmevo.fitness import Repeated
from llmevo.strategies import Confirmed, Founding, Genetic, Racing, sequence
from llmevo.testing.toy import Digits, Distance, Toy, fresh, mutate
from tests.helpers import SEED, one, run

CASES = [str(i) for i in range(6)]
SURE = Behind(alpha=0.5, keep=1)


def fixed(name: str, digits: str) -> Toy:
    return Toy(name, lambda parents, rng: tuple(map(int, digits)), 0)


def search(founders: int) -> Strategy[Digits]:
    """Founders, then mutations of whoever is among the best four."""
    founding: Founding[Digits] = Founding([Toy(f"f{i}", fresh(), 0) for i in range(founders)], seed=SEED)
    return sequence(founding, Genetic(Toy("m", mutate, 1), rank, truncation(4), seed=SEED))


class Told:
    """A strategy that founds and keeps what it was told."""

    def __init__(self, *digits: str) -> None:
        self.inner: Founding[Digits] = Founding([fixed(f"f{i}", one) for i, one in enumerate(digits)], seed=SEED)
        self.births: list[Birth[Digits]] = []
        self.view: View[Digits] = View()
        self.ending: str | None = None

    def ask(self, n: int) -> list[Mating[Digits]]:
        return self.inner.ask(n)

    def tell(self, births: Sequence[Birth[Digits]]) -> None:
        self.births += births
        self.inner.tell(births)
        self.view, self.ending = self.inner.view, self.inner.ending


FIELD = ("314159", "314158", "999999", "888888")


def test_who_is_surely_behind_costs_no_further_cases() -> None:
    log: list[str] = []
    told = Told(*FIELD)
    outcome = run(Racing(told, CASES, seed=SEED, block=2, rule=SURE), Distance(log=log), batch=4)
    best, second, *others = told.births
    assert isinstance(best, Individual) and len(best.fitness.cases) == 6 and outcome.best == best
    assert isinstance(second, Stillborn) and second.error.startswith("dropped after 4 of 6 cases: 0.250 behind place 1")
    assert all(isinstance(one, Stillborn) and one.error.startswith("dropped after 2 of 6 cases") for one in others)
    assert len(log) == 4 + 2 + 1 and outcome.progress.usage.calls == 4 + 2 * len(log), "conceived once, two cases a lap"


def test_everything_that_lives_was_scored_on_all_cases() -> None:
    inner = search(6)
    outcome = run(Racing(inner, CASES, seed=SEED, block=2, places=4, rule=SURE), stops=[stop.matings(200)], batch=5)
    assert {len(one.fitness.cases) for one in (*outcome.view.population, *outcome.view.hall)} == {6}
    assert outcome.best is not None and outcome.best.fitness.value > -1


def test_it_spends_less_and_finds_as_much() -> None:
    def go(race: bool) -> tuple[int, float]:
        strategy = search(8)
        limit = [] if race else [stop.matings(400)]
        if race:
            strategy = Racing(strategy, CASES, seed=SEED, block=2, places=4, rule=SURE, births=400)
        outcome = run(strategy, stops=limit, batch=8)
        assert outcome.best is not None
        return outcome.progress.usage.calls, outcome.best.fitness.value

    (cells, value), (full, all_of_it) = go(True), go(False)
    assert min(value, all_of_it) > -0.2 and cells < 0.75 * full


def test_births_are_counted_and_not_laps() -> None:
    inner = search(6)
    outcome = run(Racing(inner, CASES, seed=SEED, block=2, places=4, births=20), batch=6)
    assert outcome.reason == "all planned births were made"
    assert outcome.progress.births > 20, "laps are told, too"
    assert len({one.id for one in outcome.view.hall}) <= 20


@pytest.mark.parametrize("slots", [1, 4])
def test_more_births_continue_the_same_race(slots: int, tmp_path: Any) -> None:
    def build(births: int) -> Strategy[Digits]:
        inner = search(6)
        return Racing(inner, CASES, seed=SEED, block=2, places=4, births=births)

    whole = run(build(40), batch=6, slots=slots)
    run(build(18), batch=6, slots=slots, path=tmp_path / "run.sqlite")
    assert run(build(40), batch=6, slots=slots, path=tmp_path / "run.sqlite").history == whole.history


class Fussy(Distance):
    """Fails from the second block on for one genome."""

    async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> list[Fitness]:
        scores = await super().__call__(genomes, contexts)
        for i, (genome, context) in enumerate(zip(genomes, contexts, strict=True)):
            assert context.cases is not None
            if genome.preview() == "314159" and first_block(context.cases.ids) is False:
                scores[i] = Fitness.failed("broken")
        return scores


def first_block(ids: Sequence[str]) -> bool:
    return tuple(ids) == Racing(Told("0"), CASES, seed=SEED, block=2)._laps[0].ids


def test_who_fails_on_further_cases_is_dropped() -> None:
    told = Told("314159", "314158")
    run(Racing(told, CASES, seed=SEED, block=2), Fussy(), batch=2)
    (lost,) = [birth for birth in told.births if isinstance(birth, Stillborn)]
    assert "could not be scored on further ones" in lost.error


def test_who_is_not_valid_is_never_dropped() -> None:
    class Invalid(Distance):
        async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> list[Fitness]:
            return [replace(score, violation=1.0) for score in await super().__call__(genomes, contexts)]

    told = Told(*FIELD)
    run(Racing(told, CASES, seed=SEED, block=2, rule=Truncate(0.1)), Invalid(), batch=4)
    assert all(isinstance(birth, Individual) and len(birth.fitness.cases) == 6 for birth in told.births)


def test_guests_reach_the_strategy_within_behind_its_own_births() -> None:
    told = Told("314159", "999999")
    racing: Racing[Digits] = Racing(told, CASES, seed=SEED, block=3, rule=Truncate(0.1))
    guest = one("guest", 5.0)

    def lap(*more: Individual[Digits]) -> None:
        matings = racing.ask(9)
        births: list[Birth[Digits]] = []
        for mating in matings:
            digits = mating.parents[0].genome.values if mating.parents else (3,) * 6 if not births else (9,) * 6
            assert mating.cases is not None
            cases = {case: -float(digits[0]) for case in mating.cases.ids}
            births.append(mating.birth(Digits(digits), Fitness(-float(digits[0]), cases=cases), Fitness.failed("").usage, 0))
        racing.tell([*births, *more])

    lap(guest)
    assert not told.births, "the race is on"
    lap()
    assert [isinstance(birth, Stillborn) for birth in told.births] == [False, True, False] and told.births[2] is guest


def test_it_goes_around_a_confirmation() -> None:
    """A would-be best is confirmed after its race, on all cases; the confirmation itself does not race."""
    inner = Confirmed(Founding([fixed(f"f{i}", digits) for i, digits in enumerate(FIELD)], seed=SEED), 3, seed=SEED)
    outcome = run(Racing(inner, CASES, seed=SEED, block=2, rule=SURE), Repeated(Distance(noise=0.1)), batch=4)
    assert outcome.best is not None and outcome.best.genome.preview() == "314159"
    assert outcome.best.fitness.value == pytest.approx(0, abs=0.2) and "founders live" in outcome.reason


def test_another_rule_is_another_run() -> None:
    def seeds(rule: Any) -> list[Seed]:
        racing: Racing[Digits] = Racing(Told(*FIELD), CASES, seed=SEED, block=2, rule=rule)
        racing.ask(4)
        return [racing._seed]

    assert seeds(Behind(0.05)) != seeds(Behind(0.1)) and seeds(Behind(0.05)) == seeds(Behind(0.05))


@pytest.mark.parametrize("bad", [{"block": 0}, {"places": 0}, {"cases": []}])
def test_a_race_without_cases_blocks_or_places_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="of at least 1"):
        Racing(Told(*FIELD), bad.pop("cases", CASES), seed=SEED, **{"block": 2, **bad})
