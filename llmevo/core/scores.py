"""Scores by case id, held compactly: a run keeps thousands of them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, KeysView, Mapping
from functools import lru_cache

from llmevo.core.errors import InvalidFitness


class Scores(Mapping[str, float]):
    """An immutable mapping from case ids to finite numbers; 8 bytes per case, because equal ids are shared.

    Raises `InvalidFitness` for ids that are not strings and for scores that are not finite numbers.
    """

    __slots__ = ("_scores", "index")

    index: Mapping[str, int]
    """The place of each id; the same object for all scores of the same cases in the same order."""
    _scores: array[float]

    def __init__(self, scores: Mapping[str, float]) -> None:
        if isinstance(scores, Scores):
            self.index, self._scores = scores.index, scores._scores
            return
        if not isinstance(scores, Mapping):
            raise InvalidFitness(f"scores by case are a mapping from case id to number, not {type(scores).__name__}")
        self.index = _shared(tuple(scores))
        try:
            self._scores = array("d", scores.values())
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidFitness(f"a case's score must be a number: {error}") from None
        if not all(map(math.isfinite, self._scores)):
            case, score = next((case, score) for case, score in self.items() if not math.isfinite(score))
            raise InvalidFitness(f"the score of case {case!r} must be finite, not {score!r}")

    def __getitem__(self, case: str) -> float:
        return self._scores[self.index[case]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.index)

    def __len__(self) -> int:
        return len(self.index)

    def keys(self) -> KeysView[str]:
        return self.index.keys()

    def __repr__(self) -> str:
        return repr(dict(self))


def same_cases(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    """Whether two mappings have the same ids; short where they share their index."""
    return (isinstance(a, Scores) and isinstance(b, Scores) and a.index is b.index) or a.keys() == b.keys()


@lru_cache(maxsize=4096)
def _shared(ids: tuple[str, ...]) -> Mapping[str, int]:
    wrong = next((case for case in ids if not isinstance(case, str)), None)
    if wrong is not None:
        raise InvalidFitness(f"a case id is a string, not {wrong!r}: ids are written to the run file")
    return {case: place for place, case in enumerate(ids)}
