"""What a template sees of a parent: its text, its score, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from llmevo.core.fitness import Fitness
from llmevo.core.individual import Individual
from llmevo.fitness.contract import Failure
from llmevo.text.genome import TextGenome

LEAST_DIGITS = 2
MOST_DIGITS = 17


@dataclass(frozen=True, slots=True)
class ParentView:
    """A parent in a template: `{{ a }}` is its text, `a.score` its score with digits that tell it from the other parents'."""

    text: str
    score: str
    feedback: tuple[str, ...]
    """Notes in words."""
    failures: tuple[Failure, ...]
    """Cases on which it did badly, worst first: `input`, `answer`, `target`, `why`."""
    parts: Mapping[str, str]
    """All parts of a genome that has several."""

    def __str__(self) -> str:
        return self.text


def views(parents: Sequence[Individual[TextGenome]], part: str | None = None) -> list[ParentView]:
    """The views of the parents of one rendering, in order; scores have as many digits as it takes to tell all of them apart."""
    digits = digits_for(one.fitness.value for one in parents if one.fitness.ok)
    return [view(one.genome, one.fitness, digits, part) for one in parents]


def view(genome: TextGenome, fitness: Fitness, digits: int = LEAST_DIGITS, part: str | None = None) -> ParentView:
    """The view of one genome. Its score is `unknown` when it has none."""
    records = [(note, Failure.parse(note)) for note in fitness.feedback]
    return ParentView(
        genome.part(part),
        f"{fitness.value:.{digits}f}" if fitness.ok else "unknown",
        tuple(note for note, record in records if record is None),
        tuple(record for _, record in records if record is not None),
        genome.parts,
    )


def digits_for(values: Iterable[float]) -> int:
    """How many decimals tell all different values apart: at least two, at most seventeen."""
    different = set(values)
    for digits in range(LEAST_DIGITS, MOST_DIGITS):
        if len({f"{value:.{digits}f}" for value in different}) == len(different):
            return digits
    return MOST_DIGITS
