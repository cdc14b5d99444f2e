"""When two texts count as the same: normal forms and shingles, as marks that an engine can compare without reading text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Hashable, Mapping

BANDS, ROWS, SHINGLE = 5, 6, 3
"""Two texts whose word triples have a Jaccard similarity s share a band with probability 1 - (1 - s**ROWS)**BANDS:
0.08 at 0.5, 0.78 at 0.8, 0.98 at 0.9.
"""


def same(text: str) -> tuple[Hashable, ...]:
    """The text itself."""
    return (text,)


def spacing(text: str) -> tuple[Hashable, ...]:
    """The text with every run of white space as one blank, none next to punctuation: `[1, 2]` and `[1,2]` are the same."""
    return (re.sub(r"\s*([^\w\s])\s*", r"\1", " ".join(text.split())),)


def words(text: str) -> tuple[Hashable, ...]:
    """The words and numbers of the text in order, whatever their case; signs and punctuation are ignored.

    A minus sign is one of them: not for answers in which signs count.
    """
    return (" ".join(re.findall(r"\w+", text.casefold())),)


def shingles(text: str) -> tuple[Hashable, ...]:
    """MinHash bands over the triples of words: similar texts are likely to share one (Broder, 1997).

    For prose. Short answers that differ in one number or word are the same to it.
    """
    tokens = re.findall(r"\w+", text.casefold())
    grams = {" ".join(tokens[i : i + SHINGLE]) for i in range(max(1, len(tokens) - SHINGLE + 1))}
    hashes = [hashlib.blake2b(gram.encode("utf-8", "surrogatepass"), digest_size=16).digest() for gram in grams]
    rows = [min(_row(digest, i) for digest in hashes) for i in range(BANDS * ROWS)]
    return tuple((band, *rows[band * ROWS : (band + 1) * ROWS]) for band in range(BANDS))


def _row(digest: bytes, i: int) -> int:
    """The i-th of a family of hashes: two halves of one digest, combined (Kirsch and Mitzenmacher, 2006)."""
    first, second = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")
    return (first + i * (second | 1)) % (2**61 - 1)


FORMS: Mapping[str, Callable[[str], tuple[Hashable, ...]]] = {
    "same": same, "spacing": spacing, "words": words, "shingles": shingles,
}  # fmt: skip
"""How much two texts may differ and still count as one, the strictest first."""
