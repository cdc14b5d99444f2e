"""What recipes may name: the merging methods, noise, and the members of a distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from llmevo.core import Seed
from llmevo.weights.adapter import Adapter, LowRank
from llmevo.weights.build import Operator
from llmevo.weights.merge import METHODS, task_arithmetic


def noise(parents: Sequence[Adapter], *, seed: Seed, sigma: float, density: float, relative: bool = True) -> Adapter:
    """A share `density` of the numbers of every factor moved by Gaussian noise; `sigma` is in units of the factor's deviation."""

    def moved(factor: torch.Tensor, own: Seed) -> torch.Tensor:
        rng = own.rng()
        shift = rng.standard_normal(factor.shape, dtype=np.float32) * (rng.random(factor.shape, dtype=np.float32) < density)
        return factor + torch.from_numpy(shift) * (sigma * deviation(factor) if relative else sigma)

    return each(parents[0], seed, moved)


def member(parents: Sequence[Adapter], *, seed: Seed, sigma: float, rank: int) -> Adapter:
    """Every factor plus noise of a low rank, `sigma / sqrt(rank) * a @ b`; a negative `sigma` is the mirror image."""

    def moved(factor: torch.Tensor, own: Seed) -> torch.Tensor:
        rng = own.rng()
        a = torch.from_numpy(rng.standard_normal((factor.shape[0], rank), dtype=np.float32))
        b = torch.from_numpy(rng.standard_normal((rank, factor.shape[1]), dtype=np.float32))
        return factor + (a @ b) * (sigma * deviation(factor) / rank**0.5)

    return each(parents[0], seed, moved)


def each(adapter: Adapter, seed: Seed, change: Callable[[torch.Tensor, Seed], torch.Tensor]) -> Adapter:
    """Every factor changed with a seed of its own."""
    return {
        name: LowRank(change(one.down, seed.fold(name, "down")), change(one.up, seed.fold(name, "up"))) for name, one in adapter.items()
    }


def deviation(factor: torch.Tensor) -> float:
    """The root of the mean square of a tensor."""
    return float(factor.square().mean().sqrt())


OPERATORS: Mapping[str, Operator] = {**METHODS, "sum": task_arithmetic, "noise": noise, "member": member}
"""By the name that stands in a recipe; `sum` is short, because most recipes hold one."""
