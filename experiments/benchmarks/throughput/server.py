"""A lean OpenAI-compatible server: answers every request after a fixed delay, and counts what is inside.

    python server.py PORT_FILE DELAY_SECONDS [SLOW_SHARE]

Writes its port to PORT_FILE. What it answers depends on the request alone: a child in the tag or fence that an operator's
instruction asks for, else a label. Which requests are ten times slower depends on the request alone, too. `GET .../stats`
gives and resets: requests, distinct bodies, seconds between the first and the last event, mean number inside over that time,
`work`, the sum of the delays, `served`, the sum of the times that the answers really took (timers are late, and so is a server
that has to wait for a processor), and `events`, (when, +1 or -1) for every request and answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import zlib
from pathlib import Path


class Stats:
    def __init__(self) -> None:
        self.requests, self.inside, self.area, self.first, self.last, self.work = 0, 0, 0.0, 0.0, 0.0, 0.0
        self.served = 0.0
        self.bodies: set[bytes] = set()
        self.events: list[tuple[float, int]] = []

    def move(self, step: int) -> float:
        now = time.perf_counter()
        self.events.append((now, step))
        self.first = self.first or now
        if self.last:
            self.area += self.inside * (now - self.last)
        self.last = now
        self.inside += step
        return now


stats = Stats()
REPLY = json.dumps(
    {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "test",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "%"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220},
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


def says(body: bytes, mark: int) -> bytes:
    child = b"Say how the writer feels (wording %08x): good or bad." % mark
    if b"<prompt>" in body:
        return b"<prompt>%b</prompt>" % child
    if b"```" in body:
        return b"```\\n%b\\n```" % child
    return b"good" if mark & 64 else b"bad"


class Connection(asyncio.Protocol):
    def __init__(self, delay: float, slow: float) -> None:
        self.delay, self.slow, self.buffer = delay, slow, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            mark = head.find(b"content-length:")
            size = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
            if len(self.buffer) < end + 4 + size:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + size], self.buffer[end + 4 + size :]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get"):
            text = report() if b"/stats" in head.split(b"\r\n", 1)[0] else b'{"data": [{"id": "test"}]}'
            self.transport.write(HEAD % (len(text), text))
            return
        came = stats.move(+1)
        stats.requests += 1
        stats.bodies.add(body)
        mark = zlib.crc32(body)
        often = round(1 / self.slow) if self.slow else 0
        delay = self.delay * (10 if often and mark % often == 0 else 1)
        stats.work += delay
        text = REPLY.replace(b"%", says(body, mark))
        asyncio.get_running_loop().call_later(delay, self.send, HEAD % (len(text), text), came)

    def send(self, answer: bytes, came: float) -> None:
        stats.served += stats.move(-1) - came
        self.transport.write(answer)


def report() -> bytes:
    global stats
    found = {
        "requests": stats.requests,
        "distinct": len(stats.bodies),
        "inside": stats.area / (stats.last - stats.first) if stats.requests else 0.0,
        "seconds": stats.last - stats.first,
        "work": stats.work,
        "served": stats.served,
        "events": stats.events,
    }
    stats = Stats()
    return json.dumps(found).encode()


async def main() -> None:
    port_file, delay = Path(sys.argv[1]), float(sys.argv[2])
    slow = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(delay, slow), "127.0.0.1", 0, backlog=512)
    fresh = port_file.with_suffix(".new")
    fresh.write_text(str(server.sockets[0].getsockname()[1]))
    fresh.rename(port_file)
    await server.serve_forever()


asyncio.run(main())
