"""The paid-call promise: an answer that was recorded is never paid for again, and spending is never understated.

Two wrappers share one `Ledger`. `Remembered` stands outermost: it answers from the record, and lets equal questions in flight
share one call. `Booked` (in `booked.py`) stands next to the endpoint, inside the retry layer, so that every attempt is reserved,
recorded and settled on its own.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from llmevo.core.errors import LlmevoError
from llmevo.core.genome import content_key
from llmevo.llm.contract import LLM, Refused, Reply, Request
from llmevo.llm.durable import Durable
from llmevo.storage.answers import Answer, Answers
from llmevo.storage.budget import Budget

if TYPE_CHECKING:
    from llmevo.llm.attempt import Attempt

KEY_VERSION = 1

@lru_cache(maxsize=1024)
def question_key(model: str, request: Request) -> str:
    """The key of an answer: everything that changes it (model key, messages, sampling, sample index), and a version."""
    sampling = request.sampling
    drawn = [sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.stop]
    said = [(message.role, message.content) for message in request.messages]
    return content_key([KEY_VERSION, model, said, drawn, request.sample])


@dataclass(slots=True, eq=False)
class Ledger:
    """The answers and the budget of one run, and the questions that are being asked. Belongs to one event loop at a time."""

    answers: Answers
    budget: Budget = field(default_factory=Budget)
    flights: dict[str, asyncio.Future[Reply | None]] = field(default_factory=dict)
    """Questions that somebody waits for, by key."""
    sent: dict[str, Attempt] = field(default_factory=dict)
    """Attempts that are on their way, by key, whether or not somebody waits."""
    durable: Durable = field(init=False)
    asked: int = 0
    """Questions put to this ledger."""
    hits: int = 0
    """Questions of these that were answered without a call: from the record, or by sharing one in flight."""

    def __post_init__(self) -> None:
        self.durable = Durable(self.answers.database)
        self.budget.restore(self.answers.restored)

    async def drain(self, seconds: float) -> None:
        """Waits that long for what was sent, and cancels what is then still open (booked at its upper bound); what was not sent
        yet is given up. Returns when all of it is recorded."""
        loop = asyncio.get_running_loop()
        attempts = [one for one in self.sent.values() if one.loop is loop]
        for attempt in attempts:
            if attempt.task is None:
                attempt.tell(asyncio.CancelledError())
        tasks = [one.task for one in attempts if one.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        for attempt in attempts:  # one that was cancelled before its first step could not tell
            if attempt.task is not None and attempt.task.cancelled():
                attempt.tell(asyncio.CancelledError())
        with suppress(LlmevoError):
            await self.durable.written()
            await self.durable.written()  # what was given up when the first of them came back


class Remembered:
    """A model whose recorded answers are given again, and of which equal questions in flight are asked once.

    Raises `Refused` for a reply that is a refusal or was filtered. A reply cut at `max_tokens` is given with finish `length`;
    it is recorded, but asked again when the question comes again.
    """

    def __init__(self, llm: LLM, ledger: Ledger) -> None:
        self.key, self._llm, self._ledger = llm.key, llm, ledger

    async def __call__(self, request: Request) -> Reply:
        ledger = self._ledger
        ledger.asked += 1
        key = question_key(self.key, request)
        flights = ledger.flights
        while True:
            answer = ledger.answers.get(key)
            if answer is not None:
                ledger.hits += 1
                return _shown(_reply(answer), self.key)
            flight = flights.get(key)
            if flight is None:
                break
            shared = await asyncio.shield(flight)
            if shared is not None:
                ledger.hits += 1
                return _shown(shared, self.key)
        flight = flights[key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._elsewhere(key, request) or await self._llm(request)
        except Exception as error:
            flight.set_exception(error)
            flight.exception()  # marks it as seen: perhaps nobody else asked
            raise
        except BaseException:
            flight.set_result(None)  # one of those who wait asks instead
            raise
        else:
            flight.set_result(reply)
        finally:
            del flights[key]
        return _shown(reply, self.key)

    async def _elsewhere(self, key: str, request: Request) -> Reply | None:
        """An answer from the shared cache: it counts as a call with its tokens, and costs no money."""
        looking = self._ledger.answers.lookup_shared(key)
        answer = None if looking is None else await asyncio.wrap_future(looking)
        if answer is None:
            return None
        self._ledger.hits += 1
        spent = replace(answer.usage, price=0.0)
        place = await self._ledger.budget.reserve(spent)
        self._ledger.budget.settle(place, spent)
        await self._ledger.durable.written(self._ledger.answers.settle(None, key, self.key, "shared", spent, answer=answer))
        self._ledger.answers.learn(key, "shared", answer)
        return _reply(answer)


def _reply(answer: Answer) -> Reply:
    return Reply(answer.text, answer.usage, answer.finish)  # type: ignore[arg-type]


def _shown(reply: Reply, model: str) -> Reply:
    if reply.finish == "refusal":
        raise Refused(f"the model refuses: {reply.text[:200]!r}", reply.usage)
    if reply.finish == "filter":
        raise Refused("a content filter stopped the answer", reply.usage)
    return reply
