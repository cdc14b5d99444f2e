"""One check per contract: call it from a test on what you built; an `AssertionError` says which promise is broken and why it matters.

    from llmevo.testing.contracts import check_genome, check_variation

    def test_my_genome() -> None:
        check_genome(MyGenome("a"), others=[MyGenome("b")])
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from llmevo.core import (
    Birth,
    Context,
    Evaluate,
    Fitness,
    G,
    Genome,
    Individual,
    Mating,
    Seed,
    Selection,
    Strategy,
    Succession,
    Variation,
    VariationFailed,
    View,
    canonical,
)
from llmevo.llm.contract import LLM, Finish, Reply, Request
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.genomes import Genomes

SCORES: tuple[tuple[float, ...], ...] = (
    (0.0, 0.0, 0.0, 0.0), (-3.0, -1.0, -2.0, -3.0), (0.5, 0.5, 0.5, 0.5), (0.1, 0.9, 0.4, 0.4), (1.0,), (2.0, -2.0), (1e300, -1e300, 0.0),
)  # fmt: skip
"""Populations that break careless arithmetic: all zero, all negative, all equal, mixed, a single one, two, huge."""


def check_genome(genome: Genome, others: Sequence[Genome] = ()) -> None:
    """A value with a content key that survives the run file. `others` have other content."""
    cls, blobs = type(genome), Genomes(MemoryBlobs(), {}, lambda key: None)
    assert isinstance(cls.kind, str) and cls.kind, "`kind` is a class attribute, a word that names the codec in run files"
    key = genome.key
    assert isinstance(key, str) and ":" in key.strip(":"), f"a key is a tagged hash such as 'b2:9f...', not {key!r}"
    assert genome.key == key, "the key changes between two looks: it must depend on the content only"
    preview = genome.preview()
    assert isinstance(preview, str) and len(preview.splitlines()) <= 1, f"a preview is one line for a human, not {preview!r}"
    record = genome.dump(blobs)
    assert isinstance(record, dict), "dump gives a dict"
    text = canonical(record)
    assert canonical(genome.dump(blobs)) == text, "two dumps of one genome differ: nothing random, no clock in a record"
    again = cls.load(json.loads(text), blobs)
    assert isinstance(again, cls) and again.key == key, f"a genome must read back as itself: {key} came back as {again.key}"
    assert canonical(again.dump(blobs)) == text, "what was read back is dumped differently: something is lost on the way"
    assert genome.key == key, "dump or load changed the genome: it is an immutable value"
    keys = [key, *(other.key for other in others)]
    assert len(set(keys)) == len(keys), "different content must have different keys, else scores and births are mixed up"
    json.dumps([key, preview]).encode()


def check_variation(
    variation: Variation[G], parents: Sequence[Individual[G]], *, seeds: int = 6, must_succeed: bool = True
) -> list[G]:
    """Deterministic in its parents and seed, whatever else runs beside it. Gives the children for further checks."""
    assert isinstance(variation.key, str) and variation.key == variation.key != "", "a key names the variation and its parameters"
    assert variation.arity is None or variation.arity == len(parents), f"give {variation.arity} parents to this check"
    assert isinstance(variation.picks, bool) and isinstance(variation.reassess, bool)
    contexts = [Context(Seed.of(i), f"check-{i}") for i in range(seeds)]
    before = ([parent.genome.key for parent in parents], random.getstate(), _numpy_state())

    async def one(context: Context) -> tuple[G | None, str | None]:
        try:
            child = await variation(parents, context)
        except VariationFailed as error:
            return None, f"failed: {error}"
        return child, child.key

    async def all_at_once(order: Sequence[int]) -> dict[int, tuple[G | None, str | None]]:
        fresh = [Context(Seed.of(i), f"check-{i}") for i in order]
        return dict(zip(order, await asyncio.gather(*map(one, fresh)), strict=True))

    first = [asyncio.run(one(context)) for context in contexts]
    later = asyncio.run(all_at_once(list(reversed(range(seeds)))))
    for i, (_, name) in enumerate(first):
        assert later[i][1] == name, (
            f"seed {i} gave another child when births ran together, in another order: draw randomness from context.seed only, keep no state"
        )
    after = ([parent.genome.key for parent in parents], random.getstate(), _numpy_state())
    assert after[0] == before[0], "the variation changed a parent: genomes are immutable values"
    assert after[1:] == before[1:], "the variation used a global random generator: draw from context.seed"
    children = [child for child, _ in first if child is not None]
    assert children or not must_succeed, f"no seed gave a child: {first[0][1]}"
    if variation.reassess:
        assert all(child.key == parents[0].genome.key for child in children), "a reassessment gives its parent's genome"
    if variation.picks and not variation.reassess:
        assert variation.arity != 0, "who picks needs parents to pick from"
    return children


def check_selection(selection: Selection[G], genomes: Sequence[G], arity: int | None = 2, *, distinct: bool = True) -> None:
    """Full tuples from any population. `genomes`: at least four different ones. `distinct` False for roles that may coincide."""
    assert isinstance(selection.seated, bool), "`seated` says whether a child is planned for the seat of its first parent"
    assert selection(View(), 3, arity, Seed.of(0).rng()) == [], "an empty population has no parents: give an empty list"
    for scores in SCORES:
        people = population(genomes, scores)
        view: View[G] = View()
        view = view.advance(people, people)
        before = (view.population, dict(view.memory), view.hall)
        tuples = selection(view, 5, arity, Seed.of(1).rng())
        assert tuples == selection(view, 5, arity, Seed.of(1).rng()), "equal generators must give equal parents: it draws from `rng` only"
        assert (view.population, dict(view.memory), view.hall) == before, "a selection looks at the view, it does not change it"
        known = {one.id for one in (*view.population, *view.hall)}
        for parents in tuples:
            assert {one.id for one in parents} <= known, "parents come from the view"
            if arity is not None:
                assert len(parents) == arity, f"{arity} parents are needed with scores {scores}, {len(parents)} were given"
                keys = {one.genome.key for one in parents[: len(people)]}
                assert not distinct or len(keys) == min(arity, len(people)), (
                    f"two parents with the same genome while others exist (scores {scores}): their child is a copy"
                )
        if arity is not None:
            assert len(tuples) == 5, f"5 tuples were wanted with scores {scores}, {len(tuples)} were given"


def check_succession(succession: Succession[G], genomes: Sequence[G]) -> None:
    """Who lives on is alive, known, and holds one place per genome. `genomes`: at least eight different ones."""
    assert len({genome.key for genome in genomes}) >= 8, "give at least eight different genomes to this check"
    assert succession([], [], Seed.of(0).rng()) == [], "nobody comes from nobody"
    for scores in SCORES:
        for rivals in SCORES:
            people = population(genomes, scores)
            births = population(genomes[4:], rivals, "child")
            twins = [replace(one, id=f"twin-{one.id}") for one in [*people[:1], *births[:1]]]
            dead = [replace(births[0], id="dead", fitness=Fitness.failed("broken"))]
            field = [*births, *twins, *dead]
            after = succession(people, field, Seed.of(2).rng())
            assert after, "somebody lives, so somebody must live on"
            assert after == succession(people, field, Seed.of(2).rng()), "equal generators must give equal survivors"
            assert all(one.fitness.ok for one in after), "an individual whose evaluation failed never lives on"
            known = {one.id for one in [*people, *field]}
            assert {one.id for one in after} <= known and len({one.id for one in after}) == len(after), "it chooses, it does not make"
            keys = [one.genome.key for one in after]
            assert len(set(keys)) == len(keys), "a genome holds at most one place: duplicates starve the search"


def check_evaluate(evaluate: Evaluate[G], genomes: Sequence[G], *, deterministic: bool = True) -> list[Fitness]:
    """One fitness per genome, in order, the same whatever company a genome is evaluated in."""
    assert isinstance(evaluate.whole_cohort, bool), "`whole_cohort` says whether all genomes of a cohort come in one call"
    before = (random.getstate(), _numpy_state())

    def score(some: Sequence[G]) -> list[Fitness]:
        contexts = [Context(Seed.of(0).fold(genome.key)) for genome in some]
        scores = asyncio.run(_awaited(evaluate(some, contexts)))
        assert isinstance(scores, list) and len(scores) == len(some), f"{len(some)} genomes need {len(some)} scores, in a list"
        assert all(isinstance(one, Fitness) for one in scores), "a score is a Fitness: use Fitness.measured on what came out"
        return scores

    together = score(genomes)
    assert score([]) == [], "no genomes, no scores"
    assert (random.getstate(), _numpy_state()) == before, "the evaluation used a global random generator: draw from context.seed"
    if deterministic:
        backwards = score(list(reversed(genomes)))[::-1]
        assert [one.value for one in backwards] == [one.value for one in together], "scores must come in the order of the genomes"
        alone = [score([genome])[0] for genome in genomes]
        assert [one.value for one in alone] == [one.value for one in together], "a score must not depend on its company"
        assert [one.usage for one in alone] == [one.usage for one in together], "the nominal cost is the same on a cache hit"
    return together


def check_strategy(build: Callable[[], Strategy[G]], evaluate: Evaluate[G], *, matings: int = 60, n: int = 3) -> None:
    """A fold over asks and tells: repeatable, bounded by n, at peace with stillbirths, and it names its end.

    `build` gives a new strategy each time, always the same.
    """

    def play(strategy: Strategy[G], slots: int, lost: Callable[[int], bool]) -> list[str]:
        seen: list[str] = []
        open_: list[Sequence[Mating[G]]] = []
        born = 0
        while len(seen) < matings:
            asked = strategy.ask(n)
            assert len(asked) <= n, f"at most {n} matings were wanted, {len(asked)} were planned: the batch is what the user pays for"
            if not asked and not open_:
                assert strategy.ending, "an empty ask with nothing open ends the run: `ending` must say why, in words for the user"
                return seen
            seen += [mating.id for mating in asked]
            if asked:
                open_.append(asked)
            if len(open_) >= slots or not asked:
                cohort = open_.pop(0)
                births: list[Birth[G]] = []
                for mating in cohort:
                    born += 1
                    births.append(_birth(mating, evaluate, lost(born)))
                view, before = strategy.view, strategy.view.population
                strategy.tell(births)
                assert view.population == before, "a view is a snapshot: tell makes a new one"
                assert all(one.fitness.ok for one in strategy.view.population), "a failed individual is in the population"
        return seen

    for slots in (1, 3):
        once = play(build(), slots, lambda i: i % 5 == 0)
        assert len(set(once)) == len(once), "two matings have the same id: count the ordinal up"
        again = play(build(), slots, lambda i: i % 5 == 0)
        assert once == again, "the same asks and tells gave other matings: no clock, no global generator, no state outside the strategy"
        ended = play(build(), slots, lambda i: True)
        assert len(ended) <= matings + n


def check_llm(model: LLM, request: Request) -> Reply:
    """A reply with text, cost and finish. Raises what the model raises: `CallFailed` and `Pause` are for its caller."""
    assert isinstance(model.key, str) and model.key == model.key != "", "a key tells this model's answers from all others'"
    reply = asyncio.run(_awaited(model(request)))
    assert isinstance(reply, Reply) and isinstance(reply.text, str), "an answer is a Reply with text"
    assert reply.finish in get_args(Finish), f"finish is one of {get_args(Finish)}, not {reply.finish!r}"
    assert reply.usage.calls == 1, "a reply counts as one call, also when it comes from a cache: budgets compare recipes by it"
    assert min(reply.usage.tokens_in, reply.usage.tokens_out, reply.usage.price) >= 0, "nothing costs less than nothing"
    return reply


def population(genomes: Sequence[G], scores: Sequence[float], name: str = "one") -> list[Individual[G]]:
    """Individuals with these scores, each on a seat of its own."""
    return [
        Individual(f"{name}-{i}", genome, Fitness(score, cases={"a": score, "b": -score}, measures=(score, 0.0)), seat=i)
        for i, (genome, score) in enumerate(zip(genomes, scores, strict=False))
    ]


def _birth(mating: Mating[G], evaluate: Evaluate[G], lost: bool) -> Birth[G]:
    context = Context(mating.seed, mating.id, mating.cases)
    if lost:
        return mating.stillbirth("lost by the check", context.meter.usage, 0)

    async def bear() -> Birth[G]:
        try:
            genome = await mating.variation(mating.parents, context)
        except VariationFailed as error:
            return mating.stillbirth(str(error), context.meter.usage, 0)
        (fitness,) = await evaluate([genome], [Context(Seed.of(0).fold(genome.key), cases=mating.cases)])
        return mating.birth(genome, fitness, context.meter.usage, 0)

    return asyncio.run(bear())


async def _awaited(work: Any) -> Any:
    return await work


def _numpy_state() -> str:
    return repr(np.random.get_state())


__all__ = [
    "SCORES", "check_evaluate", "check_genome", "check_llm", "check_selection", "check_strategy", "check_succession", "check_variation",
    "population",
]  # fmt: skip
