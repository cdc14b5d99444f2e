"""Intervals: how sure a mean is."""

from __future__ import annotations

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


def bootstrap(scores: Sequence[float], seed: Seed, resamples: int = RESAMPLES) -> Interval:
    """The mean of the scores and its percentile bootstrap interval over cases (Efron, 1979)."""
    import numpy as np

    values = np.asarray(scores, dtype=float)
    if not len(values):
        raise ValueError("an interval needs at least one score")
    draws = seed.rng().integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high), len(values))
