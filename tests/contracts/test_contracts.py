"""The shipped contract checks over all that exists, and over things that break each promise."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from llmevo.breeding import (
    Bandit,
    Comma,
    Either,
    Foremost,
    Given,
    Joined,
    Lottery,
    PartCrossover,
    Product,
    Reassess,
    Roles,
    Roulette,
    Tournament,
    Weighted,
    always_replace,
    boltzmann,
    chain,
    keep_all,
    on,
    one_to_one,
    per_case,
    per_cell,
    rank,
    roulette,
    swarm,
    targets,
    truncation,
    uniform,
)
from llmevo.core import UNSCORED, Context, Fitness, Seed, Usage, VariationFailed
from llmevo.fitness import FunctionFitness
from llmevo.llm import Message, Reply, Request, ScriptedLLM
from llmevo.strategies import Distribution, For, Founding, Genetic, Islands, alternate, sequence
from llmevo.testing.contracts import (
    check_evaluate,
    check_genome,
    check_llm,
    check_selection,
    check_strategy,
    check_succession,
    check_variation,
    population,
)
from llmevo.testing.toy import Digits, Distance, Toy, cross, differ, fresh, mutate, step
from llmevo.text.edits import Cut, Splice, WordEdits
from llmevo.text.genome import TextGenome
from tests.helpers import named

DIGITS = [Digits(tuple(int(c) for c in f"{i:06d}")) for i in range(8)]
TEXTS = [TextGenome(f"Decide whether the review, number {i}, is good; answer with one word.") for i in range(8)]
BOTH = [Product({"digits": digits, "words": text}) for digits, text in zip(DIGITS, TEXTS, strict=True)]
CELL = per_cell(lambda measures: measures[0] > 0)


def average(parents: Any, rng: Any) -> list[int]:
    return [round(sum(column) / len(column)) for column in zip(*parents, strict=True)]


# Genomes ------------------------------------------------------------------------------------------------------------------------

GENOMES = [
    DIGITS[0], Digits(()), TEXTS[0], TextGenome({"a": "x", "b": "y"}), TextGenome({"b": "y", "a": "x"}), TextGenome({"a": "xb", "b": "y"}),
    TextGenome("\x00\ud800\u202e"), TextGenome("a\nb\r\nc\u2028d"), TextGenome(""), TextGenome("{{x}}<prompt>"),
    BOTH[0], Product({"words": TEXTS[0], "digits": DIGITS[0]}), Product({"words": TEXTS[0]}), Product({"both": BOTH[0]}),
]  # fmt: skip


@pytest.mark.parametrize("i", range(len(GENOMES)))
def test_genomes(i: int) -> None:
    check_genome(GENOMES[i], [other for k, other in enumerate(GENOMES) if k != i])


@dataclass(frozen=True)
class Fickle(Digits):
    """A genome with one promise broken."""

    broken: str = ""
    kind: ClassVar[str] = "fickle"
    looks: ClassVar[Any] = itertools.count()

    @property
    def key(self) -> str:  # type: ignore[override]
        keys = {"unstable": f"b2:{next(self.looks)}", "untagged": "abc", "forgets order": f"b2:{sorted(self.values)}"}
        return keys.get(self.broken, f"b2:{self.values}")

    def preview(self) -> str:
        return "two\nlines" if self.broken == "preview" else "one"

    def dump(self, blobs: Any) -> dict[str, Any]:
        extra = {"now": next(self.looks)} if self.broken == "clock" else {"set": float("nan")} if self.broken == "json" else {}
        return {**super().dump(blobs), "broken": self.broken, **extra}

    @classmethod
    def load(cls, record: Any, blobs: Any) -> Any:
        values = record["values"][:1] if record["broken"] == "load" else record["values"]
        return cls(tuple(values), record["broken"])


@pytest.mark.parametrize("broken", ["unstable", "untagged", "preview", "clock", "json", "load", "forgets order"])
def test_broken_genomes_are_found(broken: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check_genome(Fickle((1, 2), broken), [Fickle((2, 1), broken)])
    check_genome(Fickle((1, 2)), [Fickle((2, 1))])


# Variations ---------------------------------------------------------------------------------------------------------------------

VARIATIONS: list[Any] = [
    (Toy("fresh", fresh(), 0), DIGITS, 0), (Toy("mutate", mutate, 1, ticks=9), DIGITS, 1), (Toy("cross", cross, 2, fails=0.4), DIGITS, 2),
    (Toy("differ", differ, 4), DIGITS, 4), (Toy("step", step, 5, ticks=4), DIGITS, 5), (Toy("average", average, None), DIGITS, 3),
    (Given(DIGITS[0]), DIGITS, 0), (Reassess(), DIGITS, 1), (chain(Toy("a", average, 2), Toy("b", mutate, 1)), DIGITS, 2),
    (WordEdits(), TEXTS, 1), (Splice(), TEXTS, 2), (Cut(), TEXTS, 2), (Given(TEXTS[0]), TEXTS, 0),
    (on("digits", Toy("cross", cross, 2)), BOTH, 2), (on("words", WordEdits()), BOTH, 1), (PartCrossover(), BOTH, 2),
    (Either([on("digits", Toy("mutate", mutate, 1)), on("words", WordEdits())]), BOTH, 1),
    (Foremost(on("words", WordEdits()), 3), BOTH, 3), (Joined({"a": Given(DIGITS[0]), "b": Toy("fresh", fresh(), 0)}), BOTH, 0),
]  # fmt: skip


@pytest.mark.parametrize(("variation", "genomes", "arity"), VARIATIONS, ids=lambda x: getattr(x, "key", None))
def test_variations(variation: Any, genomes: Any, arity: int) -> None:
    for child in check_variation(variation, population(genomes, [0.1] * arity)):
        check_genome(child)


def stateful() -> Callable[..., list[int]]:
    count = itertools.count()
    return lambda parents, rng: [next(count)] * 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (stateful(), "keep no state"),
        (lambda parents, rng: [random.randrange(10)] * 3, "context.seed"),
        (lambda parents, rng: np.random.randint(0, 9, size=3), "context.seed"),
    ],
)
def test_variations_with_randomness_of_their_own_are_found(make: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_variation(Toy("bad", make, 1), population(DIGITS, [0.0]), seeds=8)


def test_a_variation_that_never_gives_a_child_is_found() -> None:
    hopeless = Toy("hopeless", mutate, 1, fails=1.0)
    with pytest.raises(AssertionError, match="no seed gave a child: failed: hopeless"):
        check_variation(hopeless, population(DIGITS, [0.0]))
    assert check_variation(hopeless, population(DIGITS, [0.0]), must_succeed=False) == []


# Selections ---------------------------------------------------------------------------------------------------------------------

POOLED = [uniform, rank, roulette, Roulette(boltzmann(0.3)), Tournament(1), Tournament(2), Tournament(99)]


@pytest.mark.parametrize("genomes", [DIGITS, TEXTS, BOTH], ids=["digits", "texts", "both"])
@pytest.mark.parametrize("selection", POOLED, ids=named)
@pytest.mark.parametrize("arity", [0, 1, 2, 3, None])
def test_selections(selection: Any, arity: int | None, genomes: Any) -> None:
    check_selection(selection, genomes, arity)


SEATED = [targets, swarm, Roles(("self",)), Roles(("self", "random")), Roles(("self", "best", "worst"))]


@pytest.mark.parametrize("selection", SEATED, ids=named)
def test_roles(selection: Any) -> None:
    check_selection(selection, DIGITS, len(selection.names), distinct=False)


class Chosen:
    seated = False

    def __init__(self, choose: Callable[..., Any]) -> None:
        self.choose = choose

    def __call__(self, view: Any, n: int, arity: int | None, rng: Any) -> Any:
        return self.choose(view.population, n, arity or 2, rng) if view.population else []


@pytest.mark.parametrize(
    ("choose", "words"),
    [
        (lambda pool, n, k, rng: [tuple(pool[:1]) * k] * n, "same genome while others exist"),
        (lambda pool, n, k, rng: [tuple(pool[:k])] * n, "parents are needed"),
        (lambda pool, n, k, rng: [tuple(random.choice(pool) for _ in range(k))] * n, "equal generators|same genome|parents"),
        (lambda pool, n, k, rng: [(pool * k)[:k]] * (n - 1), "tuples were wanted"),
    ],
)
def test_broken_selections_are_found(choose: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_selection(Chosen(choose), DIGITS)
    with pytest.raises(AssertionError, match="empty population"):
        check_selection(Broken(), DIGITS)


class Broken:
    seated = False

    def __call__(self, *args: Any) -> Any:
        return [()]


# Successions --------------------------------------------------------------------------------------------------------------------

SUCCESSIONS = [
    truncation(1), truncation(3), truncation(99), one_to_one(), always_replace(), CELL, per_case(), Comma(2), Lottery(3), Lottery(2, 0, 9),
    keep_all,
]  # fmt: skip


@pytest.mark.parametrize("genomes", [DIGITS, TEXTS], ids=["digits", "texts"])
@pytest.mark.parametrize("i", range(len(SUCCESSIONS)))
def test_successions(i: int, genomes: Any) -> None:
    check_succession(SUCCESSIONS[i], genomes)


@pytest.mark.parametrize(
    ("succession", "words"),
    [
        (lambda population, births, rng: [*population, *births], "failed never|at most one place"),
        (lambda population, births, rng: [one for one in (*population, *births) if one.fitness.ok], "at most one place"),
        (lambda population, births, rng: [], "somebody must live on"),
        (lambda population, births, rng: keep_all(population, births, rng)[: random.choice((1, 2, 3, 4))], "equal survivors"),
    ],
)
def test_broken_successions_are_found(succession: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_succession(succession, DIGITS)


# Evaluations --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evaluate", [Distance(), Distance(whole_cohort=True), Distance(noise=0.5, ticks=5)])
def test_evaluations(evaluate: Any) -> None:
    check_evaluate(evaluate, DIGITS)


def test_a_function_is_an_evaluation() -> None:
    check_evaluate(FunctionFitness(lambda genome: -float(sum(genome.values))), DIGITS[:3])


class Judge:
    whole_cohort = False

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer = answer

    async def __call__(self, genomes: Sequence[Digits], contexts: Sequence[Context]) -> Any:
        return self.answer(genomes)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda genomes: [Fitness(0.0)], "need"),
        (lambda genomes: [0.5 for _ in genomes], "a score is a Fitness"),
        (lambda genomes: [Fitness(float(i)) for i, _ in enumerate(genomes)], "order|company"),
        (lambda genomes: [Fitness(float(len(genomes))) for _ in genomes], "company"),
        (lambda genomes: [Fitness(0.0, usage=Usage(calls=len(genomes))) for _ in genomes], "nominal cost"),
        (lambda genomes: [Fitness(random.random()) for _ in genomes], "global random|order"),
    ],
)
def test_broken_evaluations_are_found(answer: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_evaluate(Judge(answer), DIGITS)


# Strategies ---------------------------------------------------------------------------------------------------------------------

SEED = Seed.of(3)


def founding(count: int = 4, seed: Seed = SEED) -> Any:
    return Founding([Toy(f"fresh{i}", fresh(), 0) for i in range(count)], seed=seed)


def breeding(variation: Any = None, selection: Any = roulette, succession: Any = None, seed: Seed = SEED) -> Any:
    return Genetic(variation or Toy("cross", cross, 2), selection, succession or truncation(4), seed=seed)


def eggroll() -> Any:
    return Distribution(
        Toy("mean", fresh(), 0), Toy("plus", mutate, 1), Toy("minus", mutate, 1), Toy("update", average, None), pairs=2, seed=SEED
    )


STRATEGIES: dict[str, Callable[[], Any]] = {
    "founding": founding,
    "sequence": lambda: sequence(founding(), breeding()),
    "de": lambda: sequence(founding(), breeding(Toy("de", differ, 4), targets, one_to_one())),
    "swarm": lambda: sequence(founding(), breeding(Toy("step", step, 5), swarm, always_replace())),
    "alternate": lambda: sequence(founding(), alternate(For(breeding(seed=SEED.fold(1)), 3), For(breeding(succession=Lottery(4)), 4))),
    "bandit": lambda: sequence(founding(), breeding(Bandit([Toy("cross", cross, 2), Toy("mutate", mutate, 1)]))),
    "weighted": lambda: sequence(founding(), breeding(Weighted([(Toy("cross", cross, 2), 1), (Toy("new", fresh(), 0), 1)]))),
    "elites": lambda: sequence(founding(), breeding(succession=CELL)),
    "distribution": eggroll,
    "islands": lambda: Islands([sequence(founding(3, SEED.fold(i)), breeding(seed=SEED.fold(i))) for i in range(3)], interval=2),
    "islands of distributions": lambda: Islands([sequence(founding(3, SEED.fold(9)), breeding()), eggroll()], interval=1, migrants=2),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies(name: str) -> None:
    check_strategy(STRATEGIES[name], Distance(), matings=40)


class Greedy(Founding[Digits]):
    def ask(self, n: int) -> Any:
        return super().ask(n + 1)


class Mute(Founding[Digits]):
    def _told(self, told: Any) -> None:
        """Never says why it has ended."""


class Moody(Founding[Digits]):
    """Another seed each time it is built."""

    def __init__(self, founders: Any, seed: Seed) -> None:
        super().__init__(founders, seed=Seed.of(random.randrange(10**9)))


@pytest.mark.parametrize(("kind", "words"), [(Greedy, "at most 3 matings"), (Mute, "`ending` must say why"), (Moody, "other matings")])
def test_broken_strategies_are_found(kind: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_strategy(lambda: kind([Toy(f"f{i}", fresh(), 0) for i in range(9)], seed=SEED), Distance())


# Models -------------------------------------------------------------------------------------------------------------------------

ASK = Request((Message("user", "Is it good?"),))


def test_models() -> None:
    assert check_llm(ScriptedLLM(["yes it is"]), ASK).text == "yes it is"
    assert check_llm(ScriptedLLM(lambda request: request.messages[0].content), ASK).text == "Is it good?"


@pytest.mark.parametrize("reply", [Reply("x", Usage()), Reply("x", Usage(2)), Reply("x", Usage(1, -1)), Reply("x", Usage(1), "done")])  # type: ignore[arg-type]
def test_broken_models_are_found(reply: Reply) -> None:
    with pytest.raises(AssertionError):
        check_llm(ScriptedLLM([reply]), ASK)


def test_a_stage_without_a_score_is_no_candidate() -> None:
    assert not UNSCORED.ok and issubclass(VariationFailed, Exception)
