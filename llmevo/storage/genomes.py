"""The genomes of one record: written once, and read back with those that they name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from weakref import WeakValueDictionary

from llmevo.core import Blobs, Genome, StorageError, canonical

CACHED = 256
"""How many genomes are kept while a record is read again: weights may be large, and most have left the population."""

Row = tuple[str, str]
"""The kind of a genome, and its record as JSON."""


class Genomes:
    """The shelf of a record. `row` finds what is written of a key, `write` adds a key, a kind and a record; `kinds` maps a genome's kind to
    its class.

    What was read is not read again as long as anybody holds it, so a long line of descent comes back in as many steps as it has genomes.
    """

    def __init__(
        self,
        blobs: Blobs,
        kinds: Mapping[str, type[Genome]],
        row: Callable[[str], Row | None],
        where: object = "",
        write: Callable[[str, str, str], None] | None = None,
    ) -> None:
        self.put, self.get = blobs.put, blobs.get
        self._kinds, self._row, self._where, self._write = kinds, row, where, write
        self._cache: dict[str, Genome] = {}
        self._alive: WeakValueDictionary[str, Genome] = WeakValueDictionary()
        self._written: set[str] = set()

    def holds(self, key: str) -> bool:
        return key in self._written

    def wrote(self, key: str) -> None:
        """Notes that a genome stands in the record."""
        self._written.add(key)

    def keep(self, genome: Genome) -> str:
        """Writes a genome of which another one is made, before that one. Who only reads a record keeps what he dumps to himself."""
        if not self.holds(genome.key):
            row = (genome.kind, canonical(genome.dump(self)))
            self.wrote(genome.key)
            if self._write is None:
                self._cache[genome.key] = genome
            else:
                self._write(genome.key, *row)
        return genome.key

    def genome(self, key: str) -> Genome:
        """The genome of a key. Raises `StorageError` if it is missing, of an unknown kind, or reads back as another one."""
        known = self._cache.get(key) or self._alive.get(key)
        if known is not None:
            return known
        row = self._row(key)
        if row is None:
            raise StorageError(f"genome {key} is missing from {self._where}. `llmevo doctor` tells what else is.")
        kind, record = row
        if kind not in self._kinds:
            raise StorageError(f"this run holds genomes of kind {kind!r}; known kinds: {', '.join(self._kinds)}")
        genome = self._kinds[kind].load(json.loads(record), self)
        if genome.key != key:
            raise StorageError(f"genome {key} of {self._where} reads back as {genome.key}: the record was changed")
        self._cache[key] = genome
        try:
            self._alive[key] = genome
        except TypeError:
            pass  # a class with slots and without `__weakref__`: only the cache holds it
        if len(self._cache) > CACHED:
            del self._cache[next(iter(self._cache))]
        return genome
