"""Where adapters can be added: product space, through a small common basis; the full matrices; or the factors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch

from llmevo.core import ConfigError
from llmevo.weights.adapter import Adapter, LowRank
from llmevo.weights.merge import dense
from llmevo.weights.merge.basis import common
from llmevo.weights.merge.rules import Entries, Join

Space = Literal["product", "delta", "factors"]
LOT = 1 << 24
"""Numbers in the factors of the modules that are merged together: little memory, few calls."""


def merged(adapters: Sequence[Adapter], rule: Join | Entries, rank: int | None, space: Space) -> Adapter:
    """Every module of the adapters, merged by a rule: one for entries, which cares in which basis it looks, or one that does not."""
    names = modules(adapters)
    made: dict[str, LowRank] = {}
    if space == "factors":
        made = {name: _factors([adapter[name] for adapter in adapters], rule, name) for name in names}
    elif space == "delta" and isinstance(rule, Entries):
        for name in names:
            changes = [adapter[name] for adapter in adapters]
            made[name] = dense.merged(changes, rule, _keep(changes, rank), name)
    else:
        for lot in _lots(adapters, names):
            each = [[adapter[name] for adapter in adapters] for name in lot]
            basis = common(each, axes=isinstance(rule, Entries))
            cores = torch.stack([rule(stack.float(), name) for name, stack in zip(lot, basis.cores, strict=True)]).double()
            made.update(zip(lot, basis.compressed(cores, _keep(each[0], rank)), strict=True))
    return {name: made[name] for name in names}


def shortened(change: LowRank, rank: int) -> LowRank:
    """The best change of a smaller rank."""
    basis = common([[change]], axes=False)
    return basis.compressed(basis.cores[:, 0], rank)[0]


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


def _keep(changes: Sequence[LowRank], rank: int | None) -> int:
    return rank or max(change.rank for change in changes)


def _lots(adapters: Sequence[Adapter], names: Sequence[str]) -> Iterator[list[str]]:
    """Modules of one shape and the same ranks, so many that their factors stay small."""
    alike: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        alike.setdefault((*adapters[0][name].shape, *(adapter[name].rank for adapter in adapters)), []).append(name)
    for (out, into, *ranks), some in alike.items():
        size = max(1, LOT // (sum(ranks) * (out + into)))
        for start in range(0, len(some), size):
            yield some[start : start + size]


def _factors(changes: Sequence[LowRank], rule: Join, module: str) -> LowRank:
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
