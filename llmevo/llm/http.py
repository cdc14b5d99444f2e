"""Any OpenAI-compatible `/chat/completions` endpoint, directly."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from llmevo.core.clock import REAL_CLOCK, Clock
from llmevo.core.errors import ConfigError
from llmevo.core.fitness import FREE, Usage
from llmevo.core.genome import canonical
from llmevo.core.secret import Secret
from llmevo.llm import wire
from llmevo.llm.contract import Reply, Request, RequestRejected
from llmevo.llm.faults import Names, NoConnection, TimedOut, clean, from_status
from llmevo.llm.origin import NotConnected, Origin

OPENAI = "https://api.openai.com/v1"
MAX_RESPONSE_BYTES = 2 * 1024 * 1024


class HttpLLM:
    """A model behind `base_url`. One attempt per call: it neither retries, limits, caches nor books.

    `timeout` is the deadline of the whole attempt in seconds, headers and body. Of a 200 a little more than
    `max_response_bytes` is read at most, of a failure only the beginning. Redirects are not followed. Raises `CallFailed`,
    `ConfigError` (key, model, address), `Unreachable` (billing) or `Transient`. Connections are kept, for one event loop at a
    time; `aclose` closes them.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = OPENAI,
        secret: Secret | None = None,
        timeout: float = 120.0,
        extra: Mapping[str, Any] | None = None,
        seeded: bool = False,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        clock: Clock = REAL_CLOCK,
    ) -> None:
        self.base_url = checked_url(base_url)
        self.names = Names(model, self.base_url, secret.name if secret else None)
        self._secret, self._extra, self._seeded = secret, dict(extra or {}), seeded
        self._deadline, self._most, self._clock = timeout, max_response_bytes, clock
        # The newer OpenAI models refuse `max_tokens`, and most other servers know nothing else.
        ours = urlsplit(self.base_url).hostname == "api.openai.com"
        self._cap = wire.cap_of(self._extra, "max_completion_tokens" if ours else "max_tokens")
        identity = {"provider": "http", "endpoint": self.base_url, "model": model, "extra": self._extra, "seeded": seeded}
        self.key = canonical(identity)
        self._url = _join(self.base_url, "chat/completions")
        self._origin: Origin | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, request: Request) -> Reply:
        fields = wire.body(self.names.model, request, self._extra, cap=self._cap, seeded=self._seeded)
        data = json.dumps(fields).encode()
        status, headers, raw = await self._exchange("POST", self._url, data)
        if status == 200 and len(raw) > self._most:
            most = wire.tokens_at_most(request)
            raise TooLarge(
                f"{self.names.model} at {self.base_url}: the response is larger than {self._most} bytes. "
                f"Lower max_tokens, or look at what answers there.",
                usage=Usage(1, *most),
            )
        if status == 200:
            return wire.completion(raw, headers.get("content-type", ""), request, self.names)
        raise from_status(status, headers, raw.decode("utf-8", "replace"), self.names, self._clock)

    async def probe(self) -> None:
        """Asks for the list of models: returns when the endpoint answers, raises what it answers otherwise. Costs nothing."""
        await self.models()

    async def models(self) -> list[str] | None:
        """The names of the models that the endpoint offers; None when it does not say. Raises on a refused key or no
        connection."""
        status, headers, raw = await self._exchange("GET", _join(self.base_url, "models"), None)
        if status in (401, 403, 407, 429) or status >= 500:
            raise from_status(status, headers, raw.decode("utf-8", "replace"), self.names, self._clock)
        try:
            return [str(one["id"]) for one in json.loads(raw)["data"]] if status == 200 else None
        except (ValueError, KeyError, TypeError):
            return None

    async def aclose(self) -> None:
        """Closes the connections. A later call opens others."""
        origin, self._origin = self._origin, None
        if origin is not None and self._loop is asyncio.get_running_loop():
            await origin.aclose()

    def _open(self) -> Origin:
        loop = asyncio.get_running_loop()
        if self._origin is None or self._loop is not loop:
            headers = {
                "User-Agent": "llmevo",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            }
            if self._secret:
                headers["Authorization"] = f"Bearer {self._secret.reveal()}"
            self._origin, self._loop = Origin(self.base_url, headers), loop
        return self._origin

    async def _exchange(self, method: str, url: str, data: bytes | None) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers (names in lower case), and the body as far as it was read."""
        where = f"{self.names.model} at {self.base_url}"
        try:
            response = await self._open().ask(method, url, data, deadline=self._deadline, most=self._most)
        except NotConnected as error:
            raise NoConnection(f"{where} cannot be reached: {clean(str(error))}", spent=FREE) from None
        except TimeoutError:
            raise TimedOut(f"{where} gave no complete answer within {self._deadline:g} s") from None
        except OSError as error:
            raise NoConnection(f"{where}: the connection broke ({clean(str(error))})") from None
        return response.status, response.headers, response.body


class TooLarge(RequestRejected):
    """A 200 passed `max_response_bytes`; it was read no further."""


def checked_url(url: str) -> str:
    """A base URL without trailing slash. Raises `ConfigError` when it is none, or holds a key."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fine = False
    if not fine:
        raise ConfigError(f"base_url {clean(url)!r} is no address: write it as http://localhost:8000/v1")
    if "@" in parts.netloc or re.search(r"(?:^|[&_-])(?:key|token|secret|sig|password)=", parts.query, re.IGNORECASE):
        raise ConfigError(f"base_url for {parts.hostname} holds a key: put it into a variable and name that with api_key_env")
    return url.rstrip("/")


def _join(base: str, path: str) -> str:
    parts = urlsplit(base)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{path}").geturl()
