"""Where adapters can be added: product space, through a small common basis; the full matrices; or the factors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch

from llmevo.core import ConfigError
from llmevo.weights.adapter import Adapter, LowRank

Space = Literal["product", "delta", "factors"]
Rule = Callable[[torch.Tensor, str], torch.Tensor]
"""From the stack of one tensor of every adapter, (adapters, ...), and its name, to the merged tensor (...)."""


def merged(adapters: Sequence[Adapter], rule: Rule, rank: int | None, space: Space, *, axes: bool = True) -> Adapter:
    """Every module of the adapters, merged by a rule. `axes` False when the rule does not care in which basis it looks."""
    made = {}
    for module in modules(adapters):
        changes = [adapter[module] for adapter in adapters]
        if space == "factors":
            made[module] = _factors(changes, rule, module)
            continue
        keep = rank or max(change.rank for change in changes)
        if space == "delta":
            made[module] = compress(rule(torch.stack([change.delta() for change in changes]), module), keep)
        else:
            left, cores, right = common(changes, axes=axes)
            made[module] = compress(rule(cores, module), keep, left, right)
    return made


def common(changes: Sequence[LowRank], *, axes: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The changes in one orthonormal basis: change i = left @ cores[i] @ right, (out, p), (n, p, q), (q, in); exact.

    Inner products of cores are those of the changes. With `axes` the basis is turned to the principal axes of all changes together, so
    that it does not depend on their order (after KnOTS, arXiv 2410.19735).
    """
    left, up = torch.linalg.qr(torch.cat([change.up for change in changes], dim=1))
    right, down = torch.linalg.qr(torch.cat([change.down for change in changes]).T)
    widths = [change.rank for change in changes]
    pairs = zip(up.split(widths, dim=1), down.split(widths, dim=1), strict=True)
    cores = torch.stack([u @ d.T for u, d in pairs])
    if axes:
        turn = torch.linalg.svd(torch.cat(list(cores), dim=1), full_matrices=False)[0]
        back = torch.linalg.svd(torch.cat(list(cores), dim=0), full_matrices=False)[2]
        left, cores, right = left @ turn, turn.T @ cores @ back.T, right @ back.T
    return left, cores, right.T


def compress(core: torch.Tensor, rank: int, left: torch.Tensor | None = None, right: torch.Tensor | None = None) -> LowRank:
    """The best change of at most this rank (Eckart and Young) for `left @ core @ right`, its strength shared evenly by both factors."""
    u, s, v = torch.linalg.svd(core, full_matrices=False)
    root = s[:rank].sqrt()
    up, down = u[:, :rank] * root, root[:, None] * v[:rank]
    return LowRank(
        (down if right is None else down @ right).contiguous(), (up if left is None else left @ up).contiguous()
    )


def modules(adapters: Sequence[Adapter]) -> list[str]:
    """The modules that all of them change. Raises `ConfigError` when they differ, by name or by shape."""
    if not adapters:
        raise ConfigError("there is nothing to merge")
    names = sorted(adapters[0])
    for other in adapters[1:]:
        if other.keys() != adapters[0].keys():
            apart = sorted(other.keys() ^ adapters[0].keys())
            raise ConfigError(f"only some adapters change {', '.join(apart[:3])}: load them as one pool")
        wrong = next((name for name in names if other[name].shape != adapters[0][name].shape), None)
        if wrong is not None:
            raise ConfigError(f"{wrong} has shape {adapters[0][wrong].shape} in one adapter and {other[wrong].shape} in another")
    return names


def _factors(changes: Sequence[LowRank], rule: Rule, module: str) -> LowRank:
    ranks = sorted({change.rank for change in changes})
    if len(ranks) > 1:
        raise ConfigError(f"{module}: factors of ranks {ranks} cannot be merged one by one: use space='product'")

    downs, ups = [change.down for change in changes], [change.up for change in changes]
    # A factor that all of them share stays: with it the merge of the others is exact. One of the two has to be merged.
    if _same(downs):
        return LowRank(downs[0], rule(torch.stack(ups), f"{module}.up"))
    down = rule(torch.stack(downs), f"{module}.down")
    return LowRank(down, ups[0] if _same(ups) else rule(torch.stack(ups), f"{module}.up"))


def _same(factors: Sequence[torch.Tensor]) -> bool:
    """Whether several adapters share this factor."""
    return len(factors) > 1 and all(factor is factors[0] or torch.equal(factor, factors[0]) for factor in factors[1:])
