"""Intervals: how sure a mean is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from llmevo.core import Seed

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over n cases with its 95 % interval. Higher is better, as everywhere."""

    mean: float
    low: float
    high: float
    n: int

    def record(self) -> dict[str, float | int]:
        """The four numbers by name."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.n})"


def interval(scores: Sequence[float], seed: Seed) -> Interval:
    """The mean of the scores with its 95 % interval: Wilson's (1927) for right and wrong, which is honest for few cases and at 0 and 1;
    the bootstrap for any other scores.
    """
    return wilson(scores) if all(score in (0.0, 1.0) for score in scores) else bootstrap(scores, seed)


def wilson(scores: Sequence[float]) -> Interval:
    """The share of right answers (scores 0 or 1) with Wilson's score interval."""
    n, z = len(scores), 1.959964
    if not n:
        raise ValueError("an interval needs at least one score")
    share = math.fsum(scores) / n
    middle, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low, high = max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
    return Interval(share, min(low, share), max(high, share), n)


def bootstrap(scores: Sequence[float], seed: Seed, resamples: int = RESAMPLES) -> Interval:
    """The mean of the scores and its percentile bootstrap interval over cases (Efron, 1979)."""
    import numpy as np

    values = np.asarray(scores, dtype=float)
    if not len(values):
        raise ValueError("an interval needs at least one score")
    draws = seed.rng().integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high), len(values))
