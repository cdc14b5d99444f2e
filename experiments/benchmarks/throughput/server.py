"""A lean OpenAI-compatible server: answers every request after a fixed delay, and counts what is inside.

    python server.py PORT_FILE DELAY_SECONDS [SLOW_SHARE]

Writes its port to PORT_FILE. `GET /stats` gives and resets: requests, distinct bodies, mean number inside (over the time
between the first and the last event, one count per event weighted by its duration).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path


class Stats:
    def __init__(self) -> None:
        self.requests, self.inside, self.area, self.first, self.last = 0, 0, 0.0, 0.0, 0.0
        self.bodies: set[int] = set()

    def move(self, step: int) -> None:
        now = time.perf_counter()
        self.first = self.first or now
        if self.last:
            self.area += self.inside * (now - self.last)
        self.last = now
        self.inside += step


stats = Stats()
REPLY = json.dumps(
    {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "test",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "<prompt>Classify the text. Answer with one word.</prompt>"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220},
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(REPLY), REPLY)


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
        global stats
        if head.startswith(b"get"):
            found = {
                "requests": stats.requests,
                "distinct": len(stats.bodies),
                "inside": stats.area / (stats.last - stats.first) if stats.requests else 0.0,
                "seconds": stats.last - stats.first,
            }
            stats = Stats()
            text = json.dumps(found).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text)
            self.transport.write(head + text)
            return
        stats.move(+1)
        stats.requests += 1
        stats.bodies.add(hash(body))
        often = round(1 / self.slow) if self.slow else 0
        delay = self.delay * (10 if often and stats.requests % often == 0 else 1)
        asyncio.get_running_loop().call_later(delay, self.send)

    def send(self) -> None:
        stats.move(-1)
        self.transport.write(ANSWER)


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
