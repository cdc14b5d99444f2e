"""Another model for what one model refuses."""

from __future__ import annotations

from llmevo.core.fitness import FREE, Usage
from llmevo.core.genome import canonical
from llmevo.llm.contract import LLM, Refused, Reply, Request


class Fallback:
    """Models that are asked in turn until one does not refuse. Only a refusal or a filtered answer moves on to the next.

    The reply counts what the refusals before it cost. Raises the last model's `Refused` when all refuse.
    """

    def __init__(self, *llms: LLM) -> None:
        if not llms:
            raise ValueError("a fallback needs at least one model")
        self._llms = llms
        self.key = canonical({"fallback": [llm.key for llm in llms]})

    async def __call__(self, request: Request) -> Reply:
        spent = FREE
        for llm in self._llms[:-1]:
            try:
                return _with(await llm(request), spent)
            except Refused as error:
                spent += error.usage
        try:
            return _with(await self._llms[-1](request), spent)
        except Refused as error:
            error.usage = spent + error.usage
            raise


def _with(reply: Reply, spent: Usage) -> Reply:
    return Reply(reply.text, spent + reply.usage, reply.finish, reply.estimated)
