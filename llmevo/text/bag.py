"""A sentence encoder without a model: hashed words and word pairs. Knows no synonyms; needs nothing but numpy."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZE = 4096


def bag_of_words(texts: Sequence[str]) -> NDArray[np.float32]:
    """One unit row of 4096 numbers per text: words and pairs of neighbours, hashed to signed places, weighted by 1 + log count.

    The same text gives the same row everywhere. A text without a word gives a row of zeros. Source: feature hashing, Weinberger et
    al., 2009.
    """
    import numpy as np

    rows = np.zeros((len(texts), SIZE), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        words = re.findall(r"\w+", text.lower())
        counts = Counter([*words, *(f"{a} {b}" for a, b in pairwise(words))])
        for feature, count in counts.items():
            digest = zlib.crc32(feature.encode())
            row[digest % SIZE] += (1.0 if digest >> 31 else -1.0) * (1.0 + math.log(count))
        row /= max(float(np.linalg.norm(row)), 1e-12)
    return rows
