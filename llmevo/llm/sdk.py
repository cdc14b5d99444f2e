"""Models behind their own packages: `openai/NAME` and `litellm/PROVIDER/NAME`. The packages are imported when such a model is
named."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from typing import Any

from llmevo.core.clock import REAL_CLOCK, Clock
from llmevo.core.errors import ConfigError, LlmevoError
from llmevo.core.fitness import FREE
from llmevo.core.genome import canonical
from llmevo.core.secret import Secret
from llmevo.llm import wire
from llmevo.llm.contract import Reply, Request
from llmevo.llm.faults import Names, NoConnection, TimedOut, Transient, clean, from_status
from llmevo.llm.http import OPENAI, checked_url


class OpenAISdk:
    """A model through the `openai` package, its retries off. Errors and replies are read as for `HttpLLM`."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        secret: Secret | None = None,
        timeout: float = 120.0,
        extra: Mapping[str, Any] | None = None,
        seeded: bool = False,
        clock: Clock = REAL_CLOCK,
    ) -> None:
        self._openai = _package("openai", "openai")
        address = checked_url(base_url) if base_url else OPENAI
        self.names = Names(model, address, secret.name if secret else None)
        self._secret = secret  # kept alive: while it lives, no message shows its value
        self._extra, self._seeded, self._timeout, self._clock = dict(extra or {}), seeded, timeout, clock
        self._cap = wire.cap_of(self._extra, "max_completion_tokens" if address == OPENAI else "max_tokens")
        self._client = self._openai.AsyncOpenAI(
            api_key=secret.reveal() if secret else "none", base_url=address, max_retries=0, timeout=timeout
        )
        identity = {"provider": "openai", "endpoint": address, "model": model, "extra": self._extra, "seeded": seeded}
        self.key = canonical(identity)

    async def __call__(self, request: Request) -> Reply:
        fields = wire.body(self.names.model, request, self._extra, cap=self._cap, seeded=self._seeded)
        known = {name: fields.pop(name) for name in ("model", "messages")}
        try:
            # The raw response: the package would hand an HTML page on as a string.
            raw = await self._client.chat.completions.with_raw_response.create(**known, extra_body=fields)
        except Exception as error:
            raise _translated(error, self.names, self._timeout, self._clock) from None
        answer = raw.http_response
        return wire.completion(answer.content, answer.headers.get("content-type", ""), request, self.names)

    async def probe(self) -> None:
        """Asks for the list of models."""
        try:
            await self._client.models.list()
        except Exception as error:
            found = _translated(error, self.names, self._timeout, self._clock)
            if getattr(error, "status_code", 0) not in (404, 405):
                raise found from None

    async def aclose(self) -> None:
        """Closes the package's client."""
        await self._client.close()


class LitellmSdk:
    """A model through the `litellm` package, its retries, price download and `.env` reading off.

    Without a named key the package looks for its provider's own variable.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        secret: Secret | None = None,
        timeout: float = 120.0,
        extra: Mapping[str, Any] | None = None,
        seeded: bool = False,
        clock: Clock = REAL_CLOCK,
    ) -> None:
        # Both must be set before the import: it reads .env and fetches a price list otherwise.
        os.environ["LITELLM_MODE"] = "PRODUCTION"
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        self._litellm = _package("litellm", "litellm")
        self._litellm.suppress_debug_info = True
        self._litellm.telemetry = False
        address = checked_url(base_url) if base_url else None
        self.names = Names(model, address or model.partition("/")[0], secret.name if secret else None)
        self._address, self._secret = address, secret
        self._extra, self._seeded, self._timeout, self._clock = dict(extra or {}), seeded, timeout, clock
        self._cap = wire.cap_of(self._extra, "max_tokens")
        # Keys that the package finds by itself are kept out of messages, too.
        self._seen = [Secret(name, value) for name, value in os.environ.items() if name.endswith("_API_KEY") and value]
        identity = {"provider": "litellm", "endpoint": address, "model": model, "extra": self._extra, "seeded": seeded}
        self.key = canonical(identity)

    async def __call__(self, request: Request) -> Reply:
        fields = wire.body(self.names.model, request, self._extra, cap=self._cap, seeded=self._seeded)
        try:
            found = await self._litellm.acompletion(
                **fields,
                api_base=self._address,
                api_key=self._secret.reveal() if self._secret else None,
                timeout=self._timeout,
                num_retries=0,
                max_retries=0,
            )
        except Exception as error:
            raise _translated(error, self.names, self._timeout, self._clock) from None
        return wire.completion(found.model_dump_json(), "application/json", request, self.names)

    async def aclose(self) -> None:
        """Closes the package's clients."""
        close = getattr(self._litellm, "close_litellm_async_clients", None)
        if close is not None:
            await close()


def _package(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"models of {name} need its package: pip install 'llmevo[{extra}]' ({error}). Any OpenAI-compatible endpoint "
            f"works without it: write the model's name without a prefix and a base_url."
        ) from None


def _translated(error: Exception, names: Names, timeout: float, clock: Clock) -> Exception:
    """An error of a package in our words. Both packages derive theirs from the `openai` package's, or look like them."""
    if isinstance(error, LlmevoError):
        return error
    where = f"{names.model} at {names.endpoint}"
    # litellm wraps: a lost connection becomes a status 500 of its own, with the truth among the causes.
    causes = _causes(error)
    kinds = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    if kinds & {"APITimeoutError", "Timeout"}:
        return TimedOut(f"{where} gave no complete answer within {timeout:g} s")
    if "APIConnectionError" in kinds:
        refused = bool(kinds & {"ConnectError", "ConnectionRefusedError", "ClientConnectorError"})
        return NoConnection(f"{where} cannot be reached: {clean(str(error))}", spent=FREE if refused else None)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 300:
        headers = next(filter(None, map(_headers, causes)), {})
        said: dict[str, Any] = {"message": str(error), "code": getattr(error, "code", None), "type": getattr(error, "type", None)}
        found = getattr(error, "body", None)
        found = found.get("error", found) if isinstance(found, dict) else None
        if isinstance(found, dict):
            said |= found
        return from_status(status, headers, json.dumps({"error": said}, default=str), names, clock)
    # Nobody knows what became of the call: it is booked at its upper bound.
    return Transient(f"{where}: {clean(repr(error))}")


def _headers(error: BaseException) -> dict[str, str]:
    """The headers of the response that an error speaks of, names in lower case."""
    found = getattr(error, "litellm_response_headers", None) or getattr(getattr(error, "response", None), "headers", None)
    return {str(name).lower(): str(value) for name, value in dict(found or {}).items()}


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found
