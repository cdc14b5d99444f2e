"""A genome of weights: not the numbers but the recipe that makes them, so that a record stays small and a child can be built anywhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

from llmevo.core import Seed, Shelf, StorageError, content_key

EXPERT = "expert"
"""The operator of a leaf: an adapter that is given."""
LEAF = "@"
PREVIEW = 160


class AdapterGenome:
    """An immutable recipe: an operator with its settings and seed, applied to the recipes of the parents; leaves are experts.

    The key covers the whole recipe and, for a leaf, every bit of the expert. A `Builder` makes the weights: the same bits on the same
    machine, library versions and number of threads, within 1e-5 elsewhere.
    """

    __slots__ = ("__dict__", "__weakref__", "like", "name", "operator", "parents", "seed", "settings")
    kind: ClassVar[str] = "adapter"

    def __init__(
        self,
        operator: str,
        parents: Sequence[AdapterGenome] = (),
        settings: Mapping[str, Any] | None = None,
        seed: int | None = None,
        name: str = "",
        like: AdapterGenome | None = None,
    ) -> None:
        self.operator, self.parents, self.seed = operator, tuple(parents), seed
        self.settings: Mapping[str, Any] = dict(settings or {})
        self.name = name
        """What a human calls it; not part of the content."""
        self.like = like
        """One with the same parents: where that stands in a record, they need not be named again. Not part of the content."""

    @classmethod
    def expert(cls, name: str, content: str) -> Self:
        """The leaf of an adapter with this content key (`llmevo.weights.adapter.content`)."""
        return cls(EXPERT, settings={"content": _short(content)}, name=name)

    @cached_property
    def key(self) -> str:
        """Content hash over the recipe."""
        return content_key(["adapter", self.operator, self.settings, [one.key for one in self.parents], self.seed])

    def preview(self) -> str:
        """One line: the operator and its settings, over the names of its parents."""
        return _cut(self._line(2))

    def _line(self, depth: int) -> str:
        if not self.parents:
            return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in self.name) or self.key[3:11]
        inner = ", ".join(one._line(depth - 1) for one in self.parents) if depth else "…"
        shown = ", ".join(f"{name}={_value(value)}" for name, value in self.settings.items())
        return f"{self.operator}({inner}{'; ' if shown else ''}{shown})"

    def dump(self, shelf: Shelf) -> dict[str, Any]:
        """The recipe. Parents that stand in the same record are named by key, others are written out."""
        return {"recipe": self._recipe(shelf)}

    def _recipe(self, shelf: Shelf) -> list[Any]:
        parents: Any = [_short(one.key) if shelf.holds(one.key) else one._leaf or one._recipe(shelf) for one in self.parents]
        if self.like is not None and self.like.parents == self.parents and shelf.holds(self.like.key):
            parents = _short(self.like.key)
        recipe: list[Any] = [self.operator, parents, self.settings, None if self.seed is None else f"{self.seed:x}", self.name]
        while len(recipe) > 1 and not recipe[-1]:  # most recipes lack a name, many a seed
            recipe.pop()
        return recipe

    @property
    def _leaf(self) -> str | None:
        """An expert in the place of a parent: most recipes of founders name several."""
        return f"{LEAF}{self.settings['content']} {self.name}" if self.operator == EXPERT else None

    @classmethod
    def load(cls, record: Mapping[str, Any], shelf: Shelf) -> Self:
        """The genome of a record that `dump` wrote; ancestors come from the same record."""
        try:
            return cls._read(record["recipe"], shelf)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise StorageError(f"not the record of an adapter genome: {str(record)[:120]} ({error})") from error

    @classmethod
    def _read(cls, recipe: Sequence[Any], shelf: Shelf) -> Self:
        missing: tuple[Any, ...] = ((), {}, None, "")
        operator, parents, settings, seed, name = [*recipe, *missing[len(recipe) - 1 :]]
        made = cls._ancestor(parents, shelf).parents if isinstance(parents, str) else [cls._ancestor(one, shelf) for one in parents]
        return cls(operator, made, settings, int(seed, 16) if seed else None, name)

    @classmethod
    def _ancestor(cls, named: Any, shelf: Shelf) -> AdapterGenome:
        if not isinstance(named, str):
            return cls._read(named, shelf)
        if named.startswith(LEAF):
            content, _, name = named[1:].partition(" ")
            return cls.expert(name, _long(content))
        genome = shelf.genome(_long(named))
        if not isinstance(genome, AdapterGenome):
            raise ValueError(f"its parent {genome.key} is no adapter genome")
        return genome

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AdapterGenome) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"AdapterGenome({self.preview()!r})"


def recipe_seed(seed: Seed) -> int:
    """The seed that a recipe keeps: 64 bits, so that hundreds of records stay small."""
    return seed.value & (2**64 - 1)


def _short(key: str) -> str:
    """A content key in 22 letters. Not in its usual form: that would look like the name of a blob."""
    return base64.urlsafe_b64encode(bytes.fromhex(key.removeprefix("b2:"))).decode().rstrip("=")


def _long(name: str) -> str:
    return "b2:" + base64.urlsafe_b64decode(name + "==").hex()


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(_value, value))}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= PREVIEW else text[: PREVIEW - 1] + "…"


__all__ = ["EXPERT", "AdapterGenome", "recipe_seed"]
