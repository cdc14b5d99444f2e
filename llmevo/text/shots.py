"""Few-shot sets that evolve: a part of the genome holds worked examples, which are added, dropped, swapped and put in another order."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from llmevo.breeding.parts import on
from llmevo.core.context import Context
from llmevo.core.contracts import Variation
from llmevo.core.errors import ConfigError, VariationFailed
from llmevo.core.genome import content_key
from llmevo.core.individual import Individual
from llmevo.core.variation import VariationBase
from llmevo.fitness.contract import Case
from llmevo.text.genome import TextGenome

if TYPE_CHECKING:
    import numpy as np

PROMPT, SHOTS = "prompt", "shots"
"""The parts of a prompt with examples. The examples stand in the genome as JSON, so it needs no data to be used elsewhere."""
Shot = tuple[str, str]
Move = Callable[[list[Shot], "np.random.Generator"], list[Shot]]


def packed(shots: Sequence[Shot]) -> str:
    """The text of the part: a JSON list of (input, answer) pairs."""
    return json.dumps([list(shot) for shot in shots], ensure_ascii=False)


def unpacked(text: str) -> list[Shot]:
    """The examples of the part, in order. Raises `ConfigError` when it does not hold any such list."""
    try:
        return [(str(asked), str(answered)) for asked, answered in json.loads(text or "[]")]
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the part {SHOTS!r} is a JSON list of [input, answer] pairs, not {text[:80]!r}") from error


def with_shots(prompt: str, text: str) -> str:
    """A prompt with its examples behind it, as a model reads them."""
    examples = [f"Input: {asked}\nAnswer: {answered}" for asked, answered in unpacked(text)]
    return "\n\n".join([prompt, *examples])


@dataclass(frozen=True)
class ShotEdits(VariationBase):
    """One change of the examples of the first parent: one more, one less, one for another, or two in each other's place.

    Examples are drawn from `pool`, training cases that no prompt is scored on; there are at most `most`, each once. No model is asked.
    """

    pool: tuple[Case, ...]
    most: int = 4
    arity = 1

    def __post_init__(self) -> None:
        if not self.pool or self.most < 1:
            raise ConfigError(f"few-shot sets need training cases ({len(self.pool)} given) and room for at least one, not {self.most}")

    @cached_property
    def shots(self) -> tuple[Shot, ...]:
        """The training cases as examples, each once."""
        return tuple(dict.fromkeys((case.input, case.targets[0]) for case in self.pool))

    @property
    def key(self) -> str:
        """The training cases and the room."""
        return f"shots({content_key(self.shots)},{self.most})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        genome, rng = parents[0].genome, context.seed.fold("shots").rng()
        shots = unpacked(genome.part(SHOTS))
        moves = self.moves(shots)
        if not moves:
            raise VariationFailed("there is no other set of examples")
        return genome.with_part(SHOTS, packed(moves[int(rng.integers(len(moves)))](shots, rng)))

    def moves(self, shots: Sequence[Shot]) -> list[Move]:
        """What can be done with a set."""
        others = [shot for shot in self.shots if shot not in shots]
        possible: list[Move] = []
        if others and len(shots) < self.most:
            possible.append(lambda known, rng: _inserted(known, _drawn(others, rng), int(rng.integers(len(known) + 1))))
        if shots:
            possible.append(_dropped)
        if others and shots:
            possible.append(lambda known, rng: _inserted(_dropped(known, rng), _drawn(others, rng), int(rng.integers(len(known)))))
        if len(shots) > 1:
            possible.append(_exchanged)
        return possible

    def drawn(self, rng: np.random.Generator) -> list[Shot]:
        """A set to begin with: between none and as many as there is room for."""
        order = rng.permutation(len(self.shots))[: int(rng.integers(min(self.most, len(self.shots)) + 1))]
        return [self.shots[i] for i in order]


class WithShots(VariationBase):
    """A variation of the prompt, or at the given rate a change of its examples instead; the rest comes from the first parent.

    A variation without parents gets a set that is drawn.
    """

    picks = False

    def __init__(self, variation: Variation[TextGenome], edits: ShotEdits, rate: float = 0.5) -> None:
        if not 0 <= rate <= 1:
            raise ConfigError(f"the rate at which examples change is between 0 and 1, not {rate!r}")
        self.variation, self.edits, self.rate = variation, edits, rate

    @property
    def key(self) -> str:
        """The variation of the prompt, the edits of the examples and their rate."""
        return f"with-shots({self.variation.key},{self.edits.key},{self.rate:g})"

    @property
    def arity(self) -> int | None:
        """That of the variation of the prompt."""
        return self.variation.arity

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        if not parents:
            prompt = await self.variation(parents, context)
            return prompt.with_part(SHOTS, packed(self.edits.drawn(context.seed.fold("drawn").rng())))
        if context.seed.fold("what").rng().random() < self.rate:
            return await self.edits(parents[:1], context)
        child: TextGenome = await on(PROMPT, self.variation)(parents, context)
        return child


def _drawn(shots: Sequence[Shot], rng: np.random.Generator) -> Shot:
    return shots[int(rng.integers(len(shots)))]


def _inserted(shots: Sequence[Shot], shot: Shot, place: int) -> list[Shot]:
    return [*shots[:place], shot, *shots[place:]]


def _dropped(shots: list[Shot], rng: np.random.Generator) -> list[Shot]:
    place = int(rng.integers(len(shots)))
    return [*shots[:place], *shots[place + 1 :]]


def _exchanged(shots: list[Shot], rng: np.random.Generator) -> list[Shot]:
    first, second = sorted(int(i) for i in rng.permutation(len(shots))[:2])
    swapped = list(shots)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    return swapped


__all__ = ["PROMPT", "SHOTS", "ShotEdits", "WithShots", "packed", "unpacked", "with_shots"]
