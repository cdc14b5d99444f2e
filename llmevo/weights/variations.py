"""Variations of adapters: each writes a recipe; no tensor is touched until somebody asks for the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from llmevo.breeding.shaping import linear_rank, proportional
from llmevo.core import ConfigError, Context, Individual, VariationFailed
from llmevo.core.variation import VariationBase
from llmevo.weights.genome import AdapterGenome, recipe_seed

Parents = Sequence[Individual[AdapterGenome]]
SEEDED = frozenset({"dare", "dare-ties", "della"})
"""The merging methods that draw."""
UNWEIGHTED = frozenset({"slerp", "split", "extrapolate", "prune", "model-stock"})


def named(name: str, settings: Mapping[str, Any]) -> str:
    """The key of a variation: its name and settings."""
    return f"{name}({','.join(f'{key}={value}' for key, value in settings.items())})"


@dataclass(frozen=True)
class Merge(VariationBase):
    """Parents merged by a method; `by="fitness"` weights them by their scores, `equal` evenly.

    Scores below zero have no proportions: then the ranks are the weights.
    """

    method: str = "linear"
    arity: int | None = 2
    by: Literal["fitness", "equal"] = "fitness"
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The method, the weighting and the settings."""
        return named(self.method, {"by": self.by, **self.settings})

    async def __call__(self, parents: Parents, context: Context) -> AdapterGenome:
        settings = dict(self.settings)
        if self.method not in UNWEIGHTED:
            settings["weights"] = shares([parent.fitness.value for parent in parents]) if self.by == "fitness" else _even(parents)
        seed = recipe_seed(context.seed) if self.method in SEEDED else None
        return AdapterGenome(self.method, [parent.genome for parent in parents], settings, seed)


@dataclass(frozen=True)
class Noise(VariationBase):
    """Sparse Gaussian noise: a share `density` of the numbers moves by `sigma` times the deviation of its tensor (or by `sigma` itself)."""

    sigma: float = 0.05
    density: float = 0.2
    relative: bool = True
    arity: ClassVar[int | None] = 1

    @property
    def key(self) -> str:
        """Its parameters."""
        return named("noise", {"sigma": self.sigma, "density": self.density, "relative": self.relative})

    async def __call__(self, parents: Parents, context: Context) -> AdapterGenome:
        settings: dict[str, Any] = {"sigma": self.sigma, "density": self.density}
        if not self.relative:
            settings["relative"] = False
        return AdapterGenome("noise", [parents[0].genome], settings, recipe_seed(context.seed))


@dataclass(frozen=True)
class Inherit(VariationBase):
    """A step towards the best and away from the worst; parents are (self, previous, own best, best, worst).

    With x where one is and v the last step, `step * (inertia r0 v + own r1 (p - x) + best r2 (g - x) - worst r3 (w - x)) / C` is added,
    every r drawn anew from [0, 1], and C the sum of the products. `before` is the length of the last step, which turns the way from
    `previous` to `self` into v. `frozen` draws the r once for all, as some released code does.
    """

    step: float = 0.5
    before: float | None = None
    inertia: float = 0.2
    own: float = 0.2
    best: float = 0.2
    worst: float = 0.1
    space: str = "product"
    frozen: bool = False
    arity: ClassVar[int | None] = 5

    @property
    def key(self) -> str:
        """Its parameters."""
        names = ("step", "before", "inertia", "own", "best", "worst", "space", "frozen")
        return named("inherit", {name: getattr(self, name) for name in names})

    def coefficients(self, context: Context) -> list[float]:
        """What each parent counts in the sum that is the child."""
        from llmevo.core import Seed

        seed = Seed(0).fold("frozen") if self.frozen else context.seed
        pull = [phi * r for phi, r in zip((self.inertia, self.own, self.best, self.worst), seed.rng().random(4).tolist(), strict=True)]
        total = sum(pull)
        if total == 0:
            raise VariationFailed("every pull of the step is zero: the child would be its parent")
        v, p, g, w = (self.step * one / total for one in pull)
        v /= self.before or self.step
        return [1 + v - p - g + w, -v, p, g, -w]

    async def __call__(self, parents: Parents, context: Context) -> AdapterGenome:
        return combination([parent.genome for parent in parents], self.coefficients(context), self.space)


@dataclass(frozen=True)
class Differ(VariationBase):
    """Differential evolution: (target, a, b, best) or (target, a, b): the target moved by F (a - b) and drawn to the best."""

    factor: float = 0.5
    pull: float = 0.5
    arity: int | None = 4

    @property
    def key(self) -> str:
        """Its parameters."""
        return named("differ", {"factor": self.factor, "pull": self.pull})

    async def __call__(self, parents: Parents, context: Context) -> AdapterGenome:
        pull = self.pull if len(parents) == 4 else 0.0
        weights = [1 - pull, self.factor, -self.factor, pull]
        return combination([parent.genome for parent in parents], weights[: len(parents)], "product")


@dataclass(frozen=True)
class Scale(VariationBase):
    """One parent, stronger or weaker: many experts are best at less than their full strength. 0 is the base model."""

    by: float
    arity: ClassVar[int | None] = 1

    @property
    def key(self) -> str:
        """Its strength."""
        return named("scale", {"by": self.by})

    async def __call__(self, parents: Parents, context: Context) -> AdapterGenome:
        return AdapterGenome("sum", [parents[0].genome], {"weights": [self.by]})


@dataclass(frozen=True)
class Graft(VariationBase):
    """One parent and, on top of it, one of the experts at a strength that is drawn: the way from the base model to any of them."""

    experts: tuple[AdapterGenome, ...]
    low: float = -0.5
    high: float = 1.0
    arity: ClassVar[int | None] = 1

    @property
    def key(self) -> str:
        """The experts and the range."""
        return named("graft", {"of": [one.key for one in self.experts], "range": (self.low, self.high)})

    async def __call__(self, parents: Parents, context: Context) -> AdapterGenome:
        rng = context.seed.rng()
        expert = self.experts[int(rng.integers(len(self.experts)))]
        return combination([parents[0].genome, expert], [1.0, round(float(rng.uniform(self.low, self.high)), 4)], "product")


@dataclass(frozen=True)
class Split(VariationBase):
    """M2N2's crossover (arXiv 2508.16204): SLERP of two parents, changing sides at a random depth. The rate t is drawn, too."""

    arity: ClassVar[int | None] = 2
    key: ClassVar[str] = "split"

    async def __call__(self, parents: Parents, context: Context) -> AdapterGenome:
        at, t = context.seed.rng().random(2).round(6).tolist()
        return AdapterGenome("split", [parent.genome for parent in parents], {"at": at, "t": t})


@dataclass(frozen=True)
class Mixed(VariationBase):
    """A founder: a random pair of experts, with random weights that sum to 1 (or each from a range, as in Model Swarms)."""

    experts: tuple[AdapterGenome, ...]
    low: float = 0.0
    high: float = 1.0
    sums: bool = True
    space: str = "product"
    arity: ClassVar[int | None] = 0

    def __post_init__(self) -> None:
        if len(self.experts) < 2:
            raise ConfigError(f"{len(self.experts)} experts: a mixture needs at least two")

    @property
    def key(self) -> str:
        """The experts and the range."""
        return named("mixed", {"of": [one.key for one in self.experts], "range": (self.low, self.high, self.sums), "space": self.space})

    async def __call__(self, parents: Parents, context: Context) -> AdapterGenome:
        rng = context.seed.rng()
        i, j = rng.choice(len(self.experts), size=2, replace=False).tolist()
        a, b = rng.uniform(self.low, self.high, size=2).tolist()
        weights = [a, 1 - a] if self.sums else [a, b]
        return combination([self.experts[i], self.experts[j]], weights, self.space)


def combination(genomes: Sequence[AdapterGenome], weights: Sequence[float], space: str) -> AdapterGenome:
    """The weighted sum: each genome once, those that count nothing left out. Raises `VariationFailed` when none is left."""
    total: dict[str, float] = {}
    by_key = {genome.key: genome for genome in genomes}
    for genome, weight in zip(genomes, weights, strict=True):
        total[genome.key] = total.get(genome.key, 0.0) + weight
    used = {key: weight for key, weight in total.items() if abs(weight) > 1e-12}
    if not used:
        raise VariationFailed("the parents cancel each other out")
    if len(used) == 1 and abs(next(iter(used.values())) - 1) < 1e-9:
        return by_key[next(iter(used))]
    settings: dict[str, Any] = {"weights": list(used.values())}
    if space != "product":
        settings["space"] = space
    return AdapterGenome("sum", [by_key[key] for key in used], settings)


def shares(scores: Sequence[float]) -> list[float]:
    """Weights in proportion to scores, summing to 1; by rank where scores are below zero."""
    weights = linear_rank(scores) if min(scores) < 0 else proportional(scores)
    return [float(weight) for weight in weights / weights.sum()]


def _even(parents: Parents) -> list[float]:
    return [1 / len(parents)] * len(parents)
