"""Turning scores into weights: non-negative, same length and order as the values, never all zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]
Shaping = Callable[[Sequence[float]], Weights]


def flat(values: Sequence[float]) -> Weights:
    """Equal weights: the score does not matter."""
    return np.ones(len(values))


def proportional(values: Sequence[float]) -> Weights:
    """Weight = score, the classic roulette (EvoPrompt, GENOME).

    Negative scores are shifted so that the worst has weight 0; where all scores are equal (all zero included) all weights are.
    """
    weights = np.asarray(values, dtype=float)
    if len(weights) == 0 or not weights.any():
        return np.ones(len(weights))
    # Only proportions matter: scaled first, neither the shift nor a sum can overflow.
    weights = weights / np.abs(weights).max()
    if weights.min() < 0:
        weights = weights - weights.min()
    return weights if weights.any() else np.ones(len(weights))


def linear_rank(values: Sequence[float]) -> Weights:
    """Weight = rank from 1 (worst) to n (best); equal scores share the mean of their ranks."""
    return _ranks(values) + 1.0


def centered_rank(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Ranks scaled to [-0.5, 0.5], mean 0: the utilities of evolution strategies (not weights: they may be negative)."""
    return _ranks(values) / max(len(values) - 1, 1) - 0.5


def boltzmann(temperature: float) -> Shaping:
    """Weight = exp(score / temperature); a low temperature prefers the best. The temperature is in units of the score."""
    if not temperature > 0:
        raise ValueError(f"a Boltzmann temperature is positive, not {temperature!r}")

    def shape(values: Sequence[float]) -> Weights:
        scores = np.asarray(values, dtype=float)
        with np.errstate(over="ignore"):  # far below the best is weight 0
            return np.asarray(np.exp((scores - scores.max()) / temperature)) if len(scores) else scores

    return shape


def _ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    scores = np.asarray(values, dtype=float)
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: npt.NDArray[Any] = last - (counts + 1) / 2.0
    return np.asarray(mean_rank[inverse], dtype=float)
