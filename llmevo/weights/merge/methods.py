"""The merging methods, each a typed function of adapters. Higher weights mean more of that adapter; 0 leaves it out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

import torch

from llmevo.core import ConfigError, Seed
from llmevo.weights.adapter import Adapter, LowRank
from llmevo.weights.flat import summed
from llmevo.weights.merge import rules
from llmevo.weights.merge.rules import Entries
from llmevo.weights.merge.space import Space, merged, modules

T = TypeVar("T")
Weights = Sequence[float] | Sequence[Sequence[float]]
"""A coefficient per adapter; or a list of such lists, one per group of consecutive layers, from the input to the output."""


def task_arithmetic(adapters: Sequence[Adapter], *, weights: Weights, rank: int | None = None, space: Space = "product") -> Adapter:
    """The weighted sum with free coefficients (arXiv 2212.04089): below zero subtracts, above one extrapolates."""
    if space == "factors" and len(groups := _groups(weights)) == 1 and len(groups[0]) == len(adapters):
        total = summed(adapters, groups[0])
        if total is not None:
            return total
    shares = per_module(weights, adapters)
    alone = _alone(shares)
    if alone is not None and space != "factors" and _fits(adapters[alone], rank):
        return {name: LowRank(one.down, one.up * shares[name][alone]) for name, one in sorted(adapters[alone].items())}
    return merged(adapters, lambda stack, name: rules.weighted(stack, _of(shares, name)), rank, space)


def linear(adapters: Sequence[Adapter], *, weights: Weights, rank: int | None = None, space: Space = "product") -> Adapter:
    """The weighted mean: coefficients are divided by their sum."""
    return task_arithmetic(adapters, weights=_normalised(weights), rank=rank, space=space)


def slerp(adapters: Sequence[Adapter], *, t: float = 0.5, rank: int | None = None, space: Space = "product") -> Adapter:
    """From the first adapter (t=0) to the second (t=1) along the sphere, module by module."""
    _count(adapters, 2, "slerp")
    return merged(adapters, lambda stack, name: rules.on_sphere(stack[0], stack[1], t), rank, space)


def split(
    adapters: Sequence[Adapter], *, at: float, t: float = 0.1, rank: int | None = None, space: Space = "product"
) -> Adapter:
    """M2N2's crossover: SLERP by t in the layers before the share `at` of the depth, by 1 - t behind it."""
    _count(adapters, 2, "split")
    depth = depths(modules(adapters))

    def rule(stack: torch.Tensor, name: str) -> torch.Tensor:
        return rules.on_sphere(stack[0], stack[1], t if _of(depth, name) < at else 1 - t)

    return merged(adapters, rule, rank, space)


def extrapolate(adapters: Sequence[Adapter], *, by: float = 0.5, rank: int | None = None, space: Space = "product") -> Adapter:
    """Beyond the first adapter, away from the second: a + by (a - b)."""
    _count(adapters, 2, "extrapolate")
    return task_arithmetic(adapters, weights=[1 + by, -by], rank=rank, space=space)


def ties(
    adapters: Sequence[Adapter],
    *,
    weights: Weights,
    density: float = 0.7,
    rank: int | None = None,
    space: Space = "product",
    twice: bool = False,
) -> Adapter:
    """TIES (arXiv 2306.01708): the largest entries of each, a sign elected per entry, the mean of those that agree.

    `twice` shrinks the mean by the number of voters once more, as some released code does.
    """
    shares = per_module(weights, adapters)

    def join(stack: torch.Tensor, name: str) -> torch.Tensor:
        return rules.elected(stack, _of(shares, name), twice=twice)

    return merged(adapters, Entries(join, _share(density)), rank, space)


def dare(
    adapters: Sequence[Adapter],
    *,
    weights: Weights,
    seed: Seed,
    density: float = 0.7,
    rank: int | None = None,
    space: Space = "product",
    rescale: bool = True,
) -> Adapter:
    """DARE (arXiv 2311.03099): random entries dropped, the others divided by the density, then the weighted sum."""
    return _dropping(adapters, weights, seed, rank, space, _even(density), rules.weighted, rescale)


def dare_ties(
    adapters: Sequence[Adapter],
    *,
    weights: Weights,
    seed: Seed,
    density: float = 0.7,
    rank: int | None = None,
    space: Space = "product",
    rescale: bool = True,
) -> Adapter:
    """DARE's drop, then TIES' election."""
    return _dropping(adapters, weights, seed, rank, space, _even(density), rules.elected, rescale)


def della(
    adapters: Sequence[Adapter],
    *,
    weights: Weights,
    seed: Seed,
    density: float = 0.7,
    epsilon: float = 0.1,
    rank: int | None = None,
    space: Space = "product",
) -> Adapter:
    """DELLA (arXiv 2406.11617): large entries of a row are kept with a higher probability, then TIES' election."""
    if not 0 <= epsilon <= 2 * min(_share(density), 1 - density):
        raise ConfigError(f"della: epsilon {epsilon} leads to probabilities outside 0 to 1 at density {density}: make it smaller")

    def chances(stack: torch.Tensor) -> torch.Tensor:
        return rules.by_rank(stack, density, epsilon)

    return _dropping(adapters, weights, seed, rank, space, chances, rules.elected)


def breadcrumbs(
    adapters: Sequence[Adapter],
    *,
    weights: Weights,
    density: float = 0.9,
    gamma: float = 0.01,
    rank: int | None = None,
    space: Space = "product",
) -> Adapter:
    """Model Breadcrumbs (arXiv 2312.06795): without the largest share `gamma` and the smallest entries, then the weighted sum."""
    shares = per_module(weights, adapters)

    def join(stack: torch.Tensor, name: str) -> torch.Tensor:
        return rules.weighted(stack, _of(shares, name))

    return merged(adapters, Entries(join, _share(density), gamma), rank, space)


def prune(adapters: Sequence[Adapter], *, density: float = 0.5, rank: int | None = None, space: Space = "product") -> Adapter:
    """One adapter with its largest entries only."""
    _count(adapters, 1, "prune")
    return merged(adapters, Entries(lambda stack, name: stack[0], _share(density)), rank, space)


def model_stock(adapters: Sequence[Adapter], *, rank: int | None = None, space: Space = "product") -> Adapter:
    """Model Stock (arXiv 2403.19522): the mean, nearer to the base the less the adapters agree, module by module."""
    return merged(adapters, lambda stack, name: rules.stock(stack), rank, space)


METHODS: Mapping[str, Callable[..., Adapter]] = {
    one.__name__.replace("_", "-"): one
    for one in (task_arithmetic, linear, slerp, split, extrapolate, ties, dare, dare_ties, della, breadcrumbs, prune, model_stock)
}
"""The methods by the name that recipes use."""


def per_module(weights: Weights, adapters: Sequence[Adapter]) -> dict[str, Sequence[float]]:
    """The coefficients of every module. Raises `ConfigError` when there is not one for each adapter."""
    groups = _groups(weights)
    for group in groups:
        if len(group) != len(adapters):
            raise ConfigError(f"{len(group)} weights for {len(adapters)} adapters: give one for each")
    depth = depths(modules(adapters))
    return {name: groups[min(int(depth[name] * len(groups)), len(groups) - 1)] for name in depth}


def depths(names: Sequence[str]) -> dict[str, float]:
    """How deep each module lies, from 0 (first layer) to just below 1; by the first number in its path, else by its place."""
    layers = {name: int(found.group()) for name in names if (found := re.search(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)", name))}
    count = max(layers.values(), default=0) + 1
    return {name: layers[name] / count if name in layers else i / len(names) for i, name in enumerate(names)}


def _of(table: Mapping[str, T], name: str) -> T:
    """The entry of a module, or of the module whose factor this is."""
    return table[name] if name in table else table[name.rpartition(".")[0]]


def _groups(weights: Weights) -> list[list[float]]:
    if len(weights) and isinstance(weights[0], Sequence):
        return [list(group) for group in cast(Sequence[Sequence[float]], weights)]
    return [list(cast(Sequence[float], weights))]


def _normalised(weights: Weights) -> Weights:
    groups = _groups(weights)
    if any(abs(sum(group)) < 1e-9 for group in groups):
        raise ConfigError(f"linear: the weights {list(weights)} sum to 0, so there is no mean: use task-arithmetic for a difference")
    return [[weight / sum(group) for weight in group] for group in groups]


def _dropping(
    adapters: Sequence[Adapter],
    weights: Weights,
    seed: Seed,
    rank: int | None,
    space: Space,
    chances: Callable[[torch.Tensor], torch.Tensor],
    join: Callable[[torch.Tensor, Sequence[float]], torch.Tensor],
    rescale: bool = True,
) -> Adapter:
    """Every entry kept with its chance, then what is left joined by a rule: the DARE family."""
    shares = per_module(weights, adapters)

    def joined(stack: torch.Tensor, name: str) -> torch.Tensor:
        return join(stack, _of(shares, name))

    return merged(adapters, Entries(joined, chances=chances, seed=seed, rescale=rescale), rank, space)


def _even(density: float) -> Callable[[torch.Tensor], torch.Tensor]:
    share = _share(density)
    return lambda stack: torch.full_like(stack, share)


def _alone(shares: Mapping[str, Sequence[float]]) -> int | None:
    """The only adapter with a weight anywhere, if there is one."""
    used = {i for group in shares.values() for i, weight in enumerate(group) if weight}
    return next(iter(used)) if len(used) == 1 else None


def _fits(adapter: Adapter, rank: int | None) -> bool:
    return rank is None or all(one.rank <= rank for one in adapter.values())


def _share(density: float) -> float:
    if not 0 < density <= 1:
        raise ConfigError(f"density is a share above 0 and at most 1, not {density}")
    return density


def _count(adapters: Sequence[Adapter], count: int, name: str) -> None:
    if len(adapters) != count:
        raise ConfigError(f"{name} takes {count} adapters, not {len(adapters)}")
