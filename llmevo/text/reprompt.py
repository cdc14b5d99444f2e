"""Prompt mutation of an answer: the question is said in other words, and answered anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from llmevo.breeding.parts import on
from llmevo.core.context import Context
from llmevo.core.contracts import Variation
from llmevo.core.individual import Individual
from llmevo.core.variation import VariationBase
from llmevo.library.operator import Template
from llmevo.llm.contract import LLM
from llmevo.text.genome import TextGenome
from llmevo.text.instruct import Instruct

QUESTION, ANSWER = "question", "answer"
"""The parts of a genome that is an answer: how it was asked for, and what came."""


@dataclass(frozen=True)
class Asked(VariationBase):
    """A founder: one sample of the model's answer to the question. The genome holds both."""

    question: str
    template: Template
    llm: LLM
    arity: ClassVar[int | None] = 0

    @property
    def key(self) -> str:
        """The question, the instruction and the model."""
        return f"asked({self._instruct(self.question).key})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        answered = await self._instruct(self.question)(parents, context)
        return TextGenome({QUESTION: self.question, ANSWER: answered.part(ANSWER)})

    def _instruct(self, question: str) -> Instruct:
        return Instruct(self.template, self.llm, slots={"question": question}, part=ANSWER)


@dataclass(frozen=True)
class Reprompt(VariationBase):
    """Varies the question of an answer by one variation and asks for a new answer: two calls.

    Source: prompt mutation of GA-LLM-Optimize.
    """

    vary: Variation[TextGenome]
    template: Template
    llm: LLM
    arity: ClassVar[int | None] = 1

    @property
    def key(self) -> str:
        """How the question is varied, and by what it is answered."""
        return f"reprompt({self.vary.key},{Asked('', self.template, self.llm).key})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        varied = await on(QUESTION, self.vary)(parents, context)
        return await Asked(varied.part(QUESTION), self.template, self.llm)((), context)
