"""A genome of text: named parts in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

from llmevo.core.errors import StorageError
from llmevo.core.genome import Blobs, content_key

PREVIEW = 160
"""Characters of a preview."""


class TextGenome:
    """An immutable ordered mapping of named texts: one prompt, an answer, a description per class, a prompt with its examples.

    A plain string is the single part `prompt`. The order of the parts is part of the content.
    """

    __slots__ = ("_key", "_parts")
    kind: ClassVar[str] = "text"

    def __init__(self, parts: str | Mapping[str, str]) -> None:
        named = {"prompt": parts} if isinstance(parts, str) else dict(parts)
        if not named:
            raise ValueError("a text genome needs at least one part")
        for name, text in named.items():
            if not isinstance(name, str) or not isinstance(text, str):
                raise TypeError(f"the parts of a text genome are texts by name, not {type(name).__name__}: {type(text).__name__}")
        self._parts: Mapping[str, str] = MappingProxyType(named)
        self._key = content_key(["text", [[name, text] for name, text in named.items()]])

    @property
    def key(self) -> str:
        """Content hash over names, texts and their order."""
        return self._key

    @property
    def parts(self) -> Mapping[str, str]:
        """The texts by name, in order."""
        return self._parts

    @property
    def text(self) -> str:
        """The text of the single part. Raises `ValueError` when there are several."""
        return self.part(None)

    def part(self, name: str | None) -> str:
        """The text of a part; None means the only one. Raises `ValueError` that names the parts there are."""
        return self._parts[self.named(name)]

    def named(self, name: str | None) -> str:
        """The name that `name` means: itself, or for None the only one there is. Raises `ValueError`."""
        if name is None and len(self._parts) == 1:
            return next(iter(self._parts))
        if name is None or name not in self._parts:
            wanted = "one part is meant, but not which" if name is None else f"there is no part {name!r}"
            raise ValueError(f"{wanted}; this genome has {', '.join(self._parts)}: use on(part, variation)")
        return name

    def with_part(self, name: str | None, text: str) -> TextGenome:
        """The genome with one part replaced, in its place; a new name is added at the end."""
        place = self.named(None) if name is None else name
        return TextGenome({**self._parts, place: text})

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts, in order."""
        return tuple(self._parts)

    def taken(self, name: str) -> TextGenome:
        """A part alone, under its name. Raises `ValueError` that names the parts there are."""
        return TextGenome({name: self.part(name)})

    def put(self, name: str, part: TextGenome) -> TextGenome:
        """The genome with one part replaced by the only one of another genome."""
        return self.with_part(name, part.text)

    def preview(self) -> str:
        """One line: the texts with control and bidirectional characters shown as escapes, so that a terminal obeys none."""
        named = len(self._parts) > 1
        line = " | ".join(f"{name}: {text}" if named else text for name, text in self._parts.items())
        shown = "".join(map(_inert, line[: PREVIEW + 1]))
        return shown if len(shown) <= PREVIEW else shown[: PREVIEW - 1] + "…"

    def dump(self, blobs: Blobs) -> dict[str, Any]:
        """`{"parts": [[name, text], ...]}`, in order."""
        return {"parts": [[name, text] for name, text in self._parts.items()]}

    @classmethod
    def load(cls, record: Mapping[str, Any], blobs: Blobs) -> Self:
        """The genome of a record that `dump` wrote."""
        try:
            return cls({name: text for name, text in record["parts"]})
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(f"not the record of a text genome: {str(record)[:120]} ({error})") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextGenome) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"TextGenome({self.preview()!r})"


def _inert(letter: str) -> str:
    if letter.isprintable():
        return letter
    return letter.encode("unicode_escape").decode("ascii")
