"""A model server on real sockets that fails on request and keeps a ledger of what it billed."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived: its number from 1 on, its parsed body (None if unreadable), and its headers in lower case."""

    number: int
    path: str
    body: Any
    headers: Mapping[str, str]

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        return str(self.body["messages"][-1]["content"])


@dataclass(frozen=True, slots=True)
class Action:
    """What to do with one request. By default a completion that says `text`.

    Times are seconds and are really waited. `body` replaces the completion: a dict is sent as JSON. `cut` sends that many
    bytes of the body and resets the connection. `trickle` waits after every byte. `bills` None: a 200 is billed, anything
    else is not.
    """

    text: str = "ok"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    finish: str = "stop"
    refusal: str | None = None
    tokens: tuple[int, int] | None = None
    """Tokens (in, out) to bill and report; else a quarter of the bytes."""
    usage: Any = "billed"
    """What to report as usage instead of what is billed; None leaves the field out."""
    delay: float = 0.0
    trickle: float = 0.0
    cut: int | None = None
    bills: bool | None = None


Script = Sequence[Action] | Callable[[Seen], Action]


class FaultyLLM:
    """An OpenAI-compatible server on 127.0.0.1, in threads of this process. A context manager.

    `script` is a list of actions, one per request in the order of arrival (after the last: 500 "script ran dry", so that a
    surplus request is seen), or a function of the request, called in its thread. `GET /v1/models` answers with `models` and
    is not counted. `requests` is what arrived; `billed` what was billed, as appended to `ledger` (JSON lines, synced before
    the first byte of the answer leaves). A killed client is still billed, as a provider would.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        ledger: Path | None = None,
        models: Iterable[str] = ("test",),
        port: int = 0,
    ) -> None:
        self.script: Script = script if script is not None else lambda seen: Action(text=f"echo: {seen.prompt}")
        self.ledger, self.models = ledger, tuple(models)
        self.requests: list[Seen] = []
        self.billed: list[dict[str, Any]] = []
        self.inside = self.most_inside = 0
        self._lock = threading.Lock()
        self._port = port
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """The `base_url` of this server."""
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> Self:
        """Listens; on the same port again after a stop."""
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="FaultyLLM", daemon=True).start()
        return self

    def stop(self) -> None:
        """Stops listening and breaks the connections."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.break_all()

    __enter__ = start

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def spent(self) -> tuple[int, int, int]:
        """Calls, tokens in and tokens out that were billed."""
        with self._lock:
            return (
                len(self.billed),
                sum(row["tokens_in"] for row in self.billed),
                sum(row["tokens_out"] for row in self.billed),
            )

    def _arrived(self, path: str, body: Any, headers: Mapping[str, str]) -> tuple[Seen, Action]:
        with self._lock:
            seen = Seen(len(self.requests) + 1, path, body, headers)
            self.requests.append(seen)
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            script = self.script
        if callable(script):
            return seen, script(seen)
        if seen.number <= len(script):
            return seen, script[seen.number - 1]
        return seen, Action(status=500, body={"error": {"message": "script ran dry"}})

    def _bill(self, seen: Seen, tokens: tuple[int, int]) -> None:
        question = hashlib.blake2b(json.dumps(seen.body, sort_keys=True).encode(), digest_size=16).hexdigest()
        row = {"number": seen.number, "question": question, "tokens_in": tokens[0], "tokens_out": tokens[1]}
        with self._lock:
            self.billed.append(row)
            if self.ledger is not None:
                with self.ledger.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                    out.flush()
                    os.fsync(out.fileno())

    def _left(self) -> None:
        with self._lock:
            self.inside -= 1


def billed_in(ledger: Path) -> list[dict[str, Any]]:
    """The rows of a ledger file."""
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def completion(action: Action, tokens: tuple[int, int], model: str = "test") -> dict[str, Any]:
    """The JSON of a completion, as an action describes it."""
    message: dict[str, Any] = {"role": "assistant", "content": action.text}
    if action.refusal is not None:
        message |= {"content": None, "refusal": action.refusal}
    found: dict[str, Any] = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": action.finish}],
    }
    if action.usage == "billed":
        found["usage"] = {
            "prompt_tokens": tokens[0],
            "completion_tokens": tokens[1],
            "total_tokens": sum(tokens),
        }
    elif action.usage is not None:
        found["usage"] = action.usage
    return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def break_all(self) -> None:
        for connection in tuple(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are no news."""


def _handler(owner: FaultyLLM) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            listed = [{"id": name, "object": "model"} for name in owner.models]
            self._send(200, {}, json.dumps({"object": "list", "data": listed}).encode(), Action())

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            try:
                body = json.loads(raw)
            except ValueError:
                body = None
            seen, action = owner._arrived(self.path, body, {k.lower(): v for k, v in self.headers.items()})
            try:
                self._act(seen, action, len(raw))
            finally:
                owner._left()

        def _act(self, seen: Seen, action: Action, size: int) -> None:
            if action.delay:
                time.sleep(action.delay)
            tokens = action.tokens or (size // 4, len(action.text.encode("utf-8", "replace")) // 4 + 1)
            if action.bills if action.bills is not None else action.status == 200:
                owner._bill(seen, tokens)
            if action.body is None:
                model = seen.body.get("model", "test") if isinstance(seen.body, dict) else "test"
                data = json.dumps(completion(action, tokens, model)).encode()
            elif isinstance(action.body, bytes):
                data = action.body
            elif isinstance(action.body, str):
                data = action.body.encode()
            else:
                data = json.dumps(action.body).encode()
            self._send(action.status, action.headers, data, action)

        def _send(self, status: int, headers: Mapping[str, str], data: bytes, action: Action) -> None:
            self.send_response(status)
            names = {name.lower() for name in headers}
            if "content-type" not in names:
                self.send_header("Content-Type", "application/json")
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if action.cut is not None:
                self.wfile.write(data[: action.cut])
                self.wfile.flush()
                # Lingering 0 s: the close resets the connection instead of ending it.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
            elif action.trickle:
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(action.trickle)
            else:
                self.wfile.write(data)

    return Handler
