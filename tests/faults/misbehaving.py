"""Fitness functions that do what fitness functions should not do. They run in worker processes; each is named by a test."""

from __future__ import annotations

import ctypes
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from typing import Any

LEAK: list[bytearray] = []


def raises(text: str) -> float:
    return ping(20) if "bad" in text else float(len(text))


def ping(n: int) -> float:
    if n == 0:
        raise ValueError("a bad genome \x1b[31m\ud800")
    return pong(n - 1)


def pong(n: int) -> float:
    return ping(n)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def digits(record: dict[str, list[int]]) -> float:
    """An exact fitness that loses its process on some genomes, and whose noise comes from the shared generator."""
    total = sum(record["values"])
    if total % 5 == 0:
        raise ArithmeticError("divisible by five")
    if total % 13 == 0:
        os._exit(13)
    if total % 11 == 0:
        return float("nan")
    return total + random.random() / 10


def does(what: str) -> Any:
    """One of the misdeeds below; anything else is a harmless call that tells its process."""
    deed = globals().get(f"do_{what}")
    return {"pid": os.getpid()} if deed is None else deed()


def do_sleep() -> None:
    print("about to sleep")
    time.sleep(1e6)


def do_sleep_deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1e6)


def do_regex() -> None:
    re.match("(a+)+$", "a" * 64 + "b")


def do_pause_with_the_gil() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.PyDLL(None).pause()


def do_grow() -> None:
    data = bytearray()
    while True:
        data += bytes(8 << 20)


def do_grow_in_numpy() -> None:
    import numpy as np

    parts = []
    while True:
        parts.append(np.ones(1 << 20))


def do_leak() -> int:
    LEAK.append(bytearray(b"x") * (16 << 20))
    return os.getpid()


def do_exit() -> None:
    os._exit(3)


def do_sys_exit() -> None:
    sys.exit(4)


def do_segfault() -> None:
    ctypes.string_at(0)


def do_abort() -> None:
    os.abort()


def do_kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def do_hang_up() -> None:
    os.closerange(3, 1024)


def do_flood() -> None:
    """Writes without end to everything that is open."""
    for descriptor in range(3, 1024):
        try:
            while True:
                os.write(descriptor, b"x" * (1 << 20))
        except OSError:
            continue


def do_torch_like() -> None:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")


def do_unspeakable() -> None:
    raise Unspeakable


def do_recurse() -> Any:
    return do_recurse()


def do_interrupt() -> None:
    raise KeyboardInterrupt


def do_fork_and_both_return() -> int:
    os.fork()
    return os.getpid()


def leave_children(how: str) -> Any:
    """Starts one sleeper in the group and one in a session of its own; writes their ids where the test reads them."""
    path, how = how.rsplit("|", 1)
    forked = os.fork()
    if forked == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1e6)
    away = subprocess.Popen(["sleep", "100000"], start_new_session=True)
    with open(path, "w") as file:
        file.write(f"{os.getpid()} {forked} {away.pid}")
    if how == "hang":
        time.sleep(1e6)
    if how == "exit":
        os._exit(5)
    return 1.0


def do_print_100_mb() -> None:
    for _ in range(100):
        print("x" * (1 << 20))
    print("the last line")
    raise ValueError("after printing")


def do_upset() -> float:
    os.chdir("/")
    os.environ["UPSET"] = "yes"
    os.environ.pop("PATH", None)
    random.seed(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    signal.alarm(3600)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    sys.stdout.close()
    sys.path.clear()
    return 1.0


def do_where() -> list[Any]:
    import numpy as np

    return [os.getcwd(), "UPSET" in os.environ, "PATH" in os.environ, random.random(), float(np.random.random())]


def do_environment() -> list[str]:
    return sorted(os.environ)


def counted(path: str) -> float:
    """Notes every time it is called, then dies."""
    with open(path, "a") as file:
        file.write("called\n")
    os.kill(os.getpid(), signal.SIGKILL)
    return 1.0
