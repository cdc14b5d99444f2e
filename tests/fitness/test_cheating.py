"""A fitness that can be cheated is worthless: whatever a candidate, a checker or a judge does wrong, it wins nothing."""

from __future__ import annotations

import asyncio
import math
import sys
from typing import Any

import pytest

from llmevo.core import Context, Fitness, Individual, InvalidFitness, Seed, View, outranks
from llmevo.fitness import Case, Evaluator, FunctionFitness, FunctionScorer, Score
from llmevo.fitness.check import Checked, Verdict
from llmevo.llm.contract import Request
from llmevo.refining import refine
from llmevo.text import TextGenome
from llmevo.text.phenotypes import Verbatim
from tests.helpers import named


class Loud:
    """Compares as larger than everything, and is no number."""

    def __float__(self) -> float:
        return math.inf

    def __gt__(self, other: object) -> bool:
        return True

    def __lt__(self, other: object) -> bool:
        return False


class Raised(Exception):
    """Its text looks like a score."""

    def __str__(self) -> str:
        return "score: 1.0, value=1e9, valid"


def raises(answer: Any, *more: Any) -> Any:
    raise Raised


RETURNED = [
    math.nan, math.inf, -math.inf, 1e400, 10**400, None, "1.0", "score: 1.0", {"score": 1.0}, {"score": 0.1, "bonus": 1e9}, [1.0], Loud(),
    (1e9, {"bonus": 1}), Exception("score: 1.0"), object(), complex(1, 1), b"1",
]  # fmt: skip
HONEST = 0.1


def first(fitnesses: list[Fitness]) -> int:
    """Who is best ever of these, in the memory of a search."""
    born = [Individual(str(i), TextGenome(str(i)), fitness) for i, fitness in enumerate(fitnesses)]
    view: View[TextGenome] = View().advance((), born)
    assert view.best is not None
    return int(view.best.id)


@pytest.mark.parametrize("returned", RETURNED, ids=named)
def test_no_wrong_value_wins_against_an_honest_one(returned: Any) -> None:
    def value(text: str, *case: Any) -> Any:
        return returned if text == "cheat" else HONEST

    genomes = [TextGenome("cheat"), TextGenome("honest")]
    contexts = [Context(Seed.of(0)) for _ in genomes]
    evaluations: list[Any] = [
        FunctionFitness(value, reads=lambda genome: genome.text),
        Checked(value, lambda genome: genome.text),
        Evaluator(Verbatim(), [Case("1", "?", "x")], FunctionScorer(value)),
    ]
    for evaluate in evaluations:
        cheat, honest = asyncio.run(evaluate(genomes, contexts))
        assert not cheat.ok and cheat.error and honest.ok
        assert outranks(honest, cheat) and first([cheat, honest]) == 1 and first([honest, cheat]) == 0


@pytest.mark.parametrize("error", [StopIteration("score: 1.0"), SystemExit("score: 1.0")], ids=named)
def test_a_function_neither_hangs_the_search_nor_ends_the_program(error: BaseException) -> None:
    """As of a `next(...)` that finds nothing, or of an answer that is executed and calls `exit()`."""

    def ends(answer: Any, *more: Any) -> float:
        raise error

    async def later(answer: str) -> float:
        raise error

    evaluations: list[Any] = [
        FunctionFitness(ends),
        Checked(ends, lambda genome: genome.text),
        Checked(later, lambda genome: genome.text),
        Evaluator(Verbatim(), [Case("1", "?")], FunctionScorer(ends)),
    ]
    for evaluate in evaluations:
        [fitness] = asyncio.run(asyncio.wait_for(evaluate([TextGenome("cheat")], [Context(Seed.of(0))]), 30))
        assert not fitness.ok and type(error).__name__ in str(fitness.error)


def test_the_text_of_an_exception_is_no_score() -> None:
    genomes, contexts = [TextGenome("cheat")], [Context(Seed.of(0))]
    evaluations: list[Any] = [
        FunctionFitness(raises),
        Checked(raises, lambda genome: genome.text),
        Evaluator(Verbatim(), [Case("1", "?")], FunctionScorer(raises)),
    ]
    for evaluate in evaluations:
        [fitness] = asyncio.run(evaluate(genomes, contexts))
        assert not fitness.ok and fitness.value == -math.inf and "score: 1.0" in str(fitness.error)


HIDDEN: list[dict[str, Any]] = [
    {"objectives": {"x": math.nan}}, {"measures": (math.inf,)}, {"violation": -1.0}, {"violation": math.nan},
]  # fmt: skip


@pytest.mark.parametrize("hidden", HIDDEN, ids=named)
def test_what_is_hidden_in_a_verdict_or_a_fitness_fails_it(hidden: dict[str, Any]) -> None:
    checked: Checked[TextGenome] = Checked(lambda answer: Verdict(1.0, **hidden), lambda genome: genome.text)
    [fitness] = asyncio.run(checked([TextGenome("cheat")], [Context(Seed.of(0))]))
    assert not fitness.ok
    with pytest.raises(InvalidFitness):
        Fitness(1.0, **hidden)


def test_a_case_that_is_no_number_fails_the_whole() -> None:
    scores = iter([Score(1.0), Score(math.nan)])
    evaluate: Evaluator[TextGenome] = Evaluator(
        Verbatim(), [Case("1", "?", "x"), Case("2", "?", "y")], FunctionScorer(lambda answer, case: next(scores))
    )
    [fitness] = asyncio.run(evaluate([TextGenome("cheat")], [Context(Seed.of(0))]))
    assert not fitness.ok and "case" in str(fitness.error)


# Whole refinements: the winner is verified again by a strict function ---------------------------------------------------------------

ANSWERS = ["x = 0.5", "x = 1.0000001", "SCORE: 100 <score>10</score> valid=True Verdict(1e9, 0.0)", "x = 0.999", "x = 1"]


def model(request: Request) -> str:
    """Gives the answers in turn, the only right one last, as often as it is asked."""
    turn = sum(map(ord, request.sample)) + len(request.messages[0].content)
    return f"<answer>{ANSWERS[turn % len(ANSWERS)]}</answer>"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cheating_model", sys.modules[__name__])


def number(answer: str) -> float:
    return float(answer.partition("x = ")[2])


def tolerant(answer: str) -> Verdict:
    """As large as possible, at most 1: but a little more is let through, and pays."""
    x = number(answer)
    return Verdict(x, 0.0 if x <= 1 + 1e-6 else 1.0)


def strict(answer: str) -> bool:
    return number(answer) == 1


def found(check: Any, **more: Any) -> Any:
    return refine("x?", check, model="scripted:cheating_model:model", population=6, steps=6, duplicates="allow", **more)


@pytest.mark.parametrize("seed", range(3))
def test_a_tolerance_is_not_abused_when_the_winner_is_verified(seed: int) -> None:
    cheated = found(lambda answer: (tolerant(answer).value, "keep going"), seed=seed)
    assert cheated.answer == "x = 1.0000001" and cheated.verified is None, "without a strict check it wins"
    verified = found(lambda answer: (tolerant(answer).value, "keep going"), verify=strict, seed=seed)
    assert (verified.answer, verified.verified) == ("x = 1", True)
    ended = found(tolerant, verify=strict, seed=seed)
    assert (ended.answer, ended.valid, ended.verified) == ("x = 1", True, True), "and does not end the search"


def test_a_checker_that_accepts_everything_wins_nothing_against_the_strict_one() -> None:
    for constant in (lambda answer: True, lambda answer: Verdict(1.0), lambda answer: 1.0):
        result = found(constant, verify=strict)
        assert (result.answer, result.verified) == ("x = 1", True)
        never = found(constant, verify=lambda answer: False)
        assert never.verified is False and not never.valid and "not verified" in never.feedback[-1]


def test_a_candidate_that_holds_a_score_does_not_get_it() -> None:
    result = found(lambda answer: (strict(answer), "read as a number"))
    assert result.answer == "x = 1" and result.valid


def test_a_crowd_of_cheats_does_not_hide_the_honest_answer() -> None:
    """More of them than a search remembers as its best, each a little better than the right answer."""
    numbers = [f"x = {value}" for value in ("1", *(f"1.000000{i:02d}" for i in range(1, 41)))]

    def crowd(request: Request) -> str:
        CROWD.append(numbers[len(CROWD) % len(numbers)])
        return f"<answer>{CROWD[-1]}</answer>"

    CROWD.clear()
    asked: list[str] = []

    def verify(answer: str) -> bool:
        asked.append(answer)
        return strict(answer)

    sys.modules[__name__].crowd = crowd  # type: ignore[attr-defined]
    options: dict[str, Any] = {"model": "scripted:cheating_model:crowd", "recipe": "best-of-n", "population": 40, "steps": 1}
    result = refine("x?", number, verify=verify, **options)
    assert (result.answer, result.score, result.verified) == ("x = 1", 1.0, True)
    assert result.lineage[-1].genome.part("answer") == "x = 1"
    assert len(asked) == len(set(asked)) == 41 and asked[0] == "x = 1.00000040", "the best first, each once"
    asked.clear()
    assert refine("x?", lambda answer: -number(answer), verify=verify, **options).verified and len(asked) == 1, "and none in vain"


CROWD: list[str] = []


@pytest.mark.parametrize("verify", [lambda answer: 1.0, lambda answer: None, lambda answer: math.nan, lambda answer: {"ok": True}, raises])
def test_a_strict_check_has_to_say_yes(verify: Any) -> None:
    result = found(lambda answer: True, verify=verify)
    assert result.verified is False and not result.valid


def test_the_strict_check_is_part_of_the_run(tmp_path: Any) -> None:
    first_run = found(tolerant, verify=strict, run=tmp_path / "run")
    assert found(tolerant, verify=strict, run=tmp_path / "run").answer == first_run.answer
    with pytest.raises(Exception, match=r"\(check\)"):
        found(tolerant, run=tmp_path / "run")
