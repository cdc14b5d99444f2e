"""What a variation or an evaluation may draw on besides its arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llmevo.core.fitness import FREE, Usage
from llmevo.core.seed import Seed

if TYPE_CHECKING:
    from llmevo.core.mating import CaseSlice


@dataclass(slots=True)
class Context:
    """The seed, the sample numbering and the meter of one birth or of one genome's evaluation.

    It belongs to one task; stages of that task share the meter and the numbering through `stage`.
    """

    seed: Seed
    scope: str = ""
    """Names the calls of a birth apart from those of other births (the mating's id). Empty for evaluations: equal questions about
    different genomes share one answer."""
    cases: CaseSlice | None = None
    meter: Meter = field(default_factory=lambda: Meter())

    def stage(self, *names: str | int) -> Context:
        """The context of a named stage: a folded seed, the same meter and numbering."""
        return Context(self.seed.fold(*names), self.scope, self.cases, self.meter)

    @property
    def repeat(self) -> int:
        """The repeat number of this evaluation: 0 unless fresh samples of the same cases are wanted."""
        return 0 if self.cases is None else self.cases.repeat

    def next_sample(self) -> str:
        """The sample index of the next call of this birth. Calls of one birth follow each other, so it is deterministic."""
        self.meter.calls += 1
        return f"{self.scope}:{self.meter.calls}"

    def quote(self, case: str) -> None:
        """Notes that a case was shown to the model that conceives."""
        self.meter.quoted.add(case)

    def include(self, meter: Meter) -> None:
        """Adds what a part of the work with a meter of its own cost and quoted."""
        self.charge(meter.usage)
        self.meter.quoted |= meter.quoted

    def charge(self, usage: Usage) -> None:
        """Adds the nominal cost of a call."""
        self.meter.usage += usage


@dataclass(slots=True)
class Meter:
    """Counts the calls and sums the usage of one task, and remembers what it quoted."""

    calls: int = 0
    usage: Usage = FREE
    quoted: set[str] = field(default_factory=set)
    """Ids of the cases that were shown to a model."""
