"""Requests to one server over connections that are kept: the least that a call needs of HTTP/1.1."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

from llmevo.llm.response import Malformed, Response

KEEP = 30.0
"""Seconds for which an idle connection is kept."""
CONNECT = 30.0
"""Seconds in which a connection must come about."""


class NotConnected(OSError):
    """No connection came about: nothing was sent."""


class Broken(OSError):
    """The connection ended before the response did, or what came is no response. What was sent may have been acted on."""


class Origin:
    """Scheme, host and port of a URL, and the connections that are open to it. Belongs to one event loop.

    `headers` go with every request; nobody may have put a line break into them. Redirects are not followed, nothing is unpacked, no
    proxy is asked, nothing is repeated.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        name = f"[{self._host}]" if ":" in self._host else self._host if self._host.isascii() else self._host.encode("idna").decode()
        host = name if parts.port is None else f"{name}:{parts.port}"
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in {"Host": host, **headers}.items())
        self._context: ssl.SSLContext | None = None
        self._idle: list[_Connection] = []
        self._heads: dict[tuple[str, str], bytes] = {}

    async def ask(self, method: str, url: str, data: bytes | None, *, deadline: float, most: int) -> Response:
        """The response to one request, whole or cut as `Response` says.

        `deadline` is in seconds and bounds everything. Raises `NotConnected`, `Broken`, or `TimeoutError` once something was sent. Who
        is cancelled closes the connection.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        connection = self._kept(loop.time()) or await self._connect(min(CONNECT, deadline))
        answer = connection.send(self._head(method, url), data, most)
        timer = loop.call_at(end, connection.fail, TimeoutError())
        try:
            response = await answer
        except BaseException:
            connection.drop()
            raise
        finally:
            timer.cancel()
        if response.reusable and connection.rests(loop.time()):
            self._idle.append(connection)
        else:
            connection.drop()
        return response

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes what is idle."""
        while self._idle:
            self._idle.pop().drop()
        await asyncio.sleep(0)  # the transports say goodbye

    def _kept(self, now: float) -> _Connection | None:
        """The connection that was used last, if it is still good; older ones may have met their end on the other side."""
        while self._idle:
            connection = self._idle.pop()
            if connection.good and now - connection.since < KEEP:
                return connection
            connection.drop()
        return None

    async def _connect(self, seconds: float) -> _Connection:
        if self._tls and self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        loop = asyncio.get_running_loop()
        # Other loops than those of the standard library know nothing of a second address that is tried meanwhile.
        more: dict[str, Any] = {"happy_eyeballs_delay": 0.25} if isinstance(loop, asyncio.BaseEventLoop) else {}
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(_Connection, self._host, self._port, ssl=self._context, **more)
        except TimeoutError:
            raise NotConnected("no connection in time") from None
        except (OSError, UnicodeError) as error:  # a name that cannot be a host's fails as text
            raise NotConnected(str(error) or type(error).__name__) from error
        return connection

    def _head(self, method: str, url: str) -> bytes:
        """The head of a request up to the length of its body."""
        head = self._heads.get((method, url))
        if head is None:
            parts = urlsplit(url)
            target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{quote(parts.query, safe=_QUERY)}" if parts.query else "")
            length = "" if method == "GET" else "Content-Length: "
            head = self._heads[method, url] = f"{method} {target} HTTP/1.1\r\n{self._headers}{length}".encode()
        return head


_QUERY = "/?%:@!$&'()*+,;=~-._[]"


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._answer: asyncio.Future[Response] | None = None
        self.since = 0.0
        """When it became idle."""

    @property
    def good(self) -> bool:
        """Whether a request may be sent on it."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, head: bytes, data: bytes | None, most: int) -> asyncio.Future[Response]:
        """Writes a request; the future gives its response, `Broken`, or what `fail` was called with."""
        assert self._transport is not None, "it is connected before it is used"
        self._response = Response(most)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head + b"\r\n" if data is None else b"%b%d\r\n\r\n%b" % (head, len(data), data))
        return self._answer

    def rests(self, now: float) -> bool:
        """It is idle from now on; whether it can be: all that was sent to it left."""
        self.since, self._response, self._answer = now, None, None
        return self.good and self._transport is not None and self._transport.get_write_buffer_size() == 0

    def fail(self, error: Exception) -> None:
        """Ends the request that is under way."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def drop(self) -> None:
        """Closes it at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # other loops have classes of their own

    def data_received(self, data: bytes) -> None:
        response, answer = self._response, self._answer
        if response is None or answer is None or answer.done():
            self.drop()  # nobody asked
            return
        try:
            response.feed(data)
        except Malformed as error:
            self.fail(Broken(f"what came is no HTTP response: {error}"))
            return
        if response.done:
            answer.set_result(response)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._response is None or self._answer is None or self._answer.done():
            return
        # Only a clean end says that a body without length is whole. Of a failure that the server told of, what came is enough to know it.
        whole = error is None and self._response.end()
        if whole or self._response.status not in (0, 200):
            self._answer.set_result(self._response)
        else:
            self.fail(Broken(str(error) if error else "the server closed it"))
