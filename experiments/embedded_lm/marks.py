"""Marks: where in a generated text the truth lies, so that training can point at it.

A text may carry invisible marks around a word that matters: an opinion about an aspect, a fact, a label. Generators add
them with `mark`, `unmark` takes them out and tells where they were. Training turns them into tags of tokens
(`samples.py`); what the model reads never holds one.
"""

from __future__ import annotations

_BASE, _CLOSE = 0xE000, "\ue0ff"
_OPEN = {chr(_BASE + i) for i in range(0xFF)}


def mark(text: str, code: int) -> str:
    """The text between an opening mark of a code (0 to 254) and a closing one."""
    return f"{chr(_BASE + code)}{text}{_CLOSE}"


def plain(text: str) -> str:
    """The text without marks."""
    return text if _CLOSE not in text else unmark(text)[0]


def unmark(text: str) -> tuple[str, list[tuple[int, int, int]]]:
    """The text without marks, and (begin, end, code) of each marked span in it, in order of their ends."""
    out: list[str] = []
    spans: list[tuple[int, int, int]] = []
    opened: list[tuple[int, int]] = []
    for char in text:
        if char in _OPEN:
            opened.append((len(out), ord(char) - _BASE))
        elif char == _CLOSE:
            begin, code = opened.pop()
            spans.append((begin, len(out), code))
        else:
            out.append(char)
    return "".join(out), spans
