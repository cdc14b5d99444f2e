"""What the commands say besides tables: to standard output and to standard error, inert and without secrets."""

from __future__ import annotations

import shlex
import sys
from typing import Any


def echo(text: str) -> None:
    """Prints to stdout what no terminal obeys. Whoever read it may have gone: that is no failure."""
    from llmevo import console

    try:
        sys.stdout.write(f"{console.inert(text)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        console.silence(sys.stdout)


def tell(text: str) -> None:
    """Prints a message to stderr, inert and without secrets."""
    from llmevo import console
    from llmevo.core.secret import redact

    try:
        sys.stderr.write(f"{console.inert(redact(text))}\n")
        sys.stderr.flush()
    except OSError:
        console.silence(sys.stderr)


def print_json(value: Any) -> None:
    """Prints one JSON object."""
    from llmevo import console

    echo(console.as_json(value))


def again() -> str:
    """The command line that was given, to be given once more."""
    return shlex.join(["llmevo", *sys.argv[1:]])
