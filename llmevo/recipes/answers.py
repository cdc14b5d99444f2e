"""The kit of answers that are refined: founders are samples of the model, operators work on the answer or on the question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmevo.breeding import Traces
from llmevo.core import ConfigError, Context, Seed, Variation, VariationFailed
from llmevo.core.gather import gather
from llmevo.library import load_operator
from llmevo.llm.contract import LLM
from llmevo.text import Instruct, TextGenome, WordEdits, on
from llmevo.text.converse import Converse
from llmevo.text.forms import FORMS
from llmevo.text.pick import Pick
from llmevo.text.reprompt import ANSWER, Asked, Reprompt

LOCAL_EDITS = "local-edits"
"""The operator that costs nothing: blind edits of the answer's words."""
CONVERSATION = "critic-and-author"
"""The operator of two turns: `critic` says what is wrong, `author` writes anew."""
MEANT = {"from-task": "answer", "mutate": "textual-mutation", "evoprompt-ga": "semantic-crossover"}
"""What the default operators of recipes that also evolve prompts are for answers."""


class AnswerKit:
    """Founders and operators for one question. Genomes have the parts `question` (as it was asked) and `answer`.

    `near` is where a user's `operators/` may lie. `more` are further models: samples come from each in turn, and a recipe may choose who
    follows an operator.
    """

    def __init__(self, question: str, llm: LLM, *, seed: Seed, near: Path | None = None, more: Sequence[LLM] = ()) -> None:
        if not question.strip():
            raise ConfigError("there is no question to answer")
        self.seed, self._question, self._near = seed, question, near
        self._llm, self._models = llm, (llm, *more)
        self._ask = load_operator("answer", near)
        self.founders: Sequence[Variation[TextGenome]] = [Asked(question, self._ask, one) for one in self._models]

    def operator(self, name: str) -> Variation[TextGenome]:
        """`local-edits`, `critic-and-author`, or the operator file of that name: on the answer, or on the question if it writes one.

        One that takes no parents gives a further sample.
        """
        return self._operator(name, self._llm)

    def operators(self, name: str) -> list[Variation[TextGenome]]:
        """The operator of that name with each of the kit's models."""
        return list({one.key: one for one in (self._operator(name, llm) for llm in self._models)}.values())

    def _operator(self, name: str, llm: LLM) -> Variation[TextGenome]:
        if name == LOCAL_EDITS:
            return on(ANSWER, WordEdits(most=2))
        if name == CONVERSATION:
            critic, author = load_operator("critic", self._near), load_operator("author", self._near)
            return Converse(critic, author, llm, {"question": self._question}, ANSWER)
        template = load_operator(MEANT.get(name, name), self._near)
        if not template.parents and template.answer == ANSWER:
            return Asked(self._question, template, llm)
        if template.answer == "question":
            return Reprompt(Instruct(template, llm), self._ask, llm)
        if set(template.slots) - {"question"}:
            raise ConfigError(f"operator {name!r} has the slots {', '.join(template.slots)}; an answer offers only `question`")
        slots = {slot: self._question for slot in template.slots}
        return Instruct(template, llm, slots=slots, part=ANSWER)

    def picks(self, count: int) -> list[Variation[TextGenome]]:
        """The model picks good answers that differ; one question for all of them."""
        template = load_operator("diverse-elites", self._near)
        choose = Instruct(template, self._llm, slots={"question": self._question, "count": str(count)}, part=ANSWER)
        return [Pick(choose, place) for place in range(count)]

    async def panel(self, count: int) -> tuple[str, ...]:
        """Samples of the model that answers are compared with: the same ones whenever they are asked for, and paid once.

        Raises `VariationFailed` when none of them could be read.
        """

        async def sample(i: int) -> str | VariationFailed:
            try:
                genome = await Asked(self._question, self._ask, self._llm)((), Context(self.seed.fold("panel", i), f"panel {i}"))
            except VariationFailed as error:
                return error
            return genome.part(ANSWER)

        drawn = await gather(map(sample, range(count)))
        texts = tuple(dict.fromkeys(one for one in drawn if isinstance(one, str)))
        if not texts:
            raise next(one for one in drawn if isinstance(one, VariationFailed))
        return texts

    def traces(self, sameness: str) -> Traces[TextGenome]:
        """Those of the answer alone: a check does not see how it was asked for."""
        form = FORMS[sameness]
        return lambda genome: form(genome.part(ANSWER))
