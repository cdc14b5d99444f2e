"""Another model for what one model refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy

from llmevo.core.fitness import FREE, Usage
from llmevo.core.genome import canonical
from llmevo.llm.contract import LLM, CallFailed, Refused, Reply, Request


class Fallback:
    """Models that are asked in turn until one does not refuse. Only a refusal or a filtered answer moves on to the next.

    The reply counts what the refusals before it cost. Raises the last model's `Refused` when all refuse.
    """

    def __init__(self, *llms: LLM) -> None:
        if not llms:
            raise ValueError("a fallback needs at least one model")
        self._llms = llms
        self.key = chain_key(*llms)

    async def __call__(self, request: Request) -> Reply:
        ask: Callable[[Request], Awaitable[Reply]] = self._llms[-1]
        for llm in reversed(self._llms[:-1]):
            ask = _Pair(llm, ask)
        return await ask(request)


class _Pair:
    def __init__(self, ask: Callable[[Request], Awaitable[Reply]], other: Callable[[Request], Awaitable[Reply]]) -> None:
        self._ask, self._other = ask, other

    async def __call__(self, request: Request) -> Reply:
        return await instead(self._ask, self._other, request)


def chain_key(*llms: LLM) -> str:
    """The key of models that stand in for each other."""
    return canonical({"fallback": [llm.key for llm in llms]})


async def instead(
    ask: Callable[[Request], Awaitable[Reply]], other: Callable[[Request], Awaitable[Reply]], request: Request
) -> Reply:
    """The answer of the first, or of the other if the first refuses."""
    try:
        return await ask(request)
    except Refused as error:
        spent = error.usage
    return await charged(other(request), spent)


async def charged(call: Awaitable[Reply], spent: Usage) -> Reply:
    """The reply of a call, or its failure, with what was spent before it."""
    try:
        reply = await call
    except CallFailed as error:
        # A copy: equal questions in flight share one error, and each of them adds what it spent itself.
        mine = copy(error)
        mine.usage = spent + error.usage
        raise mine from error
    return reply if spent == FREE else Reply(reply.text, spent + reply.usage, reply.finish, reply.estimated)
