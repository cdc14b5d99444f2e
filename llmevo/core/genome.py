"""The one thing the engine knows of what evolves: a value with a content key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self, runtime_checkable


class Blobs(Protocol):
    """A content-addressed store for what is too large for a JSON record (tensors)."""

    def put(self, data: bytes) -> str:
        """Stores the bytes once and returns their content key."""
        ...

    def get(self, key: str) -> bytes:
        """The bytes of a key. Raises `StorageError` if they are missing or damaged."""
        ...


class Shelf(Blobs, Protocol):
    """Where the genomes of one record are written to and read from: blobs, and the other genomes."""

    def holds(self, key: str) -> bool:
        """Whether the record has the genome of this key already: then another one may name it instead of repeating it."""
        ...

    def keep(self, genome: Genome) -> str:
        """Writes another genome into the same record, once, and returns its key: for a genome that is made of others."""
        ...

    def genome(self, key: str) -> Genome:
        """The genome of a key that it holds. Raises `StorageError` if it is missing or damaged."""
        ...


@runtime_checkable
class Genome(Protocol):
    """An immutable value. Equal content, equal key; nothing else is promised.

    There is deliberately no distance, text, vector, mutation or crossover here: those are decisions of a composition.
    """

    kind: ClassVar[str]
    """Names the codec in run files; nobody dispatches on it elsewhere."""

    @property
    def key(self) -> str:
        """Tagged content hash, e.g. `b2:9f…`; a merge or an ES member hashes its recipe instead of its numbers."""
        ...

    def preview(self) -> str:
        """One line for a human."""
        ...

    def dump(self, shelf: Shelf, /) -> dict[str, Any]:
        """A JSON record from which `load` rebuilds an equal genome. It may name others that the shelf holds by then."""
        ...

    @classmethod
    def load(cls, record: Mapping[str, Any], shelf: Shelf, /) -> Self:
        """The genome of a record that `dump` wrote."""
        ...


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN. Equal values give equal text."""
    return _ENCODER.encode(value)


def content_key(value: Any) -> str:
    """`b2:` and 32 hex digits: BLAKE2b (128 bits) over the canonical JSON of a value."""
    return "b2:" + hashlib.blake2b(canonical(value).encode(), digest_size=16).hexdigest()
