"""Overlap metrics of our own: token F1 and SARI, each between 0 and 1."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

PUNCTUATION = re.compile(r"[^\w\s]")
ARTICLES = re.compile(r"\b(a|an|the)\b")
SPLITS = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
"""Where the mteval-13a tokenizer puts spaces: around punctuation, but not inside numbers."""


def words_of(text: str) -> list[str]:
    """Lower-case words without punctuation and articles, as in the SQuAD evaluation."""
    return ARTICLES.sub(" ", PUNCTUATION.sub("", text.lower())).split()


def token_f1(answer: str, target: str) -> float:
    """F1 over the words that answer and target share, counted with multiplicity; two empty texts agree."""
    given, right = words_of(answer), words_of(target)
    if not given or not right:
        return float(given == right)
    shared = sum((Counter(given) & Counter(right)).values())
    return 2 * shared / (len(given) + len(right))


def tokens_13a(text: str) -> list[str]:
    """Lower-case tokens as the mteval-13a tokenizer makes them."""
    line = f" {text.lower().replace('-' + chr(10), '').replace(chr(10), ' ')} "
    for entity, sign in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        line = line.replace(entity, sign)
    for pattern, put in SPLITS:
        line = pattern.sub(put, line)
    return line.split()


def sari(source: str, answer: str, references: Sequence[str], *, original: bool = False) -> float:
    """SARI of one sentence (Xu et al. 2016): the mean, over n-grams of 1 to 4 words, of the F1 of what was
    kept, the F1 of what was added and the precision of what was deleted, against several references.

    By default as the later public implementations compute it: an operation that was neither needed nor done
    counts 1, and the recall of keeping is over all n-grams together. `original=True` computes what the
    authors' script does: 0 and a mean per n-gram.
    """
    if not references:
        raise ValueError("SARI needs at least one reference")
    before, after, right = tokens_13a(source), tokens_13a(answer), [tokens_13a(one) for one in references]
    return sum(_sari_of(n, before, after, right, original) for n in range(1, 5)) / 4


def _sari_of(n: int, before: list[str], after: list[str], right: list[list[str]], original: bool) -> float:
    nothing = 0.0 if original else 1.0
    times = len(right)
    source = Counter({gram: count * times for gram, count in _grams(before, n).items()})
    answer = Counter({gram: count * times for gram, count in _grams(after, n).items()})
    wanted = sum((_grams(one, n) for one in right), Counter[tuple[str, ...]]())

    kept, keepable = source & answer, source & wanted
    well = kept & wanted
    precision = sum(well[gram] / kept[gram] for gram in well) / len(kept) if kept else nothing
    if not keepable:
        recall = nothing
    elif original:
        recall = sum(well[gram] / keepable[gram] for gram in well) / len(keepable)
    else:
        recall = sum(well.values()) / sum(keepable.values())
    keep = _f1(precision, recall)

    deleted = source - answer
    rightly = deleted - wanted
    delete = sum(rightly[gram] / deleted[gram] for gram in rightly) / len(deleted) if deleted else nothing

    added, addable = answer.keys() - source.keys(), wanted.keys() - source.keys()
    good = len(added & addable)
    add = _f1(good / len(added) if added else nothing, good / len(addable) if addable else nothing)
    return (keep + delete + add) / 3


def _grams(tokens: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
