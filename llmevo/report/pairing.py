"""Paired comparisons: the same seeds, the same cases, and whether a difference is more than luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmevo.core import Seed
from llmevo.report.statistics import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of paired differences, its 95 % interval over `runs` seeds and `cases` cases, and what it says."""

    mean: float
    low: float
    high: float
    p: float
    """Two-sided, from the same resamples as the interval; after `corrected` adjusted for how many were tested."""
    runs: int
    cases: int

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `no difference`: where the interval covers 0, or the test does not hold after the correction."""
        if self.low <= 0 <= self.high or self.p >= LEVEL:
            return "no difference"
        return "better" if self.mean > 0 else "worse"

    def __str__(self) -> str:
        return f"{self.verdict} ({self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}], p = {self.p:.3f}, n = {self.runs} x {self.cases})"


def resampled(table: NDArray[np.float64], rng: np.random.Generator, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Means of a (runs, cases) table whose rows and columns are drawn anew with replacement, each for itself (Owen, 2007)."""
    import numpy as np

    runs, cases = table.shape
    by_run = rng.multinomial(runs, np.full(runs, 1 / runs), size=resamples) / runs
    by_case = rng.multinomial(cases, np.full(cases, 1 / cases), size=resamples) / cases
    means: NDArray[np.float64] = ((by_run @ table) * by_case).sum(axis=1)
    return means


def mean_of(table: NDArray[np.float64], rng: np.random.Generator) -> Interval:
    """The mean of a (runs, cases) table with its 95 % percentile bootstrap interval over both."""
    import numpy as np

    low, high = np.quantile(resampled(table, rng), [0.025, 0.975])
    return Interval(float(table.mean()), float(low), float(high), table.shape[0])


def gap_of(a: NDArray[np.float64], b: NDArray[np.float64], rng: np.random.Generator) -> Interval:
    """How far the mean of `a` is above that of `b`, each with cases of its own; row by row the same seed. Seeds and both sets of cases are
    drawn anew."""
    import numpy as np

    runs = len(a)
    by_run = rng.multinomial(runs, np.full(runs, 1 / runs), size=RESAMPLES) / runs
    means = []
    for table in (a, b):
        cases = table.shape[1]
        by_case = rng.multinomial(cases, np.full(cases, 1 / cases), size=RESAMPLES) / cases
        means.append(((by_run @ table) * by_case).sum(axis=1))
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return Interval(float(a.mean() - b.mean()), float(low), float(high), runs)


def difference(a: NDArray[np.float64], b: NDArray[np.float64], rng: np.random.Generator) -> Difference:
    """How far `a` is above `b`: both (runs, cases), row by row the same seed, column by column the same case."""
    return together([(a, b)], rng)


def together(pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], rng: np.random.Generator) -> Difference:
    """The mean difference over several tasks, every task counting the same, with runs and cases drawn anew within each."""
    import numpy as np

    tables = [a - b for a, b in pairs]
    draws = np.mean([resampled(table, rng) for table in tables], axis=0)
    low, high = np.quantile(draws, [0.025, 0.975])
    tail = (1 + min(int((draws <= 0).sum()), int((draws >= 0).sum()))) / (1 + len(draws))
    mean = float(np.mean([table.mean() for table in tables]))
    runs, cases = min(len(table) for table in tables), sum(table.shape[1] for table in tables)
    return Difference(mean, float(low), float(high), min(1.0, 2 * tail), runs, cases)


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """The same differences with p values for all of them together (Holm, 1979), in the order given."""
    order = sorted(range(len(differences)), key=lambda i: differences[i].p)
    adjusted, most = list(differences), 0.0
    for place, i in enumerate(order):
        most = max(most, min(1.0, (len(order) - place) * differences[i].p))
        adjusted[i] = replace(differences[i], p=most)
    return adjusted


def generator(*names: str | int) -> np.random.Generator:
    """The generator of a table: the same rows give the same intervals."""
    return Seed.of(0).fold("pairing", *names).rng()


__all__ = ["Difference", "corrected", "difference", "generator", "mean_of", "resampled", "together"]
