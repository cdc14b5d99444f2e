"""A model that says what a test tells it to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from llmevo.core.clock import REAL_CLOCK, Clock
from llmevo.core.errors import LlmevoError
from llmevo.core.fitness import Usage
from llmevo.llm.contract import Reply, Request

Line = str | Reply | Exception
Script = Iterable[Line] | Callable[[Request], Line]


class ScriptRanDry(LlmevoError):
    """The scripted model was asked more often than it has replies: the program under test asks too much, or the script is
    short."""


class ScriptedLLM:
    """Answers from a list, in order, or by a function of the request; an exception in the script is raised.

    Keeps what it was asked in `requests`. A list that is used up raises `ScriptRanDry`. A string becomes a reply that counts
    one token per word. `delay` (seconds, or a function of the request) is slept on the given clock.
    """

    def __init__(
        self,
        script: Script,
        *,
        key: str = "scripted",
        delay: float | Callable[[Request], float] = 0.0,
        clock: Clock = REAL_CLOCK,
    ) -> None:
        self.key = key
        self.requests: list[Request] = []
        self._answer = script if callable(script) else None
        self._lines = [] if callable(script) else list(script)
        self._delay, self._clock = delay, clock

    async def __call__(self, request: Request) -> Reply:
        number = len(self.requests)
        self.requests.append(request)
        if self._answer is None and number >= len(self._lines):
            asked = request.messages[-1].content if request.messages else ""
            raise ScriptRanDry(f"the script has {len(self._lines)} replies; call {number + 1} asked: {asked[:200]!r}")
        line = self._lines[number] if self._answer is None else self._answer(request)
        delay = self._delay(request) if callable(self._delay) else self._delay
        if delay:
            await self._clock.sleep(delay)
        if isinstance(line, Exception):
            raise line
        return line if isinstance(line, Reply) else said(line, request)


def said(text: str, request: Request) -> Reply:
    """A reply that counts one token per word on both sides."""
    into = sum(len(message.content.split()) for message in request.messages)
    return Reply(text, Usage(1, into, len(text.split())))
