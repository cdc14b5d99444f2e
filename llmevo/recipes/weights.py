"""Searches over adapters: GENOME (arXiv 2503.01155), Model Swarms, LoRAHub, CMA-ES, EGGROLL, Deep GA, M2N2, and what they must beat."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Annotated, Any, Literal

from pydantic import Field

from llmevo.breeding import (
    Attraction,
    BestFirst,
    InTurn,
    Lottery,
    Roles,
    Titled,
    Weighted,
    always_replace,
    chain,
    keep_all,
    resource_sharing,
    roulette,
    truncation,
    unchanged,
    uniform,
)
from llmevo.core import Seed, Strategy, Variation, View
from llmevo.core.view import HALL
from llmevo.recipes.adapters import AdapterKit
from llmevo.recipes.kit import Plan
from llmevo.strategies import (
    Afresh,
    Confirmed,
    Distribution,
    For,
    Founding,
    Genetic,
    GreedySoup,
    Patient,
    Phases,
    Stale,
    Vectors,
    alternate,
    sequence,
)
from llmevo.weights.distributions import Combined, Member, Update
from llmevo.weights.genome import AdapterGenome
from llmevo.weights.variations import Inherit, Merge, Mixed, Noise, Scale, Split

G = AdapterGenome
Method = Literal["linear", "task-arithmetic", "ties", "dare", "dare-ties", "della", "breadcrumbs", "slerp"]
Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
SWARM = ("self", "previous", "own_best", "best", "worst")
STRENGTHS = (0.25, 0.5, 0.75, 1.25, 1.5)


def genome(
    kit: AdapterKit,
    *,
    population: int = 10,
    steps: int = 10,
    method: Method = "linear",
    sigma: Positive = 0.05,
    density: Share = 0.2,
    mutation: Share = 0.5,
    elites: int = 1,
    tournament: int = 3,
    as_released: bool = False,
) -> Plan[G]:
    """GENOME: random pairs of experts; roulette, merge weighted by fitness, then sparse noise; elites and tournaments.

    `as_released` does what the authors' code does: factors are merged one by one, DARE is not rescaled, TIES shrinks twice, the noise
    is absolute (theirs is sigma 0.001), and after a step's `population` merges everybody, parent or child, may have a mutant beside it: a
    share `mutation` of all has one, but at least one has.
    """
    founders: list[Variation[G]] = [_pair(kit, as_released)] * population
    survival = Lottery(population, elites, tournament)
    merge, mutated = _merge(method, as_released), Noise(sigma, density, relative=not as_released)
    search: Phases[G] | Genetic[G]
    if as_released:
        search, each = _released(kit.seed, merge, mutated, mutation, survival, population)
    else:
        search, each = Genetic(_either(merge, mutated, mutation), roulette, survival, seed=kit.seed), population
    return Plan(sequence(Founding(founders, seed=kit.seed), search), population, population + each * steps)


def genome_plus(
    kit: AdapterKit,
    *,
    population: int = 10,
    steps: int = 10,
    method: Method = "linear",
    sigma: Positive = 0.05,
    density: Share = 0.2,
    mutation: Share = 0.5,
    elites: int = 1,
    tournament: int = 3,
    step: Positive = 0.5,
    decay: Share = 0.95,
    inertia: float = 0.2,
    own: float = 0.2,
    best: float = 0.2,
    worst: float = 0.1,
    vote: Annotated[int, Field(ge=1, le=HALL)] = 5,
    as_released: bool = False,
) -> Plan[G]:
    """GENOME+: everybody moves towards the best and away from the worst; then breeding as in GENOME. One step is both.

    At the end up to `vote` of the best ever vote: how many is chosen on the dev cases, a tie goes to the best member.

    `as_released`: moved individuals keep their old score, the own best is always oneself, the random factors are drawn once, the step
    shrinks with every individual instead of every round, and a roulette without replacement chooses who lives on; besides what `genome`
    says.
    """
    names = ("self", "previous", "self", "best", "worst") if as_released else SWARM

    def move(turn: int) -> Variation[G]:
        length = step * decay**turn
        before = length / decay if turn else None
        space = "factors" if as_released else "product"
        return Inherit(length, before, inertia, own, best, worst, space, frozen=as_released)

    moving = Genetic(
        InTurn(move, 1 if as_released else population), Roles(names), always_replace(), seed=kit.seed.fold("move")
    )
    survival, seed = Lottery(population, elites, None if as_released else tournament), kit.seed.fold("breed")
    merge, mutated = _merge(method, as_released), Noise(sigma, density, relative=not as_released)
    breeding: list[For[G]]
    if as_released:
        breeding, each = _released_phases(seed, merge, mutated, mutation, survival, population)
    else:
        breeding, each = [For(Genetic(_either(merge, mutated, mutation), roulette, survival, seed=seed), population)], population
    founders: list[Variation[G]] = [_pair(kit, as_released)] * population
    rounds = alternate(For(Stale(moving) if as_released else moving, population), *breeding)
    return Plan(sequence(Founding(founders, seed=kit.seed), rounds), population, population + (population + each) * steps, vote=vote)


def model_swarms(
    kit: AdapterKit,
    *,
    population: int = 20,
    steps: int = 10,
    inertia: float = 0.4,
    own: float = 0.3,
    best: float = 0.3,
    worst: float = 0.3,
    step: Positive = 1.0,
    decay: Share = 0.95,
    least: Positive = 0.1,
    patience: Annotated[int, Field(ge=1)] = 10,
    restart: Share = 0.67,
    as_released: bool = False,
) -> Plan[G]:
    """Model Swarms (arXiv 2410.11163): experts and mixtures of pairs move with inertia to the own and the global best, from the worst.

    After `patience` steps without a new best ever it ends. Who had none of its own for a share `restart` of these begins again where its
    best one was, at rest. `as_released` adds factors one by one instead of the changes that they stand for.
    """
    space = "factors" if as_released else "product"

    def move(turn: int) -> Variation[G]:
        length, before = (max(least, step * decay**one) for one in (turn, turn - 1))
        return Inherit(length, before if turn else None, inertia, own, best, worst, space)

    mixed = Mixed(kit.experts, 0.0, 2.0, sums=False, space=space)
    founders = [*kit.founders, *[mixed] * population][:population]
    roles = Roles(SWARM, restart=ceil(restart * patience))
    search = Patient(Genetic(InTurn(move, population), roles, always_replace(), seed=kit.seed), patience * population)
    return Plan(sequence(Founding(founders, seed=kit.seed), search), population, population * (steps + 1))


def lorahub(kit: AdapterKit, *, population: int = 10, steps: int = 10, bound: Positive = 1.5, l1: float = 0.05) -> Plan[G]:
    """LoRAHub (arXiv 2307.13269): a coefficient per expert, all 0 at the start, within a bound and with a price on their size.

    The search is CMA-ES; the authors' is another gradient-free one.
    """
    start = (0.0,) * len(kit.experts)
    strategy = Vectors(
        lambda vector: Combined(kit.experts, vector, first=start), start, seed=kit.seed, population=max(2, population), sigma=bound / 3,
        bounds=(-bound, bound), penalty=lambda vector: l1 * sum(map(abs, vector)) / len(vector),
    )  # fmt: skip
    return Plan(strategy, population, population * (steps + 1))


def cma(kit: AdapterKit, *, population: int = 10, steps: int = 10, groups: int = 1, sigma: Positive = 0.3) -> Plan[G]:
    """CMA-ES (Hansen, arXiv 1604.00772) over the coefficients of the experts, one set for each of `groups` groups of layers.

    It starts at the average.
    """
    if groups < 1:
        raise ValueError(f"groups: the layers form at least one group, not {groups}")
    start = (1 / len(kit.experts),) * (len(kit.experts) * groups)
    strategy = Vectors(
        lambda vector: Combined(kit.experts, vector, groups, start), start, seed=kit.seed, population=max(2, population), sigma=sigma
    )
    return Plan(strategy, population, population * (steps + 1))


def eggroll(
    kit: AdapterKit, *, population: int = 10, steps: int = 10, sigma: Positive = 0.1, rate: Positive = 1.0, rank: int = 1
) -> Plan[G]:
    """EGGROLL (arXiv 2511.16652): an evolution strategy whose members are low-rank noise from a seed, in plus and minus pairs.

    The mean starts as the average of the experts; `population` is rounded down to pairs.
    """
    pairs = max(1, population // 2)
    n = len(kit.experts)
    mean = Combined(kit.experts, (1 / n,) * n)
    strategy = Distribution(mean, Member(1, sigma, rank), Member(-1, sigma, rank), Update(rate), pairs=pairs, seed=kit.seed)
    return Plan(strategy, 2 * pairs, 1 + steps * (2 * pairs + 1))


def deep_ga(
    kit: AdapterKit,
    *,
    population: int = 20,
    steps: int = 10,
    parents: int = 5,
    sigma: Positive = 0.05,
    density: Share = 1.0,
    fresh: Annotated[float, Field(ge=0, lt=1)] = 0.25,
) -> Plan[G]:
    """Deep GA (arXiv 1712.06567): mutations alone; the best `parents` have children, and the best of all stays.

    A share `fresh` of the dev cases scores no child but one that would be the best ever, which has to be so on these, too: the fresh
    episodes of the paper. Each such scoring counts as a birth. With 0, or in a race (which divides the cases itself), all cases score all.
    """
    search = Genetic(Noise(sigma, density), uniform, truncation(parents), seed=kit.seed)
    founders = [*kit.founders, *[Mixed(kit.experts)] * population][:population]
    founding = Founding(founders, seed=kit.seed, succession=truncation(parents))
    strategy: Strategy[G] = sequence(founding, search)
    apart = round(fresh * len(kit.cases))
    if apart:
        order = [kit.cases[int(i)] for i in kit.seed.fold("episodes").rng().permutation(len(kit.cases))]
        strategy = Confirmed(strategy, seed=kit.seed, cases=order[apart:], fresh=order[:apart])
    return Plan(strategy, population, population * (steps + 1))


def m2n2(kit: AdapterKit, *, population: int = 10, steps: int = 10, sigma: Positive = 0.02, density: Share = 0.2) -> Plan[G]:
    """M2N2 (arXiv 2508.16204): cases are shared out among those that solve them, mates complement each other, layers change sides."""
    search = Genetic(chain(Split(), Noise(sigma, density)), Attraction(), resource_sharing(population), seed=kit.seed)
    founders = [*kit.founders, *[Mixed(kit.experts)] * population][:population]
    return Plan(sequence(Founding(founders, seed=kit.seed), search), population, population * (steps + 1))


def portfolio(kit: AdapterKit, *, population: int = 10, steps: int = 10) -> Plan[G]:
    """What a search has to beat: every expert, a greedy soup, the best expert scaled, the base, the average, gradient training on the same
    examples (whose dev score is flattering: it has seen the answers), then random mixtures.

    It makes `population * (steps + 1)` evaluations, as the searches do.
    """
    phases, fixed = _beforehand(kit)
    drawn: Variation[G] = Titled("random mixture", Mixed(kit.experts))
    random: Genetic[G] = Genetic(drawn, uniform, unchanged, seed=kit.seed.fold("random"))
    return Plan(sequence(*phases, random), population, max(population * (steps + 1), fixed))


def after_portfolio(kit: AdapterKit, plan: Plan[G]) -> Plan[G]:
    """A search behind what it has to beat: the portfolio without its random mixtures is scored first, and counts for the best ever."""
    phases, fixed = _beforehand(kit)
    return replace(plan, strategy=sequence(*phases, Afresh(plan.strategy)), matings=plan.matings + fixed)


def _beforehand(kit: AdapterKit) -> tuple[list[Any], int]:
    """The phases of a portfolio, and at most how many matings they plan."""
    experts, n, gradient = kit.experts, len(kit.experts), kit.gradient()
    plain: list[Variation[G]] = [
        Titled("base", Combined(experts[:1], (0.0,))), Titled("average", Combined(experts, (1 / n,) * n)),
        *([] if gradient is None else [Titled("gradient", gradient)]),
    ]  # fmt: skip
    seed = kit.seed.fold("portfolio")
    strengths = InTurn(lambda i: Titled("expert, scaled", Scale(STRENGTHS[i % len(STRENGTHS)])), 1)
    phases: list[Any] = [
        Founding([Titled("expert", one) for one in kit.founders], seed=seed, succession=keep_all),
        GreedySoup(Titled("greedy soup", Merge(arity=None, by="equal")), seed=seed),
        For(Genetic(strengths, BestFirst(), unchanged, seed=seed.fold("scale")), len(STRENGTHS)),
        For(Genetic(InTurn(lambda i: plain[i % len(plain)], 1), uniform, unchanged, seed=seed.fold("plain")), len(plain)),
    ]
    return phases, 2 * n - 1 + len(STRENGTHS) + len(plain)


def _pair(kit: AdapterKit, as_released: bool) -> Mixed:
    return Mixed(kit.experts, space="factors" if as_released else "product")


def _merge(method: str, as_released: bool) -> Merge:
    """A merge of two parents, weighted by their scores."""
    settings: dict[str, object] = {}
    if as_released:
        settings["space"] = "factors"
        if method in ("dare", "dare-ties"):
            settings["rescale"] = False
        if method == "ties":
            settings["twice"] = True
    return Merge(method, settings=settings)


def _either(merge: Merge, noise: Noise, mutation: float) -> Weighted[G]:
    """A merge, or a merge with noise."""
    return Weighted([(merge, 1 - mutation), (chain(merge, noise), mutation)])


def _released(
    seed: Seed, merge: Merge, noise: Noise, mutation: float, survival: Lottery, population: int
) -> tuple[Phases[G], int]:
    """Step after step as released, and the births of one."""
    phases, each = _released_phases(seed, merge, noise, mutation, survival, population)
    return alternate(*phases), each


def _released_phases(
    seed: Seed, merge: Merge, noise: Noise, mutation: float, survival: Lottery, population: int
) -> tuple[list[For[G]], int]:
    """Merges, which all stay for a while; then mutants of a share of everybody, and who lives on."""

    def mutants(view: View[G]) -> int:
        return max(1, round(mutation * len(view.population)))

    merging: Genetic[G] = Genetic(merge, roulette, keep_all, seed=seed.fold("merge"))
    mutating: Genetic[G] = Genetic(noise, uniform, survival, seed=seed.fold("mutate"))
    return [For(merging, population), For(mutating, mutants)], population + max(1, round(2 * mutation * population))
