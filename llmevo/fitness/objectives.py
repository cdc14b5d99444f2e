"""One number from several objectives, declared: a weighted sum, or one objective after the other."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError, InvalidFitness
from llmevo.core.fitness import as_score
from llmevo.core.gather import gather
from llmevo.core.resolve import nearest
from llmevo.fitness.contract import Case, Score, Scorer
from llmevo.fitness.functions import scored


class Scalarisation(Protocol):
    """How objectives become the one value by which individuals are compared where one is needed. Higher is better."""

    @property
    def key(self) -> str:
        """Its rule and parameters."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """The objectives that it needs."""
        ...

    def __call__(self, objectives: Mapping[str, float]) -> float: ...


@dataclass(frozen=True)
class WeightedSum:
    """The sum of the objectives times their weights. A negative weight is for what should be small."""

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.weights or not any(self.weights.values()) or not all(map(math.isfinite, self.weights.values())):
            raise ConfigError(f"weights are finite and not all zero, not {dict(self.weights)}")

    @property
    def key(self) -> str:
        return f"weighted({', '.join(f'{name}={weight:g}' for name, weight in self.weights.items())})"

    @property
    def names(self) -> Sequence[str]:
        return tuple(self.weights)

    def __call__(self, objectives: Mapping[str, float]) -> float:
        _all_there(self.names, objectives)
        return math.fsum(weight * objectives[name] for name, weight in self.weights.items())


@dataclass(frozen=True)
class Lexicographic:
    """The first objective decides; where two are in the same step of `resolution`, the next one does.

    As a number: the first one in whole steps, and within a step the rest, squeezed between 0 and 1. So the value stays
    within one step of the first objective, and objectives of any size can follow.
    """

    order: tuple[str, ...]
    resolution: float = 0.01

    def __post_init__(self) -> None:
        if len(self.order) < 2 or len(set(self.order)) < len(self.order):
            raise ConfigError(f"lexicographic: name at least two different objectives, not {list(self.order)}")
        if not 1e-6 <= self.resolution < math.inf:
            raise ConfigError(f"lexicographic: the resolution is at least 1e-6, not {self.resolution!r}")

    @property
    def key(self) -> str:
        return f"lexicographic({', '.join(self.order)}; {self.resolution:g})"

    @property
    def names(self) -> Sequence[str]:
        return self.order

    def __call__(self, objectives: Mapping[str, float]) -> float:
        _all_there(self.names, objectives)
        rest = _squeezed(objectives[self.order[-1]])
        for name in reversed(self.order[1:-1]):
            steps = math.floor(_squeezed(objectives[name]) / self.resolution + 1e-9)
            rest = min(self.resolution * (steps + rest), 1 - 1e-12)
        return self.resolution * (math.floor(objectives[self.order[0]] / self.resolution + 1e-9) + rest)


def _squeezed(value: float) -> float:
    """A number between 0 and 1 in the order of the values."""
    return 0.5 + math.atan(value) / math.pi * (1 - 1e-9)


def _all_there(names: Sequence[str], objectives: Mapping[str, float]) -> None:
    for name in names:
        if name not in objectives:
            raise InvalidFitness(f"there is no objective {name!r}{nearest(name, objectives)}")


def go_together(names: Collection[str], scalarise: Scalarisation) -> None:
    """Raises `ConfigError` unless these are several objectives, with all that the rule needs."""
    if len(names) < 2:
        raise ConfigError(f"several objectives are at least two, not {list(names)}")
    unknown = [name for name in scalarise.names if name not in names]
    if unknown:
        raise ConfigError(f"there is no objective {unknown[0]!r}{nearest(unknown[0], names)}")


class Several:
    """Several scorers as one: each gives an objective, the scalarisation their value.

    Answers that did not come score every scorer's minimum. An evaluation means each objective over the cases, and scalarises the means.
    """

    def __init__(self, scorers: Mapping[str, Scorer], scalarise: Scalarisation) -> None:
        go_together(scorers, scalarise)
        self.scorers, self.scalarise = dict(scorers), scalarise
        self.minima = {name: scorer.minimum for name, scorer in self.scorers.items()}
        self.minimum = scalarise(self.minima)

    @property
    def key(self) -> str:
        """The scorers and how they are joined."""
        return f"several({', '.join(f'{name}={scorer.key}' for name, scorer in self.scorers.items())}; {self.scalarise.key})"

    def check_case(self, case: Case) -> None:
        """Raises `ConfigError` for a case that one of the scorers cannot use."""
        for scorer in self.scorers.values():
            check = getattr(scorer, "check_case", None)
            if check is not None:
                check(case)

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        found = await gather(scorer(answer, case, context) for scorer in self.scorers.values())
        scores = dict(zip(self.scorers, map(scored, found), strict=True))
        words = [f"{name}: {score.explanation}" for name, score in scores.items() if score.explanation]
        values = {name: as_score(score.value) for name, score in scores.items()}
        return Score(self.scalarise(values), "; ".join(words), values)

    async def aclose(self) -> None:
        """Ends worker processes of its scorers."""
        for scorer in self.scorers.values():
            close = getattr(scorer, "aclose", None)
            if close is not None:
                await close()


__all__ = ["Lexicographic", "Scalarisation", "Several", "WeightedSum", "go_together"]
