"""What the model tests share: questions, and an endpoint or a whole stack against a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from llmevo.core.secret import Secret
from llmevo.llm import Connections, HttpLLM, Message, Model, ModelSpec, Reply, Request, Sampling
from llmevo.storage.budget import Budget
from llmevo.storage.database import Database
from llmevo.testing.clock import FakeClock
from llmevo.testing.server import FaultyLLM

KEY = "canary-5f2c9d7e41ab"


def ask(text: str = "Hello?", sample: str = "", **sampling: Any) -> Request:
    """A question with one user message."""
    return Request((Message("user", text),), Sampling(**sampling), sample)


def attempt(server: FaultyLLM, request: Request | None = None, **settings: Any) -> Reply | Exception:
    """One attempt at a server, with a key: its reply, or the exception."""

    async def run() -> Reply | Exception:
        llm = HttpLLM("test", base_url=server.url, secret=Secret("TEST_KEY", KEY), **settings)
        try:
            return await llm(request or ask())
        except Exception as error:
            return error
        finally:
            await llm.aclose()

    return asyncio.run(run())


def through(
    server: FaultyLLM,
    use: Callable[[Model], Awaitable[Any]],
    *,
    budget: Budget | None = None,
    database: Database | None = None,
    clock: FakeClock | None = None,
    in_flight: int = 8,
    **spec: Any,
) -> tuple[Any, Connections]:
    """What `use` makes of the whole stack (record, retry, budget, gate, endpoint) on a fake clock: its result or
    exception."""

    async def run() -> tuple[Any, Connections]:
        models = Connections(
            database=database,
            budget=budget,
            clock=clock or FakeClock(),
            in_flight=in_flight,
            env={"TEST_KEY": KEY},
        )
        async with models:
            model = models.connect(ModelSpec("test", base_url=server.url, api_key_env="TEST_KEY", **spec))
            try:
                return await use(model), models
            except Exception as error:
                return error, models

    return asyncio.run(run())


def outcomes(models_or_database: Any) -> list[str]:
    """How the recorded attempts ended, in order."""
    database = models_or_database if isinstance(models_or_database, Database) else None
    assert database is not None
    return [row[1] for row in database.rows("settled")]
