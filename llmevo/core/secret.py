"""Keys that cannot be printed by accident, and the redactor that guards messages and logs against them."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import quote

from llmevo.core.errors import ConfigError

_hidden: dict[str, str] = {}
"""What is taken out of messages, and the name put in its place; the longest first, because one value may begin with another."""
SHORTEST = 8
"""Shorter values are not searched for in messages: they would black out ordinary words."""
_SHAPES = re.compile(r"\b(?:sk|pk|rk|gsk|hf|xai|key)[-_][A-Za-z0-9_\-]{16,}|(?<=Bearer )[A-Za-z0-9._~+/=\-]{8,}")


class Secret:
    """A value known by the name of its environment variable. It shows its name only; `reveal` gives the value.

    From then on `redact` replaces its value in any text of this process: messages are written late, when nobody may hold it any
    more. It cannot be copied into a pickle or JSON.
    """

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value
        encoded = (quote(value, safe=""), json.dumps(value)[1:-1], base64.b64encode(value.encode()).decode())
        if len(value) >= SHORTEST:
            global _hidden  # another one instead of a change: threads read it meanwhile
            forms = {**_hidden, **dict.fromkeys((value, *encoded), name)}
            _hidden = dict(sorted(forms.items(), key=lambda one: len(one[0]), reverse=True))

    @classmethod
    def from_env(cls, name: str, env: Mapping[str, str] | None = None) -> Secret:
        """The secret in a variable. Raises `ConfigError`, naming the variable, when it is missing or cannot be a key."""
        value = (os.environ if env is None else env).get(name, "").strip()
        if not value:
            raise ConfigError(
                f"the environment variable {name} is not set. Set it (export {name}=...), or name another one "
                f"with `api_key_env`; a server without keys needs none: `api_key_env: null` and a `base_url`."
            )
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(f"{name} holds characters that no key has (a line break, a space?): set it again.")
        return cls(name, value)

    def reveal(self) -> str:
        """The value itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} is never written anywhere")


def redact(text: str, *, shapes: bool = True) -> str:
    """The text with the value of every secret replaced by its name; with `shapes` also what only looks like a key."""
    for form, name in _hidden.items():
        if form in text:
            text = text.replace(form, f"[{name}]")
    return _SHAPES.sub("[redacted]", text) if shapes else text


class RedactingFilter(logging.Filter):
    """A logging filter: a record that passes it holds no secret, in its message or its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True
