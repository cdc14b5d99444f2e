"""What merging methods do to the tensors: each takes a stack (adapters, ...) and looks at its entries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from llmevo.core import Seed


def weighted(stack: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """The weighted sum."""
    return torch.tensordot(torch.tensor(weights, dtype=stack.dtype), stack, dims=1)


def largest(stack: torch.Tensor, density: float, skip: float = 0.0) -> torch.Tensor:
    """Every tensor with the share `density` of its entries that are largest in magnitude; the largest `skip` of all are left out, too."""
    flat = stack.flatten(1)
    count = flat.shape[1]
    top = int(skip * count)
    keep = min(count - top, max(1, round(density * count)))
    order = flat.abs().argsort(dim=1, descending=True, stable=True)[:, top : top + keep]
    mask = torch.zeros_like(flat).scatter_(1, order, 1.0)
    return (flat * mask).view_as(stack)


def dropped(stack: torch.Tensor, keep: torch.Tensor, seed: Seed, *, rescale: bool) -> torch.Tensor:
    """Every entry kept with its probability; what stays is divided by it, so that the expectation is unchanged, if `rescale`."""
    draws = torch.from_numpy(seed.rng().random(stack.shape, dtype=np.float32))
    kept = torch.where(draws < keep, stack, torch.zeros_like(stack))
    return kept / keep.clamp_min(1e-8) if rescale else kept


def by_rank(stack: torch.Tensor, density: float, epsilon: float) -> torch.Tensor:
    """Probabilities of keeping: from density - epsilon/2 for the smallest entry of a row to density + epsilon/2 for the largest."""
    rows = stack.reshape(-1, stack.shape[-1])
    ranks = rows.abs().argsort(dim=1, stable=True).argsort(dim=1, stable=True).to(stack.dtype)
    keep = density - epsilon / 2 + epsilon * ranks / max(rows.shape[1] - 1, 1)
    return keep.view_as(stack)


def elected(stack: torch.Tensor, weights: Sequence[float], *, twice: bool = False) -> torch.Tensor:
    """Per entry the weighted mean of those that have the sign of the weighted sum; entries that are zero do not vote.

    `twice` divides a weighted sum, whose weights sum to 1 already, by the number of voters as well.
    """
    w = torch.tensor(weights, dtype=stack.dtype).view(-1, *[1] * (stack.dim() - 1))
    voices = w * stack
    agree = (voices.sign() == voices.sum(0).sign()) & (voices != 0)
    shares = (agree if twice else w.abs() * agree).sum(0)
    total = (voices * agree).sum(0) / (w.abs().sum() if twice else 1.0)
    return torch.where(shares > 0, total / shares.clamp_min(1e-12), torch.zeros_like(total))


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
