"""The words of an evaluation: cases, answers, scores, and the contracts of phenotypes and scorers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeVar

from llmevo.core.genome import Genome

if TYPE_CHECKING:
    from llmevo.core.context import Context

G_contra = TypeVar("G_contra", bound=Genome, contravariant=True)
NO_FIELDS: Mapping[str, str] = MappingProxyType({})
NO_OBJECTIVES: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Case:
    """One example of a task: what is asked and what is right. Several references are all right."""

    id: str
    input: str
    target: str | tuple[str, ...] = ""
    fields: Mapping[str, str] = field(default_factory=lambda: NO_FIELDS, compare=False)
    """The further columns of its row, by name."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The references, one or more."""
        return (self.target,) if isinstance(self.target, str) else self.target


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """An answer that did not come, and why: refused, filtered, empty, rejected. It scores the scorer's
    minimum.
    """

    reason: str
    fails: bool = False
    """Whether the genome itself cannot answer anything (out of memory, an overflow): then it fails instead."""


Answer = str | NoAnswer


@dataclass(frozen=True, slots=True)
class Score:
    """What a scorer says of one answer. Higher is better; `explanation` says in words what was wrong, if
    anything.
    """

    value: float
    explanation: str = ""
    objectives: Mapping[str, float] = field(default_factory=lambda: NO_OBJECTIVES)
    """Of a scorer with several objectives; `value` is their scalarisation."""


class Scorer(Protocol):
    """Scores one answer to one case. Deterministic unless it asks a model.

    A judge that cannot be asked raises `Pause`: no score is invented. Any other exception fails the genome. A
    scorer that never awaits may say `waits = False`, which saves a task per case; one that cannot use every target
    may have a `check_case(case)` that raises `ConfigError`, which is called before anything is asked.
    """

    @property
    def key(self) -> str:
        """Its name and parameters; part of what a resumed run compares."""
        ...

    @property
    def minimum(self) -> float:
        """The score of an answer that did not come."""
        ...

    async def __call__(self, answer: str, case: Case, context: Context) -> Score: ...


class Phenotype(Protocol[G_contra]):
    """What a genome does with cases: one row of answers per genome, in the order of the genomes; one answer
    per case.

    A question that has no usable answer gives `NoAnswer`; a model that cannot be asked now raises `Pause`.
    Costs are charged to the context of the genome.
    """

    @property
    def key(self) -> str:
        """Everything that changes its answers, the model included."""
        ...

    @property
    def whole_cohort(self) -> bool:
        """Whether it wants all genomes of a cohort in one call."""
        ...

    async def __call__(
        self, genomes: Sequence[G_contra], cases: Sequence[Case], contexts: Sequence[Context]
    ) -> list[list[Answer]]: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A case on which a genome did badly: the record that reflective operators show to the model.

    It travels through `Fitness.feedback` as one JSON text beginning with `{"case":`; every other text there
    is a note in words.
    """

    case: str
    input: str
    answer: str
    target: str
    why: str = ""

    def dump(self) -> str:
        """The JSON text of the record, readable as it is."""
        return json.dumps({name: getattr(self, name) for name in FAILURE_FIELDS}, ensure_ascii=False)

    @classmethod
    def parse(cls, text: str) -> Failure | None:
        """The record of a feedback text, or None if it is a note."""
        if not text.startswith('{"case":'):
            return None
        try:
            record = json.loads(text)
        except ValueError:
            return None
        if set(record) != set(FAILURE_FIELDS) or not all(isinstance(value, str) for value in record.values()):
            return None
        return cls(**record)


FAILURE_FIELDS = ("case", "input", "answer", "target", "why")
