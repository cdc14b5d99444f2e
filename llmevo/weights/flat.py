"""An adapter in one piece of memory, so that adding factors costs what reading them costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

import torch

from llmevo.weights.adapter import Adapter, LowRank

Layout = tuple[tuple[str, int, int, int], ...]
"""Module, rank, in, out: where its factors lie follows from the order."""
LOT = 32_000
"""Numbers that are added at a time: they stay in the cache while all adapters are read, and are too few for torch to call other threads,
whose waiting costs more than they bring."""


class Flat(Mapping[str, LowRank]):
    """An adapter whose factors are views of one vector."""

    def __init__(self, vector: torch.Tensor, layout: Layout) -> None:
        self.vector, self.layout = vector, layout

    @property
    def heads(self) -> torch.Tensor:
        """Where each factor begins."""
        return _heads(self.layout)

    @cached_property
    def _changes(self) -> dict[str, LowRank]:
        made = {}
        place = 0
        for module, rank, into, out in self.layout:
            down = self.vector[place : place + rank * into].view(rank, into)
            up = self.vector[place + rank * into : place + rank * (into + out)].view(out, rank)
            made[module] = LowRank(down, up)
            place += rank * (into + out)
        return made

    def __getitem__(self, module: str) -> LowRank:
        return self._changes[module]

    def __iter__(self) -> Iterator[str]:
        return (module for module, *_ in self.layout)

    def __len__(self) -> int:
        return len(self.layout)


@lru_cache(maxsize=16)
def _heads(layout: Layout) -> torch.Tensor:
    places, place = [], 0
    for _, rank, into, out in layout:
        places += [place, place + rank * into]
        place += rank * (into + out)
    return torch.tensor(places)


def pack(adapter: Adapter) -> Flat:
    """The same numbers in one piece; an adapter that is so already is given back."""
    if isinstance(adapter, Flat):
        return adapter
    layout = tuple((module, one.rank, one.shape[1], one.shape[0]) for module, one in sorted(adapter.items()))
    vector = torch.cat([factor.reshape(-1) for _, one in sorted(adapter.items()) for factor in (one.down, one.up)])
    return Flat(vector, layout)


def summed(adapters: Sequence[Adapter], weights: Sequence[float]) -> Flat | None:
    """The weighted sum of all factors in one pass over memory; None when they do not lie alike, or when two adapters may share a factor,
    which is kept then and not added.
    """
    first = adapters[0]
    flats = [one for one in adapters if isinstance(one, Flat)]
    if not isinstance(first, Flat) or len(flats) < len(adapters) or any(one.layout != first.layout for one in flats[1:]):
        return None
    begin = first.vector[first.heads]
    if any(bool((one.vector[first.heads] == begin).any()) for one in flats[1:]):
        return None
    total = torch.empty_like(first.vector)
    for start in range(0, total.numel(), LOT):
        part = total[start : start + LOT]
        torch.mul(first.vector[start : start + LOT], weights[0], out=part)
        for one, weight in zip(flats[1:], weights[1:], strict=True):
            part.add_(one.vector[start : start + LOT], alpha=weight)
    return Flat(total, first.layout)
