"""The embedded model's tokenizer: byte-level BPE in plain Python.

It reads the same `tokenizer.json` that `transformers` loads and gives the same ids. Any text round-trips: bytes are the
alphabet. Text is always text: what looks like a special token in a prompt is not one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

BEGIN, END, ANSWER = 0, 1, 2
"""Ids of the special tokens: a conversation is BEGIN, user text, ANSWER, answer (with a blank before its first letter), END."""

PATTERN = r"</?[a-z]+>| ?[A-Za-z]+|[0-9]|[^A-Za-z0-9]"
"""How text is cut before merging; ASCII classes only, so that every regex engine agrees."""

_CACHE_LIMIT = 50_000


def byte_symbols() -> list[str]:
    """The printable character that stands for each byte in byte-level BPE files."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 256
    for b in range(256):
        if b in plain:
            table[b] = chr(b)
        else:
            table[b] = chr(extra)
            extra += 1
    return [table[b] for b in range(256)]


class Tokenizer:
    """Text to token ids and back; built from a vocabulary and an ordered list of merges."""

    def __init__(self, vocabulary: dict[str, int], merges: Sequence[tuple[str, str]]) -> None:
        symbols = byte_symbols()
        back = {s: bytes([b]) for b, s in enumerate(symbols)}
        self._symbols = symbols
        self._ids = vocabulary
        self._ranks = {pair: i for i, pair in enumerate(merges)}
        self._bytes = [b""] * (max(vocabulary.values()) + 1)
        for token, i in vocabulary.items():
            if i > ANSWER:
                self._bytes[i] = b"".join(back[c] for c in token)
        self._cut = re.compile(PATTERN, re.DOTALL)
        self._cache: dict[str, tuple[int, ...]] = {}

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """The tokenizer in a `tokenizer.json` file; ValueError if it is of another kind."""
        data = json.loads(path.read_text("utf-8"))
        model = data["model"]
        if model.get("type") != "BPE" or PATTERN not in json.dumps(data, ensure_ascii=False):
            raise ValueError(f"{path} is not a tokenizer of the embedded model")
        pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
        return cls(model["vocab"], [(a, b) for a, b in pairs])

    def __len__(self) -> int:
        return len(self._bytes)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens; a lone surrogate becomes a question mark."""
        out: list[int] = []
        cache = self._cache
        for piece in self._cut.findall(text):
            ids = cache.get(piece)
            if ids is None:
                ids = self._merge(piece)
                if len(cache) < _CACHE_LIMIT:
                    cache[piece] = ids
            out.extend(ids)
        return out

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; special tokens vanish, broken UTF-8 becomes the replacement character."""
        return b"".join(self._bytes[i] for i in ids).decode("utf-8", "replace")

    def answer(self, text: str) -> list[int]:
        """The ids of a whole answer. It begins with a blank where it begins with a letter, so that a word has the same id as in running
        text; `read` takes it off again.
        """
        return self.encode(f" {text}" if text[:1].isascii() and text[:1].isalpha() else text)

    def read(self, ids: Iterable[int]) -> str:
        """The text of an answer's ids."""
        return self.decode(ids).removeprefix(" ")

    def conversation(self, user: str) -> list[int]:
        """BEGIN, the user's text, ANSWER: what the model continues."""
        return [BEGIN, *self.encode(user), ANSWER]

    def _merge(self, piece: str) -> tuple[int, ...]:
        parts = [self._symbols[b] for b in piece.encode("utf-8", "replace")]
        ranks = self._ranks
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda i: ranks.get((parts[i], parts[i + 1]), 1 << 30))
            pair = (parts[best], parts[best + 1])
            if pair not in ranks:
                break
            merged, i = [], 0
            while i < len(parts):
                if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
                    merged.append(pair[0] + pair[1])
                    i += 2
                else:
                    merged.append(parts[i])
                    i += 1
            parts = merged
        return tuple(self._ids[p] for p in parts)
