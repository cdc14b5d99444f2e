"""The other side of `isolated`: a process that imports one function and calls it when asked.

It is run as a script. Requests and replies are lines of JSON on a socket of its own, so that what the function prints or reads
does not disturb them. It is no sandbox: it protects the run from accidents, not from malice.
"""

from __future__ import annotations

import faulthandler
import fcntl
import inspect
import json
import os
import random
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np  # here, so that its generator is seeded also in the call that first imports it

REPLY_LIMIT = 4 << 20
"""Bytes of a reply. The parent reads no more, whoever wrote it."""
LINES = 20
"""How much of a traceback travels."""
KEYS = ("value", "violation", "objectives", "cases", "measures", "feedback", "error")
"""What a fitness function may say of a genome in a mapping; `error` instead of `value` when it cannot be scored."""


def main(wire: socket.socket, lifeline: int) -> None:
    """Serves one parent until it hangs up."""
    _die_with_the_parent(lifeline)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    faulthandler.register(signal.SIGTERM, chain=True, all_threads=False)  # says where it hung, also inside C
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    wire.set_inheritable(False)
    os.set_inheritable(lifeline, False)
    me = os.getpid()
    os.register_at_fork(after_in_child=lambda: os.close(wire.detach()))
    requests = wire.makefile("rb")
    setup = json.loads(requests.readline() or b"null")
    if setup is None:
        return
    sys.path[:] = setup["path"]
    from llmevo.core.errors import ConfigError

    try:
        function, key = _load(setup["function"], setup["near"])
        if setup["form"] != "plain":
            import llmevo.fitness  # noqa: F401  now, not within the time of the first call
    except ConfigError as error:
        return wire.sendall(json.dumps({"config": str(error)}).encode() + b"\n")
    _limit(setup["memory_mb"])
    wire.sendall(json.dumps({"key": key}).encode() + b"\n")
    at_rest, here, environ = _memory(1), os.getcwd(), dict(os.environ)
    while line := requests.readline():
        reply = _answer(function, setup["form"], line)
        if os.getpid() != me:
            os._exit(0)  # the function forked and both came back
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        wire.sendall(b'{"grown":%d,%s\n' % (_memory(1) - at_rest, reply[1:]))
        del line, reply
        # Tidy for the next call: it may not depend on which calls came before it in this worker.
        os.chdir(here)
        if dict(os.environ) != environ:
            os.environ.clear()
            os.environ.update(environ)


def _die_with_the_parent(lifeline: int) -> None:
    """Linux kills the whole group when the other end of the lifeline closes, whatever the function is doing; elsewhere an idle
    worker ends by itself."""
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _load(name: str, near: str | None) -> tuple[Callable[..., Any], str]:
    from llmevo.core.errors import ConfigError
    from llmevo.core.resolve import function_key, resolve

    function = resolve(name, None if near is None else Path(near))
    if not callable(function):
        raise ConfigError(f"{name!r} is a {type(function).__name__}, which cannot be called; name a function")
    with suppress(ValueError, TypeError):
        if "context" in inspect.signature(function).parameters:
            raise ConfigError(f"{name!r} takes a `context`, which does not exist in a worker process; do not isolate it")
    return function, function_key(function)


def _memory(field: int) -> int:
    """Bytes in use: field 1 is resident, 5 is private data; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[field]) * resource.getpagesize()
    except OSError:
        return 0


def _limit(memory_mb: float | None) -> None:
    """No core dumps; and at most so much data beyond what importing the function took."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_mb is not None:
        most = _memory(5) + int(memory_mb * (1 << 20))
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _answer(function: Callable[..., Any], form: str, line: bytes) -> bytes:
    """One call, and its reply in JSON."""
    try:
        request = json.loads(line)
        _sow(request["seed"])
        reply = json.dumps(_call(function, form, request["args"]), allow_nan=False).encode()
        if len(reply) > REPLY_LIMIT:
            words = f"the result takes {len(reply)} bytes of JSON; at most {REPLY_LIMIT} are read"
            reply = json.dumps({"invalid": words}).encode()
        return reply
    except MemoryError:
        return b'{"oom":true}'


def _sow(seed: int) -> None:
    """The shared generators begin with the seed of the call, so that no result depends on which worker it fell to."""
    random.seed(seed)
    np.random.seed(seed % (1 << 32))


def _call(function: Callable[..., Any], form: str, args: list[Any]) -> dict[str, Any]:
    from llmevo.core.errors import InvalidFitness

    try:
        if form == "scorer":
            args = [args[0], _case(args[1])]
        value = function(*args)
        if inspect.isawaitable(value):
            import asyncio

            value = asyncio.run(_awaited(value))
    except SystemExit:
        raise
    except MemoryError as error:
        traceback.clear_frames(error.__traceback__)
        raise
    except BaseException as error:
        return _raised(error)
    try:
        return {"value": FORMS[form](value)}
    except (InvalidFitness, TypeError, ValueError, RecursionError) as error:
        return {"invalid": str(error)}
    except MemoryError:
        raise
    except Exception as error:
        return _raised(error)


async def _awaited(value: Any) -> Any:
    return await value


def _raised(error: BaseException) -> dict[str, Any]:
    """Type, message and the last lines of the traceback, without the frames of this file."""
    from llmevo.core.errors import ConfigError, Pause

    try:
        message = str(error)
    except Exception as worse:
        message = f"(its message cannot be shown: {type(worse).__name__})"
    if isinstance(error, ConfigError | Pause):
        return {"config" if isinstance(error, ConfigError) else "pause": message}
    inner = error.__traceback__ and error.__traceback__.tb_next
    lines = "".join(traceback.format_exception(type(error), error, inner)).rstrip().split("\n")
    return {"raised": type(error).__name__, "message": message[:2000], "trace": [line[:500] for line in lines[-LINES:]]}


def _case(record: Mapping[str, Any]) -> Any:
    from llmevo.fitness.contract import Case

    target = record["target"]
    return Case(record["id"], record["input"], target if isinstance(target, str) else tuple(target), record["fields"])


def _plain(value: Any) -> Any:
    """Anything that JSON can say; arrays and tensors become numbers and lists."""
    return json.loads(json.dumps(value, default=_list, allow_nan=False))


def _list(value: Any) -> Any:
    as_list = getattr(value, "tolist", None)
    if as_list is None:
        raise TypeError(f"a worker gives back what JSON can say: numbers, text, lists and mappings, not {type(value).__name__}")
    return as_list()


def _score(value: Any) -> list[Any]:
    """`[number, words]` from what a scorer function returned."""
    from llmevo.fitness.functions import scored

    score = scored(value)
    return [score.value, score.explanation]


def _fitness(value: Any) -> dict[str, Any]:
    """The record of a `Fitness` from a number, a `Score`, `(number, words)`, a mapping with `value`, or a `Fitness`."""
    from llmevo.core.errors import InvalidFitness
    from llmevo.core.fitness import Fitness, as_score
    from llmevo.core.resolve import nearest
    from llmevo.fitness.functions import scored

    if isinstance(value, Mapping):
        for name in value:
            if name not in KEYS:
                raise InvalidFitness(f"a fitness has no {str(name)[:80]!r}{nearest(str(name), KEYS)}")
        if value.get("error"):
            value = Fitness.failed(str(value["error"]))
        elif "value" not in value:
            raise InvalidFitness(f"a fitness as a mapping needs `value`, this one has {', '.join(map(str, value)) or 'nothing'}")
        else:
            words = value.get("feedback", ())
            value = Fitness(
                as_score(value["value"]),
                as_score(value.get("violation", 0.0)),
                {str(name): as_score(score) for name, score in dict(value.get("objectives", {})).items()},
                {str(name): as_score(score) for name, score in dict(value.get("cases", {})).items()},
                tuple(value.get("measures", ())),
                (words,) if isinstance(words, str) else tuple(words),
            )
    elif not isinstance(value, Fitness):
        score = scored(value)
        value = Fitness(score.value, feedback=(score.explanation,) if score.explanation else ())
    usage = value.usage
    return {
        "value": value.value if value.ok else 0.0,
        "violation": value.violation,
        "objectives": dict(value.objectives),
        "cases": dict(value.cases),
        "measures": list(value.measures),
        "feedback": list(value.feedback),
        "usage": [usage.calls, usage.tokens_in, usage.tokens_out, usage.price],
        "error": value.error,
    }


FORMS: Mapping[str, Callable[[Any], Any]] = {"plain": _plain, "fitness": _fitness, "scorer": _score}

if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
