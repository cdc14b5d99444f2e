"""A low-rank adapter in memory: for every adapted module of the base model two factors, with every scale folded in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from llmevo.core import ConfigError, content_key


@dataclass(frozen=True, slots=True, eq=False)
class LowRank:
    """The change of one weight matrix: `up @ down`, float32 on the CPU. Never written to: factors may be shared between adapters."""

    down: torch.Tensor
    """(rank, in)"""
    up: torch.Tensor
    """(out, rank), with every scale (alpha, rank, strength) folded in."""

    @property
    def rank(self) -> int:
        """Columns of `up`; the rank of the change is at most that."""
        return int(self.down.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in), as the weight that it changes."""
        return int(self.up.shape[0]), int(self.down.shape[1])

    def delta(self) -> torch.Tensor:
        """The whole matrix, (out, in): for checks and for merging into a base; merging adapters never forms it by default."""
        return self.up @ self.down


Adapter = Mapping[str, LowRank]
"""Module path in the base model (`model.layers.0.self_attn.q_proj`) to its change; iterates in sorted order."""


def checked(adapter: Adapter, name: str = "the adapter") -> Adapter:
    """The adapter in sorted order. Raises `ConfigError` that names the tensor which is no finite float32 matrix or does not fit."""
    if not adapter:
        raise ConfigError(f"{name} changes no module")
    for module, one in adapter.items():
        for role, factor in (("down", one.down), ("up", one.up)):
            if factor.dim() != 2 or factor.dtype != torch.float32:
                raise ConfigError(f"{name}: {role} of {module} is a {factor.dtype} of shape {tuple(factor.shape)}, not a float32 matrix")
            if not torch.isfinite(factor).all():
                raise ConfigError(f"{name}: {role} of {module} holds NaN or infinity: train it again, or leave this expert out")
        if one.up.shape[1] != one.rank or one.rank < 1:
            raise ConfigError(f"{name}: the factors of {module} do not fit: {tuple(one.up.shape)} times {tuple(one.down.shape)}")
    return {module: adapter[module] for module in sorted(adapter)}


def ranks(adapter: Adapter) -> tuple[int, ...]:
    """The different ranks of its modules, ascending."""
    return tuple(sorted({one.rank for one in adapter.values()}))


def size(adapter: Adapter) -> int:
    """Bytes of its factors."""
    return sum(4 * (one.down.numel() + one.up.numel()) for one in adapter.values())


def content(adapter: Adapter) -> str:
    """A content key over module names, shapes and every bit of the factors."""
    import hashlib

    digests = []
    for module, one in sorted(adapter.items()):
        for factor in (one.down, one.up):
            digest = hashlib.blake2b(factor.contiguous().numpy().tobytes(), digest_size=16).hexdigest()
            digests.append([module, list(factor.shape), digest])
    return content_key(["adapter", digests])
