"""Tiny adapters and recipes over them: hidden size 16, two modules, rank 2 to 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from llmevo.core import Seed
from llmevo.weights.adapter import Adapter, LowRank, content
from llmevo.weights.build import Builder
from llmevo.weights.genome import AdapterGenome

MODULES = ("layers.0.q_proj", "layers.1.v_proj")
SHAPES = {"layers.0.q_proj": (16, 16), "layers.1.v_proj": (8, 16)}


def adapter(number: int, rank: int = 2, modules: Sequence[str] = MODULES) -> Adapter:
    """A random adapter."""
    made = {}
    for module in modules:
        out, into = SHAPES[module]
        rng = Seed.of(number).fold(module).rng()
        down, up = rng.normal(size=(rank, into)), rng.normal(size=(out, rank))
        made[module] = LowRank(torch.from_numpy(down.astype("float32")), torch.from_numpy(up.astype("float32")))
    return made


def deltas(one: Adapter) -> dict[str, torch.Tensor]:
    return {module: change.delta() for module, change in one.items()}


def far(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> float:
    """The largest difference, relative to the largest entry of b (or absolute if b is zero)."""
    assert a.keys() == b.keys()
    scale = max(float(one.abs().max()) for one in b.values()) or 1.0
    return max(float((a[name] - b[name]).abs().max()) for name in b) / scale


def pool(count: int = 4, rank: int = 2) -> tuple[dict[str, Adapter], list[AdapterGenome]]:
    """Experts by content, and their genomes."""
    made = [adapter(i, rank) for i in range(count)]
    leaves = [AdapterGenome.expert(f"expert{i}", content(one)) for i, one in enumerate(made)]
    return {leaf.settings["content"]: one for leaf, one in zip(leaves, made, strict=True)}, leaves


def builder(experts: Mapping[str, Adapter], **more: Any) -> Builder:
    def scaled(parents: Sequence[Adapter], *, by: float, seed: Seed | None = None) -> Adapter:
        return {module: LowRank(one.down, one.up * by) for module, one in parents[0].items()}

    return Builder(experts, {"scaled": scaled}, **more)
