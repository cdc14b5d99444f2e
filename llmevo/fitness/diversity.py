"""How different the texts of a set are from each other: distinct-n and self-BLEU."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from llmevo.core.resolve import need


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Distinct-n (Li et al., 2016, arXiv 1510.03055): different n-grams of words over all of them, 0 to 1; 0 when there are none.

    Words are compared in lower case. Longer texts have lower values: compare sets of like length.
    """
    if n < 1:
        raise ValueError(f"an n-gram has at least one word, not {n}")
    grams = [tuple(words[i : i + n]) for words in map(_words, texts) for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def self_bleu(texts: Sequence[str]) -> float:
    """Self-BLEU (Zhu et al., 2018, arXiv 1802.01886): the mean BLEU of each text with all others as references; 1 = all the same.

    Sentence BLEU by sacrebleu with effective order. Fewer than two texts give 0: there is nothing to be like.
    """
    if len(texts) < 2:
        return 0.0
    bleu = need("sacrebleu.metrics.bleu", "metrics", "self-BLEU").BLEU(effective_order=True)
    scores = [bleu.sentence_score(text, [*texts[:i], *texts[i + 1 :]]).score / 100 for i, text in enumerate(texts)]
    return math.fsum(scores) / len(scores)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


__all__ = ["distinct", "self_bleu"]
