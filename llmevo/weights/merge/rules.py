"""What merging methods do to the tensors: each takes a stack (adapters, ...) and looks at its entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from llmevo.core import Seed

Join = Callable[[torch.Tensor, str], torch.Tensor]
"""From the stack of one tensor of every adapter, (adapters, ...), and its name, to the merged tensor (...)."""
Band = tuple[torch.Tensor, torch.Tensor]
"""The smallest and the largest magnitude that stay, per adapter."""


@dataclass(frozen=True)
class Entries:
    """A rule that looks at single entries: some stay, by their size or by chance, and those are joined.

    With a `density` it is the largest ones of each tensor, without the very largest share `skip`; with `chances` every entry has its
    probability, which may depend on its row.
    """

    join: Join
    density: float | None = None
    skip: float = 0.0
    chances: Callable[[torch.Tensor], torch.Tensor] | None = None
    seed: Seed = Seed(0)  # noqa: RUF009 (a value)
    rescale: bool = True

    def __call__(self, stack: torch.Tensor, name: str) -> torch.Tensor:
        """The merged tensor of a stack that is there as a whole."""
        bounds = None if self.density is None else band(stack.flatten(1).abs(), *places(stack[0].numel(), self.density, self.skip))
        return self.part(stack, name, bounds, self.seed.fold(name))

    def part(self, stack: torch.Tensor, name: str, bounds: Band | None, seed: Seed) -> torch.Tensor:
        """The same of some rows, when the bounds are known. The seed is that of these rows."""
        if bounds is not None:
            stack = within(stack, bounds)
        if self.chances is not None:
            stack = dropped(stack, self.chances(stack), seed, rescale=self.rescale)
        return self.join(stack, name)


def weighted(stack: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """The weighted sum."""
    return torch.tensordot(torch.tensor(weights, dtype=stack.dtype), stack, dims=1)


def places(count: int, density: float, skip: float) -> tuple[int, int]:
    """Where the smallest and the largest entry that stay stand among `count` in ascending order, counted from 1."""
    top = int(skip * count)
    keep = min(count - top, max(1, round(density * count)))
    return count - top - keep + 1, count - top


def band(magnitudes: torch.Tensor, low: int, high: int) -> Band:
    """The magnitudes at these places, per row."""
    smallest = magnitudes.kthvalue(low, dim=1).values
    largest = magnitudes.amax(dim=1) if high == magnitudes.shape[1] else magnitudes.kthvalue(high, dim=1).values
    return smallest, largest


def within(stack: torch.Tensor, bounds: Band) -> torch.Tensor:
    """The entries whose magnitude lies within the bounds, zero elsewhere; those that are as large as a bound stay."""
    low, high = (bound.view(-1, *[1] * (stack.dim() - 1)) for bound in bounds)
    size = stack.abs()
    return stack * ((size >= low) & (size <= high))


def dropped(stack: torch.Tensor, keep: torch.Tensor, seed: Seed, *, rescale: bool) -> torch.Tensor:
    """Every entry kept with its probability; what stays is divided by it, so that the expectation is unchanged, if `rescale`."""
    draws = torch.from_numpy(seed.rng().random(stack.shape, dtype=np.float32))
    kept = stack * (draws < keep)
    return kept / keep.clamp_min(1e-8) if rescale else kept


def by_rank(stack: torch.Tensor, density: float, epsilon: float) -> torch.Tensor:
    """Probabilities of keeping: from density - epsilon/2 for the smallest entry of a row to density + epsilon/2 for the largest."""
    rows = stack.abs().reshape(-1, stack.shape[-1])
    order = torch.from_numpy(np.argsort(rows.numpy(), axis=1, kind="stable"))
    width = rows.shape[1]
    chances = density - epsilon / 2 + epsilon * torch.arange(width, dtype=stack.dtype) / max(width - 1, 1)
    return torch.empty_like(rows).scatter_(1, order, chances.expand(len(rows), -1)).view_as(stack)


def elected(stack: torch.Tensor, weights: Sequence[float], *, twice: bool = False) -> torch.Tensor:
    """Per entry the weighted mean of those that have the sign of the weighted sum; entries that are zero do not vote.

    `twice` divides a weighted sum, whose weights sum to 1 already, by the number of voters as well.
    """
    w = torch.tensor(weights, dtype=stack.dtype)
    voices = w.view(-1, *[1] * (stack.dim() - 1)) * stack
    whole = voices.sum(0)
    agree = torch.where(whole > 0, voices > 0, (voices < 0) & (whole < 0)).to(stack.dtype)
    total = (voices * agree).sum(0)
    shares = agree.sum(0) * w.abs().sum() if twice else torch.tensordot(w.abs(), agree, dims=1)
    return total / shares.clamp_min(1e-12)


def on_sphere(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """From a (t=0) to b (t=1) along the arc between their directions; along the line when they are (anti)parallel or one is zero."""
    norms = a.norm() * b.norm()
    cosine = float((a * b).sum() / norms) if norms > 0 else 1.0
    angle = float(np.arccos(np.clip(cosine, -1.0, 1.0)))
    if abs(np.sin(angle)) < 1e-4:
        return (1 - t) * a + t * b
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def stock(stack: torch.Tensor) -> torch.Tensor:
    """The mean, drawn towards zero by how little the tensors agree: n cos / (1 + (n - 1) cos) of it."""
    n = len(stack)
    flat = torch.nn.functional.normalize(stack.flatten(1), dim=1)
    cosine = float((flat @ flat.T).sum() - (flat * flat).sum()) / max(n * (n - 1), 1)
    ratio = 1.0 if n == 1 else max(0.0, n * cosine / (1 + (n - 1) * cosine)) if cosine > -1 / (n - 1) else 0.0
    return ratio * stack.mean(0)
