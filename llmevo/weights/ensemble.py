"""Several adapters that vote: how many and whose vote counts is chosen on validation answers, never on those that are reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

Right = Callable[[str, int], float]
"""The score of an answer to the case of that number, from 0 (wrong) to 1."""


def plurality(answers: Sequence[str]) -> str:
    """The most frequent answer; among equals the one that the best member gave. The members stand best first. An empty answer
    is no voice; "" is the answer where nobody has one.
    """
    if not answers:
        raise ValueError("nobody votes")
    votes = Counter(answer for answer in answers if answer)
    most = max(votes.values(), default=0)
    return next((answer for answer in answers if answer and votes[answer] == most), "")


def score(members: Sequence[Sequence[str]], right: Right) -> float:
    """The mean score of the vote. `members` are their answers, best member first, [member][case]."""
    cases = list(zip(*members, strict=True))
    return sum(right(plurality(answers), i) for i, answers in enumerate(cases)) / len(cases)


def chosen(members: Sequence[Sequence[str]], right: Right, sizes: Sequence[int]) -> int:
    """How many of the best members vote: the size with the best score on these (validation) answers, the smallest of equals."""
    known = sorted(size for size in sizes if 1 <= size <= len(members))
    if not known:
        raise ValueError(f"none of the sizes {list(sizes)} fits {len(members)} members")
    return max(known, key=lambda size: (score(members[:size], right), -size))


def released(members: Sequence[Sequence[str]], right: Right, *, oracle: bool = False) -> float:
    """What GENOME's released code reports, for comparisons: a tie that holds a right answer scores one half; with `oracle` (its DROP
    ensemble) a case scores what its best member does.
    """
    cases = list(zip(*members, strict=True))
    total = 0.0
    for i, answers in enumerate(cases):
        if oracle:
            total += max(right(answer, i) for answer in answers)
            continue
        votes = Counter(answers)
        leaders = [answer for answer, count in votes.items() if count == max(votes.values())]
        scores = [right(answer, i) for answer in leaders]
        total += scores[0] if len(leaders) == 1 else 0.5 * max(scores)
    return total / len(cases)
