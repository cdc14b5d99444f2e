"""One user function in several worker processes: calls queue for them, and what ends one becomes a failure with its reason."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Self, Unpack

from llmevo.core.errors import ConfigError, LlmevoError, Pause
from llmevo.core.resolve import resolve
from llmevo.core.secret import redact
from llmevo.fitness.limits import EvaluationFailed, Kind, Options, environment, positive, withheld
from llmevo.fitness.process import LONGEST, Gone, Worker
from llmevo.library.reader import clean

NO_MEMORY = re.compile(r"MemoryError|bad_alloc|[Cc]an(?:no|')t allocate memory|[Oo]ut of memory")
KEPT = 16_384
"""Bytes of its output that are kept of a call; the end of it goes into the text of a failure."""
SHOWN_LINES, SHOWN = 20, 2000


class IsolatedFunction:
    """A function, named `module:name` or importable by its name, that runs in worker processes: arguments and result are JSON.

    Each call is made once. `random` and numpy's shared generator begin with its seed; working directory and environment are put
    back after it. Raises `EvaluationFailed`; `ConfigError` when the function cannot be imported; `Pause` when no process can be
    started. A cancelled call ends its worker at once. Close it with `aclose`, or use it in `async with`.
    """

    form: Literal["plain", "fitness", "scorer"] = "plain"

    def __init__(self, function: str | Callable[..., Any], **options: Unpack[Options]) -> None:
        self.name, near = (function, None) if isinstance(function, str) else _importable(function)
        self.timeout = positive("timeout", options.get("timeout", 60.0))
        self.grace = options.get("grace", 5.0)
        self.startup = positive("startup", options.get("startup", 60.0))
        memory = options.get("memory_mb")
        self.memory_mb = None if memory is None else positive("memory_mb", memory)
        self.recycle = int(positive("recycle", options.get("recycle", 1000)))
        self.recycle_mb = options.get("recycle_mb") or (None if self.memory_mb is None else self.memory_mb / 2)
        self.workers = int(positive("workers", options.get("workers", 1)))
        self.near = options.get("near") or near
        self.calls = 0
        """How many calls were made."""
        self._environ, self._secrets = environment(self.name, tuple(options.get("env", ())))
        self._key: str | None = None
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._closing = False
        self._closed_times = 0
        self._turns: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None
        weakref.finalize(self, _end, self._all)

    @property
    def key(self) -> str:
        """Where the function is and what its source hashes to, as the worker sees it. Starts a worker if none has said it yet.

        Raises `ConfigError` when the function cannot be imported there: ask before anything is paid.
        """
        if self._key is None:
            with ThreadPoolExecutor(1) as thread:
                self._idle.append(thread.submit(asyncio.run, self._start()).result())
        assert self._key is not None
        return self._key

    async def __call__(self, *args: Any, seed: int = 0) -> Any:
        """The result of one call, from a worker that is free."""
        request = json.dumps({"args": args, "seed": seed}).encode() + b"\n"
        earlier = self._closed_times
        async with self._turn():
            # a turn may come only when the closing that ended the call before it is over
            if self._closing or self._closed_times != earlier:
                raise self._closed()
            worker = await self._worker()
            self.calls += 1
            reply = None
            try:
                reply = await worker.ask(request, self.timeout, self.grace)
                found = self._result(reply, worker)
            except EvaluationFailed as failed:
                if failed.kind in ("raised", "invalid"):
                    await self._back(worker, reply)
                raise
            else:
                await self._back(worker, reply)
                return found
            finally:
                if worker not in self._idle:
                    worker.end()
                    self._all.discard(worker)

    async def aclose(self) -> None:
        """Ends all workers, those at work at once. A call that it ends raises `Pause`."""
        self._closing = True
        self._closed_times += 1
        try:
            idle, self._idle = self._idle, []
            for worker in self._all - set(idle):
                worker.kill()
            await asyncio.gather(*(worker.retire(self.grace) for worker in idle))
            self._all.difference_update(idle)
            for _ in range(1000):  # those at work go when their calls have noticed; a call whose loop is gone never does
                if not self._all:
                    break
                await asyncio.sleep(0.005)
        finally:
            _end(self._all)
            self._closing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def _turn(self) -> asyncio.Semaphore:
        """One of as many turns as there are workers; a new event loop has its own."""
        loop = asyncio.get_running_loop()
        if self._turns is None or self._turns[0] is not loop:
            self._turns = loop, asyncio.Semaphore(self.workers)
        return self._turns[1]

    async def _worker(self) -> Worker:
        """An idle worker that lives, or a new one."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.ended:
                return worker
            worker.end()
            self._all.discard(worker)
        return await self._start()

    async def _start(self) -> Worker:
        setup = {
            "path": [str(place) for place in sys.path],
            "function": self.name,
            "near": None if self.near is None else str(self.near),
            "memory_mb": self.memory_mb,
            "form": self.form,
        }
        try:
            worker = Worker(self._environ, KEPT)
        except OSError as error:
            raise Pause(
                f"no worker process for {self.name!r} can be started ({error}); continue when there is room for one"
            ) from error
        self._all.add(worker)
        try:
            answer = await worker.ask(json.dumps(setup).encode() + b"\n", self.startup, self.grace)
            if isinstance(answer, Gone):
                if self._closing:
                    raise self._closed()
                words = self._text(self._end_of(answer, self.startup)[1], answer.printed)
                # What could be imported before can be imported again: the run waits for better times.
                failed = ConfigError if self._key is None else Pause
                raise failed(f"{self.name!r}: importing it in a worker process: {words}")
            hello = _read(answer)
            if "key" not in hello:
                raise ConfigError(self._text(str(hello.get("config")) + withheld(self._environ, str(hello.get("config")))))
            if self._key not in (None, hello["key"]):
                raise ConfigError(f"{self.name!r} was edited while the run uses it: {self._key} became {hello['key']}")
        except BaseException:
            worker.end()
            self._all.discard(worker)
            raise
        self._key = str(hello["key"])
        worker.tasks = 0
        return worker

    async def _back(self, worker: Worker, reply: bytes | Gone | None) -> None:
        """Keeps a worker for the next call, unless it is used up."""
        grown = _read(reply).get("grown", 0) if isinstance(reply, bytes) else 0
        fat = self.recycle_mb is not None and isinstance(grown, int) and grown > self.recycle_mb * (1 << 20)
        if self._closing or worker.ended or fat or worker.tasks >= self.recycle:
            await worker.retire(self.grace)
        else:
            self._idle.append(worker)

    def _result(self, reply: bytes | Gone, worker: Worker) -> Any:
        if isinstance(reply, Gone):
            if self._closing:
                raise self._closed()
            kind, words = self._end_of(reply, self.timeout)
            raise EvaluationFailed(kind, self._text(f"{words} (attempt 1 of 1)", reply.printed))
        answer = _read(reply)
        if "value" in answer:
            return answer["value"]
        if "raised" in answer:
            trace = "\n".join(map(str, answer.get("trace", ())))
            said = f"{answer['raised']}: {answer.get('message')}\n{trace}"
            if self.memory_mb is not None and NO_MEMORY.search(str(answer.get("message"))):
                raise EvaluationFailed("oom", self._text(f"oom: {self._limit()} (attempt 1 of 1)\n{said}", worker.printed))
            raise EvaluationFailed("raised", self._text(said, worker.printed))
        if "oom" in answer:
            raise EvaluationFailed("oom", self._text(f"oom: {self._limit()} (attempt 1 of 1)", worker.printed))
        for name, error in (("pause", Pause), ("config", ConfigError)):
            if name in answer:
                raised: type[LlmevoError] = error
                raise raised(self._text(str(answer[name])))
        raise EvaluationFailed("invalid", self._text(str(answer.get("invalid", "the worker's reply says nothing"))))

    def _end_of(self, gone: Gone, seconds: float) -> tuple[Kind, str]:
        """What ended a worker, in words."""
        if gone.late:
            return "timeout", f"timeout: no result within {seconds:g} s"
        if gone.long:
            return "invalid", f"the result takes more than {LONGEST} bytes"
        if self.memory_mb is not None and gone.status != 0 and NO_MEMORY.search(gone.printed):
            return "oom", f"oom: {self._limit()}"
        if gone.status >= 0:
            return "exit", f"exit code {gone.status}"
        number = -gone.status
        name = signal.Signals(number).name if number in set(signal.Signals) else "no name"
        hint = ": by itself, or by the system for want of memory" if number == signal.SIGKILL else ""
        return "killed", f"killed by signal {number} ({name}{hint})"

    def _closed(self) -> Pause:
        return Pause(f"{self.name!r} was closed while it was wanted; continue the run to evaluate what is missing")

    def _limit(self) -> str:
        return "out of memory" if self.memory_mb is None else f"more than {self.memory_mb:g} MB"

    def _text(self, words: str, printed: str = "") -> str:
        """What may be stored and shown: without secrets and control characters, with the end of what was printed."""
        shown = "\n".join(printed.rstrip().split("\n")[-SHOWN_LINES:])[-SHOWN:]
        return redact(clean(f"{words}\nprinted last:\n{shown}" if shown.strip() else words))


def _read(reply: bytes) -> dict[str, Any]:
    """The object of a reply; whoever wrote something else, it is a failure."""
    try:
        answer = json.loads(reply)
    except (ValueError, RecursionError):
        answer = None
    return answer if isinstance(answer, dict) else {"invalid": "the worker's reply cannot be read"}


def _importable(function: Callable[..., Any]) -> tuple[str, Path | None]:
    """The name under which a worker can import a function, and the folder of its module."""
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not module or module == "__main__" or not path or "<" in path:
        raise ConfigError(
            f"a worker process cannot import {path or function!r} from {module}: define it by `def` at the top of a module of its own"
        )
    file = getattr(sys.modules.get(module), "__file__", None)
    near = None if file is None else Path(file).resolve().parents[module.count(".") + (Path(file).name == "__init__.py")]
    if resolve(f"{module}:{path}", near) is not function:
        raise ConfigError(f"{module}:{path} is another object than the function that was given: a worker would import that one")
    return f"{module}:{path}", near


def _end(workers: set[Worker]) -> None:
    while workers:
        workers.pop().end()
