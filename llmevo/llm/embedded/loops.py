"""A stop for circles: which token would say a block of tokens once more that was just said again and again.

A model this small may copy a word in pieces, meet its last piece elsewhere in the prompt and copy the word again, until the answer is cut
at its limit. Such an answer is worth nothing, so a circle is left as soon as nobody can take it for text: the one token that
would go on with it is not chosen, and the next likely one is.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmevo.llm.embedded.tokenizer import Tokenizer

VERSION = 1
"""Counts changes of the rule: it decides answers, so it is part of their keys."""

TIMES = 3
"""A block said less often in succession is text."""
WORDS, SIGNS = 12, 60
"""So many tokens of the same block in succession are a circle: of a block with a letter, and of one with none (lists of digits, rulers)."""
LONGEST = 32
"""Longer blocks are not looked for."""


class Circles:
    """The rule for the tokens of one vocabulary."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        texts = [tokenizer.decode([i]) for i in range(len(tokenizer))]
        self._wordy = [any(c.isalpha() for c in t) for t in texts]
        self._goes_on = [t[:1].isalpha() for t in texts]

    def barred(self, written: Sequence[int]) -> int | None:
        """The token that would go on with a circle at the end of an answer; None if there is none, or in the middle of a word."""
        for n in range(1, min(LONGEST, len(written) // TIMES) + 1):
            if written[-1] != written[-1 - n]:
                continue
            block = written[-n:]
            long = max(TIMES * n, WORDS if any(self._wordy[t] for t in block) else SIGNS)
            tail = written[-long:]
            if len(tail) < long or tail[n:] != tail[:-n]:
                continue
            word = self._goes_on[block[0]] and not all(self._goes_on[t] for t in block)
            return None if word else block[0]
        return None
