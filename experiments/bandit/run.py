"""A bandit among operators, one of which is useless: births until six digits are found, over seeds. `python experiments/bandit/run.py`."""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from llmevo.breeding import Bandit, Tournament, Weighted, truncation
from llmevo.core import Context, Individual, Mixture, Seed, Usage
from llmevo.engine import Schedule
from llmevo.strategies import Founding, Genetic, sequence
from llmevo.testing.toy import Digits, Distance, Toy, fresh

SEEDS, LIMIT, N = 20, 300, 10


def nudge(parents: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Sequence[int]:
    """One digit, one up or down: the operator that helps."""
    child = list(parents[0])
    child[int(rng.integers(len(child)))] += int(rng.choice((-1, 1)))
    return child


def scramble(parents: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Sequence[int]:
    """All digits anew: the operator that is useless once anything was found."""
    return rng.integers(10, size=len(parents[0])).tolist()


class Priced(Toy):
    """A variation with a price of its own."""

    price: float = 1.0

    async def __call__(self, parents: Sequence[Individual[Digits]], context: Context) -> Digits:
        genome = await super().__call__(parents, context)
        context.charge(Usage(price=self.price))
        return genome


def operator(name: str, make: Any, price: float = 1.0) -> Priced:
    found = Priced(name, make, 1)
    object.__setattr__(found, "price", price)
    return found


def births(mixture: Mixture[Digits], number: int) -> tuple[int, float, dict[str, int]]:
    """Births until the target is found (LIMIT if it is not), what they cost, and how often each operator was used."""
    seed, used, cost = Seed.of(number), {}, 0.0
    search = sequence(
        Founding([Toy(f"fresh{i}", fresh(6), 0) for i in range(N)], seed=seed),
        Genetic(mixture, Tournament(2), truncation(N), seed=seed),
    )
    schedule, fitness, count = Schedule(search, batch=1), Distance(), 0

    async def go() -> int:
        nonlocal count, cost
        while count < LIMIT and (cohort := schedule.ask()):
            [mating] = cohort.matings
            context = Context(mating.seed, mating.id)
            genome = await mating.variation(mating.parents, context)
            [score] = await fitness([genome], [Context(seed)])
            if mating.parents:
                used[mating.variation_key] = used.get(mating.variation_key, 0) + 1
                cost += context.meter.usage.price
            schedule.tell([mating.birth(genome, score, context.meter.usage, cohort.j)])
            count += 1
            if score.value == 0:
                break
        return count

    return asyncio.run(go()), cost, used


def row(name: str, make: Callable[[], Mixture[Digits]]) -> None:
    found = [births(make(), number) for number in range(SEEDS)]
    counts, costs = [count for count, _, _ in found], [cost for _, cost, _ in found]
    solved = sum(count < LIMIT for count in counts) / SEEDS
    shares = [used.get("nudge", 0) / max(1, sum(used.values())) for _, _, used in found]
    half = 1.96 * statistics.stdev(counts) / SEEDS**0.5
    columns = (f"{solved:.1%}", f"{statistics.fmean(counts):.0f} ± {half:.0f}", f"{statistics.fmean(costs):.0f}")
    print(f"| {name} | {' | '.join(columns)} | {statistics.fmean(shares):.2f} |", flush=True)


def main() -> int:
    print("| operators | solved | births, mean ± 95 % | cost, mean | share of the useful one |\n|---|---|---|---|---|")
    useful, useless = operator("nudge", nudge), operator("scramble", scramble)
    row("useful alone", lambda: Weighted([(useful, 1.0)]))
    row("useful and useless, equal rates", lambda: Weighted([(useful, 1.0), (useless, 1.0)]))
    for exploration in (0.3, 1.0):
        row(f"the same, bandit, exploration {exploration:g}", lambda e=exploration: Bandit([useful, useless], e))  # type: ignore[misc]
    others = [operator(f"scramble{i}", scramble) for i in range(3)]
    row("three useless ones, equal rates", lambda: Weighted([(one, 1.0) for one in (useful, *others)]))
    for exploration in (0.3, 1.0):
        row(f"the same, bandit, exploration {exploration:g}", lambda e=exploration: Bandit([useful, *others], e))  # type: ignore[misc]
    dear = operator("nudge-dear", nudge, 10.0)
    row("useful and the same at ten times the price, equal rates", lambda: Weighted([(useful, 1.0), (dear, 1.0)]))
    row("the same, bandit, exploration 1", lambda: Bandit([useful, dear], 1.0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
