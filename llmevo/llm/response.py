"""One HTTP/1.1 response, read from the bytes of a connection however they are cut. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable

MOST_OF_HEAD = 64 * 1024
"""Bytes of a head, of all trailers together, or of a line that says how long a chunk is."""
MOST_OF_FAILURE = 64 * 1024
"""Bytes that are read of the body of anything but a 200: only its beginning is of use."""
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: |$)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;|$)")


class Malformed(Exception):
    """What came is no HTTP/1.1 response."""


class Response:
    """A response that grows: `feed` it bytes until it is `done`, and tell it when the connection ended.

    `status` is 0 until the head of the final response is there. Header names are in lower case; of a name that is repeated the last
    value counts, except for lists. Of the body of a 200 at most `most` bytes are kept, and one chunk more: it is then `done` as it
    is. Raises `Malformed`.
    """

    __slots__ = ("_buffer", "_left", "_most", "_parts", "_read", "_reusable", "_size", "done", "headers", "status")

    def __init__(self, most: int) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.done = False
        self._most, self._size, self._left = most, 0, 0
        self._parts: list[bytes] = []
        self._buffer = b""
        self._read: Callable[[bytes], bytes | None] = self._head
        self._reusable = True

    @property
    def body(self) -> bytes:
        """What came of it so far."""
        return b"".join(self._parts)

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on the same connection."""
        return self.done and self._reusable

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the connection."""
        rest: bytes | None = data
        while rest is not None and not self.done:
            rest = self._read(rest)
        if rest:
            self._reusable = False  # nobody asked for what comes behind

    def end(self) -> bool:
        """The connection ended; whether that leaves a whole response."""
        if self._read == self._until_end:
            self.done = True
        self._reusable = False
        return self.done

    # Each of these takes bytes and gives those that are left for the next one, or None when it needs more.

    def _head(self, data: bytes) -> bytes | None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if len(head) > MOST_OF_HEAD:
            raise Malformed("its head is too long")
        if not found:
            return None
        self._buffer = b""
        first, *lines = head.split(b"\r\n")
        match = _STATUS.match(first)
        if match is None:
            raise Malformed(f"it begins with {first[:40]!r}")
        status = int(match[2])
        if status == 101:
            raise Malformed("it wants to speak another protocol")
        if status < 200:
            return rest  # an interim one says nothing of how the request ended
        self.status = status
        for line in lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not name or name != name.strip():
                raise Malformed(f"one of its header lines is {line[:40]!r}")
            name, value = name.lower(), value.strip()
            if name in self.headers and name in ("transfer-encoding", "connection", "content-length"):
                value = f"{self.headers[name]}, {value}"
            self.headers[name] = value
        connection = self.headers.get("connection", "").lower()
        self._reusable = "close" not in connection if match[1] == b"1" else "keep-alive" in connection
        self._read = self._framed()
        return rest

    def _framed(self) -> Callable[[bytes], bytes | None]:
        """How the body ends."""
        coding, length = self.headers.get("transfer-encoding"), self.headers.get("content-length")
        if self.status in (204, 304):
            self.done = True
        elif coding is not None:
            if coding.lower() != "chunked":
                raise Malformed(f"its transfer coding is {coding[:40]!r}")
            self._reusable = self._reusable and length is None  # two lengths: only one of them is meant
            return self._chunk
        elif length is not None:
            lengths = {one.strip() for one in length.split(",")}
            first = lengths.pop()
            if lengths or not (first.isascii() and first.isdigit() and len(first) < 16):
                raise Malformed(f"its length is {length[:40]!r}")
            self._left = int(first)
            self.done = self._left == 0
            return self._counted
        return self._until_end

    def _counted(self, data: bytes) -> bytes | None:
        left = self._left
        self._left -= len(data)
        self._keep(data[:left])
        if self._left > 0:
            return None
        self.done = True
        return data[left:]

    def _until_end(self, data: bytes) -> None:
        self._keep(data)

    def _chunk(self, data: bytes) -> bytes | None:
        line, rest = self._line(data)
        if line is None:
            return None
        size = _CHUNK.match(line)
        if size is None:
            raise Malformed(f"a chunk's length is {line[:40]!r}")
        self._left = int(size[1], 16)
        self._read = self._within if self._left else self._trailer
        return rest

    def _within(self, data: bytes) -> bytes | None:
        part, rest = data[: self._left], data[self._left :]
        self._left -= len(part)
        self._keep(part)
        if self._left:
            return None
        self._read = self._behind
        return rest

    def _behind(self, data: bytes) -> bytes | None:
        line, rest = self._line(data)
        if line is None:
            return None
        if line:
            raise Malformed("a chunk is longer than it says")
        self._read = self._chunk
        return rest

    def _trailer(self, data: bytes) -> bytes | None:
        line, rest = self._line(data)
        if line is None:
            return None
        self._left += len(line)
        if self._left > MOST_OF_HEAD:
            raise Malformed("its trailers are too long")
        self.done = not line
        return rest

    def _line(self, data: bytes) -> tuple[bytes | None, bytes]:
        """The next line without its end, and what follows; None when it is not there yet."""
        self._buffer += data
        line, found, rest = self._buffer.partition(b"\r\n")
        if len(line) > MOST_OF_HEAD:
            raise Malformed("one of its lines is too long")
        if not found:
            return None, b""
        self._buffer = b""
        return line, rest

    def _keep(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._size += len(data)
            if self._size > (self._most if self.status == 200 else MOST_OF_FAILURE):
                self.done, self._reusable = True, False
