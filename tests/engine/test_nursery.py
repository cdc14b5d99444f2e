from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from llmevo.breeding import Weighted, keep_all, truncation, uniform
from llmevo.core import (
    CaseSlice,
    ConfigError,
    Context,
    Fitness,
    Individual,
    Mating,
    Pause,
    Seed,
    Stillborn,
    StorageError,
    plan,
)
from llmevo.engine import Cohort, Nursery, evolve, stop
from llmevo.strategies import Founding, Genetic, sequence
from llmevo.testing.toy import Digits, Distance, Toy, fresh, mutate
from tests.helpers import SEED, journal, one, run

A = one("a", 1.0, digits="111111")


@dataclass
class Fixed:
    """A variation that gives these digits, after some turns of the loop or never, or raises."""

    digits: str
    ticks: int = 0
    raises: BaseException | None = None
    picks: bool = False
    reassess: bool = False
    arity: int | None = None

    @property
    def key(self) -> str:
        return f"fixed({self.digits})"

    async def __call__(self, parents: Sequence[Individual[Digits]], context: Context) -> Digits:
        for _ in range(self.ticks):
            await asyncio.sleep(0)
        if self.raises is not None:
            raise self.raises
        return Digits(tuple(map(int, self.digits)))


@dataclass
class Judge:
    """An evaluation that counts, can be slow, and answers what it is told to answer."""

    whole_cohort: bool = False
    ticks: int = 3
    answer: Any = None
    asked: list[str] = field(default_factory=list)

    async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> Any:
        self.asked += [genome.preview() for genome in genomes]
        for _ in range(self.ticks):
            await asyncio.sleep(0)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer(genomes) if callable(self.answer) else [Fitness(float(genome.values[0])) for genome in genomes]


def cohort(j: int, *variations: Any, parents: Sequence[Individual[Digits]] = (A,), cases: CaseSlice | None = None) -> Cohort[Digits]:
    return Cohort(j, tuple(plan(v, parents, SEED.fold(j, i), 10 * j + i, cases=cases) for i, v in enumerate(variations)))


def deliver(judge: Any, *cohorts: Cohort[Digits]) -> tuple[list[Any], Any]:
    """The births of cohorts that are delivered at the same time (an exception in their place), and the journal."""
    record = journal()

    async def go() -> list[Any]:
        nursery = Nursery(judge, record, SEED)
        work = [nursery.deliver(c, record.asked(c.j, c.matings)) for c in cohorts]
        return list(await asyncio.wait_for(asyncio.gather(*work, return_exceptions=True), 20))

    try:
        births = asyncio.run(go())
        record.flush().result()
        return births, record
    finally:
        record.database.close()


@pytest.mark.parametrize("whole", [False, True])
def test_duplicates_are_evaluated_once_within_and_between_cohorts(whole: bool) -> None:
    judge = Judge(whole)
    (one_, two), _ = deliver(judge, cohort(0, Fixed("21", 2), Fixed("21"), Fixed("31")), cohort(1, Fixed("31", 1), Fixed("21", 9)))
    assert Counter(judge.asked) == {"21": 1, "31": 1}
    assert [b.fitness.value for b in (*one_, *two)] == [2.0, 2.0, 3.0, 3.0, 2.0]
    assert len({b.id for b in (*one_, *two)}) == 5


def test_other_cases_are_another_question() -> None:
    judge = Judge()
    slices = [None, CaseSlice(("a",)), CaseSlice(("a",), repeat=1), CaseSlice(("a", "b"))]
    deliver(judge, *(cohort(j, Fixed("21"), cases=cases) for j, cases in enumerate(slices)))
    assert judge.asked == ["21"] * 4


@pytest.mark.parametrize("whole", [False, True])
def test_a_copy_of_a_parent_is_no_child_and_a_pick_reuses_the_score(whole: bool) -> None:
    judge = Judge(whole)
    ((copy, pick),), _ = deliver(judge, cohort(0, Fixed("111111"), Fixed("111111", picks=True)))
    assert isinstance(copy, Stillborn) and copy.error == "the child is a copy of its parent"
    assert isinstance(pick, Individual) and pick.genome == A.genome


def test_a_pick_of_an_evaluated_parent_costs_nothing() -> None:
    judge = Distance()
    pick = Toy("pick", lambda parents, rng: parents[0], 1, picks=True)
    founding = Founding([Toy(f"f{i}", fresh(), 0) for i in range(3)], seed=SEED)
    outcome = run(sequence(founding, Genetic(pick, uniform, keep_all, seed=SEED)), judge, batch=3, stops=[stop.matings(12)])
    assert outcome.progress.evaluations == 3 == len(judge.log) and outcome.progress.births == 12


@pytest.mark.parametrize("whole", [False, True])
def test_failed_births_say_why_and_leave_the_others_alone(whole: bool) -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    work = [Fixed("2", raises=ValueError("bad reply")), Fixed("3"), Fixed("4", raises=Rude())]
    ((first, second, third),), _ = deliver(Judge(whole), cohort(0, *work))
    assert first.error.startswith("ValueError: bad reply") and "test_nursery" in first.error
    assert second.fitness.value == 3.0 and "cannot be shown" in third.error


@pytest.mark.fault("E1", "E3")
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (lambda genomes: [], "must return a list of"),
        (lambda genomes: None, "it returned NoneType"),
        (lambda genomes: 0.5, "it returned float"),
        (lambda genomes: [0.5] * len(genomes), "(float)"),
        (lambda genomes: [Fitness(1.0)] * (len(genomes) + 1), "it returned"),
        (lambda genomes: (x for x in ()), "it returned generator"),
        (lambda genomes: [Fitness(float("nan"))], "finite"),
        (lambda genomes: [Fitness(1.0, cases={"a": float("nan")})], "finite"),
    ],
)
def test_an_evaluation_that_fails_is_the_failure_of_its_genomes(answer: Any, words: str, whole: bool) -> None:
    ((one_, two),), _ = deliver(Judge(whole, answer=answer), cohort(0, Fixed("2"), Fixed("3")))
    for birth in (one_, two):
        assert not birth.fitness.ok and words in str(birth.fitness.error)


@pytest.mark.parametrize("error", [Pause("server down"), ConfigError("no key"), StorageError("disk full")])
@pytest.mark.parametrize("where", ["conceive", "evaluate"])
def test_errors_of_the_run_leave_the_cohort_untold_but_record_the_others(error: Exception, where: str, quick_path: Any) -> None:
    """The three others of the cohort complete and are not paid again."""
    path = quick_path / "run.sqlite"
    broken, log = [True], list[str]()

    async def flaky(digits: Any, context: Context) -> Digits:
        if broken[0] and where == "conceive":
            raise error
        return Digits((9,) * 6)

    class Flaky(Fixed):
        async def __call__(self, parents: Any, context: Context) -> Digits:
            return await flaky(parents, context)

    async def judge(genomes: Sequence[Digits], contexts: Sequence[Context]) -> list[Fitness]:
        if broken[0] and where == "evaluate" and genomes[0].values[0] == 9 and genomes[0].values[1] == 9:
            raise error
        return [Fitness(0.0)]

    class Evaluation:
        whole_cohort = False

        async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> list[Fitness]:
            return await judge(genomes, contexts)

    def strategy() -> Any:
        return Founding([Flaky("9", arity=0), *(Toy(f"f{i}", fresh(), 0, log=log) for i in range(3))], seed=SEED)

    if isinstance(error, Pause):
        outcome = run(strategy(), Evaluation(), batch=4, path=path)
        assert outcome.pause is error and outcome.reason == "server down" and outcome.progress.births == 0
    else:
        with pytest.raises(type(error), match=str(error)):
            run(strategy(), Evaluation(), batch=4, path=path)
    assert len(log) == 3
    broken[0] = False
    assert run(strategy(), Evaluation(), batch=4, path=path).progress.births == 4
    assert len(log) == 3, "what was recorded is not conceived again"


@pytest.mark.parametrize("whole", [False, True])
def test_a_pause_reaches_all_who_wait_for_the_same_score(whole: bool) -> None:
    """Also a whole-cohort call that waits for a genome which another cohort evaluates."""

    class Down(Judge):
        async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> Any:
            self.asked += [genome.preview() for genome in genomes]
            for _ in range(3 if len(genomes) == 1 and genomes[0].preview() == "21" else 9):
                await asyncio.sleep(0)
            if any(genome.preview() == "21" for genome in genomes):
                raise Pause("judge down")
            return [Fitness(1.0) for _ in genomes]

    (first, second), _ = deliver(Down(whole), cohort(0, Fixed("21")), cohort(1, Fixed("31", 1), Fixed("21", 1)))
    assert isinstance(first, Pause) and isinstance(second, Pause), (first, second)


def test_cancelling_leaves_nothing_running_and_a_journal_that_continues(quick_path: Any) -> None:
    path, running = quick_path / "run.sqlite", list[int]()

    class Slow(Toy):
        async def __call__(self, parents: Sequence[Individual[Digits]], context: Context) -> Digits:
            running.append(1)
            try:
                await asyncio.sleep(0.002 if parents else 0)
                return await super().__call__(parents, context)
            finally:
                running.pop()

    def strategy() -> Any:
        founding = Founding([Slow(f"f{i}", fresh(), 0) for i in range(6)], seed=SEED)
        return sequence(founding, Genetic(Slow("m", mutate, 1), uniform, truncation(6), seed=SEED))

    async def interrupted(after: float) -> None:
        record = journal(path)
        try:
            work = asyncio.ensure_future(evolve(strategy(), Distance(), record, seed=SEED, batch=2, slots=3, stop=[stop.matings(60)]))
            await asyncio.sleep(after)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            assert not running and len(asyncio.all_tasks()) == 1
        finally:
            record.database.close()

    for after in (0.004, 0.009, 0.015):
        asyncio.run(interrupted(after))
    resumed = run(strategy(), batch=2, slots=3, stops=[stop.matings(60)], path=path)
    assert resumed.history == run(strategy(), batch=2, slots=3, stops=[stop.matings(60)]).history


@pytest.mark.parametrize("whole", [False, True])
def test_a_cancellation_that_leaks_out_of_user_code_is_a_failure_not_the_end(whole: bool) -> None:
    """As from a timed-out inner task that is awaited without a guard."""
    founding = Founding([Fixed("1", raises=asyncio.CancelledError(), arity=0), Fixed("2", arity=0)], seed=SEED)
    outcome = run(founding, Judge(whole), batch=2)
    assert (outcome.progress.births, outcome.progress.stillborn) == (2, 1)
    founding = Founding([Fixed("1", arity=0), Fixed("2", arity=0)], seed=SEED)
    outcome = run(founding, Judge(whole, answer=asyncio.CancelledError()), batch=2)
    assert outcome.progress.failed == 2 and outcome.reason.startswith("0 of 2 founders live")


def test_recorded_scores_are_known_before_anything_is_delivered(quick_path: Any) -> None:
    """A later cohort's score was recorded, an earlier cohort's equal genome was not: it is not evaluated again."""
    path = quick_path / "run.sqlite"

    class Twice:
        """Two founders with the same genome, in two cohorts that are open together."""

        def __init__(self, hang: bool) -> None:
            self.inner = Founding([Fixed("777777", 10**9 if hang else 0, arity=0), Fixed("777777", 1, arity=0)], seed=SEED)
            self.view, self.ending = self.inner.view, None

        def ask(self, n: int) -> Sequence[Mating[Digits]]:
            return self.inner.ask(n)

        def tell(self, births: Any) -> None:
            self.inner.tell(births)
            self.view = self.inner.view

    async def begin() -> None:
        record = journal(path)
        task = asyncio.ensure_future(evolve(Twice(True), Judge(), record, seed=SEED, batch=1, slots=2))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        record.database.close()

    asyncio.run(begin())
    judge = Judge()
    assert run(Twice(False), judge, batch=1, slots=2, path=path).progress.births == 2
    assert judge.asked == []


def test_a_genome_whose_dump_failed_is_not_taken_for_stored(quick_path: Any) -> None:
    fails = [True]

    @dataclass(frozen=True)
    class Heavy(Digits):
        kind = Digits.kind

        def dump(self, blobs: Any) -> dict[str, Any]:
            if fails.pop() if fails else False:
                raise StorageError("no room for the tensor")
            return super().dump(blobs)

    class Make(Fixed):
        async def __call__(self, parents: Any, context: Context) -> Digits:
            return Heavy((4,) * 6)

    def go() -> Any:
        twins = [Make("4", arity=0), Make("5", arity=0)]
        return run(Founding(twins, seed=SEED), batch=2, path=quick_path / "run.sqlite")

    with pytest.raises(StorageError, match="no room"):
        go()
    first = go()
    assert go().history == first.history and first.best is not None


def test_shuffled_completion_changes_nothing_about_a_mixture_that_fails() -> None:
    def go(ticks: int) -> str:
        founding = Founding([Toy(f"f{i}", fresh(2), 0, fails=0.2, ticks=ticks) for i in range(6)], seed=Seed.of(3))
        mixture = Weighted([(Toy("m", mutate, 1, fails=0.3, ticks=ticks), 1.0), (Toy("n", mutate, 1, ticks=ticks), 1.0)])
        judge = Distance(target=(3, 1), noise=0.5, ticks=ticks)
        strategy = sequence(founding, Genetic(mixture, uniform, truncation(4), seed=SEED))
        return run(strategy, judge, slots=4, stops=[stop.matings(80)]).history

    assert go(0) == go(7), "few genomes, many duplicates, noisy scores: still the same run"


class Breaks:
    """An evaluation that fails for every third genome."""

    whole_cohort = False

    def __init__(self) -> None:
        self.seen = 0

    async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> list[Fitness]:
        self.seen += len(genomes)
        return [Fitness.failed("it broke") if self.seen % 3 == 0 else Fitness(1.0) for _ in genomes]


@pytest.mark.fault("E1")
@pytest.mark.parametrize(("limit", "allowed"), [(True, 0), (2, 2), (0.25, 3), (False, 12)], ids=str)
def test_a_run_pauses_when_more_evaluations_fail_than_allowed(limit: bool | int | float, allowed: int) -> None:
    founders = [Toy(f"fresh{i}", fresh(), 0) for i in range(12)]
    outcome = run(Founding(founders, seed=SEED), Breaks(), stops=[stop.failures(limit, 12)], batch=1)
    if limit is False:
        assert outcome.pause is None and outcome.progress.failed == 4
    else:
        assert isinstance(outcome.pause, stop.TooManyFailed) and outcome.progress.failed == allowed + 1
        assert f"{allowed + 1} evaluations failed and fail_on_error allows {allowed}; last error: it broke" in outcome.reason
