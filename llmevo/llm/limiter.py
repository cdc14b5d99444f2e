"""How many requests may be in flight at one endpoint, and when none may be."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from llmevo.core.clock import REAL_CLOCK, Clock
from llmevo.core.errors import LlmevoError
from llmevo.llm.contract import LLM, Reply, Request, Unreachable
from llmevo.llm.faults import NoConnection, RateLimited, TimedOut

BREAKS = 5
"""Connection errors in a row that open the circuit."""


Ready = Callable[[int | Exception], bool]


class Gate:
    """The door to one endpoint. Its arithmetic, exactly:

    * At most floor(w) requests are inside; first come, first served. w starts at `most`.
    * A 429 to a request that entered after the last cut: w = max(1, w/2), and a cut. One to an earlier request belongs to the
      same episode and cuts nothing. A success of a request that entered after the last cut: w = min(most, w + 1/w).
    * A 429 with a wait of r seconds shuts the door until r seconds from now (the latest wish counts), for every request.
    * 5 connection errors in a row without any answer between open the circuit: nobody enters, and after 1, 2, 4, ... 30 s the
      `probe` is called. Its first answer closes the circuit. After `patience` seconds of silence all who wait get
      `Unreachable`, and the next request begins anew.

    `ahead` admits as many again as may be inside: they write what must be durable before a request is sent, or after its
    answer came, without holding a place. So at most 2 x `most` calls are begun and not yet recorded when a process dies. Answers
    come in bursts, as the requests went out; with fewer ahead a burst of answers finds too few that may go at once.

    Belongs to one event loop at a time.
    """

    def __init__(
        self,
        most: int,
        *,
        clock: Clock = REAL_CLOCK,
        probe: Callable[[], Awaitable[None]] | None = None,
        patience: float = 600.0,
    ) -> None:
        self.most, self.window, self.inside = most, float(most), 0
        self.cuts = 0
        self._ahead: asyncio.Semaphore | None = None
        self._clock, self._probe, self._patience = clock, probe, patience
        self._line: deque[Ready] = deque()
        self._moving = False
        self._entered = self._last_cut = 0
        self._shut_until = 0.0
        self._breaks = 0
        self._keeper: asyncio.Task[None] | None = None

    @property
    def ahead(self) -> asyncio.Semaphore:
        """Admits as many again as may be inside."""
        if self._ahead is None:
            self._ahead = asyncio.Semaphore(2 * self.most)
        return self._ahead

    @property
    def crowded(self) -> bool:
        """Whether requests wait for a place: then what is written now is not what anything waits for."""
        return bool(self._line)

    def limit(self, most: int) -> None:
        """At most so many, for the requests to come. Call before the first of them."""
        self.most, self.window = most, float(most)

    def admit(self, ready: Ready) -> None:
        """Calls `ready` with the number of an entry as soon as there is a place, or with what prevents it. It returns whether it
        takes the place."""
        self._line.append(ready)
        self._move()

    async def enter(self) -> int:
        """Waits for a place; returns the number of the entry, to be given to the other methods."""
        place: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def ready(entry: int | Exception) -> bool:
            if place.done():
                return False
            if isinstance(entry, Exception):
                place.set_exception(entry)
                return False
            place.set_result(entry)
            return True

        self.admit(ready)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        """Gives the place to the next in line."""
        self.inside -= 1
        self._move()

    def succeeded(self, entry: int) -> None:
        """The endpoint answered the request of this entry."""
        self._breaks = 0
        if entry > self._last_cut and self.window < self.most:
            self.window = min(self.most, self.window + 1 / self.window)

    def failed(self, entry: int, error: BaseException) -> None:
        """The request of this entry failed. What is no connection error shows that the server is alive."""
        if isinstance(error, NoConnection):
            self._breaks += 1
            if self._breaks >= BREAKS and self._keeper is None:
                self._keep(self._wait_for_server())
            return
        if isinstance(error, LlmevoError) and not isinstance(error, TimedOut):
            self._breaks = 0
        if isinstance(error, RateLimited):
            if entry > self._last_cut:
                self.window = max(1.0, self.window / 2)
                self._last_cut = self._entered
                self.cuts += 1
            if error.retry_after and error.retry_after <= self._patience:
                self._shut_until = max(self._shut_until, self._clock.monotonic() + error.retry_after)
                if self._keeper is None:
                    self._keep(self._wait_for_hour())

    def _move(self) -> None:
        if self._moving:  # whoever was just let in left at once: the loop below goes on
            return
        self._moving = True
        try:
            while self._line and self._keeper is None and self.inside < int(self.window):
                self.inside += 1
                self._entered += 1
                if not self._line.popleft()(self._entered):
                    self.inside -= 1
        finally:
            self._moving = False

    def _keep(self, waiting: Awaitable[None]) -> None:
        async def keep() -> None:
            try:
                await waiting
            finally:
                self._keeper = None
                self._move()

        self._keeper = asyncio.get_running_loop().create_task(keep())

    async def _wait_for_hour(self) -> None:
        while (left := self._shut_until - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    async def _wait_for_server(self) -> None:
        began, pause = self._clock.monotonic(), 1.0
        while True:
            await self._clock.sleep(pause)
            try:
                if self._probe is not None:
                    await self._probe()
                break
            except (NoConnection, TimeoutError) as error:
                if self._clock.monotonic() - began >= self._patience:
                    self._turn_away(error)
                    break
            except LlmevoError:
                break
            pause = min(2 * pause, 30.0)
        self._breaks = 0
        await self._wait_for_hour()

    def _turn_away(self, error: BaseException) -> None:
        message = f"{error}. No answer for {self._patience:g} s: start the server, then continue the run."
        while self._line:
            self._line.popleft()(Unreachable(message))


class Limited:
    """A model behind a gate."""

    def __init__(self, llm: LLM, gate: Gate) -> None:
        self.key, self._llm, self._gate = llm.key, llm, gate

    async def __call__(self, request: Request) -> Reply:
        entry = await self._gate.enter()
        try:
            reply = await self._llm(request)
            self._gate.succeeded(entry)
            return reply
        except LlmevoError as error:
            self._gate.failed(entry, error)
            raise
        finally:
            self._gate.leave()
