"""The run's journal: what was asked, born and told, in order. Append-only; resuming is reading it again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from llmevo.core import Birth, Blobs, Genome, Individual, Mating, ReplayDiffers, canonical, content_key
from llmevo.storage.database import Database
from llmevo.storage.genomes import Genomes
from llmevo.storage.records import birth_from, birth_record, evaluations_in, told_record
from llmevo.storage.soundness import START

FLUSH_AFTER = 0.05
"""Seconds for which births are gathered into one commit, unless a tell comes first."""


class Journal:
    """Reads and writes the schedule of asks and tells of one run.

    `kinds` maps a genome's kind to its class; it comes from code and from the user's configuration, never from the run folder.
    """

    def __init__(self, database: Database, blobs: Blobs, kinds: Mapping[str, type[Genome]]) -> None:
        self.database = database
        self.history = START
        """Hash over everything told so far: matings, genomes, values and case scores, in order."""
        self._genomes = Genomes(blobs, kinds, self._row, database.path, self._write)
        self._asked: dict[int, list[str]] = {j: json.loads(ids) for j, ids in database.rows("cohorts")}
        self._births: dict[tuple[int, int], str] = {(j, i): record for j, i, record in database.rows("births")}
        self._told: dict[int, str] = dict(database.rows("told"))
        for key, _, _ in database.rows("genomes") if self._births else ():
            self._genomes.wrote(key)
        self._unwritten: list[tuple[str, tuple[Any, ...]]] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def evaluated(self) -> int:
        """How many evaluations are recorded, laps of a race and confirmations included."""
        return evaluations_in(json.loads(self._births[place]) for place in sorted(self._births))

    @property
    def recorded(self) -> int:
        """How many cohorts were told in this run folder, before or now."""
        return len(self._told)

    def asked(self, j: int, matings: Sequence[Mating[Any]]) -> list[Birth[Any] | None]:
        """Records cohort j, or compares it with the record; gives the births that are already known, None for the others.

        Raises `ReplayDiffers` at the first mating that differs from the recorded one.
        """
        ids = [mating.id for mating in matings]
        before = self._asked.get(j)
        if before is None:
            self._asked[j] = ids
            # It need not be durable before its births are: until then a resumed run plans the same again.
            self._unwritten.append(("cohorts", (j, canonical(ids))))
            return [None] * len(ids)
        if before != ids:
            pairs = zip(before, ids, strict=False)
            i = next((i for i, (old, new) in enumerate(pairs) if old != new), min(len(before), len(ids)))
            raise ReplayDiffers(
                f"birth {i} of cohort {j} is planned differently than in the record"
                f"{f' ({matings[i].variation_key})' if i < len(matings) else ''}: the algorithm, its settings or the library changed. "
                f"Continue with what recorded it, or start a new run folder."
            )
        return [self._birth(j, i) for i in range(len(ids))]

    def born(self, j: int, births: Mapping[int, Birth[Any]]) -> None:
        """Notes births of cohort j, by their place in it. They are written soon, at the latest when the cohort is told."""
        for i, birth in births.items():
            if isinstance(birth, Individual):
                self._genomes.keep(birth.genome)
            self._unwritten.append(("births", (j, i, canonical(birth_record(birth)))))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self.flush)

    def flush(self) -> Future[None]:
        """Queues what was noted, in one transaction; the future resolves when it is durable."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows, self._unwritten = self._unwritten, []
        return self.database.record(*rows)

    def told(self, j: int, births: Sequence[Birth[Any]]) -> Future[None]:
        """Marks cohort j as told; the future resolves when that is durable. Whatever is recorded later is not durable sooner.

        Raises `ReplayDiffers` if the record says otherwise.
        """
        if self.verify(j, births):
            known: Future[None] = Future()
            known.set_result(None)
            return known
        self._told[j] = self.history
        self._unwritten.append(("told", (j, self.history)))
        return self.flush()

    def verify(self, j: int, births: Sequence[Birth[Any]]) -> bool:
        """Adds cohort j to the history; whether the record has told it too. Raises `ReplayDiffers` if it did so differently."""
        self.history = content_key([self.history, [told_record(birth) for birth in births]])
        before = self._told.get(j)
        if before not in (None, self.history):
            raise ReplayDiffers(
                f"cohort {j} was told differently than in the record: scores or genomes changed. Start a new run folder."
            )
        return before is not None

    def wrote(self, j: int) -> bool:
        """Whether the record has asked cohort j."""
        return j in self._asked

    def holds(self, j: int) -> bool:
        """Whether the record has told cohort j."""
        return j in self._told

    def _birth(self, j: int, i: int) -> Birth[Any] | None:
        text = self._births.pop((j, i), None)
        if text is None:
            return None
        record = json.loads(text)
        key = record.get("genome")
        return birth_from(record, {} if key is None else {key: self._genomes.genome(key)})

    def _write(self, key: str, kind: str, record: str) -> None:
        self._unwritten.append(("genomes", (key, kind, record)))

    def _row(self, key: str) -> tuple[str, str] | None:
        rows = self.database.rows("genomes", "WHERE key = ?", (key,))
        return (rows[0][1], rows[0][2]) if rows else None
