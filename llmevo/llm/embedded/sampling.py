"""How a token is chosen from scores: greedy, or by temperature and nucleus with a generator of the request's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def generator(seed: int) -> np.random.Generator:
    """The random numbers of one request; any integer is a seed."""
    return np.random.Generator(np.random.Philox(key=seed % (1 << 128)))


def choose(
    scores: NDArray[np.float32], temperature: float, top_p: float, draw: np.random.Generator | None
) -> int:
    """The next token: the arg-max at temperature 0 (or without a generator), else a draw from the nucleus.

    The nucleus is the smallest set of most likely tokens whose probability reaches `top_p`. Ties go to the lower id.
    One uniform number is used per token.
    """
    if temperature <= 0 or draw is None:
        return int(scores.argmax())
    z = scores.astype(np.float64) / temperature
    p = np.exp(z - z.max())
    p /= p.sum()
    # below a share of the vocabulary that top_p cannot reach there is nothing worth sorting
    likely = np.flatnonzero(p >= 1e-7)
    order = likely[np.argsort(-p[likely], kind="stable")]
    reach = np.cumsum(p[order])
    size = int(np.searchsorted(reach, min(top_p, 1.0) * reach[-1], side="left")) + 1
    size = min(size, len(order))
    return int(order[np.searchsorted(reach[:size], draw.random() * reach[size - 1], side="right").clip(0, size - 1)])


def log_softmax(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-probabilities along the last axis, in float64."""
    z = scores.astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    out: NDArray[np.float64] = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return out
