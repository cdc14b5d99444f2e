"""Two turns for one child: a critic says what is wrong, an author writes the answer anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from llmevo.core.context import Context
from llmevo.core.individual import Individual
from llmevo.core.variation import VariationBase
from llmevo.library.operator import Template
from llmevo.llm.contract import LLM
from llmevo.text.genome import TextGenome
from llmevo.text.instruct import Instruct

CRITIQUE = "critique"
"""The author's slot for what the critic said."""


@dataclass(frozen=True)
class Converse(VariationBase):
    """The critic's instruction, then the author's, which gets the critique as a slot: two calls.

    Both see the same parents, any number of them. Source: the refinement through critical conversation of Mind Evolution.
    """

    critic: Template
    author: Template
    llm: LLM
    slots: Mapping[str, Any] = field(default_factory=dict)
    part: str | None = None
    arity: ClassVar[int | None] = None

    @property
    def key(self) -> str:
        """Both instructions and the model."""
        return f"converse({self._turn(self.critic).key},{self._turn(self.author, '').key})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        said = await self._turn(self.critic)(parents, context.stage("critic"))
        return await self._turn(self.author, said.part(self.part))(parents, context.stage("author"))

    def _turn(self, template: Template, critique: str | None = None) -> Instruct:
        more = {} if critique is None else {CRITIQUE: critique}
        return Instruct(template, self.llm, slots={**self.slots, **more}, part=self.part)
