"""What a text does: it prompts a model, or it is the answer."""

from __future__ import annotations

from collections.abc import Sequence

from llmevo.core.context import Context
from llmevo.core.gather import gather
from llmevo.core.genome import content_key
from llmevo.fitness.contract import Answer, Case, NoAnswer
from llmevo.library.prompts import TaskTemplate
from llmevo.llm.contract import LLM, CallFailed, Message, Request, Sampling
from llmevo.text.genome import TextGenome
from llmevo.text.shots import SHOTS, with_shots

MAX_TOKENS = 256


class Prompted:
    """A model answers each case, told by the genome: the prompt first, then the input, as the task template wraps them.

    All cases of a genome are asked at once. The sample index is the repeat number, so equal questions of different genomes share
    one answer. A refused, filtered, empty or rejected call gives `NoAnswer` with its reason; a model that cannot be asked raises
    `Pause` and the genome's other calls are cancelled. `part` is the part that is the prompt (by default `prompt`, or the only
    one), with the examples of a part `shots` behind it; the task template may use further ones as `parts`. What is given here goes
    before what the task template says.
    """

    whole_cohort = False

    def __init__(
        self,
        llm: LLM,
        task: TaskTemplate | None = None,
        *,
        part: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> None:
        self.llm, self.part = llm, part
        self.task = TaskTemplate() if task is None else task
        self.sampling = Sampling(
            temperature=temperature if temperature is not None else self.task.temperature or 0.0,
            max_tokens=max_tokens or self.task.max_tokens or MAX_TOKENS,
            stop=self.task.stop,
        )
        self._system = (Message("system", self.task.system),) if self.task.system else ()

    @property
    def key(self) -> str:
        """The model, the task template, the part and the sampling."""
        sampling = [self.sampling.temperature, self.sampling.max_tokens]
        return f"prompted({self.llm.key},{content_key([self.task.key, self.part, sampling])})"

    async def __call__(
        self, genomes: Sequence[TextGenome], cases: Sequence[Case], contexts: Sequence[Context]
    ) -> list[list[Answer]]:
        return await gather(self._row(genome, cases, context) for genome, context in zip(genomes, contexts, strict=True))

    async def _row(self, genome: TextGenome, cases: Sequence[Case], context: Context) -> list[Answer]:
        named = self.part or ("prompt" if "prompt" in genome.parts else None)
        prompt, sample = genome.part(named), str(context.repeat)
        if SHOTS in genome.parts:
            prompt = with_shots(prompt, genome.part(SHOTS))
        return await gather((self._answer(prompt, genome, case, sample, context) for case in cases), paced=True)

    async def _answer(self, prompt: str, genome: TextGenome, case: Case, sample: str, context: Context) -> Answer:
        question = self.task.render(prompt, case.input, case.fields, genome.parts)
        try:
            reply = await self.llm(Request((*self._system, Message("user", question)), self.sampling, sample, genome.key))
        except CallFailed as error:
            context.charge(error.usage)
            return NoAnswer(f"{type(error).__name__}: {error}")
        context.charge(reply.usage)
        if reply.finish in ("refusal", "filter"):
            return NoAnswer(f"the model ended with {reply.finish!r}")
        return reply.text if reply.text.strip() else NoAnswer("the answer is empty")


class Verbatim:
    """The text itself is the answer to every case: for answers that are refined, not prompts."""

    whole_cohort = False

    def __init__(self, part: str | None = None) -> None:
        self.part = part

    @property
    def key(self) -> str:
        """The part."""
        return f"verbatim({self.part or ''})"

    async def __call__(
        self, genomes: Sequence[TextGenome], cases: Sequence[Case], contexts: Sequence[Context]
    ) -> list[list[Answer]]:
        return [[genome.part(self.part)] * len(cases) for genome in genomes]
