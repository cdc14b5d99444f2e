"""Rules for single entries of the full matrices, a few rows at a time: the matrices are never there as a whole.

Every pass makes the rows again from their factors, which costs less than keeping them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from llmevo.core import Seed
from llmevo.weights.adapter import LowRank
from llmevo.weights.merge.basis import common
from llmevo.weights.merge.rules import Band, Entries, places

TOGETHER = 1 << 18
"""Entries that are made at a time, of all adapters: they stay in the cache."""
SPARE = 8
"""Directions that are followed besides those that are kept."""
ENOUGH, PASSES = 1e-2, 8
"""The search for the strongest directions ends when a pass explains so little more (of all that is explained), or after so many."""


def merged(changes: Sequence[LowRank], rule: Entries, rank: int, module: str) -> LowRank:
    """The best change of at most this rank for what a rule makes of the full matrices, found by block power iteration.

    It begins at the principal axes of the changes, where most of the result lies. Exact when the result has no larger rank; else what is
    left out is within about the share `ENOUGH` of the least possible.
    """
    rows = Rows(changes)
    bounds = None if rule.density is None else rows.band(*places(rows.out * rows.into, rule.density, rule.skip))
    seed = rule.seed.fold(module)

    def blocks() -> Iterator[tuple[slice, torch.Tensor]]:
        for own, stack in rows:
            yield own, rule.part(stack, module, bounds, seed.fold(own.start))

    axes = _start(changes, min(rank + SPARE, rows.out, rows.into))
    explained = 0.0
    for _ in range(PASSES):
        product, before = torch.zeros_like(axes), explained
        explained = 0.0
        for _, block in blocks():
            strong = block @ axes
            explained += float(strong.square().sum())
            product.addmm_(block.mT, strong)
        axes = torch.linalg.qr(product)[0]
        if explained - before <= ENOUGH * explained:
            break
    strong = torch.cat([block @ axes for _, block in blocks()])
    turn = torch.linalg.eigh(strong.double().mT @ strong.double()).eigenvectors.flip(-1)[:, :rank].float()
    up = strong @ turn
    root = up.norm(dim=0).sqrt()
    return LowRank((root[:, None] * (axes @ turn).T).contiguous(), (up / root.clamp_min(1e-30)).contiguous())


class Rows:
    """The full matrices of some changes, a block of rows of all of them at a time: (adapters, rows, in)."""

    def __init__(self, changes: Sequence[LowRank]) -> None:
        self._changes = changes
        self.out, self.into = changes[0].shape
        self._size = max(1, min(self.out, TOGETHER // (len(changes) * self.into)))
        self._alike = len({change.rank for change in changes}) == 1
        self._downs = torch.stack([change.down for change in changes]) if self._alike else None
        self._ups = torch.stack([change.up for change in changes]) if self._alike else None

    def __iter__(self) -> Iterator[tuple[slice, torch.Tensor]]:
        for start in range(0, self.out, self._size):
            own = slice(start, min(start + self._size, self.out))
            yield own, self._block(own)

    def _block(self, own: slice) -> torch.Tensor:
        if self._ups is not None and self._downs is not None:
            return torch.bmm(self._ups[:, own], self._downs)
        return torch.stack([change.up[own] @ change.down for change in self._changes])

    def band(self, low: int, high: int) -> Band:
        """The magnitudes at these places of each whole matrix (from 1, ascending): exact, in a pass over all and a look at few."""
        whole = self.out * self.into
        found = []
        for place in (low, high):
            if place == whole:
                found.append(torch.stack([block.abs().amax(dim=(1, 2)) for _, block in self]).amax(dim=0))
            elif place == 1:
                found.append(torch.stack([block.abs().amin(dim=(1, 2)) for _, block in self]).amin(dim=0))
            else:
                found.append(self._at(place))
        return found[0], found[1]

    def _at(self, place: int) -> torch.Tensor:
        """A sample says between which bounds the magnitude lies; those below are counted, those between are sorted."""
        sample = self._sample()
        count = sample.shape[1]
        about, slack = place / (self.out * self.into) * count, 8 * math.sqrt(count)
        edges = np.sort(sample, axis=1)
        lows = [float(row[int(about - slack)]) if about > slack else 0.0 for row in edges]
        highs = [float(row[int(about + slack)]) if about + slack < count - 1 else math.inf for row in edges]
        while True:
            below, between = self._between(lows, highs)
            missed = False
            for i, own in enumerate(between):
                if below[i] >= place:
                    lows[i], missed = 0.0, True
                elif below[i] + len(own) < place:
                    highs[i], missed = math.inf, True
            if not missed:
                return torch.tensor(
                    [np.partition(own, place - below[i] - 1)[place - below[i] - 1] for i, own in enumerate(between)], dtype=torch.float32
                )

    def _sample(self) -> np.ndarray:
        """Magnitudes of entries all over each matrix."""
        rng = Seed(0).fold(self.out, self.into).rng()
        some = torch.from_numpy(np.sort(rng.choice(self.out, min(self.out, 256), replace=False)))
        into = torch.from_numpy(np.sort(rng.choice(self.into, min(self.into, 256), replace=False)))
        return np.stack([(one.up[some] @ one.down[:, into]).abs().flatten().numpy() for one in self._changes])

    def _between(self, lows: Sequence[float], highs: Sequence[float]) -> tuple[list[int], list[np.ndarray]]:
        """Per matrix: how many magnitudes are below the bounds, and those that lie between them (the lower one included)."""
        low, high = (torch.tensor(bounds, dtype=torch.float32).view(-1, 1, 1) for bounds in (lows, highs))
        below = torch.zeros(len(lows), dtype=torch.int64)
        between: list[list[np.ndarray]] = [[] for _ in lows]
        for _, block in self:
            size = block.abs()
            under = size < low
            below += under.sum(dim=(1, 2))
            inside = (size <= high) & ~under
            for own, one, mask in zip(between, size, inside, strict=True):
                own.append(one[mask].numpy())
        return below.tolist(), [np.concatenate(own) for own in between]


def _start(changes: Sequence[LowRank], count: int) -> torch.Tensor:
    """The principal axes of the changes on the side of the inputs, filled up at random; orthonormal, (in, count)."""
    into = changes[0].shape[1]
    if count == into:
        return torch.eye(into)
    basis = common([changes], axes=True)
    axes = (basis.downs[0] @ basis.right[0])[:, :count].float()
    axes = axes[:, axes.square().sum(dim=0) > 0.5]
    rng = Seed(0).fold("axes", into, count).rng()
    noise = torch.from_numpy(rng.standard_normal((into, count - axes.shape[1]), dtype=np.float32))
    return torch.linalg.qr(torch.cat([axes, noise], dim=1))[0]
