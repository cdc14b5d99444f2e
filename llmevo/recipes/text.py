"""The kit of the text wing: founding texts, operators from the library, or blind edits in their place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmevo.breeding import Chain, Given
from llmevo.core import ConfigError, Context, Individual, Seed, Variation
from llmevo.core.variation import VariationBase
from llmevo.fitness import Case
from llmevo.library import Template, load_operator
from llmevo.llm.contract import LLM
from llmevo.text import ANY, Draw, Instruct, PartCrossover, Splice, TextGenome, WordEdits, given, on
from llmevo.text.recombine import Recombine
from llmevo.text.shots import PROMPT, SHOTS, ShotEdits, WithShots, packed

RATE = 0.1
"""Share of places that blind differential evolution moves; chosen on development data (experiments/LOG.md)."""

EXAMPLES = 3
"""How many examples an operator that writes from examples is shown."""


@dataclass(frozen=True)
class Sampled(VariationBase):
    """A founder that is one of the given texts, drawn at random: where a model would write a new one, edits start from it."""

    texts: tuple[TextGenome, ...]
    arity = 0

    @property
    def key(self) -> str:
        """The texts."""
        return f"sampled({','.join(text.key for text in self.texts)})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        return self.texts[int(context.seed.rng().integers(len(self.texts)))]


class TextKit:
    """Founders from seeds, or written by the model when there are none; operators by name.

    With `llm` None the operators are blind edits of the same arity (words of `vocabulary` may be inserted): a control, and free.
    With `shots` prompts have examples that evolve, too: at `shot_rate` a child has other examples instead of another text.
    `more` are further models that follow operators, where a recipe chooses among them.
    `slots` are further values for operators that declare them. `near` is where a user's `operators/` may lie.
    """

    def __init__(
        self,
        seeds: Sequence[str | Mapping[str, str]],
        llm: LLM | None,
        *,
        seed: Seed,
        cases: Sequence[Case] = (),
        description: str | None = None,
        vocabulary: Sequence[str] = (),
        slots: Mapping[str, Any] | None = None,
        near: Path | None = None,
        write: int = 10,
        more: Sequence[LLM] = (),
        shots: ShotEdits | None = None,
        shot_rate: float = 0.5,
    ) -> None:
        self.seed, self._llm, self._near = seed, llm, near
        self._models = () if llm is None else (llm, *more)
        self._vocabulary = tuple(vocabulary)
        self.instructions: list[Template] = []
        """The operators that were asked for and are followed by the model: what a plan of costs looks at."""
        self._shots, self._shot_rate = shots, shot_rate
        founders = given(seeds)
        self._seeds = tuple(founder.genome for founder in founders)
        self._parts = tuple(self._seeds[0].parts) if self._seeds else ()
        self._several = len(self._parts) > 1
        if any(tuple(genome.parts) != self._parts for genome in self._seeds):
            raise ConfigError(f"all prompts to begin with need the same parts in the same order: {', '.join(self._parts)}")
        self._slots: dict[str, Any] = {"examples": Draw(tuple(cases), EXAMPLES)} if cases else {}
        if description:
            self._slots["task"] = description
        self._slots |= slots or {}
        if shots is not None and self._seeds and self._parts != (PROMPT,):
            raise ConfigError(f"few-shot sets go with prompts of one part, not with {', '.join(self._parts)}")
        self.founders: Sequence[Variation[TextGenome]] = [self._founder(i, one) for i, one in enumerate(founders)]
        if not self.founders:
            self.founders = [self.operator("from-task")] * write

    def operator(self, name: str) -> Variation[TextGenome]:
        """The operator file of that name with the kit's first model, or blind edits in its place."""
        return self.operators(name)[0]

    def operators(self, name: str) -> list[Variation[TextGenome]]:
        """The operator of that name with each of the kit's models, or blind edits in its place."""
        template = load_operator(name, self._near)
        found = [self._instruct(template, llm) for llm in self._models] if self._models else [self._blind(template)]
        return [self._anywhere(variation) for variation in found]

    def _founder(self, i: int, founder: Given[TextGenome]) -> Variation[TextGenome]:
        """A prompt to begin with; where examples evolve the first one has none, and every other one a set of its own."""
        if self._shots is None:
            return founder
        drawn = self._shots.drawn(self.seed.fold("shots", i).rng()) if i else []
        return Given(founder.genome.with_part(SHOTS, packed(drawn)))

    def _anywhere(self, variation: Variation[TextGenome]) -> Variation[TextGenome]:
        """On a part that is drawn, where a genome has several; on the prompt or its examples, where those evolve."""
        if self._shots is not None:
            return WithShots(variation, self._shots, self._shot_rate)
        alone = variation.arity == 0 or not self._several or isinstance(variation, Chain)
        return variation if alone else on(ANY, variation)

    def _instruct(self, template: Template, llm: LLM) -> Variation[TextGenome]:
        missing = [slot for slot in template.slots if slot not in self._slots]
        if missing:
            raise ConfigError(
                f"operator {template.name!r} needs {' and '.join(missing)}: describe the task (`task: {{description: ...}}`) and give "
                f"examples, or give prompts to begin with (`task: {{seeds: [...]}}`); slots of your own: `task: {{slots: {{name: text}}}}`"
            )
        if template.arity == 0 and self._several:
            raise ConfigError(
                f"operator {template.name!r} writes one text, and these prompts have the parts {', '.join(self._parts)}: choose an "
                f"operator that varies a parent, or `operator: edits`"
            )
        part = self._parts[0] if template.arity == 0 and self._parts else None
        if template not in self.instructions:
            self.instructions.append(template)
        return Instruct(template, llm, part=part, slots={slot: self._slots[slot] for slot in template.slots})

    def _blind(self, template: Template) -> Variation[TextGenome]:
        edits = WordEdits(self._vocabulary, most=3)
        change: Variation[TextGenome] = on(ANY, edits) if self._several else edits
        if template.arity == 0:
            if not self._seeds:
                raise ConfigError("blind edits need prompts to begin with: give `task: {seeds: [...]}`")
            return Chain((Sampled(self._seeds), change))
        if template.arity == 1:
            return edits
        if template.arity == 2:
            return Chain((PartCrossover() if self._several else Splice(), change))
        if template.arity in (3, 4):
            mixed = Recombine(arity=template.arity, rate=RATE)
            return Chain((on(ANY, mixed) if self._several else mixed, change))
        raise ConfigError(f"operator {template.name!r} has no counterpart among the blind edits: name a model for `operator`")


def common_words(texts: Sequence[str], least: int = 2) -> tuple[str, ...]:
    """The words of at least three letters that occur in at least `least` of the texts, most frequent first."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(re.findall(r"[a-z]{3,}", text.lower())))
    return tuple(word for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= least)
