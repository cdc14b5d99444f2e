"""The contract of a language model: one question, one answer, what it cost, how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from llmevo.core.errors import LlmevoError, Pause
from llmevo.core.fitness import FREE, Usage

Role = Literal["system", "user", "assistant"]
Finish = Literal["stop", "length", "refusal", "filter"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn. Every field is part of the answer's key."""

    temperature: float = 0.0
    top_p: float | None = None
    max_tokens: int = 512
    """Bounds the answer, and with it the cost that is reserved before the call."""
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One question. Equal requests to the same model are the same question and have one answer."""

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    sample: str = ""
    """The sample index: a further sample of the same question has another one."""
    source: str = field(default="", compare=False)
    """On whose behalf it is asked, e.g. a genome's key: what one source makes a server fail at says nothing about the server."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `usage` counts one call and its tokens, also when it came from a cache."""

    text: str
    usage: Usage
    finish: Finish = "stop"
    estimated: bool = False
    """Whether the tokens are upper bounds, because the server counted none."""


class LLM(Protocol):
    """A language model, or a wrapper around one (retry, limiter, cache, ledger): wrappers keep this contract.

    Raises `CallFailed` when this question has no usable answer, and `Pause` when the model cannot be asked now (server down,
    billing, rate limit beyond the deadline).
    """

    @property
    def key(self) -> str:
        """Everything about the model that changes its answers: provider, endpoint, model name, hash of local weights."""
        ...

    async def __call__(self, request: Request) -> Reply: ...


class CallFailed(LlmevoError):
    """This question has no usable answer; others may. The birth or the answer fails, the run goes on.

    `usage` is what the failed call cost.
    """

    def __init__(self, message: str, usage: Usage = FREE) -> None:
        super().__init__(message)
        self.usage = usage


class EmptyReply(CallFailed):
    """No choices, no content, white space, or reasoning only."""


class Refused(CallFailed):
    """The model refuses, or a content filter stopped it."""


class RequestRejected(CallFailed):
    """The server rejects this payload for good (context too long, malformed, always 500)."""


class ContextTooLong(RequestRejected):
    """The question is longer than the model's context. `limit` and `asked` are tokens, where the server said so."""

    def __init__(self, message: str, limit: int | None = None, asked: int | None = None) -> None:
        super().__init__(message)
        self.limit, self.asked = limit, asked


class Unreachable(Pause):
    """The server does not answer, refuses for billing, or limits the rate beyond the deadline."""
