"""Library files: YAML front matter between two `---` lines, then a Jinja body. Errors name file, line and
cure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from llmevo.core.errors import ConfigError
from llmevo.core.resolve import nearest

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same in C where PyYAML was built with it: a tenth of the time."""
LARGEST = 256_000
"""Bytes; an instruction is never that long, so a larger file is a mistake."""


@dataclass(frozen=True, slots=True)
class Document:
    """A library file, taken apart. `lines` gives the line of each front-matter key, `first` the line on which
    the body begins.
    """

    path: Path
    fields: Mapping[str, Any]
    lines: Mapping[str, int]
    body: str
    first: int

    def fail(self, message: str, key: str | None = None, line: int | None = None) -> NoReturn:
        """Raises `ConfigError` with the place in front."""
        raise ConfigError(f"{self.path}:{line or self.lines.get(key or '', 1)}: {message}")

    def only(self, known: Iterable[str]) -> None:
        """Refuses keys that are not known, naming the nearest."""
        names = set(known)
        for key in self.fields:
            if key not in names:
                self.fail(f"unknown key {key!r}{nearest(key, names)}", key)

    def text(self, key: str, default: str = "") -> str:
        """A string field."""
        value = self.fields.get(key, default)
        if not isinstance(value, str):
            self.fail(f"{key}: must be text, not {value!r}; put it in quotes", key)
        return value

    def number(self, key: str, low: float, high: float) -> float | None:
        """A number field within bounds (None when absent)."""
        value = self.fields.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.fail(f"{key}: must be a number from {low:g} to {high:g}, not {value!r}", key)
        return value

    def whole(self, key: str, high: int = 1_000_000) -> int | None:
        """A positive integer field (None when absent)."""
        value = self.fields.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high):
            self.fail(f"{key}: must be a whole number from 1 to {high}, not {value!r}", key)
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """A list of strings (empty when absent)."""
        value = self.fields.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(f"{key}: must be a list of texts such as [a, b], not {value!r}", key)
        return tuple(value)


def read_document(path: Path) -> Document:
    """The parts of a library file. Raises `ConfigError` when it cannot be read or its front matter is
    malformed.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path}: larger than {LARGEST} bytes; this is not an instruction file")
        raw = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    lines = raw.split("\n")
    if lines[0].strip() != "---":
        raise ConfigError(f"{path}:1: a library file begins with front matter: put a line '---' before and after it")
    end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        raise ConfigError(f"{path}:1: the front matter is not closed: put a line '---' after it")
    fields, places = _mapping(path, "\n".join(lines[1:end]))
    body = "\n".join(lines[end + 1 :])
    if not body.strip():
        raise ConfigError(f"{path}:{end + 1}: there is no instruction after the front matter")
    return Document(path, fields, places, body, end + 2)


def _mapping(path: Path, text: str) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            fields = loader.construct_document(node) if node is not None else {}
        finally:
            loader.dispose()
        fields = fields or {}
    except yaml.MarkedYAMLError as error:
        line = 2 + (error.problem_mark.line if error.problem_mark else 0)
        raise ConfigError(f"{path}:{line}: the front matter is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}:2: the front matter is not YAML: {error}") from error
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise ConfigError(f"{path}:2: the front matter must be lines of 'key: value'")
    places: dict[str, int] = {}
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value in places:
            raise ConfigError(f"{path}:{key.start_mark.line + 2}: {key.value!r} is there twice; keep one")
        places[key.value] = key.start_mark.line + 2
    return fields, places
