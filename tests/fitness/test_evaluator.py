"""The evaluator: means and slices, the three kinds of failure, cancellation, and what a call costs."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmevo.core import CaseSlice, ConfigError, Context, Fitness, InvalidFitness, Pause, Seed, Usage
from llmevo.fitness import Case, Evaluator, Failure, FunctionFitness, FunctionScorer, NoAnswer, Score, scorer_named
from llmevo.llm.contract import CallFailed, Refused, Reply, Request, Unreachable
from llmevo.llm.scripted import ScriptedLLM
from llmevo.text import Prompted, TextGenome, Verbatim
from tests.helpers import named

CASES = [Case(f"c{i}", f"input {i}", "even" if i % 2 == 0 else "odd") for i in range(6)]


def context(cases: CaseSlice | None = None) -> Context:
    return Context(Seed.of(0), cases=cases)


def evaluate(evaluator: Any, *genomes: TextGenome, contexts: Sequence[Context] | None = None) -> list[Fitness]:
    return asyncio.run(evaluator(list(genomes), list(contexts or [context() for _ in genomes])))


def parrot(request: Request) -> str:
    """Answers with the first word of the prompt, or rightly for `right`."""
    prompt, _, rest = request.messages[-1].content.partition("\n\n")
    if prompt.startswith("right"):
        return "even" if int(rest.split()[-1]) % 2 == 0 else "odd"
    return prompt.split()[0]


def test_mean_cases_usage_and_failures() -> None:
    llm = ScriptedLLM(parrot)
    right, half = evaluate(Evaluator(Prompted(llm), CASES, scorer_named("exact")), TextGenome("right one"), TextGenome("even so"))
    assert (right.value, half.value) == (1.0, 0.5)
    assert dict(half.cases) == {"c0": 1, "c1": 0, "c2": 1, "c3": 0, "c4": 1, "c5": 0}
    assert right.feedback == () and len(half.feedback) == 3
    failure = Failure.parse(half.feedback[0])
    assert failure is not None and (failure.answer, failure.target) == ("even", "odd")
    assert failure.input == f"input {failure.case[1:]}"
    assert half.usage.calls == 6 and half.usage.tokens_out == 6
    assert len(llm.requests) == 12


def test_equal_questions_have_equal_samples_across_genomes_and_repeats_have_others() -> None:
    llm = ScriptedLLM(parrot)
    evaluator = Evaluator(Prompted(llm), CASES[:1], scorer_named("exact"))
    evaluate(evaluator, TextGenome("same"), TextGenome("same"))
    assert llm.requests[0] == llm.requests[1]
    evaluate(evaluator, TextGenome("same"), contexts=[context(CaseSlice(("c0",), repeat=1))])
    assert llm.requests[2] != llm.requests[0] and llm.requests[2].sample == "1"


def test_a_slice_restricts_the_cases_and_slices_may_differ() -> None:
    llm = ScriptedLLM(parrot)
    evaluator = Evaluator(Prompted(llm), CASES, scorer_named("exact"))
    slices = [context(CaseSlice(("c3", "c0"))), context(), context(CaseSlice(("c1",)))]
    one, two, three = evaluate(evaluator, *[TextGenome("even")] * 3, contexts=slices)
    assert (list(one.cases), len(two.cases), list(three.cases)) == (["c3", "c0"], 6, ["c1"])
    assert (one.value, two.value, three.value) == (0.5, 0.5, 0.0)
    assert one.usage.calls == 2 and len(llm.requests) == 9
    with pytest.raises(ConfigError, match="no case 'c9'"):
        evaluate(evaluator, TextGenome("x"), contexts=[context(CaseSlice(("c9",)))])


def test_an_evaluator_needs_cases_with_distinct_ids() -> None:
    with pytest.raises(ConfigError, match="0 given"):
        Evaluator(Verbatim(), [], scorer_named("exact"))
    with pytest.raises(ConfigError, match="1 of 2 case ids are not unique"):
        Evaluator(Verbatim(), [CASES[0], CASES[0]], scorer_named("exact"))


class Minus:
    minimum = -2.0
    key = "minus"

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        return Score(1.0)


@pytest.mark.parametrize(
    "line",
    [
        Refused("no", Usage(1, 5, 0)),
        CallFailed("context too long", Usage(1, 5, 0)),
        Reply("", Usage(1, 5, 0)),
        Reply(" \n", Usage(1, 5, 0)),
        Reply("half", Usage(1, 5, 0), finish="refusal"),
        Reply("half", Usage(1, 5, 0), finish="filter"),
    ],
    ids=str,
)
def test_an_answer_that_did_not_come_scores_the_minimum_with_its_reason(line: Any) -> None:
    llm = ScriptedLLM(lambda request: line if "input 1" in request.messages[-1].content else "fine")
    fitness = evaluate(Evaluator(Prompted(llm), CASES[:4], Minus()), TextGenome("p"))[0]
    assert fitness.ok and dict(fitness.cases) == {"c0": 1, "c1": -2, "c2": 1, "c3": 1}
    failure = Failure.parse(fitness.feedback[0])
    assert failure is not None and failure.case == "c1" and failure.why and failure.answer == "(no answer)"
    assert fitness.usage.calls == 4 and fitness.usage.tokens_in >= 5


@pytest.mark.fault("E14")
def test_a_model_that_is_down_pauses_and_cancels_what_is_in_flight() -> None:
    done: list[str] = []

    class Slow:
        key = "slow"

        async def __call__(self, request: Request) -> Reply:
            text = request.messages[-1].content
            if "input 2" in text:
                raise Unreachable("the server is down")
            await asyncio.sleep(0.05)
            done.append(text)
            return Reply("even", Usage(1))

    async def main() -> None:
        evaluator = Evaluator(Prompted(Slow()), CASES, scorer_named("exact"))
        with pytest.raises(Pause, match="down"):
            await evaluator([TextGenome("a"), TextGenome("b")], [context(), context()])
        await asyncio.sleep(0.1)

    asyncio.run(main())
    assert done == []


@pytest.mark.fault("E14")
@pytest.mark.parametrize("error", [Unreachable("judge down"), CallFailed("unreadable verdict")])
def test_a_judge_that_is_down_is_no_score(error: Exception) -> None:
    async def judge(answer: str, case: Case) -> float:
        raise error

    with pytest.raises(Pause, match=r"judge down|no verdict on case c0"):
        evaluate(Evaluator(Verbatim(), CASES[:1], FunctionScorer(judge)), TextGenome("a"))


BAD = [None, "0.5", "", math.nan, math.inf, -math.inf, {"f1": 1.0}, {}, [1.0, 2.0], np.zeros(2), object(), 1j, b"1", (1, 2, 3)]
GOOD: list[tuple[Any, float]] = [
    (1, 1.0), (0.25, 0.25), (True, 1.0), (False, 0.0), (np.float32(0.5), 0.5), (np.int64(3), 3.0), (np.array(0.5), 0.5),
    (np.array([0.5]), 0.5), (Score(0.75, "ok"), 0.75), ((0.5, "half"), 0.5), (np.bool_(True), 1.0),
]  # fmt: skip


@pytest.mark.fault("E2")
@pytest.mark.fault("E3")
@pytest.mark.parametrize("value", BAD, ids=named)
def test_what_is_no_score_fails_the_genome_and_names_the_case(value: Any) -> None:
    def scorer(answer: str, case: Case) -> Any:
        return value if case.id == "c1" else 1.0

    def whole(genome: TextGenome) -> Any:
        return value

    fitness = evaluate(Evaluator(Verbatim(), CASES, FunctionScorer(scorer)), TextGenome("a"))[0]
    assert not fitness.ok and fitness.value == -math.inf
    assert fitness.error is not None and fitness.error.startswith("case c1: ")
    alone = evaluate(FunctionFitness(whole), TextGenome("a"))[0]
    assert not alone.ok and alone.error


@pytest.mark.fault("E3")
@pytest.mark.parametrize(("value", "wanted"), GOOD, ids=named)
def test_what_counts_as_a_number(value: Any, wanted: float) -> None:
    def scorer(answer: str, case: Case) -> Any:
        return value

    def whole(genome: TextGenome) -> Any:
        return value

    assert evaluate(Evaluator(Verbatim(), CASES, FunctionScorer(scorer)), TextGenome("a"))[0].value == pytest.approx(wanted)
    assert evaluate(FunctionFitness(whole), TextGenome("a"))[0].value == pytest.approx(wanted)


def broken(genome: Any) -> float:
    raise ValueError("no luck")


@pytest.mark.fault("E1")
def test_a_fitness_that_raises_fails_one_genome_with_its_traceback() -> None:
    def sometimes(genome: TextGenome) -> float:
        return broken(genome) if genome.text == "bad" else 1.0

    good, bad, also = evaluate(FunctionFitness(sometimes), TextGenome("a"), TextGenome("bad"), TextGenome("c"))
    assert (good.value, also.value, bad.ok) == (1.0, 1.0, False)
    assert bad.error is not None
    assert "ValueError: no luck" in bad.error and "in broken" in bad.error and bad.error.count("\n") <= 20

    def scorer(answer: str, case: Case) -> float:
        return broken(answer)

    fitness = evaluate(Evaluator(Verbatim(), CASES, FunctionScorer(scorer)), TextGenome("a"))[0]
    assert fitness.error is not None and fitness.error.startswith("case c0: ") and "no luck" in fitness.error


def test_function_fitness_takes_whole_fitnesses_async_functions_and_a_reader() -> None:
    async def whole(genome: TextGenome) -> Fitness:
        return Fitness(0.5, measures=(1.0,), usage=Usage(2))

    found = evaluate(FunctionFitness(whole), TextGenome("a"))[0]
    assert (found.value, found.measures, found.usage.calls) == (0.5, (1.0,), 2)
    assert evaluate(FunctionFitness(len, reads=lambda genome: genome.text), TextGenome("four"))[0].value == 4
    noted = evaluate(FunctionFitness(lambda genome: (0.1, "too short")), TextGenome("a"))[0]
    assert noted.feedback == ("too short",)

    class Check:
        async def __call__(self, genome: TextGenome) -> float:
            return 0.25

    assert evaluate(FunctionFitness(Check()), TextGenome("a"))[0].value == 0.25
    with pytest.raises(Pause):
        evaluate(FunctionFitness(lambda genome: (_ for _ in ()).throw(Pause("later"))), TextGenome("a"))


def test_a_sync_fitness_does_not_hold_up_the_loop() -> None:
    going_on = threading.Event()

    def slow(genome: TextGenome) -> float:
        return float(going_on.wait(30))

    async def main() -> list[Fitness]:
        task = asyncio.ensure_future(FunctionFitness(slow)([TextGenome("a")], [context()]))
        for _ in range(20):
            await asyncio.sleep(0)
        going_on.set()  # the function ends only when the loop went on beside it
        return await task

    assert asyncio.run(main())[0].value == 1.0


def test_a_phenotype_of_the_wrong_shape_is_named() -> None:
    class Short(Verbatim):
        async def __call__(self, genomes: Any, cases: Any, contexts: Any) -> Any:
            return [["x"]]

    with pytest.raises(InvalidFitness, match=r"shape \[1\], expected 6"):
        evaluate(Evaluator(Short(), CASES, scorer_named("exact")), TextGenome("a"))


def test_failures_are_the_worst_capped_cut_and_differ_between_genomes() -> None:
    cases = [Case(f"c{i}", "long " * 300, "x") for i in range(40)]
    evaluator = Evaluator(Verbatim(), cases, scorer_named("exact"), failures=3, excerpt=50)
    shown = []
    for text in ("a", "b", "c"):
        feedback = evaluate(evaluator, TextGenome(text))[0].feedback
        records = [Failure.parse(note) for note in feedback]
        assert len(records) == 3 and all(one is not None and len(one.input) == 50 for one in records)
        shown.append(tuple(one.case for one in records if one))
        assert feedback == evaluate(evaluator, TextGenome(text))[0].feedback
    assert len(set(shown)) > 1

    def graded(answer: str, case: Case) -> float:
        return int(case.id[1:]) / 100

    worst = evaluate(Evaluator(Verbatim(), cases, FunctionScorer(graded), failures=2), TextGenome("a"))[0]
    assert [one.case for note in worst.feedback if (one := Failure.parse(note))] == ["c0", "c1"]


@pytest.mark.parametrize("text", ["a note", "", "{", '{"case": 1}', '{"case": "c", "input": "i"}', '{"case":[]}', '{"case":'])
def test_notes_are_not_failures(text: str) -> None:
    assert Failure.parse(text) is None


def test_failures_survive_any_text() -> None:
    failure = Failure("c", 'quo"te\n{{ x }}', "\x00\ud800", "ü", "")
    assert Failure.parse(failure.dump()) == failure


def test_the_key_knows_scorer_phenotype_and_cases() -> None:
    llm = ScriptedLLM([])
    keys = {
        Evaluator(Prompted(llm), CASES, scorer_named("exact")).key,
        Evaluator(Prompted(llm), CASES, scorer_named("contains")).key,
        Evaluator(Prompted(llm, max_tokens=5), CASES, scorer_named("exact")).key,
        Evaluator(Verbatim(), CASES, scorer_named("exact")).key,
        Evaluator(Prompted(llm), CASES[:5], scorer_named("exact")).key,
    }
    assert len(keys) == 5


def test_no_answer_never_reaches_the_scorer() -> None:
    class Silent(Verbatim):
        async def __call__(self, genomes: Any, cases: Any, contexts: Any) -> Any:
            return [[NoAnswer("silent")] * len(cases) for _ in genomes]

    def scorer(answer: str, case: Case) -> float:
        raise AssertionError("asked")

    assert evaluate(Evaluator(Silent(), CASES, FunctionScorer(scorer, minimum=-1)), TextGenome("a"))[0].value == -1


@pytest.mark.parametrize(("name", "target", "said"), [("numeric", "nine", "holds no number"), ("regex", "(", "no regular expression")])
def test_a_target_that_a_scorer_cannot_use_is_named_before_anything_is_asked(name: str, target: str, said: str) -> None:
    cases = [Case("a", "one", "1"), Case("b", "nine", target)]
    with pytest.raises(ConfigError, match=said):
        Evaluator(Verbatim(), cases, scorer_named(name))


def test_a_scorer_that_expects_the_target_instead_of_the_case_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mistaken_scorer.py").write_text("def score(answer, target):\n    return answer == target\n")
    with pytest.raises(ConfigError, match=r"read `case\.target`"):
        scorer_named("mistaken_scorer:score", near=tmp_path)
