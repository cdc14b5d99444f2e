"""One attempt at a question, from its reservation to its end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from llmevo.core.fitness import Usage
from llmevo.llm.contract import Reply, Request
from llmevo.storage.budget import Reservation


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt at a question: what it may cost, its reservation, the number of its intent, and who waits for its end."""

    request: Request
    key: str
    upper: Usage
    place: Reservation
    loop: asyncio.AbstractEventLoop
    number: int | None = None
    entry: int = 0
    task: asyncio.Task[None] | None = None
    """Its sending; None before."""
    over: bool = False
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

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits."""
        return not all(one.done() for one in self.waiting)
