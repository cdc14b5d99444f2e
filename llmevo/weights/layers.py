"""Linear layers of a resident model that carry adapters: merged into a scratch copy, or as stacked factors of everybody in the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from llmevo.core.errors import ConfigError
from llmevo.core.resolve import nearest

if TYPE_CHECKING:
    from llmevo.weights.adapter import Adapter


class Overflow(Exception):
    """An adapter that is not finite in the number format of the model."""


class Siblings:
    """Layers that read the same input (query, key and value): the inner products of all of them are one matrix product."""

    def __init__(self, down: Tensor) -> None:
        self.down = down
        self.input: Tensor | None = None
        self.inner: Tensor | None = None
        self.left = 0

    def inner_of(self, x: Tensor, readers: int) -> Tensor:
        """(individuals, rows, all ranks); computed once for the same tensor and let go after the last reader."""
        inner = self.inner
        if inner is None or self.input is not x:
            inner = torch.bmm(x.reshape(self.down.shape[0], -1, x.shape[-1]), self.down)
            self.input, self.inner, self.left = x, inner, readers
        self.left -= 1
        if self.left == 0:
            self.input = self.inner = None
        return inner


class AdaptedLinear(nn.Linear):  # type: ignore[misc]
    """A linear layer with the frozen weight of the base. What it adds is set from outside; nothing is ever subtracted again."""

    scratch: Tensor | None = None
    merged = False
    up: Tensor | None = None
    siblings: Siblings | None = None
    place: slice = slice(0)
    readers = 1

    @classmethod
    def around(cls, base: nn.Linear) -> AdaptedLinear:
        """The same layer, sharing its parameters."""
        layer = cls(base.in_features, base.out_features, bias=False, device="meta")
        layer.weight, layer.bias = base.weight, base.bias
        layer.eval()
        return layer

    def clear(self) -> None:
        """Back to the base."""
        self.merged, self.up, self.siblings = False, None, None

    def forward(self, x: Tensor) -> Tensor:
        """Rows are individual-major when factors are stacked."""
        if self.merged:
            return functional.linear(x, self.scratch, self.bias)
        y = functional.linear(x, self.weight, self.bias)
        if self.siblings is not None and self.up is not None:
            inner = self.siblings.inner_of(x, self.readers)[:, :, self.place]
            y.view(inner.shape[0], -1, self.out_features).baddbmm_(inner, self.up)
        return y


class Layers:
    """The linear layers of one model by module path, made ready for adapters when an adapter first names them."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._adapted: dict[str, AdaptedLinear] = {}
        self._active: list[AdaptedLinear] = []

    def layer(self, path: str) -> AdaptedLinear:
        """The layer of a path. Raises `ConfigError` when the model has none there."""
        if path not in self._adapted:
            self._adapted[path] = self._replaced(path)
        return self._adapted[path]

    def clear(self) -> None:
        """The untouched base again."""
        for layer in self._active:
            layer.clear()
        self._active = []

    def merge(self, adapter: Adapter) -> None:
        """One individual: the weights of the base plus its delta in scratch copies, added in float32. Raises `Overflow`."""
        self.clear()
        for path, part in adapter.items():
            layer = self.layer(path)
            weight = layer.weight
            if layer.scratch is None:
                layer.scratch = torch.empty_like(weight)
            down, up = (factor.to(weight.device, torch.float32, non_blocking=True) for factor in (part.down, part.up))
            if weight.dtype == torch.float32:
                torch.addmm(weight, up, down, out=layer.scratch)
            else:
                layer.scratch.copy_(torch.addmm(weight.float(), up, down))
            layer.merged = True
            self._active.append(layer)
        if self._active and weight.dtype != torch.float32:
            _finite([layer.scratch for layer in self._active], weight.dtype)

    def stack(self, adapters: Sequence[Adapter], size: int) -> None:
        """Up to `size` individuals at once, each padded with zeros to the same modules and ranks; the rest adds nothing.

        Padding to a fixed size keeps every matrix product the same, whoever else is in the batch. Raises `Overflow`.
        """
        self.clear()
        paths = sorted({path for adapter in adapters for path in adapter})
        families: dict[tuple[str, int], list[str]] = {}
        for path in paths:
            families.setdefault((path.rpartition(".")[0], self.layer(path).in_features), []).append(path)
        for family in families.values():
            self._stack_family(family, adapters, size)
        dtype = next(iter(self._active)).weight.dtype if self._active else torch.float32
        if dtype != torch.float32:
            _finite([t for layer in self._active for t in (layer.up, layer.siblings and layer.siblings.down)], dtype)

    def _stack_family(self, family: Sequence[str], adapters: Sequence[Adapter], size: int) -> None:
        layers = [self.layer(path) for path in family]
        ranks = [max(adapter[path].down.shape[0] for adapter in adapters if path in adapter) for path in family]
        like: dict[str, Any] = {"dtype": layers[0].weight.dtype, "device": layers[0].weight.device}
        down = torch.zeros(size, layers[0].in_features, sum(ranks), **like)
        siblings, start = Siblings(down), 0
        for layer, path, rank in zip(layers, family, ranks, strict=True):
            up = torch.zeros(size, rank, layer.out_features, **like)
            for i, adapter in enumerate(adapters):
                if path in adapter:
                    part = adapter[path]
                    own = part.down.shape[0]
                    down[i, :, start : start + own] = part.down.T
                    up[i, :own] = part.up.T
            layer.up, layer.siblings, layer.readers = up, siblings, len(family)
            layer.place = slice(start, start + rank)
            start += rank
            self._active.append(layer)

    def check(self, adapter: Adapter) -> None:
        """Raises `ConfigError` when the adapter does not fit: no such layer, or another shape."""
        for path, part in adapter.items():
            layer = self.layer(path)
            shape = (part.up.shape[0], part.down.shape[1])
            if shape != (layer.out_features, layer.in_features):
                raise ConfigError(
                    f"the adapter's {path} is {shape[0]} x {shape[1]}, the base's is {layer.out_features} x {layer.in_features}: "
                    "it was trained on another base model"
                )

    def _replaced(self, path: str) -> AdaptedLinear:
        parent, _, name = path.rpartition(".")
        try:
            owner = self.model.get_submodule(parent)
            base = getattr(owner, name)
        except AttributeError:
            known = [path for path, module in self.model.named_modules() if isinstance(module, nn.Linear)]
            raise ConfigError(f"the base model has no module {path!r}{_near(path, known)}") from None
        if isinstance(base, AdaptedLinear):
            return base
        if type(base) is not nn.Linear:
            raise ConfigError(f"module {path!r} is a {type(base).__name__}; adapters are evaluated on plain Linear layers only")
        layer = AdaptedLinear.around(base)
        setattr(owner, name, layer)
        return layer


def shapes_of(adapters: Sequence[Adapter]) -> Mapping[str, tuple[int, int, int]]:
    """(out, in, largest rank) per module path, over all of them."""
    found: dict[str, tuple[int, int, int]] = {}
    for adapter in adapters:
        for path, part in adapter.items():
            rank = max(part.down.shape[0], found[path][2] if path in found else 0)
            found[path] = (part.up.shape[0], part.down.shape[1], rank)
    return found


def _near(path: str, known: Sequence[str]) -> str:
    """The end of a message: a few names only, a large model has hundreds."""
    same = [one for one in known if one.endswith(path.rpartition(".")[2])]
    return nearest(path, (same or list(known))[:8])


def _finite(tensors: Sequence[Tensor | None], dtype: Any) -> None:
    if not all(bool(torch.isfinite(one).all()) for one in tensors if one is not None):
        raise Overflow(f"the weights overflow in {str(dtype).removeprefix('torch.')}")
