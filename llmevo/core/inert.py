"""Text that is shown and not obeyed."""

from __future__ import annotations

import unicodedata


def inert(text: str) -> str:
    """A text that is shown and not obeyed: control and bidirectional characters as escapes. Spaces of any kind stay."""
    return "".join(letter if harmless(letter) else letter.encode("unicode_escape").decode("ascii") for letter in text)


def harmless(letter: str) -> bool:
    """Whether a character is seen, or is white space."""
    return letter.isprintable() or letter in "\n\t" or unicodedata.category(letter) == "Zs"


__all__ = ["harmless", "inert"]
