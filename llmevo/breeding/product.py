"""A genome of genomes: a prompt, its examples and an adapter under one key, whatever each of them is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

from llmevo.core import ConfigError, Context, Genome, Individual, Shelf, StorageError, Variation, content_key
from llmevo.core.variation import VariationBase

PREVIEW = 160
"""Characters of a preview."""
BESIDE = "@"
"""Before the key of a part in a record: it is the name of a genome, not of a blob."""


class Product:
    """An immutable ordered mapping of names to genomes of any kind. `on(name, variation)` varies one of them.

    Its key covers the names, the keys of the parts and their order. In a record it names its parts, which stand beside it: a part that
    many products share is written once, and a part may name others of its own kind there.
    """

    __slots__ = ("__weakref__", "_key", "_parts")
    kind: ClassVar[str] = "product"

    def __init__(self, parts: Mapping[str, Genome]) -> None:
        if not parts:
            raise ValueError("a product needs at least one part")
        self._parts: Mapping[str, Any] = MappingProxyType(dict(parts))
        self._key = content_key(["product", [[name, part.key] for name, part in parts.items()]])

    @property
    def key(self) -> str:
        """Content hash over names, keys of the parts and their order."""
        return self._key

    @property
    def members(self) -> Mapping[str, Any]:
        """The parts by name, in order."""
        return self._parts

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts, in order."""
        return tuple(self._parts)

    def taken(self, name: str) -> Any:
        """A part alone. Raises `ValueError` that names the parts there are."""
        if name not in self._parts:
            raise ValueError(f"there is no part {name!r}; this genome has {', '.join(self._parts)}")
        return self._parts[name]

    def put(self, name: str, part: Genome) -> Product:
        """The product with one part replaced, in its place. Raises `ValueError` for a name that is not there."""
        self.taken(name)
        return Product({**self._parts, name: part})

    def preview(self) -> str:
        """One line: every part after its name, each as long as there is room for all."""
        room = max(12, PREVIEW // len(self._parts) - 2)
        shown = {name: part.preview() for name, part in self._parts.items()}
        return " | ".join(f"{name}: {text if len(text) <= room else text[: room - 1] + '…'}" for name, text in shown.items())

    def dump(self, shelf: Shelf) -> dict[str, Any]:
        """`{"parts": [[name, "@" + key], ...]}`, in order; the parts are kept beside it."""
        return {"parts": [[name, BESIDE + shelf.keep(part)] for name, part in self._parts.items()]}

    @classmethod
    def load(cls, record: Mapping[str, Any], shelf: Shelf) -> Self:
        """The product of a record that `dump` wrote; the parts come from the same record."""
        try:
            return cls({name: shelf.genome(key.removeprefix(BESIDE)) for name, key in record["parts"]})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StorageError(f"not the record of a product: {str(record)[:120]} ({error})") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Product) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Product({self.preview()!r})"


class Joined(VariationBase):
    """A founder of several parts, each founded by a variation of its own that takes no parents."""

    arity: ClassVar[int | None] = 0

    def __init__(self, parts: Mapping[str, Variation[Any]]) -> None:
        for name, variation in parts.items():
            if variation.arity != 0:
                raise ConfigError(f"joined: the part {name!r} is founded by {variation.key}, which needs parents")
        self.parts = dict(parts)

    @property
    def key(self) -> str:
        """The parts and who founds them."""
        return f"joined({','.join(f'{name}={one.key}' for name, one in self.parts.items())})"

    async def __call__(self, parents: Sequence[Individual[Any]], context: Context) -> Product:
        return Product({name: await one((), context.stage(name)) for name, one in self.parts.items()})


__all__ = ["Joined", "Product"]
