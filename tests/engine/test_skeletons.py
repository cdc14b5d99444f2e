"""Every recipe that is to come, as a skeleton on the toy representation: the core types carry them without a special case."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from llmevo import strategies
from llmevo.breeding import (
    Attraction,
    Bandit,
    Behind,
    BestFirst,
    Comma,
    InTurn,
    Known,
    Lottery,
    Reassess,
    Roles,
    Roulette,
    Weighted,
    always_replace,
    boltzmann,
    chain,
    crowded_tournament,
    keep_all,
    ladder,
    nondominated,
    one_to_one,
    per_case,
    per_cell,
    rank,
    resource_sharing,
    roulette,
    swarm,
    targets,
    truncation,
    unchanged,
    uniform,
)
from llmevo.core import Birth, CaseSlice, Context, Fitness, Individual, Mating, Seed, Strategy, View, living, outranks, plan
from llmevo.engine import replay, stop
from llmevo.strategies import (
    Afresh,
    Confirmed,
    Distribution,
    For,
    Founding,
    Genetic,
    GreedySoup,
    Islands,
    Patient,
    Phases,
    Reset,
    Stale,
    Vectors,
    alternate,
    sequence,
)
from llmevo.testing.toy import Digits, Distance, Toy, cross, differ, fresh, mutate, step
from tests.helpers import SEED, journal, run

N = 6


@dataclass
class Parts:
    """The variations of one run: one log for all, `ticks` to shuffle the order in which births complete."""

    log: list[str]
    ticks: int = 0

    def __call__(self, name: str, make: Any, arity: int | None, **more: Any) -> Toy:
        return Toy(name, make, arity, ticks=self.ticks, log=self.log, **more)

    def founding(self, count: int = N, **more: Any) -> Founding[Digits]:
        seed = more.pop("seed", SEED)
        return Founding([self(f"fresh{i}", fresh(), 0, fails=0.1) for i in range(count)], seed=seed, **more)

    def cross(self) -> Toy:
        return self("cross", cross, 2, fails=0.2)

    def mutate(self) -> Toy:
        return self("mutate", mutate, 1)


def average(parents: Sequence[tuple[int, ...]], rng: Any) -> list[int]:
    return [round(sum(column) / len(column)) for column in zip(*parents, strict=True)]


def evoprompt_ga(p: Parts) -> Strategy[Digits]:
    half = Genetic(p("paraphrase", mutate, 1), Roles(("self",)), keep_all, seed=SEED.fold("paraphrase"))
    return sequence(
        p.founding(10, succession=truncation(N // 2)),
        For(half, lambda view: len(view.population)),
        Genetic(p.cross(), roulette, truncation(N), seed=SEED),
    )


def evoprompt_de(p: Parts) -> Strategy[Digits]:
    return sequence(p.founding(), Genetic(p("de", differ, 4), targets, one_to_one(), seed=SEED))


def ga_llm(p: Parts) -> Strategy[Digits]:
    mixture = Weighted([(p.cross(), 0.3), (ladder(p("broken", cross, 2, fails=0.5), p.mutate()), 0.6), (p("anew", fresh(), 0), 0.1)])
    known: Known[Digits] = Known(lambda digits: [digits.values], key="digits")
    return sequence(p.founding(), Genetic(mixture, BestFirst(4), truncation(2 * N), seed=SEED, known=known))


def genome(p: Parts) -> Strategy[Digits]:
    child = chain(p("merge", average, 2), p("noise", mutate, 1))
    return sequence(p.founding(), Genetic(child, roulette, Lottery(N), seed=SEED))


def genome_plus(p: Parts) -> Strategy[Digits]:
    move = Genetic(p("inherit", step, 5), swarm, always_replace(), seed=SEED.fold("move"))
    breed = Genetic(p.cross(), roulette, Lottery(N), seed=SEED.fold("breed"))
    return sequence(p.founding(), alternate(For(move, N), For(breed, N)))


def model_swarms(p: Parts) -> Strategy[Digits]:
    return sequence(p.founding(), Genetic(p("step", step, 5), swarm, always_replace(), seed=SEED))


def as_released(p: Parts) -> Strategy[Digits]:
    """GENOME+ as released: moved ones keep their old score; merges first, then mutants of everybody; a roulette lets live on."""
    step_by_step: InTurn[Digits] = InTurn(lambda turn: p(f"inherit{turn}", step, 5), 1)
    move = Stale(Genetic(step_by_step, Roles(("self", "previous", "self", "best", "worst")), always_replace(), seed=SEED.fold("move")))
    merge = Genetic(p("merge", average, 2), roulette, keep_all, seed=SEED.fold("merge"))
    mutants = Genetic(p.mutate(), uniform, Lottery(N, 1, None), seed=SEED.fold("mutate"))
    return sequence(p.founding(), alternate(For(move, N), For(merge, N), For(mutants, lambda view: len(view.population) // 2)))


def restarting_swarm(p: Parts) -> Strategy[Digits]:
    moving = Genetic(p("step", step, 5), Roles(swarm.names, restart=2), always_replace(), seed=SEED)
    return sequence(p.founding(), Patient(moving, 100))


def deep_ga(p: Parts) -> Strategy[Digits]:
    """Mutations alone; who would be the best is scored on two more digits."""
    founding = p.founding(succession=truncation(3))
    search = sequence(founding, Genetic(p.mutate(), uniform, truncation(3), seed=SEED))
    return Confirmed(search, seed=SEED, cases=("0", "1", "2", "3"), fresh=("4", "5"))


def m2n2(p: Parts) -> Strategy[Digits]:
    return sequence(p.founding(), Genetic(p.cross(), Attraction(), resource_sharing(N), seed=SEED))


def beforehand(p: Parts) -> list[Any]:
    """What a search over adapters has to beat: the experts, a greedy soup of them, the best at several strengths."""
    strengths: InTurn[Digits] = InTurn(lambda i: p(f"scale{i % 3}", mutate, 1), 1)
    return [
        p.founding(succession=keep_all),
        GreedySoup(p("soup", average, None), seed=SEED),
        For(Genetic(strengths, BestFirst(), unchanged, seed=SEED.fold("scale")), 3),
    ]


def portfolio(p: Parts) -> Strategy[Digits]:
    return sequence(*beforehand(p), Genetic(p("random", fresh(), 0), uniform, unchanged, seed=SEED.fold("random")))


def after_portfolio(p: Parts) -> Strategy[Digits]:
    search = genome(p)
    assert isinstance(search, Phases)
    return sequence(*beforehand(p), Afresh(search))


def coefficients(p: Parts) -> Strategy[Digits]:
    """LoRAHub, CMA-ES: a vector of numbers makes a founder."""

    def made(vector: tuple[float, ...]) -> Toy:
        return p(f"at{vector}", lambda parents, rng: [round(min(9.0, max(0.0, x))) for x in vector], 0)

    return Vectors(made, (5.0,) * 6, seed=SEED, population=N, sigma=2.0)


def eggroll(p: Parts) -> Strategy[Digits]:
    def member(sign: int) -> Callable[..., list[int]]:
        return lambda parents, rng: [x + sign * d for x, d in zip(parents[0], rng.integers(-2, 3, size=6), strict=True)]

    return Distribution(
        p("mean", fresh(), 0), p("plus", member(1), 1), p("minus", member(-1), 1), p("update", average, None), pairs=3, seed=SEED
    )


def map_elites(p: Parts) -> Strategy[Digits]:
    return sequence(p.founding(), Genetic(p.mutate(), uniform, per_cell(lambda m: (int(m[0]) // 3, int(m[1]) // 3)), seed=SEED))


def islands(p: Parts) -> Strategy[Digits]:
    def island(i: int) -> Strategy[Digits]:
        seed = SEED.fold("island", i)
        return sequence(p.founding(3, seed=seed, deme=i), Genetic(p.cross(), rank, truncation(4), seed=seed, deme=i))

    return Islands([island(i) for i in range(3)], interval=4, migrants=2)


def resets(p: Parts) -> Strategy[Digits]:
    """Mind Evolution: islands whose weakest begin anew from what is picked."""

    def renewed(i: int, turn: int, view: View[Digits]) -> Genetic[Digits]:
        search: Genetic[Digits] = Genetic(p.cross(), Roulette(boltzmann(0.5)), truncation(4), seed=SEED.fold("island", i, turn))
        search.view = view
        return search

    def island(i: int) -> Strategy[Digits]:
        return sequence(p.founding(3, seed=SEED.fold("island", i)), renewed(i, 0, View()))

    picks = [p(f"pick{k}", lambda parents, rng, k=k: parents[k % len(parents)], None, picks=True) for k in range(2)]
    again = Reset(picks, renewed, seed=SEED, interval=3, islands=2, candidates=4)
    return Islands([island(i) for i in range(3)], interval=2, migrants=1, reset=again)


def nsga2(p: Parts) -> Strategy[Digits]:
    """Two objectives: the digits at even and at odd places."""
    return sequence(p.founding(succession=nondominated(N)), Genetic(p.cross(), crowded_tournament(), nondominated(N), seed=SEED))


def bandit(p: Parts) -> Strategy[Digits]:
    return sequence(p.founding(), Genetic(Bandit([p.cross(), p.mutate()]), Roulette(boltzmann(0.5)), truncation(N), seed=SEED))


def per_case_frontier(p: Parts) -> Strategy[Digits]:
    return sequence(p.founding(), Genetic(p.mutate(), uniform, per_case(), seed=SEED))


def comma(p: Parts) -> Strategy[Digits]:
    return sequence(p.founding(), Genetic(p.mutate(), uniform, Comma(N), seed=SEED))


def picks(p: Parts) -> Strategy[Digits]:
    pick = p("pick", lambda parents, rng: max(parents), 3, picks=True)
    return sequence(p.founding(), Genetic(Weighted([(pick, 1), (p.mutate(), 1)]), uniform, truncation(N), seed=SEED))


class Racing:
    """Challengers meet the incumbent block by block, on common cases, through reassess matings."""

    BLOCKS = tuple(CaseSlice((str(i), str(i + 1))) for i in (0, 2, 4))

    def __init__(self, p: Parts) -> None:
        self.view: View[Digits] = View()
        self.ending: str | None = None
        self.founder, self.mutate, self.again = p("fresh", fresh(), 0), p.mutate(), Reassess()
        self.racer: Individual[Digits] | None = None
        self.block, self.ordinal, self.open = 0, 0, False

    def ask(self, n: int) -> list[Mating[Digits]]:
        if self.open:
            return []
        self.open = True
        champion = self.view.population[:1]
        if self.racer is not None:
            variation, parents = self.again, (self.racer,)
        else:
            variation, parents = (self.mutate, champion) if champion else (self.founder, ())
        self.ordinal += 1
        seed = SEED.fold("racing", self.ordinal)
        return [plan(variation, parents, seed, self.ordinal, cases=self.BLOCKS[self.block])]

    def tell(self, births: Sequence[Birth[Digits]]) -> None:
        self.open = False
        champion = list(self.view.population)
        racer = next(iter(living(births)), None)
        beaten = racer is None or (champion and outranks(champion[0].fitness, racer.fitness))
        self.block = 0 if beaten else self.block + 1
        self.racer = None if beaten else racer
        if self.block == len(self.BLOCKS):
            champion, self.racer, self.block = living(births), None, 0
        self.view = self.view.advance(champion, births)


def racing(p: Parts) -> Strategy[Digits]:
    return Racing(p)


def raced(p: Parts) -> Strategy[Digits]:
    """A genetic algorithm whose births race on three blocks of two digits."""
    inner = sequence(p.founding(), Genetic(p.cross(), rank, truncation(N), seed=SEED))
    return strategies.Racing(inner, [str(i) for i in range(6)], seed=SEED, block=2, places=2, rule=Behind(alpha=0.5, keep=1))


SKELETONS = [
    evoprompt_ga, evoprompt_de, ga_llm, genome, genome_plus, model_swarms, eggroll, map_elites, islands, resets, nsga2, bandit,
    per_case_frontier, comma, picks, racing, raced, as_released, restarting_swarm, deep_ga, m2n2, portfolio, after_portfolio,
]  # fmt: skip
if importlib.util.find_spec("cma") is not None:
    SKELETONS.append(coefficients)
FOUNDS = {ga_llm, portfolio, coefficients}
"""Those that found anew all the time."""


class Killed(BaseException):
    """As far as a process can be killed from inside."""


class Dying:
    """An evaluation that dies in the middle of its n-th call."""

    whole_cohort = False

    def __init__(self, n: int) -> None:
        self.left, self.distance = n, Distance()

    async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> list[Fitness]:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return await self.distance(genomes, contexts)


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("build", SKELETONS, ids=lambda build: build.__name__)
def test_same_run_in_any_order_and_after_kills(build: Callable[[Parts], Strategy[Digits]], slots: int, quick_path: Path) -> None:
    batch = N if slots == 1 else 2
    limit = [stop.matings(70)]
    plain = run(build(Parts([])), stops=limit, batch=batch, slots=slots)
    assert plain.best is not None and plain.progress.births >= 70, plain.reason
    founded = plain.progress.births - plain.progress.since_best
    assert founded > N or build is picks, "the skeleton should improve on its founders, else it proves little"

    shuffled = run(build(Parts([], ticks=9)), Distance(ticks=9), stops=limit, batch=batch, slots=slots)
    assert shuffled.history == plain.history

    path, deaths = quick_path / "run.sqlite", random.Random(slots)
    conceived: list[str] = []
    for _ in range(3):
        with pytest.raises(Killed):
            run(build(Parts(conceived)), Dying(deaths.randint(3, 14)), stops=limit, batch=batch, slots=slots, path=path)
    resumed = run(build(Parts(conceived)), stops=limit, batch=batch, slots=slots, path=path)
    assert resumed.history == plain.history
    assert resumed.best == plain.best and resumed.progress == plain.progress

    seen: list[str] = []
    again = replay(build(Parts(seen)), journal(path), batch=batch, slots=slots)
    born = plain.progress.births - plain.progress.reassessed
    assert (again.history, again.births) == (plain.history, born) and not seen


@cache
def undisturbed(build: Callable[[Parts], Strategy[Digits]], slots: int) -> str:
    return run(build(Parts([])), stops=[stop.matings(60)], batch=4, slots=slots).history


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("build", SKELETONS, ids=lambda build: build.__name__)
def test_a_larger_limit_continues_the_same_run(build: Callable[[Parts], Strategy[Digits]], slots: int, quick_path: Path) -> None:
    whole = undisturbed(build, slots)
    path = quick_path / "run.sqlite"
    run(build(Parts([])), stops=[stop.matings(24)], batch=4, slots=slots, path=path)
    assert run(build(Parts([])), stops=[stop.matings(60)], batch=4, slots=slots, path=path).history == whole


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("build", SKELETONS, ids=lambda build: build.__name__)
def test_a_whole_cohort_evaluator_gives_the_same_run(build: Callable[[Parts], Strategy[Digits]], slots: int) -> None:
    together = run(build(Parts([])), Distance(whole_cohort=True), stops=[stop.matings(60)], batch=4, slots=slots)
    assert together.history == undisturbed(build, slots)


class Hopeless(Parts):
    """All births fail, from the first or from the given one on."""

    alive: int = 0

    def __call__(self, name: str, make: Any, arity: int | None, **more: Any) -> Toy:
        if arity != 0 or not self.alive:
            more["fails"] = 1.0
        else:
            more.pop("fails", None)
        return super().__call__(name, make, arity, **more)


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("build", SKELETONS, ids=lambda build: build.__name__)
@pytest.mark.parametrize("alive", [0, 1], ids=["founding", "later"])
def test_all_stillborn_ends_with_a_named_reason(build: Callable[[Parts], Strategy[Digits]], alive: int, slots: int) -> None:
    parts = Hopeless([])
    parts.alive = alive
    outcome = run(build(parts), stops=[stop.barren(20), stop.matings(400)], batch=4, slots=slots)
    if not (alive and build in FOUNDS):
        assert outcome.progress.births < 80
        assert "gave no child" in outcome.reason
    assert (outcome.best is not None) == bool(alive)


def test_seed_matters() -> None:
    def go(seed: Seed) -> str:
        breeding = Genetic(Parts([]).cross(), roulette, truncation(N), seed=seed)
        return run(sequence(Parts([]).founding(seed=seed), breeding), stops=[stop.matings(40)]).history

    assert go(Seed.of(1)) != go(Seed.of(2))
