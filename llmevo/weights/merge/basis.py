"""Changes of one shape in a small common basis, many modules at a time: no matrix of the model's width is factored or formed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llmevo.weights.adapter import LowRank

NOTHING = 1e-13
"""Directions with a smaller share of the largest one's square are rounding."""


@dataclass(frozen=True, slots=True)
class Common:
    """Change i of every module is `(ups @ left) @ cores[:, i] @ (downs @ right).T`, up to rounding; in double precision.

    `ups` (modules, out, R) and `downs` (modules, in, R) are the factors of all adapters side by side, R the sum of their ranks; the bases
    `ups @ left` and `downs @ right` are orthonormal, (modules, R, p) and (modules, R, q). Inner products of cores are those of the changes.
    """

    ups: torch.Tensor
    downs: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    cores: torch.Tensor
    """(modules, adapters, p, q)"""

    def compressed(self, cores: torch.Tensor, rank: int) -> list[LowRank]:
        """The best change of at most this rank (Eckart and Young) for a core of every module, strength shared evenly by both factors."""
        turn = torch.linalg.eigh(cores.mT @ cores).eigenvectors.flip(-1)[..., :rank]
        strong = cores @ turn
        root = strong.norm(dim=1, keepdim=True).sqrt()
        ups = self.ups @ (self.left @ (strong / root.clamp_min(1e-30)))
        downs = self.downs @ (self.right @ turn * root)
        return [LowRank(down, up) for down, up in zip(downs.mT.float().contiguous(), ups.float().contiguous(), strict=True)]


def common(modules: Sequence[Sequence[LowRank]], *, axes: bool) -> Common:
    """The common basis of the changes of each module; all modules are alike in shape and ranks.

    With `axes` the basis is that of the principal axes of all changes together, so that it does not depend on their order (after KnOTS,
    arXiv 2410.19735); without, any.
    """
    ups = torch.stack([torch.cat([one.up for one in changes], dim=1) for changes in modules]).double()
    downs = torch.stack([torch.cat([one.down for one in changes]) for changes in modules]).double().mT
    widths = [one.rank for one in modules[0]]
    up_products, down_products = ups.mT @ ups, downs.mT @ downs
    left = _basis(up_products, down_products if axes else None, widths, ups.shape[1])
    right = _basis(down_products, up_products if axes else None, widths, downs.shape[1])
    pairs = zip((left.mT @ up_products).split(widths, dim=2), (right.mT @ down_products).split(widths, dim=2), strict=True)
    return Common(ups, downs, left, right, torch.stack([u @ d.mT for u, d in pairs], dim=1))


def _basis(products: torch.Tensor, others: torch.Tensor | None, widths: Sequence[int], most: int) -> torch.Tensor:
    """What makes an orthonormal basis of columns with these inner products; at most as many as their length, strongest first.

    `others` are the inner products of the other factor: with them the columns are weighted as the changes are.
    """
    if others is None:
        size = products.diagonal(dim1=1, dim2=2).sqrt()
        weights = torch.diag_embed(torch.where(size > 0, 1 / size.clamp_min(1e-150), 0.0))
    else:
        weights = torch.zeros_like(products)
        start = 0
        for width in widths:
            own = slice(start, start + width)
            values, vectors = torch.linalg.eigh(others[:, own, own])
            weights[:, own, own] = vectors * values.clamp_min(0).sqrt()[:, None]
            start += width
    values, vectors = torch.linalg.eigh(weights.mT @ products @ weights)
    values, vectors = values.flip(-1)[:, :most], vectors.flip(-1)[..., :most]
    real = values > NOTHING * values[:, :1]
    scale = torch.where(real, values.clamp_min(1e-300).rsqrt(), 0.0)
    return weights @ vectors * scale[:, None]
