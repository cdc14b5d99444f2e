"""What a run may spend: reserve before sending, settle after, never above the limit."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field

from llmevo.core.clock import REAL_CLOCK, Clock
from llmevo.core.errors import BudgetExhausted, ConfigError, LlmevoError
from llmevo.core.fitness import FREE, Usage

PICO = 10**12
"""Money is counted in whole pico-dollars, so that sums and differences are exact."""

_AMOUNTS = ("calls", "tokens_in", "tokens_out", "tokens", "usd", "evaluations")
_Amounts = tuple[int, int, int, int, int, int]


@dataclass(slots=True, eq=False)
class Reservation:
    """A part of the budget set aside for one thing that was begun. Settle it exactly once; later settling is ignored."""

    amounts: _Amounts
    open: bool = True


@dataclass(slots=True, eq=False)
class _Waiter:
    amounts: _Amounts
    ready: asyncio.Future[Reservation] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Budget:
    """Limits on calls, tokens (in, out, both), US dollars, evaluations and seconds; None = no limit.

    What is reserved or spent never exceeds a limit, provided that nothing costs more than was reserved for it. A reservation
    that does not fit waits, first come first served, while others are outstanding; it is refused with `BudgetExhausted` only
    when none are. `seconds` counts from the construction on, plus what was restored; it is looked at when something is
    reserved, and stops nothing midway. Belongs to one event loop at a time.
    """

    def __init__(
        self,
        *,
        calls: int | None = None,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
        tokens: int | None = None,
        usd: float | None = None,
        evaluations: int | None = None,
        seconds: float | None = None,
        clock: Clock = REAL_CLOCK,
    ) -> None:
        given = (calls, tokens_in, tokens_out, tokens, usd, evaluations, seconds)
        for name, value in zip((*_AMOUNTS, "seconds"), given, strict=True):
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"budget: {name} must be a number from 0 on, not {value!r}")
        self.usd, self.seconds = usd, seconds
        pico = None if usd is None else math.floor(usd * PICO)
        self._limits = (calls, tokens_in, tokens_out, tokens, pico, evaluations)
        self._limited = [(i, limit) for i, limit in enumerate(self._limits) if limit is not None]
        self._spent = [0] * 6
        self._reserved = [0] * 6
        self._outstanding = 0
        self._line: deque[_Waiter] = deque()
        self._clock = clock
        self._began = clock.monotonic()
        self._closed: LlmevoError | None = None

    @property
    def spent(self) -> Usage:
        """What was settled and restored so far."""
        return _usage(self._spent)

    @property
    def reserved(self) -> Usage:
        """What is set aside for things that have begun, at their upper bounds."""
        return _usage(self._reserved)

    @property
    def evaluations(self) -> int:
        """Evaluations settled and restored so far."""
        return self._spent[5]

    @property
    def elapsed(self) -> float:
        """Seconds that count against the limit."""
        return self._clock.monotonic() - self._began

    @property
    def outstanding(self) -> int:
        """How many reservations are open."""
        return self._outstanding

    def restore(self, spent: Usage = FREE, evaluations: int = 0, seconds: float = 0.0) -> None:
        """Adds what earlier sittings of the run spent. Call before anything is reserved."""
        _add(self._spent, _amounts(spent, evaluations))
        self._began -= seconds

    def close(self, reason: LlmevoError) -> None:
        """From now on nothing is begun: who waits or comes gets the reason. What was begun can still be settled."""
        self._closed = reason
        while self._line:
            waiter = self._line.popleft()
            if not waiter.ready.done():
                waiter.ready.set_exception(reason)

    def check(self) -> None:
        """Raises the reason if the budget was closed: the last look before something is sent."""
        if self._closed is not None:
            raise self._closed

    def take(self, upper: Usage = FREE, evaluations: int = 0) -> Reservation | None:
        """`reserve` at once; None when it does not fit now."""
        self.check()
        amounts = _amounts(upper, evaluations)
        return None if self._line or self._lacking(amounts) is not None else self._take(amounts)

    async def reserve(self, upper: Usage = FREE, evaluations: int = 0) -> Reservation:
        """Sets an upper bound aside, now or as soon as it fits. Raises `BudgetExhausted`, naming the limit and the
        numbers."""
        if (taken := self.take(upper, evaluations)) is not None:
            return taken
        amounts = _amounts(upper, evaluations)
        if not self._line and not self._outstanding:
            raise self._refusal(amounts)
        waiter = _Waiter(amounts)
        self._line.append(waiter)
        self._serve()
        try:
            return await waiter.ready
        except asyncio.CancelledError:
            if waiter in self._line:
                self._line.remove(waiter)
            elif waiter.ready.done() and not waiter.ready.cancelled() and waiter.ready.exception() is None:
                self.settle(waiter.ready.result())
            self._serve()
            raise

    def settle(self, reservation: Reservation, actual: Usage = FREE, evaluations: int = 0) -> None:
        """Gives the reservation back and books what was really spent (nothing by default)."""
        if not reservation.open:
            return
        reservation.open = False
        self._outstanding -= 1
        spent, reserved = self._spent, self._reserved
        if actual is not FREE or evaluations:
            _add(spent, _amounts(actual, evaluations))
        held = reservation.amounts
        reserved[0] -= held[0]
        reserved[1] -= held[1]
        reserved[2] -= held[2]
        reserved[3] -= held[3]
        reserved[4] -= held[4]
        reserved[5] -= held[5]
        if self._line:
            self._serve()

    def _take(self, amounts: _Amounts) -> Reservation:
        self._outstanding += 1
        _add(self._reserved, amounts)
        return Reservation(amounts)

    def _serve(self) -> None:
        """Admits from the head of the line while it fits; nobody overtakes."""
        while self._line:
            waiter = self._line[0]
            if waiter.ready.done():
                self._line.popleft()
            elif self._lacking(waiter.amounts) is None:
                self._line.popleft()
                waiter.ready.set_result(self._take(waiter.amounts))
            elif not self._outstanding:
                self._line.popleft()
                waiter.ready.set_exception(self._refusal(waiter.amounts))
            else:
                return

    def _lacking(self, amounts: _Amounts) -> int | None:
        """The index of the first limit that the amounts would pass (6 = seconds); None when they fit."""
        for i, limit in self._limited:
            if self._spent[i] + self._reserved[i] + amounts[i] > limit and amounts[i] > 0:
                return i
        return 6 if self.seconds is not None and self.elapsed >= self.seconds else None

    def _refusal(self, amounts: _Amounts) -> BudgetExhausted:
        i = self._lacking(amounts)
        again = "Continue the run with a larger budget: recorded answers are not paid again."
        if i is None or i == 6:
            return BudgetExhausted(f"budget: seconds is {self.seconds:g} and {self.elapsed:.0f} have passed. {again}")
        limit = self._limits[i] or 0
        name, unit = _AMOUNTS[i], (PICO if _AMOUNTS[i] == "usd" else 1)
        return BudgetExhausted(
            f"budget: {name} is {limit / unit:g}, {self._spent[i] / unit:g} is spent and the next step may need "
            f"{amounts[i] / unit:g}. {again}"
        )


def _amounts(usage: Usage, evaluations: int) -> _Amounts:
    into, out = usage.tokens_in, usage.tokens_out
    # Rounded up: a sum of bookings never understates the money.
    return usage.calls, into, out, into + out, math.ceil(usage.price * PICO - 1e-3), evaluations


def _add(total: list[int], amounts: _Amounts) -> None:
    """Written out: it is done three times for every call."""
    total[0] += amounts[0]
    total[1] += amounts[1]
    total[2] += amounts[2]
    total[3] += amounts[3]
    total[4] += amounts[4]
    total[5] += amounts[5]


def _usage(amounts: list[int]) -> Usage:
    return Usage(amounts[0], amounts[1], amounts[2], amounts[4] / PICO)
