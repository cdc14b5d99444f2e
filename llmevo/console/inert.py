"""What a terminal shows and does not obey, and consoles that survive their reader."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from rich.console import Console

from llmevo.core.inert import harmless, inert


def as_json(value: Any) -> str:
    """One line of standard JSON that a terminal does not obey either; what is not finite is null."""
    text = json.dumps(_finite(value), ensure_ascii=False, default=str, allow_nan=False)
    return "".join(letter if harmless(letter) else json.dumps(letter)[1:-1] for letter in text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


class Screen(Console):
    """A console for which it is no failure that nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Falls silent: a run goes on when its terminal or its reader is gone."""
        self.quiet = True
        silence(self.file)


def silence(stream: IO[str]) -> None:
    """Sends what a stream still holds to nowhere, so that its end is no error either."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def stdout() -> Console:
    """The console of standard output."""
    return Screen(highlight=False)


__all__ = ["Screen", "as_json", "inert", "silence", "stdout"]
