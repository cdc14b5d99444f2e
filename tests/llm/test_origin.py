"""Requests over kept connections, against real sockets that answer what they are told."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from llmevo.llm import origin
from llmevo.llm.origin import Broken, NotConnected, Origin
from llmevo.llm.response import Response

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


def against(serve: Serve, use: Callable[[Origin, str], Awaitable[Any]]) -> Any:
    """What `use` gives with a server whose n-th connection is served by `serve`."""

    async def run() -> Any:
        connections = 0

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                await serve(reader, writer, connections)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(served, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with server, Origin(url, {"X-Test": "yes"}) as one:
            return await use(one, url)

    return asyncio.run(run())


async def request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """The first line, headers and body of the next request."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return first, headers, await reader.readexactly(int(headers.get("Content-Length", 0)))


async def always(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    while True:
        await request(reader)
        writer.write(ANSWER)


async def post(one: Origin, url: str, deadline: float = 5.0, data: bytes = b"{}") -> Response:
    return await one.ask("POST", f"{url}/x", data, deadline=deadline, most=1000)


def test_a_request_says_what_it_is_and_where_it_goes() -> None:
    seen: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        for _ in range(2):
            seen.append(await request(reader))
            writer.write(ANSWER)

    async def use(one: Origin, url: str) -> list[Response]:
        return [await post(one, url, data="{é}".encode()), await one.ask("GET", f"{url}/a b?q=é[0]", None, deadline=5, most=9)]

    assert [found.body for found in against(serve, use)] == [b"ok", b"ok"]
    (first, headers, body), (second, others, nothing) = seen
    assert first == "POST /v1/x HTTP/1.1" and headers["X-Test"] == "yes" and body.decode() == "{é}"
    assert headers["Host"].startswith("127.0.0.1:") and headers["Content-Length"] == "4"
    assert second == "GET /v1/a%20b?q=%C3%A9[0] HTTP/1.1" and "Content-Length" not in others and nothing == b""


def test_a_connection_is_used_again_and_one_that_the_server_closed_is_not() -> None:
    numbers: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        for _ in range(2):  # then it closes without a word
            await request(reader)
            numbers.append(number)
            writer.write(ANSWER)
            await writer.drain()

    async def use(one: Origin, url: str) -> None:
        for _ in range(2):
            assert (await post(one, url)).body == b"ok"
        await asyncio.sleep(0.05)
        assert (await post(one, url)).body == b"ok"

    against(serve, use)
    assert numbers == [1, 1, 2]


def test_an_idle_connection_gets_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "KEEP", 0.0)
    numbers: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        numbers.append(number)
        await always(reader, writer, number)

    async def use(one: Origin, url: str) -> None:
        await post(one, url)
        await post(one, url)

    against(serve, use)
    assert numbers == [1, 2]


def test_answers_do_not_get_into_the_wrong_hands() -> None:
    """A connection whose answer was not read to its end, because its asker gave up or ran out of time, is not used again."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            _, _, body = await request(reader)
            if body == b"slow":
                await asyncio.sleep(0.1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def use(one: Origin, url: str) -> list[bytes]:
        asking = asyncio.ensure_future(post(one, url, data=b"slow"))
        await asyncio.sleep(0.03)
        asking.cancel()
        with pytest.raises(TimeoutError):
            await post(one, url, deadline=0.03, data=b"slow")
        found = [(await post(one, url, data=b"%d" % i)).body for i in range(3)]
        await asyncio.sleep(0.15)
        assert asking.cancelled()
        return [*found, *[one.body for one in await asyncio.gather(*(post(one, url, data=b"%d" % i) for i in range(3, 9)))]]

    assert against(serve, use) == [b"%d" % i for i in range(9)]


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"x"], ids=["408", "x"])
def test_what_nobody_asked_for_is_no_answer(unasked: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await request(reader)
        writer.write(ANSWER)
        if number == 1:
            await asyncio.sleep(0.02)
            writer.write(unasked)
        await asyncio.sleep(0.1)

    async def use(one: Origin, url: str) -> None:
        await post(one, url)
        await asyncio.sleep(0.05)
        assert (await post(one, url)).status == 200

    against(serve, use)


@pytest.mark.parametrize(
    ("sent", "kind", "said"),
    [
        (b"", Broken, "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha", Broken, "closed"),
        (b"220 smtp ready\r\n\r\n", Broken, "no HTTP response"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", Broken, "closed"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le", Broken, "closed"),
    ],
    ids=["nothing", "half", "mail", "interim", "interim and half a head"],
)
def test_a_connection_that_breaks_brings_nothing(sent: bytes, kind: type[Exception], said: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await request(reader)
        writer.write(sent)

    with pytest.raises(kind, match=said):
        against(serve, post)


def test_of_a_failure_its_beginning_is_enough_and_what_has_no_length_ends_with_the_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await request(reader)
        length = b"Content-Length: 99\r\n" if number == 1 else b""
        writer.write(b"HTTP/1.1 %d Eh\r\n%b\r\nha" % (500 if number == 1 else 200, length))

    async def use(one: Origin, url: str) -> list[tuple[int, bytes]]:
        return [(found.status, found.body) for found in (await post(one, url), await post(one, url))]

    assert against(serve, use) == [(500, b"ha"), (200, b"ha")]


@pytest.mark.parametrize("status", [200, 500])
def test_what_has_no_length_is_not_whole_after_a_reset(status: int) -> None:
    """What a 500 said so far is still enough to know it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 %d Eh\r\n\r\nha" % status)
        await asyncio.sleep(0.05)  # a reset throws away what was not read
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    if status == 200:
        with pytest.raises(Broken, match="reset"):
            against(serve, post)
    else:
        found = against(serve, post)
        assert (found.status, found.body) == (500, b"ha") and not found.reusable


def test_no_connection_is_told_apart_from_a_broken_one() -> None:
    async def use(url: str) -> None:
        async with Origin(url, {}) as one:
            await post(one, url)

    for url in ("http://127.0.0.1:9/v1", "http://no-such-host.invalid/v1", f"http://{'a' * 70}.example/v1"):
        with pytest.raises(NotConnected):
            asyncio.run(use(url))


def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    """The context is the one of the standard library: certificates and host names are checked."""

    async def use(one: Origin, url: str) -> None:
        async with Origin(url.replace("http://", "https://"), {}) as secret:
            with pytest.raises(NotConnected):
                await post(secret, url.replace("http://", "https://"))
            assert secret._context is not None
            assert secret._context.verify_mode is ssl.CERT_REQUIRED and secret._context.check_hostname

    against(always, use)


def test_names_of_hosts_are_written_as_the_protocol_wants_them() -> None:
    for url, host in (
        ("http://[::1]:8000/v1", "[::1]:8000"),
        ("https://bücher.example/v1", "xn--bcher-kva.example"),
        ("https://api.example:8443/v1", "api.example:8443"),
    ):
        assert f"Host: {host}\r\n" in Origin(url, {})._headers
