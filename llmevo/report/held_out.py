"""What the record says of the winner on cases that the search never saw: the crowning on fresh ones, the score on the test cases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmevo.core import Fitness, Individual, Seed, canonical
from llmevo.report.statistics import Interval, interval

CROWNING, TEST = "crowning of ", "test of "
"""How the names of these records begin."""


@dataclass(frozen=True, slots=True)
class Crowning:
    """Who was crowned among the finalists, by their scores on the cases of the search and on fresh ones together."""

    finalists: tuple[str, ...]
    """Their ids, the best of the search first."""
    crowned: str
    fresh: Interval
    """The score on the fresh cases of whoever is crowned like that: no score in it has chosen whom it speaks of."""

    def dump(self) -> str:
        """The text of its record."""
        return canonical({"finalists": list(self.finalists), "crowned": self.crowned, "fresh": self.fresh.record()})

    @classmethod
    def load(cls, text: str) -> Crowning:
        """From the text of its record."""
        record = json.loads(text)
        return cls(tuple(record["finalists"]), record["crowned"], Interval(**record["fresh"]))


def crowning_in(meta: Mapping[str, str], hall: Sequence[Individual[Any]]) -> Crowning | None:
    """The crowning of those who are the best of the search now; None when another search, or a longer one, was crowned."""
    ids = tuple(one.id for one in hall)
    found = (Crowning.load(text) for name, text in meta.items() if name.startswith(CROWNING))
    fits = [one for one in found if one.finalists == ids[: len(one.finalists)]]
    return max(fits, key=lambda one: len(one.finalists), default=None)


def tests_in(meta: Mapping[str, str]) -> dict[str, Interval]:
    """The scores on the test cases, by the id of the winner."""
    return {name.removeprefix(TEST): Interval(**json.loads(text)) for name, text in meta.items() if name.startswith(TEST)}


def searched(fitness: Fitness) -> Interval | None:
    """A score of the search with its interval over the cases; None where it is no mean of scores by case."""
    scores = list(fitness.cases.values())
    if not scores:
        return None
    found = interval(scores, Seed.of(0).fold("searched"))
    return found if abs(found.mean - fitness.value) < 1e-9 else None
