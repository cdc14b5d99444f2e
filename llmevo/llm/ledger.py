"""The paid-call promise: an answer that was recorded is never paid for again, and spending is never understated.

Two wrappers share one `Ledger`. `Remembered` stands outermost: it answers from the record, and lets equal questions in flight
share one call. `Booked` stands next to the endpoint, inside the retry layer, so that every attempt is reserved, recorded and
settled on its own: place at the gate, reservation at the upper bound, intent durable, send, answer and cost durable, reply
shown.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

from llmevo.core.crash import crash_point
from llmevo.core.errors import LlmevoError
from llmevo.core.fitness import FREE, Usage
from llmevo.core.genome import content_key
from llmevo.core.secret import redact
from llmevo.llm.contract import LLM, CallFailed, Finish, Refused, Reply, Request
from llmevo.llm.faults import Transient
from llmevo.llm.limiter import Gate
from llmevo.llm.prices import Price
from llmevo.llm.wire import tokens_at_most
from llmevo.storage.answers import Answer, Answers, Outcome
from llmevo.storage.budget import Budget, Reservation

KEY_VERSION = 1

_OUTCOMES: dict[Finish, Outcome] = {
    "stop": "answer",
    "length": "truncated",
    "refusal": "refused",
    "filter": "refused",
}


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
    sent: dict[str, _Attempt] = field(default_factory=dict)
    """Attempts that are on their way, by key, whether or not somebody waits."""
    asked: int = 0
    """Questions put to this ledger."""
    hits: int = 0
    """Questions of these that were answered without a call: from the record, or by sharing one in flight."""

    _done: deque[tuple[asyncio.Future[None], Future[None]]] = field(default_factory=deque, repr=False)
    _rung: bool = False
    _loop: asyncio.AbstractEventLoop | None = None

    def __post_init__(self) -> None:
        self.budget.restore(self.answers.restored)

    async def durable(self, written: Future[None]) -> None:
        """Returns when something was written for good. What was committed together wakes the loop once."""
        if written.done():  # in memory
            return written.result()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._done, self._rung = loop, deque(), False
        done = self._done
        waiting: asyncio.Future[None] = loop.create_future()

        def committed(future: Future[None]) -> None:  # in the writer's thread
            done.append((waiting, future))
            if not self._rung and done is self._done:
                self._rung = True
                with suppress(RuntimeError):  # the loop is gone, and with it everybody who waited
                    loop.call_soon_threadsafe(self._wake)

        written.add_done_callback(committed)
        await waiting

    async def drain(self, seconds: float) -> None:
        """Waits that long for what was sent, and cancels what is then still open (booked at its upper bound). Sends
        nothing."""
        loop = asyncio.get_running_loop()
        attempts = [one for one in self.sent.values() if one.task is not None and one.task.get_loop() is loop]
        tasks = [one.task for one in attempts if one.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        for attempt in attempts:  # one that was cancelled before its first step could not tell
            attempt.tell(asyncio.CancelledError())

    def _wake(self) -> None:
        self._rung = False  # before the queue is read: what comes later rings again
        while self._done:
            waiting, future = self._done.popleft()
            if waiting.done():
                continue
            error = future.exception()
            if error is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(error)


@dataclass(slots=True, eq=False)
class _Attempt:
    """An attempt: its reservation, the number of its intent, its entry at the gate, and who waits for it once it is sent."""

    key: str
    upper: Usage
    place: Reservation
    number: int | None
    entry: int
    task: asyncio.Task[None] | None = None
    waiting: list[asyncio.Future[Reply]] = field(default_factory=list)

    def tell(self, found: Reply | BaseException) -> None:
        """Gives the reply, or what prevented it, to all who still wait."""
        for one in self.waiting:
            if one.done():
                continue
            if isinstance(found, Reply):
                one.set_result(found)
            elif isinstance(found, Exception):
                one.set_exception(found)
            else:
                one.cancel()


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
        await self._ledger.durable(self._ledger.answers.settle(None, key, self.key, "shared", spent, answer=answer))
        return _reply(answer)


class Booked:
    """A model whose every attempt is reserved, recorded before it is sent, and settled.

    Replies and failures that the provider billed cost what it says; an attempt of unknown outcome costs its upper bound; one
    that certainly was not billed costs nothing and counts as no call. `price` None or zero-priced with `local=True`: nothing
    is billed, so no intent is needed before the call. No place at the gate is held while anything is written.
    Who is cancelled before sending costs nothing; what was sent goes on without its asker until it is recorded, and an equal
    question shares it.
    """

    def __init__(
        self,
        llm: LLM,
        ledger: Ledger,
        *,
        gate: Gate | None = None,
        price: Price | None = None,
        local: bool = False,
    ) -> None:
        self.key, self._llm, self._ledger = llm.key, llm, ledger
        self._gate, self._price, self._local = gate, price, local

    def upper(self, request: Request) -> Usage:
        """What one attempt may cost at most."""
        return self._priced(Usage(1, *tokens_at_most(request)))

    async def __call__(self, request: Request) -> Reply:
        key = question_key(self.key, request)
        sent = self._ledger.sent
        attempt = sent.get(key)
        loop = asyncio.get_running_loop()
        if attempt is None:
            if self._gate:
                await self._gate.ahead.acquire()
            try:
                attempt = await self._begin(key, self.upper(request))
            except BaseException:
                if self._gate:
                    self._gate.ahead.release()
                raise
            if self._local:
                return await self._send(request, attempt)
            # What was sent will be billed: it is recorded even if nobody waits for it any more.
            sent[key] = attempt
            attempt.task = loop.create_task(self._fly(request, attempt))
        # Not a shielded task: that costs two more turns of the loop for every call.
        reply: asyncio.Future[Reply] = loop.create_future()
        attempt.waiting.append(reply)
        return await reply

    async def _fly(self, request: Request, attempt: _Attempt) -> None:
        """Sends, and tells all who wait, whoever they are by then."""
        try:
            found: Reply | BaseException = await self._send(request, attempt)
        except Exception as error:
            found = error
        except BaseException as error:
            attempt.tell(error)
            raise
        finally:
            if self._ledger.sent.get(attempt.key) is attempt:
                del self._ledger.sent[attempt.key]
        attempt.tell(found)

    async def _begin(self, key: str, upper: Usage) -> _Attempt:
        """All that comes before sending. Cancelled or refused here, it cost nothing."""
        answers, budget = self._ledger.answers, self._ledger.budget
        place, number = await budget.reserve(upper), None
        try:
            if not self._local:
                number, written = answers.intend(key, self.key, upper)
                await self._ledger.durable(written)
                crash_point("intent-durable")
            budget.check()
            entry = await self._gate.enter() if self._gate else 0
            try:
                budget.check()  # the run may have been told to stop while this waited
            except LlmevoError:
                if self._gate:
                    self._gate.leave()
                raise
        except BaseException as error:
            budget.settle(place)
            if number is not None:
                answers.settle(number, key, self.key, "unbilled", FREE, note=type(error).__name__)
            raise
        return _Attempt(key, upper, place, number, entry)

    async def _send(self, request: Request, attempt: _Attempt) -> Reply:
        """Sends, settles, and returns the reply when it is on the disk."""
        gate, key, number = self._gate, attempt.key, attempt.number
        answers, budget = self._ledger.answers, self._ledger.budget
        try:
            try:
                reply = self._stored_form(await self._llm(request))
                if gate:
                    gate.succeeded(attempt.entry)
            except BaseException as error:
                outcome, spent = self._failed(error, attempt.upper)
                if gate:
                    gate.failed(attempt.entry, error)
                budget.settle(attempt.place, spent)
                if number is not None or outcome == "failed":
                    answers.settle(number, key, self.key, outcome, spent, note=type(error).__name__)
                raise
            finally:
                if gate:
                    gate.leave()
            crash_point("reply-received")
            budget.settle(attempt.place, reply.usage)
            note = "estimated" if reply.estimated else ""
            answer = Answer(reply.text, reply.finish, reply.usage)
            outcome = _OUTCOMES[reply.finish]
            await self._ledger.durable(answers.settle(number, key, self.key, outcome, reply.usage, note=note, answer=answer))
            crash_point("answer-durable")
            return reply
        finally:
            if gate:
                gate.ahead.release()

    def _failed(self, error: BaseException, upper: Usage) -> tuple[Outcome, Usage]:
        """How a failed attempt is booked: what is not known for certain costs its upper bound."""
        if isinstance(error, CallFailed) and error.usage.calls:
            error.usage = self._priced(error.usage)
            return "failed", error.usage
        certain = isinstance(error, LlmevoError) and not (isinstance(error, Transient) and error.spent is None)
        return ("unbilled", FREE) if certain or self._local else ("unknown", upper)

    def _priced(self, usage: Usage) -> Usage:
        if self._price is None:
            return usage
        return Usage(usage.calls, usage.tokens_in, usage.tokens_out, self._price.of(usage))

    def _stored_form(self, reply: Reply) -> Reply:
        """The reply with its price. Half of a character pair, which cannot be stored, becomes U+FFFD; a key becomes its
        name."""
        text = redact(reply.text, shapes=False)
        if not text.isascii():
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return Reply(text, self._priced(reply.usage), reply.finish, reply.estimated)


def _reply(answer: Answer) -> Reply:
    return Reply(answer.text, answer.usage, answer.finish)  # type: ignore[arg-type]


def _shown(reply: Reply, model: str) -> Reply:
    if reply.finish == "refusal":
        raise Refused(f"the model refuses: {reply.text[:200]!r}", reply.usage)
    if reply.finish == "filter":
        raise Refused("a content filter stopped the answer", reply.usage)
    return reply
