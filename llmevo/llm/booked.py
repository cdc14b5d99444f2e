"""The wrapper next to an endpoint: every attempt is reserved, recorded before it is sent, and settled."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

from llmevo.core.crash import crash_point
from llmevo.core.errors import LlmevoError
from llmevo.core.fitness import FREE, Usage
from llmevo.core.secret import redact
from llmevo.llm.attempt import Attempt
from llmevo.llm.contract import LLM, CallFailed, Finish, Reply, Request
from llmevo.llm.faults import Transient
from llmevo.llm.ledger import Ledger, question_key
from llmevo.llm.limiter import Gate
from llmevo.llm.prices import Price
from llmevo.llm.wire import tokens_at_most
from llmevo.storage.answers import Answer, Outcome, Rows

_OUTCOMES: dict[Finish, Outcome] = {
    "stop": "answer",
    "length": "truncated",
    "refusal": "refused",
    "filter": "refused",
}


class Booked:
    """A model whose every attempt is reserved, recorded before it is sent, and settled.

    Replies and failures that the provider billed cost what it says; an attempt of unknown outcome costs its upper bound; one
    that certainly was not billed costs nothing and counts as no call. `price` None or zero-priced with `local=True`: nothing
    is billed, so no intent is needed before the call. No place at the gate is held while anything is written.
    Who is cancelled before sending costs nothing; what was sent goes on without its asker until it is recorded, and an equal
    question shares it.

    An attempt goes from step to step by callbacks (`_durable`, `_admitted`, `_fly`, `_recorded`): its asker sleeps once, until
    the reply is on the disk. As a chain of awaits it cost four more turns of the loop, a fifth of the whole client.
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
        self._leaving = False
        self._next: Attempt | None = None
        self._arrived: deque[tuple[Attempt, Reply]] = deque()

    def upper(self, request: Request) -> Usage:
        """What one attempt may cost at most."""
        return self._priced(Usage(1, *tokens_at_most(request)))

    async def __call__(self, request: Request) -> Reply:
        ledger, gate = self._ledger, self._gate
        key = question_key(self.key, request)
        attempt = ledger.sent.get(key)
        loop = asyncio.get_running_loop()
        if attempt is None:
            if gate:
                await gate.ahead.acquire()
            try:
                upper = self.upper(request)
                place = ledger.budget.take(upper) or await ledger.budget.reserve(upper)
            except BaseException:
                if gate:
                    gate.ahead.release()
                raise
            attempt = Attempt(request, key, upper, place, loop)
            if self._local:
                return await self._here(attempt)
        reply: asyncio.Future[Reply] = loop.create_future()
        attempt.waiting.append(reply)
        if attempt.number is None:
            ledger.sent[key] = attempt
            attempt.number, rows = ledger.answers.intend(key, self.key, attempt.upper)
            ledger.durable.write(rows, partial(self._durable, attempt), patient=gate is not None and gate.crowded)
        try:
            return await reply
        except asyncio.CancelledError as error:
            if attempt.task is None and not attempt.wanted:
                self._give_up(attempt, error)
            raise

    def _durable(self, attempt: Attempt, error: Exception | None) -> None:
        """The intent is on the disk: the attempt gets in line at the gate."""
        if error is not None:
            self._give_up(attempt, error)
        elif not attempt.over:
            crash_point("intent-durable")
            if self._gate:
                self._gate.admit(partial(self._admitted, attempt))
            else:
                self._admitted(attempt, 0)

    def _admitted(self, attempt: Attempt, entry: int | Exception) -> bool:
        """The attempt may be sent; whether it is. The run may have been told to stop while it waited."""
        if attempt.over:
            return False
        try:
            if isinstance(entry, Exception):
                raise entry
            self._ledger.budget.check()
        except Exception as error:
            self._give_up(attempt, error)
            return False
        attempt.entry = entry
        if self._leaving and self._next is None:
            self._next = attempt  # whoever makes room takes it along
        else:
            # What was sent will be billed: it is recorded even if nobody waits for it any more.
            attempt.task = attempt.loop.create_task(self._fly(attempt))
        return True

    def _give_up(self, attempt: Attempt, error: BaseException) -> None:
        """Ends an attempt that was not sent: it cost nothing."""
        if attempt.over:
            return
        self._ledger.budget.settle(attempt.place)
        note = type(error).__name__
        self._ledger.durable.note(self._ledger.answers.settle(attempt.number, attempt.key, self.key, "unbilled", FREE, note=note))
        self._end(attempt, error)

    async def _fly(self, attempt: Attempt | None) -> None:
        """Sends, and books what comes back; then the same for the attempt that gets the place at the gate, if one waits.

        The next one is sent in the same turn of the loop in which a reply came, and what came is booked in the turn after: a server
        that answers many at once is busy again before the first of them is put on record.
        """
        task = asyncio.current_task()
        while attempt is not None:
            attempt.task = task
            try:
                reply = await self._send(attempt)
            except BaseException as error:
                if rows := self._lost(attempt, error):
                    self._ledger.durable.note(rows)
                self._end(attempt, error)
                if not isinstance(error, Exception):
                    self._book()
                    self._ledger.durable.flush()  # the loop may be about to stop
                    if self._gate:
                        self._gate.leave()
                    raise
            else:
                self._arrived.append((attempt, reply))
                attempt.loop.call_soon(self._book)
            attempt = self._leave()

    def _book(self) -> None:
        """Books what came in the last turn of the loop. What goes wrong with one reply ends its attempt and no other."""
        while self._arrived:
            attempt, reply = self._arrived.popleft()
            try:
                self._came(attempt, reply)
            except Exception as error:
                # Its intent stays open on the disk, which counts as its upper bound; here it does so too, unless its cost is known.
                self._ledger.budget.settle(attempt.place, attempt.upper)
                if not attempt.over:
                    self._end(attempt, error)

    def _leave(self) -> Attempt | None:
        """Gives the place at the gate on; the attempt of this model that gets it."""
        if self._gate is None:
            return None
        self._leaving = True
        try:
            self._gate.leave()
        finally:
            self._leaving = False
            following, self._next = self._next, None
        return following

    def _came(self, attempt: Attempt, reply: Reply) -> None:
        """Books a reply. Who waits is told when it is on the disk."""
        crash_point("reply-received")
        outcome, answer, rows = self._brought(attempt, reply)

        def recorded(error: Exception | None) -> None:
            if error is None:
                crash_point("answer-durable")
                self._ledger.answers.learn(attempt.key, outcome, answer)
            self._end(attempt, reply if error is None else error)

        self._ledger.durable.write(rows, recorded, paid=True, patient=self._gate is not None and self._gate.crowded)

    async def _here(self, attempt: Attempt) -> Reply:
        """The same for a model in this process: nothing is billed, so its asker may take it along when it is cancelled."""
        ledger = self._ledger
        try:
            try:
                if self._gate:
                    attempt.entry = await self._gate.enter()
                try:
                    ledger.budget.check()
                except LlmevoError:
                    if self._gate:
                        self._gate.leave()
                    raise
            except BaseException:
                ledger.budget.settle(attempt.place)
                raise
            try:
                reply = await self._send(attempt)
            except BaseException as error:
                if rows := self._lost(attempt, error):
                    ledger.durable.note(rows)
                raise
            finally:
                if self._gate:
                    self._gate.leave()
            crash_point("reply-received")
            outcome, answer, rows = self._brought(attempt, reply)
            await ledger.durable.written(rows, paid=True)
            crash_point("answer-durable")
            ledger.answers.learn(attempt.key, outcome, answer)
            return reply
        finally:
            if self._gate:
                self._gate.ahead.release()

    async def _send(self, attempt: Attempt) -> Reply:
        """The reply of the endpoint; the gate learns how it went."""
        gate = self._gate
        try:
            reply = self._stored_form(await self._llm(attempt.request))
        except BaseException as error:
            if gate:
                gate.failed(attempt.entry, error)
            raise
        if gate:
            gate.succeeded(attempt.entry)
        return reply

    def _brought(self, attempt: Attempt, reply: Reply) -> tuple[Outcome, Answer, Rows]:
        """Settles a reply: its outcome, the answer to keep, and the rows that record both."""
        self._ledger.budget.settle(attempt.place, reply.usage)
        answer = Answer(reply.text, reply.finish, reply.usage)
        outcome, note = _OUTCOMES[reply.finish], "estimated" if reply.estimated else ""
        number, key = attempt.number, attempt.key
        return outcome, answer, self._ledger.answers.settle(number, key, self.key, outcome, reply.usage, note=note, answer=answer)

    def _lost(self, attempt: Attempt, error: BaseException) -> Rows:
        """Settles an attempt that brought nothing; the rows that record it. What is not known for certain costs its upper bound."""
        outcome, spent = self._failed(error, attempt.upper)
        self._ledger.budget.settle(attempt.place, spent)
        if attempt.number is None and outcome != "failed":
            return ()
        note = type(error).__name__
        return self._ledger.answers.settle(attempt.number, attempt.key, self.key, outcome, spent, note=note)

    def _end(self, attempt: Attempt, found: Reply | BaseException) -> None:
        attempt.over = True
        if self._gate:
            self._gate.ahead.release()
        if self._ledger.sent.get(attempt.key) is attempt:
            del self._ledger.sent[attempt.key]
        attempt.tell(found)

    def _failed(self, error: BaseException, upper: Usage) -> tuple[Outcome, Usage]:
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
