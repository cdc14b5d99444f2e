"""Whether anybody is there, found out before anything else is paid."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from llmevo.core.errors import ConfigError, LlmevoError
from llmevo.llm.contract import CallFailed, Message, Request, Sampling, Unreachable
from llmevo.llm.faults import NoConnection

if TYPE_CHECKING:
    from llmevo.llm.build import Model

KNOCKS = 3
"""Attempts to find a server at the start, a second or two apart."""
HELLO = Request((Message("user", "Hi"),), Sampling(max_tokens=16))
"""What is asked when only the fact of an answer matters."""


async def greet(model: Model) -> None:
    """The preflight of a model, after a look whether anybody is there: at the start of a run nobody waits minutes for a typo."""
    probe = getattr(model.endpoint, "probe", None)
    for tried in range(KNOCKS):
        if probe is None:
            break
        try:
            await asyncio.sleep(tried)
            await probe()
            break
        except NoConnection as error:
            if tried + 1 == KNOCKS:
                raise Unreachable(f"{error}. Start the server or correct base_url, then run this again: nothing was paid.") from error
        except LlmevoError:
            break  # somebody is there; the preflight finds out the rest
    await preflight(model)


async def preflight(model: Model) -> None:
    """Finds out, before anything else is paid, whether a model can be asked. Costs at most 16 tokens, and nothing for a local
    model.

    Raises `ConfigError` for a refused key or an unknown model (naming the models that there are, where the endpoint tells)
    and `Unreachable` for a server that does not answer. Its answer is booked, and never taken from the record.
    """
    if not hasattr(model.endpoint, "names"):
        return
    try:
        await model.afresh(replace(HELLO, sample="preflight"))
    except CallFailed:
        return  # it answers; what it makes of this question does not matter
    except ConfigError as error:
        offers = getattr(model.endpoint, "models", None)
        try:
            names = await offers() if offers else None
        except LlmevoError:
            names = None
        if names:
            raise ConfigError(f"{error} It offers: {', '.join(names[:20])}.") from None
        raise
