"""Variations of searches over coefficients and of distributions: what is asked for comes from their state, not from a population."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from llmevo.breeding.shaping import Weights, centered_rank
from llmevo.core import Context, VariationFailed
from llmevo.core.variation import VariationBase
from llmevo.weights.genome import AdapterGenome, recipe_seed
from llmevo.weights.variations import Parents, combination, named


@dataclass(frozen=True)
class Combined(VariationBase):
    """Given coefficients of given experts, one list per group of layers: where a search for coefficients looks."""

    experts: tuple[AdapterGenome, ...]
    weights: tuple[float, ...]
    groups: int = 1
    first: tuple[float, ...] | None = None
    """Coefficients that the same search asked for first: the record of the others refers to it."""
    arity: ClassVar[int | None] = 0

    @property
    def key(self) -> str:
        """The experts and their coefficients."""
        return named("combined", {"of": [one.key for one in self.experts], "weights": self.weights, "groups": self.groups})

    async def __call__(self, parents: Parents, context: Context) -> AdapterGenome:
        first = None if self.first is None else self._genome(self.first, None)
        return self._genome(self.weights, first)

    def _genome(self, weights: tuple[float, ...], like: AdapterGenome | None) -> AdapterGenome:
        n = len(self.experts)
        rows = [list(weights[i : i + n]) for i in range(0, len(weights), n)]
        return AdapterGenome("sum", self.experts, {"weights": rows[0] if len(rows) == 1 else rows}, like=like)


@dataclass(frozen=True)
class Member(VariationBase):
    """A member of a distribution: the mean, moved by noise of a low rank that a seed makes; `sign` -1 is its mirror image.

    Source: EGGROLL (arXiv 2511.16652). The noise is relative to the deviation of each factor.
    """

    sign: int
    sigma: float = 0.05
    rank: int = 1
    arity: ClassVar[int | None] = 1

    @property
    def key(self) -> str:
        """Its parameters."""
        return named("member", {"sign": self.sign, "sigma": self.sigma, "rank": self.rank})

    async def __call__(self, parents: Parents, context: Context) -> AdapterGenome:
        settings = {"sigma": self.sigma * self.sign, "rank": self.rank}
        return AdapterGenome("member", [parents[0].genome], settings, recipe_seed(context.seed))


@dataclass(frozen=True)
class Update(VariationBase):
    """The next mean, of the mean and its members, weighted by their ranks. `rate` is the length of the step in units of one member's noise.
    """

    rate: float = 1.0
    arity: ClassVar[int | None] = None

    @property
    def key(self) -> str:
        """Its rate."""
        return named("update", {"rate": self.rate})

    async def __call__(self, parents: Parents, context: Context) -> AdapterGenome:
        mean, *members = parents
        utilities: Weights = centered_rank([one.fitness.value for one in members])
        length = float((utilities**2).sum() ** 0.5)
        if not length:
            raise VariationFailed("all members are equally good: there is no direction")
        weights = [float(self.rate * utility / length) for utility in utilities]
        genomes = [mean.genome, *(one.genome for one in members)]
        return combination(genomes, [1 - sum(weights), *weights], "factors")
