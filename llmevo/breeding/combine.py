"""Variations made of variations, and choices among them: blind to what a genome is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic

import numpy as np

from llmevo.core import UNSCORED, Birth, Context, G, Individual, Mating, Variation, VariationFailed, common_cases, standing
from llmevo.core.variation import VariationBase


@dataclass(frozen=True)
class Given(VariationBase, Generic[G]):
    """A founder that is given: arity 0, costs nothing."""

    genome: G
    arity: ClassVar[int | None] = 0

    @property
    def key(self) -> str:
        return f"given({self.genome.key})"

    async def __call__(self, parents: Sequence[Individual[G]], context: Context) -> G:
        return self.genome


@dataclass(frozen=True)
class Titled(VariationBase, Generic[G]):
    """A variation under a title of its own, so that a report can tell what its children are."""

    title: str
    inner: Variation[G]

    @property
    def key(self) -> str:
        return f"{self.title}: {self.inner.key}"

    @property
    def arity(self) -> int | None:
        return self.inner.arity

    async def __call__(self, parents: Sequence[Individual[G]], context: Context) -> G:
        return await self.inner(parents, context)


@dataclass(frozen=True)
class Reassess:
    """Evaluates a known individual on further cases: it is told again under its own id, with a revised fitness.

    The fitness that is revised is the one at planning, so plan the next one of an individual when the last one was told.
    """

    arity: ClassVar[int | None] = 1
    key: ClassVar[str] = "reassess"
    picks: ClassVar[bool] = True
    reassess: ClassVar[bool] = True

    async def __call__(self, parents: Sequence[Individual[G]], context: Context) -> G:
        return parents[0].genome


@dataclass(frozen=True)
class Chain(VariationBase, Generic[G]):
    """One variation after another, e.g. a merge, then noise. Each stage draws from the seed folded with its place.

    The first stage gets the parents; a later one gets the child so far as its single parent, which has no score and no
    feedback yet: a variation that reads feedback comes first, or alone.
    """

    stages: tuple[Variation[G], ...]

    def __post_init__(self) -> None:
        if not self.stages or any(stage.arity not in (1, None) for stage in self.stages[1:]):
            raise ValueError("a chain has at least one stage, and every stage after the first takes one parent")

    @property
    def key(self) -> str:
        return " > ".join(stage.key for stage in self.stages)

    @property
    def arity(self) -> int | None:
        return self.stages[0].arity

    async def __call__(self, parents: Sequence[Individual[G]], context: Context) -> G:
        genome = await self.stages[0](parents, context.stage(0))
        for place, stage in enumerate(self.stages[1:], start=1):
            child: Individual[G] = Individual(f"{context.scope}/{place}", genome, UNSCORED)
            if parents:
                child = replace(parents[0], id=child.id, genome=genome, fitness=UNSCORED)
            genome = await stage([child], context.stage(place))
        return genome


def chain(*stages: Variation[G]) -> Chain[G]:
    """One variation after another; see `Chain`."""
    return Chain(stages)


@dataclass(frozen=True)
class Ladder(VariationBase, Generic[G]):
    """The first variation that gives a child: what one rung fails at, the next one tries, more modestly.

    A rung gets as many of the parents as it takes, in their order, and draws from the seed folded with its place. What a failed rung
    cost is charged. When the last one fails, so does the birth.
    """

    rungs: tuple[Variation[G], ...]

    def __post_init__(self) -> None:
        if not self.rungs:
            raise ValueError("a ladder has at least one rung")
        most = self.rungs[0].arity
        if most is not None and any(rung.arity is None or rung.arity > most for rung in self.rungs):
            raise ValueError("a lower rung takes no more parents than the first one")
        if any(rung.picks or rung.reassess for rung in self.rungs):
            raise ValueError("a rung makes a new genome: it neither picks nor reassesses")

    @property
    def key(self) -> str:
        return " | ".join(rung.key for rung in self.rungs)

    @property
    def arity(self) -> int | None:
        return self.rungs[0].arity

    async def __call__(self, parents: Sequence[Individual[G]], context: Context) -> G:
        reasons = []
        for place, rung in enumerate(self.rungs):
            try:
                return await rung(parents[: rung.arity], context.stage("rung", place))
            except VariationFailed as error:
                reasons.append(str(error))
        raise VariationFailed("; then ".join(reasons))


def ladder(*rungs: Variation[G]) -> Ladder[G]:
    """The first variation that gives a child; see `Ladder`."""
    return Ladder(rungs)


class Only(Generic[G]):
    """The mixture of a single variation."""

    def __init__(self, variation: Variation[G]) -> None:
        self.variations = (variation,)

    def choose(self, rng: np.random.Generator) -> Variation[G]:
        return self.variations[0]

    def credit(self, told: Sequence[tuple[Mating[G], Birth[G]]]) -> None:
        """Nothing is learnt: there is no choice."""


class Weighted(Generic[G]):
    """Variations chosen with fixed probabilities proportional to their weights."""

    def __init__(self, weights: Sequence[tuple[Variation[G], float]]) -> None:
        self.variations = tuple(variation for variation, _ in weights)
        rates = np.asarray([weight for _, weight in weights], dtype=float)
        if not len(rates) or not np.isfinite(rates).all() or rates.min() < 0 or rates.sum() <= 0:
            raise ValueError(f"weights are finite, non-negative and not all zero, not {rates.tolist()}")
        self._edges = np.cumsum(rates / rates.sum())

    def choose(self, rng: np.random.Generator) -> Variation[G]:
        index = int(np.searchsorted(self._edges, rng.random(), side="right"))
        return self.variations[min(index, len(self.variations) - 1)]

    def credit(self, told: Sequence[tuple[Mating[G], Birth[G]]]) -> None:
        """Nothing is learnt: the weights are fixed."""


class Bandit(Generic[G]):
    """Variations chosen by what they gained so far: UCB1 over improvement per nominal cost (Auer et al., 2002).

    The reward of a birth is how far it is above its best parent on the cases that all of them have, scaled by the largest gain seen,
    over its nominal price relative to the mean; over calls, as long as nothing has a price. Stillbirths gain 0. A variation in
    flight counts as chosen, so that open cohorts spread.
    """

    def __init__(self, variations: Sequence[Variation[G]], exploration: float = 1.0) -> None:
        if not variations:
            raise ValueError("a bandit needs at least one variation")
        self.variations = tuple(variations)
        self.exploration = exploration
        self.chosen = [0] * len(self.variations)
        self.gains = [0.0] * len(self.variations)
        self._prices = [0.0] * len(self.variations)
        self._calls = [0.0] * len(self.variations)

    @property
    def costs(self) -> list[float]:
        """What the births of each variation cost so far: dollars if anything had a price, else calls."""
        return self._prices if any(self._prices) else self._calls

    def choose(self, rng: np.random.Generator) -> Variation[G]:
        untried = [i for i, count in enumerate(self.chosen) if count == 0]
        arm = untried[0] if untried else max(range(len(self.variations)), key=self._bound)
        self.chosen[arm] += 1
        return self.variations[arm]

    def credit(self, told: Sequence[tuple[Mating[G], Birth[G]]]) -> None:
        places = {variation.key: i for i, variation in enumerate(self.variations)}
        for mating, birth in told:
            arm = places.get(mating.variation_key)
            if arm is None:
                continue
            self._prices[arm] += birth.birth_usage.price
            self._calls[arm] += birth.birth_usage.calls
            parents = [parent.fitness for parent in mating.parents if parent.fitness.ok]
            if isinstance(birth, Individual) and birth.fitness.ok and parents:
                common = common_cases((birth.fitness, *parents))
                child, *others = (standing(fitness, common)[2] for fitness in (birth.fitness, *parents))
                self.gains[arm] += max(0.0, child - max(others))

    def _bound(self, arm: int) -> float:
        rates = [gain / count if count else 0.0 for gain, count in zip(self.gains, self.chosen, strict=True)]
        costs = [cost / count if count else 0.0 for cost, count in zip(self.costs, self.chosen, strict=True)]
        mean_cost = math.fsum(costs) / len(costs)
        per_cost = [rate / (cost / mean_cost if mean_cost and cost else 1.0) for rate, cost in zip(rates, costs, strict=True)]
        top = max(per_cost)
        reward = per_cost[arm] / top if top > 0 else 0.0
        return reward + self.exploration * math.sqrt(2 * math.log(sum(self.chosen)) / self.chosen[arm])
