"""One worker process as its parent sees it: asked one thing at a time, ended with everything that it started."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from llmevo.fitness.worker import REPLY_LIMIT

LONGEST = 2 * REPLY_LIMIT
SCRIPT = Path(__file__).with_name("worker.py")
MARK = "LLMEVO_WORKER"
"""Marks the descendants of a worker in their environment: also those that left its process group."""
TICK = 0.25
"""How often a silent worker is looked at, in case a child of it holds its end of the socket open."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A worker that gave no reply: it is dead, and so are its children."""

    status: int
    """As `subprocess` has it: the exit code, or minus the signal."""
    late: bool
    """Whether it was ended because its time was up."""
    long: bool
    """Whether it was ended because its reply was longer than anyone reads."""
    printed: str
    """The end of what it wrote to stdout and stderr."""


class Worker:
    """A process in a session and group of its own. Raises `OSError` when it cannot be started."""

    def __init__(self, environ: Mapping[str, str], keep: int) -> None:
        self._mark = secrets.token_hex(16)
        self._keep = keep
        self._tail = b""
        self.tasks = 0
        with ExitStack() as on_error, ExitStack() as theirs:
            self._wire, their_wire = socket.socketpair()
            on_error.callback(self._wire.close)
            theirs.callback(their_wire.close)
            self._output, printed = os.pipe()
            on_error.callback(os.close, self._output)
            theirs.callback(os.close, printed)
            watched, self._lifeline = os.pipe()
            on_error.callback(os.close, self._lifeline)
            theirs.callback(os.close, watched)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", str(SCRIPT), str(their_wire.fileno()), str(watched)],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                pass_fds=(their_wire.fileno(), watched),
                env={**environ, MARK: self._mark},
                start_new_session=True,
            )
            on_error.pop_all()
        self.pid = self._process.pid
        self._open = True
        self._wire.setblocking(False)
        os.set_blocking(self._output, False)

    async def ask(self, request: bytes, seconds: float, grace: float) -> bytes | Gone:
        """The reply to a line. Without one in time the process gets SIGTERM, after `grace` seconds SIGKILL, and is `Gone`.

        A cancelled question kills it at once.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        heard = bytearray()

        def hear() -> None:
            try:
                chunk = self._wire.recv(1 << 18)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                chunk = b""
            heard.extend(chunk)
            if not chunk or chunk.endswith(b"\n") or len(heard) > LONGEST:
                loop.remove_reader(self._wire)
                if not done.done():
                    done.set_result(None)

        def listen() -> None:
            if self._read() is False:
                loop.remove_reader(self._output)

        self._drain()
        self._tail = b""
        self.tasks += 1
        late = False
        try:
            loop.add_reader(self._wire, hear)
            loop.add_reader(self._output, listen)
            try:
                try:
                    async with asyncio.timeout(seconds):
                        await loop.sock_sendall(self._wire, request)
                        while not done.done() and not self.ended:
                            await asyncio.wait([done], timeout=TICK)
                except TimeoutError:
                    late = not done.done()
                except OSError:
                    pass  # it hung up while it was being asked
                if not done.done():
                    hear()
                if heard.endswith(b"\n") and len(heard) <= LONGEST:
                    self._drain()
                    return bytes(heard)
                if late:
                    self._signal(signal.SIGTERM)
                if late or len(heard) <= LONGEST:
                    await self._exited(grace)  # if it has closed its socket, its status is worth a moment
            finally:
                loop.remove_reader(self._wire)
                loop.remove_reader(self._output)
        except BaseException:
            self.end()
            raise
        return Gone(self.end(), late, len(heard) > LONGEST, self.printed)

    @property
    def printed(self) -> str:
        """The end of what it wrote since it was asked last."""
        return self._tail.decode("utf-8", "replace")

    @property
    def ended(self) -> bool:
        """Whether the process itself has ended; it is not reaped by asking."""
        if not self._open:
            return True
        if sys.platform == "darwin":
            return self._process.poll() is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    async def retire(self, grace: float) -> None:
        """Lets an idle worker end by itself, and ends it if it does not."""
        with suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)
        try:
            await self._exited(grace)
        finally:
            self.end()

    def kill(self) -> None:
        """Kills the whole group, and descendants that left it."""
        self._signal(signal.SIGKILL)
        for pid in _marked(self._mark):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def end(self) -> int:
        """Kills what is left, reaps it, closes what belongs to it. Gives the exit status."""
        if self._open:
            self._open = False
            self.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
            self._drain()
            self._wire.close()
            os.close(self._output)
            os.close(self._lifeline)
        return -signal.SIGKILL if self._process.returncode is None else self._process.returncode

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _exited(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self.ended and loop.time() < until:
            await asyncio.sleep(0.005)

    def _drain(self) -> None:
        for _ in range(64):  # a pipe holds less; whoever still writes does not keep us
            if not self._read():
                return

    def _read(self) -> bool | None:
        """Whether something was printed; False at the end, None when there is nothing now."""
        try:
            chunk = os.read(self._output, 1 << 16)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return False
        self._tail = (self._tail + chunk)[-self._keep :]
        return bool(chunk)


def _marked(mark: str) -> list[int]:
    """The living processes of this user whose environment holds the mark, where the system shows it."""
    sought = f"{MARK}={mark}".encode()
    found = []
    for entry in os.scandir("/proc") if sys.platform == "linux" else ():
        if entry.name.isdigit():
            with suppress(OSError):
                if sought in Path(entry.path, "environ").read_bytes():
                    found.append(int(entry.name))
    return found
