"""A search over vectors of numbers, each of which makes a genome: coefficients of a mixture, strengths, rates."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic

from llmevo.core import Birth, G, Individual, Mating, Seed, Variation, View, living, plan
from llmevo.core.resolve import need

Vector = tuple[float, ...]


class Vectors(Generic[G]):
    """CMA-ES (the library `cma`) over vectors; `make` turns one into a founder. The first vector asked is `start` itself.

    `penalty` is subtracted from the score of a vector when the search compares them: L1, say, against coefficients without need. It
    does not touch the fitness. Births that did not live count as the worst of their round.
    """

    def __init__(
        self,
        make: Callable[[Vector], Variation[G]],
        start: Vector,
        *,
        seed: Seed,
        population: int,
        sigma: float = 0.3,
        bounds: tuple[float, float] | None = None,
        penalty: Callable[[Vector], float] = lambda vector: 0.0,
    ) -> None:
        if population < 2 or len(start) < 2:
            raise ValueError(f"CMA-ES needs at least two numbers and a population of two, not {len(start)} and {population}")
        cma = need("cma", "weights", "a search over coefficients")
        self.view: View[G] = View()
        self.ending: str | None = None
        self._make, self._penalty, self._seed = make, penalty, seed.fold("vectors")
        rng = self._seed.fold("draws").rng()
        options: dict[str, Any] = {
            "popsize": population, "verbose": -9, "seed": math.nan, "maxiter": math.inf, "tolfun": 0, "tolx": 0, "tolflatfitness": math.inf,
            "randn": lambda rows, columns: rng.standard_normal((rows, columns)), "bounds": [None, None] if bounds is None else list(bounds),
        }  # fmt: skip
        self._search = cma.CMAEvolutionStrategy(list(start), sigma, options)
        self._waiting: deque[Vector] = deque([start])
        self._asked: deque[list[Vector]] = deque()
        self._round: list[tuple[Vector, float | None]] = []
        self._ordinal = 0
        self._population = population
        self._first = True

    def ask(self, n: int) -> list[Mating[G]]:
        """The rest of a round at most: the next one needs all scores of this one."""
        if not self._waiting and not self._asked:
            drawn = self._search.ask()
            self._waiting += [tuple(round(float(number), 4) for number in vector) for vector in drawn]
        vectors = [self._waiting.popleft() for _ in range(min(n, len(self._waiting)))]
        if not vectors:
            return []
        self._asked.append(vectors)
        first, self._ordinal = self._ordinal, self._ordinal + len(vectors)
        return [
            plan(self._make(vector), (), self._seed.fold("mating", first + i), first + i, seat=i) for i, vector in enumerate(vectors)
        ]

    def tell(self, births: Sequence[Birth[G]]) -> None:
        """Guests are remembered, and do not move the search."""
        vectors = self._asked.popleft()
        for vector, birth in zip(vectors, births, strict=False):
            lives = isinstance(birth, Individual) and birth.fitness.ok
            self._round.append((vector, birth.fitness.value - self._penalty(vector) if lives else None))  # type: ignore[union-attr]
        if not self._waiting and not self._asked:
            self._learn()
        best = self.view.advance((), births).best
        self.view = self.view.advance([best] if best else living(births)[:1], births)

    def _learn(self) -> None:
        told, self._round = self._round, []
        if self._first:  # the start alone is no round
            self._first = False
            return
        values = [value for _, value in told if value is not None]
        if values:
            worst = min(values)
            self._search.tell([list(vector) for vector, _ in told], [-(worst if value is None else value) for _, value in told])
