"""A Llama decoder on numpy: rows of tokens in, scores of the next token out.

Rows do not disturb one another: a row's numbers are bit for bit the same alone, in any batch and with any shared
prefix, as long as BLAS computes a row of a product without regard to how many other rows there are. It does so here for
row counts that are multiples of 16, hence the padding; sums over keys run in blocks at fixed places for the same reason,
and keys are stored transposed because products with a transposed matrix are computed in another way when they are small.

OpenBLAS does so with its kernels for AVX-512. Those for AVX2 (`Haswell`) add up six rows of twelve in another order than the others,
whatever the rows are: there a row's numbers agree within about 1e-5, and an answer may change with its company where two tokens are close.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_ROWS = 16
_BLOCK = 32


def _up(n: int, to: int) -> int:
    return -(-n // to) * to


@dataclass
class Cache:
    """Keys and values of some rows: per layer (rows, heads, width, capacity) and (rows, heads, capacity, wide)."""

    keys: list[Floats]
    values: list[Floats]
    lengths: NDArray[np.int64]

    def keep(self, rows: NDArray[np.int64]) -> Cache:
        """The cache of some of the rows."""
        return Cache([k[rows] for k in self.keys], [v[rows] for v in self.values], self.lengths[rows])


@dataclass(frozen=True)
class _Layer:
    before: Floats
    qkv: Floats
    out: Floats
    after: Floats
    gate_up: Floats
    down: Floats


class Decoder:
    """The network: weights in float32, computed from a `model.safetensors` in any precision."""

    def __init__(self, tensors: dict[str, NDArray[Any]], config: dict[str, Any]) -> None:
        self.hidden = int(config["hidden_size"])
        self.heads = int(config["num_attention_heads"])
        self.width = self.hidden // self.heads
        self.limit = int(config["max_position_embeddings"])
        self._eps = np.float32(config["rms_norm_eps"])
        # one more column of ones makes the sum of the weights fall out of the product with the values
        self._wide = _up(self.width + 1, _ROWS)
        half = np.arange(0, self.width, 2) / self.width
        angles = np.outer(np.arange(self.limit), 1.0 / float(config["rope_theta"]) ** half)
        self._cos, self._sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        t = {k: np.asarray(v, dtype=np.float32) for k, v in tensors.items()}
        self.embedding: Floats = t["model.embed_tokens.weight"]
        self._head = np.ascontiguousarray(self.embedding.T)
        self._norm: Floats = t["model.norm.weight"]
        self._layers = []
        for i in range(int(config["num_hidden_layers"])):
            p = f"model.layers.{i}."
            q, k, v, o = (t[f"{p}self_attn.{n}_proj.weight"] for n in "qkvo")
            gate, up, down = (t[f"{p}mlp.{n}_proj.weight"] for n in ("gate", "up", "down"))
            scaled = q * np.float32(self.width**-0.5)
            self._layers.append(_Layer(
                t[p + "input_layernorm.weight"],
                np.ascontiguousarray(np.concatenate((scaled, k, v)).T),
                np.ascontiguousarray(o.T),
                t[p + "post_attention_layernorm.weight"],
                np.ascontiguousarray(np.concatenate((gate, up)).T),
                np.ascontiguousarray(down.T),
            ))

    @classmethod
    def load(cls, folder: Path) -> Decoder:
        """The network in a folder with `model.safetensors` and `config.json`."""
        from safetensors.numpy import load_file

        config = json.loads((folder / "config.json").read_text("utf-8"))
        return cls(load_file(folder / "model.safetensors"), config)

    def cache(self, rows: int, capacity: int) -> Cache:
        """An empty cache for `rows` rows of at most `capacity` tokens."""
        room = _up(capacity, _BLOCK)
        keys = [np.zeros((rows, self.heads, self.width, room), np.float32) for _ in self._layers]
        values = [np.zeros((rows, self.heads, room, self._wide), np.float32) for _ in self._layers]
        for v in values:
            v[..., self.width] = 1
        return Cache(keys, values, np.zeros(rows, np.int64))

    def branch(self, prefix: Cache, rows: int, capacity: int) -> Cache:
        """A cache of `rows` rows that all begin with the one row of `prefix`."""
        new, n = self.cache(rows, capacity), int(prefix.lengths[0])
        for mine, theirs in zip(new.keys, prefix.keys, strict=True):
            mine[..., :n] = theirs[..., :n]
        for mine, theirs in zip(new.values, prefix.values, strict=True):
            mine[:, :, :n] = theirs[:, :, :n]
        new.lengths[:] = n
        return new

    def roomy(self, cache: Cache) -> Cache:
        """The cache, or a longer copy of it if its longest row is full."""
        room = cache.keys[0].shape[3]
        if int(cache.lengths.max()) < room:
            return cache
        new = self.cache(len(cache.lengths), room + 4 * _BLOCK)
        for mine, theirs in zip(new.keys, cache.keys, strict=True):
            mine[..., :room] = theirs
        for mine, theirs in zip(new.values, cache.values, strict=True):
            mine[:, :, :room] = theirs
        new.lengths[:] = cache.lengths
        return new

    def read(self, cache: Cache, rows: Sequence[Sequence[int]], every: bool = False) -> Floats:
        """Appends tokens to the rows of a cache; the scores after the last token of each (or after every one).

        All rows must have been filled to the same length before, and none may be empty. The result has the shape
        (rows, vocabulary), or (rows, longest, vocabulary) with rubbish beyond the end of a row.
        """
        start = int(cache.lengths[0])
        counts = np.array([len(r) for r in rows])
        longest = int(counts.max())
        t = _up(longest, _ROWS)
        ids = np.zeros((len(rows), t), np.int64)
        for i, r in enumerate(rows):
            ids[i, : len(r)] = r
        at = np.minimum(start + np.arange(t), self.limit - 1)
        keys = _up(start + longest, _BLOCK)
        seen = np.where(np.arange(keys)[None, :] <= start + np.arange(t)[:, None], 0, -np.inf).astype(np.float32)
        x = self.embedding[ids].reshape(-1, self.hidden)
        last = None if every else np.arange(len(rows)) * t + counts - 1
        for i, layer in enumerate(self._layers):
            q, k, v = self._project(layer, x, len(rows), t, at)
            cache.keys[i][..., start : start + longest] = k[:, :, :longest].swapaxes(2, 3)
            cache.values[i][:, :, start : start + longest, : self.width] = v[:, :, :longest]
            if i == len(self._layers) - 1 and last is not None:
                # of the last layer only the last tokens are needed
                mixed = self._attend(q, cache.keys[i][..., :keys], cache.values[i][:, :, :keys], seen)
                x = self._finish(layer, _padded(x[last]), _padded(mixed[last]))
            else:
                mixed = self._attend(q, cache.keys[i][..., :keys], cache.values[i][:, :, :keys], seen)
                x = self._finish(layer, x, mixed)
        cache.lengths += counts
        scores: Floats = self._rms(x, self._norm) @ self._head
        return scores[: len(rows)] if last is not None else scores.reshape(len(rows), t, -1)[:, :longest]

    def step(self, cache: Cache, tokens: NDArray[np.int64]) -> Floats:
        """Appends one token to every row, each at its own length; the scores after it, (rows, vocabulary)."""
        n = len(tokens)
        everyone = np.arange(n)
        at = cache.lengths
        keys = _up(int(at.max()) + 1, _BLOCK)
        seen = np.where(np.arange(keys)[None, :] <= at[:, None], 0, -np.inf).astype(np.float32)[:, None, None, :]
        x = _padded(self.embedding[tokens])
        places = np.zeros(len(x), np.int64)
        places[:n] = at
        for i, layer in enumerate(self._layers):
            q, k, v = self._project(layer, x, len(x), 1, places)
            cache.keys[i][everyone, :, :, at] = k[:n, :, 0]
            cache.values[i][everyone, :, at, : self.width] = v[:n, :, 0]
            mixed = self._attend(q[:n], cache.keys[i][..., :keys], cache.values[i][:, :, :keys], seen)
            x = self._finish(layer, x, _padded(mixed))
        cache.lengths += 1
        scores: Floats = self._rms(x, self._norm) @ self._head
        return scores[:n]

    def _rms(self, x: Floats, gain: Floats) -> Floats:
        power = np.einsum("ij,ij->i", x, x) / np.float32(self.hidden)
        out: Floats = x * (1 / np.sqrt(power + self._eps))[:, None]
        out *= gain
        return out

    def _project(
        self, layer: _Layer, x: Floats, rows: int, t: int, at: NDArray[np.int64]
    ) -> tuple[Floats, Floats, Floats]:
        qkv = (self._rms(x, layer.before) @ layer.qkv).reshape(rows, t, 3, self.heads, self.width)
        cos, sin = self._cos[at], self._sin[at]
        if t > 1:
            cos, sin = cos[None, :, None, None], sin[None, :, None, None]
        else:
            cos, sin = cos[:, None, None, None], sin[:, None, None, None]
        half = self.width // 2
        a, b = qkv[:, :, :2, :, :half], qkv[:, :, :2, :, half:]
        turned = np.empty((rows, t, 2, self.heads, self.width), np.float32)
        left, right = turned[..., :half], turned[..., half:]
        np.multiply(a, cos, out=left)
        left -= b * sin
        np.multiply(b, cos, out=right)
        right += a * sin
        return (turned[:, :, 0].swapaxes(1, 2), turned[:, :, 1].swapaxes(1, 2), qkv[:, :, 2].swapaxes(1, 2))

    def _attend(self, q: Floats, keys: Floats, values: Floats, seen: Floats) -> Floats:
        weights = np.ascontiguousarray(q) @ keys
        weights += seen
        weights -= weights.max(axis=-1, keepdims=True)
        np.exp(weights, out=weights)
        total = weights[..., :_BLOCK] @ values[:, :, :_BLOCK]
        for c in range(_BLOCK, keys.shape[3], _BLOCK):
            total += weights[..., c : c + _BLOCK] @ values[:, :, c : c + _BLOCK]
        mixed = total[..., : self.width] / total[..., self.width : self.width + 1]
        out = np.ascontiguousarray(mixed.swapaxes(1, 2)).reshape(-1, self.hidden)
        return out.astype(np.float32, copy=False)

    def _finish(self, layer: _Layer, x: Floats, mixed: Floats) -> Floats:
        # in place: on wide batches memory is what this costs
        out: Floats = mixed @ layer.out
        out += x
        gate, up = np.split(self._rms(out, layer.after) @ layer.gate_up, 2, axis=1)
        active = np.negative(gate)
        # minus gate is bounded so that the exponential of a wild activation does not overflow
        np.minimum(active, np.float32(80), out=active)
        np.exp(active, out=active)
        active += 1
        np.divide(gate, active, out=active)
        active *= up
        out += active @ layer.down
        return out


def _padded(x: Floats) -> Floats:
    missing = -len(x) % _ROWS
    return np.concatenate((x, np.zeros((missing, x.shape[1]), np.float32))) if missing else x
