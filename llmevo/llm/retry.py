"""The one retry layer."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from llmevo.core.clock import REAL_CLOCK, Clock
from llmevo.llm.contract import LLM, CallFailed, EmptyReply, Reply, Request, RequestRejected, Unreachable
from llmevo.llm.faults import RateLimited, ServerFault, TimedOut, Transient


class Retry:
    """Repeats attempts that failed for a passing reason. Its arithmetic, exactly:

    * Before repeating after the n-th failure it waits u seconds, u uniform in [1, max(1, min(60, 2^n))]: 1-2, 1-4, 1-8, 1-16,
      1-32. If the server asked for r seconds (`retry-after-ms`, `retry-after` in seconds or as a date) it waits r + v, v
      uniform in [0, 1].
    * At most `attempts` attempts (default 6), and at most `max_wait` seconds (default 600) of waiting in all: a wait that
      would pass it is not begun. An attempt has a deadline of its own, so a call ends after attempts x timeout + max_wait at
      the latest.
    * Repeated: `Transient` (429, 408, 409, 425, 5xx without 501 and 505, unreadable 200, no or broken connection, attempt
      over its deadline). An empty reply is repeated once. Nothing else is repeated.
    * Afterwards: no connection, or a rate limit -> `Unreachable`, which pauses the run and says until when. A server fault or
      a deadline -> `RequestRejected` for this question only, provided that the server answered another one since this one was
      first asked. If it did not, it is asked `alive` (a tiny question, booked like any other; None: it is taken to be): no
      answer -> `Unreachable`, so that no genome is judged by a server that fails at everything.
    * At least `give_up` (default 20) questions in a row rejected so, from more than one source and with no answer to a real
      question between -> `Unreachable`. One genome at which a server fails makes all its questions fail, and only itself. A
      question without a source is a source of its own.

    The random numbers come from `rng` and decide waits only, never results.
    """

    def __init__(
        self,
        llm: LLM,
        *,
        attempts: int = 6,
        max_wait: float = 600.0,
        give_up: int = 20,
        alive: Request | None = None,
        clock: Clock = REAL_CLOCK,
        rng: random.Random | None = None,
    ) -> None:
        self.key, self._llm = llm.key, llm
        self._attempts, self._max_wait, self._give_up = attempts, max_wait, give_up
        self._clock, self._rng = clock, rng or random.Random(0)
        self._in_a_row = 0
        self._sources: set[object] = set()
        self._alive, self._proving = alive, asyncio.Lock()
        self._answers = self._silences = 0
        """Answers so far, and proofs of life that failed."""
        self._number = itertools.count()

    async def __call__(self, request: Request) -> Reply:
        before = (self._answers, self._silences)
        try:
            reply = await self._llm(request)
        except (Transient, EmptyReply) as error:
            reply = await self._again(error, request, before)
        self._answers += 1
        if self._in_a_row:
            self._in_a_row = 0
            self._sources.clear()
        return reply

    async def _again(self, first: Transient | EmptyReply, request: Request, before: tuple[int, int]) -> Reply:
        """The attempts after the first, which happened outside: the machinery costs as much as half a call."""
        failed: list[Transient | EmptyReply] = [first]

        async def attempt() -> Reply:
            if failed:
                raise failed.pop()
            return await self._llm(request)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type((Transient, EmptyReply)),
            stop=self._stop,
            wait=self._wait,
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except Transient as error:
            if isinstance(error, ServerFault | TimedOut) and not await self._lives(before):
                raise Unreachable(f"{error}. Nor does it answer anything else: continue the run when the server works.") from error
            raise self._final(error, request, retrying) from error

    async def _lives(self, before: tuple[int, int]) -> bool:
        """Whether the server answered anything since then, if need be a question that is asked for this purpose."""
        if self._alive is None:
            return True
        async with self._proving:  # of many that fail together one asks
            answers, silences = before
            if self._answers == answers and self._silences == silences:
                try:
                    await self._llm(replace(self._alive, sample=f"alive {self._silences}.{next(self._number)}"))
                    self._answers += 1
                except Transient:
                    self._silences += 1
                except CallFailed:
                    self._answers += 1  # it answers; what it makes of this question does not matter
            return self._answers > answers

    def _wait(self, state: RetryCallState) -> float:
        asked = getattr(_error(state), "retry_after", None)
        if asked is not None:
            return float(asked) + self._rng.uniform(0.0, 1.0)
        return self._rng.uniform(1.0, max(1.0, min(60.0, 2.0**state.attempt_number)))

    def _stop(self, state: RetryCallState) -> bool:
        most = 2 if isinstance(_error(state), EmptyReply) else self._attempts
        return state.attempt_number >= most or state.idle_for + state.upcoming_sleep > self._max_wait

    def _final(self, error: Transient, request: Request, retrying: AsyncRetrying) -> Exception:
        tried = retrying.statistics.get("attempt_number", 1)
        what = f"{error} (attempt {tried} of {self._attempts})"
        if isinstance(error, RateLimited):
            until = ""
            if error.retry_after:
                hour = datetime.fromtimestamp(self._clock.now() + error.retry_after, UTC)
                until = f" The server wants to be asked again at {hour:%Y-%m-%d %H:%M:%S} UTC."
            return Unreachable(f"{what}.{until} Continue the run then, with fewer requests in flight.")
        if isinstance(error, ServerFault | TimedOut):
            self._in_a_row += 1
            self._sources.add(request.source or self._in_a_row)
            if self._in_a_row < self._give_up or (len(self._sources) == 1 < self._give_up):
                return RequestRejected(what)
            return Unreachable(f"{what}. {self._in_a_row} questions in a row failed so: continue the run when the server works.")
        return Unreachable(f"{what}. Continue the run when the server can be reached.")


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
