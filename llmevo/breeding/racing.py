"""Rules of a race: who may be dropped before being scored on all cases, and who is crowned on fresh ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Lap:
    """What a rule looks at: scores on the cases that all have in common so far, a row each."""

    scores: Table
    """The first `running` rows are those who may be dropped; the others are incumbents, who are only compared with."""
    running: int
    cases: int
    """How many cases there are in all: whoever stays to the end is scored on all of them."""
    share: float
    """What part of the error that a rule may make in a whole race is for this look. The parts add up to 1."""
    places: int = 1
    """How many may live on."""


class Rule(Protocol):
    """Says who is dropped after a lap, and why: rows of those who run, with the reason in words. Never the best `places`."""

    @property
    def key(self) -> str: ...

    def __call__(self, lap: Lap) -> Mapping[int, str]: ...


@dataclass(frozen=True)
class Behind:
    """Out goes who is surely behind the last of the places: a one-sided test on common cases, `alpha` shared out among the looks.

    The difference of two is judged by one deviation for all, that of what is left after every one's mean and every case's mean are
    taken out, so two laps are enough; and for the mean over all the cases there are, of which some were seen: near the end little can
    change. Against one given rival the chance of being dropped wrongly is at most `alpha` over the whole race; among many equals it is
    more, as the last of the places is the luckiest of them. The best `keep` stay in any case.
    """

    alpha: float = 0.05
    keep: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1 or self.keep < 1:
            raise ValueError(f"alpha is between 0 and 1 and keep at least 1, not {self.alpha} and {self.keep}")

    @property
    def key(self) -> str:
        return f"behind(alpha={self.alpha:g},keep={self.keep})"

    def __call__(self, lap: Lap) -> Mapping[int, str]:
        import numpy as np

        (count, seen), level = lap.scores.shape, self.alpha * lap.share
        if seen < 2 or count < 2 or seen >= lap.cases:
            return {}
        means = lap.scores.mean(axis=1)
        left = lap.scores - means[:, None] - lap.scores.mean(axis=0) + means.mean()
        freedom = (count - 1) * (seen - 1)
        # The second is for scores that differ by the same on every case: a few of them are no certainty.
        variance = max(float((left**2).sum()) / freedom, float(np.ptp(means)) ** 2 / (2 * seen * freedom))
        order = _best_first(means)
        mark, stay = means[order[min(lap.places, count) - 1]], set(order[: max(lap.places, self.keep)])
        error = math.sqrt(2 * variance * (1 / seen - 1 / lap.cases))
        out: dict[int, str] = {}
        for i in range(lap.running):
            gap = float(mark - means[i])
            if i not in stay and gap > 0 and (p := tail(gap / error, freedom)) <= level:
                out[i] = f"{gap:.3f} behind place {lap.places} (p = {p:.2g})"
        return out


@dataclass(frozen=True)
class Capo:
    """CAPO (arXiv 2504.16005): out goes who has at least `places` others better, each by a one-sided paired t-test at `alpha`."""

    alpha: float = 0.2

    @property
    def key(self) -> str:
        return f"capo(alpha={self.alpha:g})"

    def __call__(self, lap: Lap) -> Mapping[int, str]:
        seen = lap.scores.shape[1]
        if seen < 2:
            return {}
        out: dict[int, str] = {}
        for i in range(lap.running):
            gaps = lap.scores - lap.scores[i]
            errors = gaps.std(axis=1, ddof=1) / math.sqrt(seen)
            tests = (gap / error if error else math.copysign(math.inf, gap) if gap else 0.0
                     for gap, error in zip(gaps.mean(axis=1), errors, strict=True))  # fmt: skip
            better = sum(tail(t, seen - 1) < self.alpha for t in tests)
            if better >= lap.places:
                out[i] = f"{better} others are better (alpha = {self.alpha:g})"
        return out


@dataclass(frozen=True)
class Truncate:
    """Plain truncation: after every lap only the best `share` of those who run stay, and never fewer than there are places."""

    share: float = 0.7

    @property
    def key(self) -> str:
        return f"truncate(share={self.share:g})"

    def __call__(self, lap: Lap) -> Mapping[int, str]:
        if lap.scores.shape[1] >= lap.cases:
            return {}
        order = _best_first(lap.scores[: lap.running].mean(axis=1))
        stay = max(lap.places, math.ceil(self.share * lap.running))
        return {i: f"not among the best {stay} of {lap.running}" for i in order[stay:]}


def tail(t: float, freedom: int) -> float:
    """The chance that Student's t with so many degrees of freedom is at least `t` (Wallace's approximation, 1959)."""
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    z = math.sqrt(freedom * math.log1p(t * t / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return 0.5 * math.erfc(math.copysign(z, t) / math.sqrt(2))


@dataclass(frozen=True, slots=True)
class Crowned:
    """Who is crowned, and an honest score of whoever is crowned like that."""

    place: int
    honest: tuple[float, ...]
    """For each fresh case the score of the one who would be crowned without it: no score has chosen whom it speaks of."""


def crown(searched: Sequence[Mapping[str, float]], fresh: Sequence[Mapping[str, float]]) -> Crowned:
    """The finalist with the best mean over the cases of the search and the fresh ones together; ties to the first.

    Every finalist was scored on the same fresh cases. Scores of the search are compared on the cases that all finalists have.
    """
    import numpy as np

    common = [case for case in searched[0] if all(case in one for one in searched)]
    old = np.array([[one[case] for case in common] for one in searched], dtype=float).reshape(len(searched), len(common))
    new = np.array([[one[case] for case in fresh[0]] for one in fresh], dtype=float)
    totals = old.sum(axis=1) + new.sum(axis=1)
    without = (totals[:, None] - new).argmax(axis=0)
    return Crowned(int(totals.argmax()), tuple(new[without, range(new.shape[1])].tolist()))


def _best_first(means: Table) -> list[int]:
    return [int(i) for i in (-means).argsort(kind="stable")]


__all__ = ["Behind", "Capo", "Crowned", "Lap", "Rule", "Truncate", "crown", "tail"]
