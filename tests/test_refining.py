"""Refinement end to end with a model that is a function: stops at valid, never worse than the samples, resumable, honest."""

from __future__ import annotations

import asyncio
import random
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmevo.cli import main
from llmevo.core import ConfigError, Individual, StorageError
from llmevo.fitness.check import Verdict
from llmevo.recipes import REFINEMENTS
from llmevo.refining import arefine, refine

TARGET = [3, 1, 4, 1]
ASKED: list[str] = []
QUESTION = "Find the CONFIG of four digits from 0 to 4."


def model(request: Any) -> str:
    """Mixes the configurations that it is shown, and changes one digit; samples when it is shown none."""
    prompt = request.messages[-1].content
    ASKED.append(prompt)
    chance = random.Random(f"{request.sample} {prompt}")
    if "<question>" in prompt:
        return f"<question>{QUESTION} ({chance.randrange(99)})</question>"
    if "<critique>" in prompt:
        return f"<critique>change digit {chance.randrange(4)}</critique>"
    if "<chosen>" in prompt:
        return f"<chosen>{', '.join(map(str, chance.sample(range(1, 4), 3)))}</chosen>"
    shown = [[int(digit) for digit in found.split(",")] for found in re.findall(r"CONFIG = \[([\d, ]+)\]", prompt)]
    values = [chance.randrange(5) for _ in TARGET]
    if shown:
        values = [chance.choice(column) for column in zip(*shown, strict=True)]
        values[chance.randrange(4)] = chance.randrange(5)
    return f"<answer>CONFIG = {values}</answer>"


def right(answer: str) -> Verdict:
    digits = [int(digit) for digit in re.findall(r"\d", answer)]
    share = sum(a == b for a, b in zip(digits, TARGET, strict=True)) / len(TARGET)
    return Verdict(share, 1 - share, (f"{share:.2f} of the digits are right",), (float(digits[0]), float(digits[1])))


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "refining_model", sys.modules[__name__])
    ASKED.clear()


MODEL = "scripted:refining_model:model"


@pytest.mark.parametrize("name", [*REFINEMENTS, "one-plus-one"])
def test_every_recipe_refines_and_is_never_worse_than_its_samples(name: str) -> None:
    born: list[Individual[Any]] = []

    def told(now: Any) -> None:
        born.extend(birth for birth in now.births if isinstance(birth, Individual))

    found = refine(QUESTION, right, model=MODEL, recipe=name, population=6, steps=12, seed=1, on_cohort=told)
    assert found.answer is not None and right(found.answer).value == found.score
    samples = [one.fitness.value for one in born if not one.parents]
    assert samples and found.score >= max(samples)
    assert len(born) > len(samples), "answers have children"
    assert found.lineage[-1].fitness.value == found.score and not found.lineage[0].parents
    assert (found.reason == "an answer is valid") == found.valid == (found.score == 1.0)
    if name in ("revise", "evoscale"):
        assert any("of the digits are right" in prompt for prompt in ASKED), "the next answer is written in view of the feedback"


def test_mind_evolution_talks_migrates_and_resets(tmp_path: Path) -> None:
    told: list[Any] = []
    options: dict[str, Any] = {"model": MODEL, "recipe": "mind-evolution", "population": 8, "steps": 6, "seed": 4}
    options |= {"elites": 3, "candidates": 5}
    found = refine(QUESTION, longer, run=tmp_path / "run", on_cohort=told.append, **options)
    critics = [prompt for prompt in ASKED if "You are the critic" in prompt]
    authors = [prompt for prompt in ASKED if "You are the author" in prompt]
    assert critics and len(authors) == len(critics) and all("The critic: change digit" in prompt for prompt in authors)
    assert {len(re.findall(r"^Answer \(score", prompt, re.MULTILINE)) for prompt in critics} >= {1, 2}
    picks = [[one for one in now.births if one.variation.startswith("pick(")] for now in told]
    resets = [i for i, births in enumerate(picks) if births]
    assert resets == [3, 7], "after every third step"
    assert len([prompt for prompt in ASKED if "<chosen>" in prompt]) == 2, "one question for all places of all islands"
    for i in resets:
        weakest = {one.deme for one in picks[i]}
        assert len(weakest) == 2 and len(picks[i]) == 6
        earlier = {one.genome.key for now in told[:i] for one in now.births if isinstance(one, Individual)}
        assert {one.genome.key for one in picks[i]} <= earlier
    assert {one.deme for now in told for one in now.births} == {0, 1, 2, 3}
    asked = len(ASKED)
    again = refine(QUESTION, longer, run=tmp_path / "run", **options)
    assert again.answer == found.answer and len(ASKED) == asked
    assert found.evaluations <= 8 * 7, "who is picked keeps the score"


@pytest.mark.parametrize("inner", ["ga-llm", {"recipe": "evoscale", "top": 2}, {"recipe": "map-elites"}, {"recipe": "one-plus-one"}])
def test_islands_over_any_recipe(inner: Any) -> None:
    told: list[Any] = []

    def check(answer: str) -> Verdict:
        return replace(right(answer), violation=1.0)

    found = refine(
        QUESTION, check, model=MODEL, recipe="islands", inner=inner, count=2, interval=1, population=6, steps=20, on_cohort=told.append
    )
    assert found.score is not None
    living = [one for now in told for one in now.births if isinstance(one, Individual)]
    homes = {one.id: one.deme for one in living}
    assert set(homes.values()) == {0, 1}
    assert any(homes[parent] != one.deme for one in living for parent in one.parents), "migrants have children"


def test_the_first_valid_answer_ends_it() -> None:
    told: list[Any] = []
    found = refine(QUESTION, right, model=MODEL, population=6, steps=50, seed=0, on_cohort=told.append)
    assert found.valid and found.pause is None
    for one in told[:-1]:
        assert not any(isinstance(birth, Individual) and birth.fitness.violation == 0 for birth in one.births)


def test_the_same_seed_gives_the_same_answer_and_a_folder_goes_on(tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": MODEL, "population": 4, "seed": 3}
    whole = refine(QUESTION, lambda answer: right(answer).value, steps=4, **options)
    first = refine(QUESTION, lambda answer: right(answer).value, steps=1, run=tmp_path / "run", **options)
    asked = len(ASKED)
    again = refine(QUESTION, lambda answer: right(answer).value, steps=1, run=tmp_path / "run", **options)
    assert again.answer == first.answer and len(ASKED) == asked, "what is recorded is not asked again"
    assert refine(QUESTION, lambda answer: right(answer).value, steps=4, run=tmp_path / "run", **options).answer == whole.answer


def test_an_ablated_operator_is_never_used() -> None:
    refine(QUESTION, right, model=MODEL, population=4, steps=6, seed=5, ablate=("prompt_mutation", "crossover"))
    assert not any("<question>" in prompt or "Answer 2" in prompt for prompt in ASKED)
    with pytest.raises(ConfigError, match="did you mean 'crossover'"):
        refine(QUESTION, right, model=MODEL, ablate=("crosover",))
    with pytest.raises(ConfigError, match="keep at least one"):
        refine(QUESTION, right, model=MODEL, ablate=("prompt_mutation", "crossover", "textual_mutation"))


def test_budget_and_deadline_pause_with_the_best_so_far() -> None:
    found = refine(QUESTION, lambda answer: right(answer).value, model=MODEL, population=4, steps=50, budget={"calls": 30}, seed=2)
    assert found.pause is not None and "calls" in found.reason and found.answer is not None

    async def slowly(answer: str) -> float:
        await asyncio.sleep(0.02)
        return right(answer).value

    cut = refine(QUESTION, lambda answer: right(answer).value, model=MODEL, budget={"evaluations": 5}, seed=2)
    assert cut.pause is not None and cut.answer is not None and cut.score is not None, "five of the first eight were checked"
    assert len(cut.lineage) == 1 and cut.lineage[0].genome.part("answer") == cut.answer

    async def one_hangs(answer: str) -> float:
        await asyncio.sleep(60 if answer == cut.answer else 0)
        return right(answer).value

    hung = refine(QUESTION, one_hangs, model=MODEL, steps=50, deadline=0.5, seed=2)
    assert hung.pause is not None and hung.answer not in (None, cut.answer)

    late = refine(QUESTION, slowly, model=MODEL, population=2, steps=10_000, deadline=0.5, seed=2)
    assert late.pause is not None and "deadline" in late.reason and late.answer is not None


def test_inside_a_running_loop_and_with_a_check_that_fails() -> None:
    def broken(answer: str) -> float:
        raise RuntimeError("no verdict today")

    async def both() -> None:
        found = await arefine(QUESTION, right, model=MODEL, population=4, steps=2)
        assert found.answer is not None
        failed = await arefine(QUESTION, broken, model=MODEL, population=4, steps=2)
        assert failed.answer is None and "no verdict today" in failed.reason

    asyncio.run(both())
    with pytest.raises(ConfigError, match="no question"):
        refine(" ", right, model=MODEL)


def test_the_command_prints_the_answer_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["llmevo", "refine", QUESTION, "--check", "refining_model:right", "--model", MODEL, "--steps", "40"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 0
    assert said.out == "CONFIG = [3, 1, 4, 1]\n" and "valid" in said.err
    monkeypatch.setattr(sys, "argv", ["llmevo", "refine", QUESTION, "--check", "refining_model:rigth", "--model", MODEL])
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == 78 and "did you mean 'right'" in capsys.readouterr().err


def test_the_command_leaves_operators_out(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["llmevo", "refine", QUESTION, "--check", "refining_model:right", "--model", MODEL, "--steps", "3", "--seed", "5", "--ablate"]
    monkeypatch.setattr(sys, "argv", [*command, "crossover,prompt-mutation"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0 and any("Improve this answer" in prompt for prompt in ASKED)
    assert not any("<question>" in prompt or "Good answers to one question" in prompt for prompt in ASKED)
    monkeypatch.setattr(sys, "argv", [*command, "crosover"])
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == 78 and "crossover" in capsys.readouterr().err


def longer(answer: str) -> float:
    return 0.1 * len(answer)


def shorter(answer: str) -> float:
    return -0.1 * len(answer)


def test_a_folder_does_not_go_on_with_another_check_question_or_model(tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": MODEL, "population": 3, "steps": 2, "seed": 1, "run": tmp_path / "run"}
    first = refine(QUESTION, longer, **options)
    asked = len(ASKED)
    for question, check, more, name in (
        (QUESTION, shorter, {}, "check"),
        ("Another CONFIG?", longer, {}, "question"),
        (QUESTION, longer, {"recipe": "revise"}, "recipe"),
        (QUESTION, longer, {"seed": 2}, "seed"),
        (QUESTION, longer, {"population": 4}, "population"),
        (QUESTION, longer, {"model": {"model": MODEL, "temperature": 1.5}}, "model"),
    ):
        with pytest.raises(ConfigError, match=rf"holds another run(.|\n)*{name}"):
            refine(question, check, **{**options, **more})
    assert len(ASKED) == asked
    again = refine(QUESTION, longer, **{**options, "steps": 3})
    assert again.score is not None and first.score is not None and again.score >= first.score and len(ASKED) > asked


def test_what_earlier_sittings_spent_counts(tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": MODEL, "population": 3, "steps": 4, "seed": 1, "run": tmp_path / "run"}
    calls: list[str] = []

    def counted(answer: str) -> float:
        calls.append(answer)
        return longer(answer)

    first = refine(QUESTION, counted, budget={"evaluations": 4}, **options)
    again = refine(QUESTION, counted, budget={"evaluations": 4}, **options)
    assert first.pause is not None and again.pause is not None and len(calls) == 4
    whole = refine(QUESTION, counted, budget={"evaluations": 50}, **options)
    assert whole.pause is None and whole.evaluations == len(calls)
    waited = refine(QUESTION, counted, budget={"seconds": 1e-9}, **{**options, "steps": 6})
    assert waited.pause is not None and "seconds" in waited.reason


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"popultion": 3}, "did you mean 'population'"),
        ({"patience": "x"}, "patience: input should be a valid integer"),
        ({"patience": 0}, "at least 1"),
        ({"keep": 0}, "at least one member"),
        ({"tries": 0}, "tried at least once"),
        ({"duplicates": "wrods"}, "duplicates"),
        ({"crossover": -1.0}, "crossover: input should be greater than or equal to 0"),
        ({"steps": 0}, "give at least 1"),
        ({"recipe": "islands", "count": 0}, "count"),
        ({"recipe": "islands", "inner": "no-such"}, "there is no recipe 'no-such'"),
        ({"recipe": "islands", "inner": {"recipe": "ga-llm", "crosover": 0.1}}, "inner.crosover: ga-llm has no such setting; did you mean"),
        ({"recipe": "islands", "inner": {"recipe": "ga-llm", "crossover": "much"}}, "inner.crossover"),
        ({"recipe": "islands", "inner": {"crossover": 0.1}}, "name the recipe"),
        ({"recipe": "islands", "inner": {"recipe": "ga-llm", "crossover": 0, "prompt_mutation": 0, "textual_mutation": 0}}, "rate 0"),
        ({"recipe": "mind-evolution", "count": 2, "reset": 2}, "not all of them are reset"),
        ({"recipe": "map-elites", "cell": (0.0,)}, "cell"),
        ({"recipe": "evoscale", "top": 0}, "top"),
        ({"budget": {"call": 3}}, "did you mean 'calls'"),
        ({"deadline": -1}, "deadline"),
        ({"model": {"model": MODEL, "tmperature": 1.0}}, "did you mean 'temperature'"),
        ({"model": {"model": MODEL, "price": {"input": 1.0}}}, "price.output"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_asked(more: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        refine(QUESTION, longer, run=tmp_path / "run", **{"model": MODEL, **more})
    assert not ASKED and not (tmp_path / "run").exists()


def test_a_model_with_a_price_is_paid_from_a_budget_in_dollars() -> None:
    priced = {"model": MODEL, "price": {"input": 1.0, "output": 1.0}}
    assert refine(QUESTION, longer, model=priced, population=2, steps=1, budget={"usd": 1.0}).spent.price > 0


def test_a_folder_that_cannot_be_opened_is_let_go(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.sqlite").write_bytes(b"no database" * 100)
    for _ in range(2):
        with pytest.raises(StorageError):
            refine(QUESTION, longer, model=MODEL, run=tmp_path / "run")


def test_inside_a_loop_the_plain_twin_names_the_other_one() -> None:
    async def inside() -> None:
        with pytest.raises(ConfigError, match="await arefine"):
            refine(QUESTION, longer, model=MODEL)

    asyncio.run(inside())


def test_best_of_n_only_samples() -> None:
    found = refine(QUESTION, right, model=MODEL, recipe="best-of-n", population=4, steps=3, seed=8)
    assert found.score is not None and len(found.lineage) == 1 and not any("CONFIG = " in prompt for prompt in ASKED)


def test_what_is_known_is_not_checked_again_and_what_differs_only_in_spacing_is_known() -> None:
    checked: list[str] = []

    def careless(request: Any) -> str:
        reply = model(request)
        return reply.replace(", ", ",") if random.Random(str(request.sample)).random() < 0.5 else reply

    sys.modules[__name__].careless = careless  # type: ignore[attr-defined]

    def counted(answer: str) -> float:
        checked.append(answer.replace(" ", ""))
        return right(answer).value

    options: dict[str, Any] = {"model": "scripted:refining_model:careless", "steps": 20, "seed": 4, "batch": 1, "prompt_mutation": 0}
    refine(QUESTION, counted, **options)
    assert len(checked[8:]) == len(set(checked[8:]) - set(checked[:8])), "founders aside, no answer was checked twice"
    checked.clear()
    refine(QUESTION, counted, duplicates="allow", **options)
    assert len(set(checked)) < len(checked)


def test_replies_that_cannot_be_read_still_give_answers() -> None:
    born: list[Any] = []

    def sloppy(request: Any) -> str:
        spoilt = random.Random(f"{request.sample} spoilt").random() < 0.35
        return model(request).replace("</answer>", "").replace("<question>", "") if spoilt else model(request)

    sys.modules[__name__].sloppy = sloppy  # type: ignore[attr-defined]
    options: dict[str, Any] = {"model": "scripted:refining_model:sloppy", "steps": 30, "seed": 4, "duplicates": "allow"}
    found = refine(QUESTION, lambda answer: right(answer).value, on_cohort=lambda now: born.extend(now.births), **options)
    lived = [birth for birth in born if isinstance(birth, Individual)]
    copies = [birth for birth in born if "copy" in str(getattr(birth, "error", ""))]
    assert len(lived) + len(copies) >= 0.95 * len(born) and len(lived) > 150
    assert found.score is not None and found.score >= max(one.fitness.value for one in lived if not one.parents)


def test_operators_show_what_was_found_and_scores_that_tell_answers_apart() -> None:
    values = iter([0.40001, 0.40002, *[0.1 + i / 1e6 for i in range(100)]])
    refine(QUESTION, lambda answer: (next(values), "the third digit is odd"), model=MODEL, population=2, steps=15, seed=1)
    mutations = [prompt for prompt in ASKED if "Improve this answer" in prompt]
    crossings = [prompt for prompt in ASKED if "Good answers to one question" in prompt]
    assert mutations and all(re.search(r"Wrong: \[(\w+)\] the third digit is odd \[/\1\]", prompt) for prompt in mutations)
    assert any("0.40001" in prompt and "0.40002" in prompt for prompt in crossings)
    assert any("Answer 3" in prompt.split("Now these")[1] for prompt in crossings)


def idle(request: Any) -> str:
    """Knows nothing: whatever it is asked, it says something new that is wrong."""
    IDLE.append(request.messages[-1].content)
    return f"<answer>CONFIG = [0, 0, 0, {len(IDLE)}]</answer>"


IDLE: list[str] = []
TWO = [{"model": "scripted:refining_model:idle"}, MODEL]


def never(answer: str) -> Verdict:
    """As right, but never valid: the search goes on."""
    digits = [int(digit) for digit in re.findall(r"\d+", answer)]
    return Verdict(sum(a == b for a, b in zip(digits, TARGET, strict=True)) / 4, 1.0)


@pytest.mark.parametrize("more", [{}, {"recipe": "map-elites", "measures": ("words",)}, {"recipe": "evoscale"}])
def test_a_bandit_chooses_among_models_too(more: dict[str, Any], tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": TWO, "steps": 60, "batch": 1, "seed": 1, **more}
    if more.get("recipe") == "evoscale":
        del options["batch"]
    counts = {}
    for choose in ("rates", "bandit"):
        IDLE.clear()
        ASKED.clear()
        refine(QUESTION, never, choose=choose, run=tmp_path / choose, **options)
        counts[choose] = len(IDLE) / (len(IDLE) + len(ASKED))
    assert 0.35 < counts["rates"] < 0.65 and counts["bandit"] < counts["rates"]
    asked = len(IDLE) + len(ASKED)
    refine(QUESTION, never, choose="bandit", run=tmp_path / "bandit", **options)
    assert len(IDLE) + len(ASKED) == asked, "the record is enough"
    with pytest.raises(ConfigError, match=r"model 2\.temperature"):
        other = {**options, "model": [TWO[0], {"model": MODEL, "temperature": 0.1}]}
        refine(QUESTION, never, choose="bandit", run=tmp_path / "bandit", **other)


def test_samples_come_from_every_model() -> None:
    IDLE.clear()
    refine(QUESTION, never, model=TWO, recipe="mind-evolution", population=8, steps=1)
    assert sum("<answer>" in prompt and "critic" not in prompt for prompt in IDLE) >= 3 and len(ASKED) >= 3
    with pytest.raises(ConfigError, match="name at least one"):
        refine(QUESTION, never, model=[])


def test_a_grid_keeps_the_best_of_every_length_and_style() -> None:
    def text(request: Any) -> str:
        chance = random.Random(f"{request.sample} {request.messages[-1].content}")
        return f"<answer>{' '.join('well' + '.' * (chance.random() < 0.4) for _ in range(chance.randrange(2, 12)))}.</answer>"

    def style(answer: str) -> float:
        return answer.count(".") / len(answer.split())

    sys.modules[__name__].text = text  # type: ignore[attr-defined]
    options: dict[str, Any] = {"model": "scripted:refining_model:text", "recipe": "map-elites", "population": 6, "steps": 6}
    found = refine("Say well.", lambda answer: len(set(answer)) / 10, measures=("words", style), cell=(4.0, 0.5), **options)
    cells = [(int(words // 4), int(dots // 0.5)) for words, dots in (one.fitness.measures for one in found.population)]
    assert len(cells) == len(set(cells)) >= 4
    for one in found.population:
        answer = one.genome.part("answer")
        assert one.fitness.measures == (len(answer.split()), style(answer))
    with pytest.raises(ConfigError, match="there are 2 measures, and cell has 1"):
        refine("Say well.", longer, measures=("words", style), cell=(4.0,), **options)
    with pytest.raises(ConfigError, match="gives no measures"):
        refine("Say well.", longer, **options)
    with pytest.raises(ConfigError, match="did you mean 'words'"):
        refine("Say well.", longer, measures=("word",), **options)
    failed = refine("Say well.", longer, measures=(lambda answer: float("nan"),), **options)
    assert failed.answer is None and "the measure" in failed.reason


def test_it_goes_on_from_a_valid_answer_to_a_better_one(tmp_path: Path) -> None:
    def check(answer: str) -> Verdict:
        return replace(right(answer), violation=0.0)

    options: dict[str, Any] = {"model": MODEL, "population": 4, "steps": 8, "seed": 2, "run": tmp_path / "run"}
    first = refine(QUESTION, check, **{**options, "run": None})
    assert first.evaluations == 1 and first.reason == "an answer is valid"
    found = refine(QUESTION, check, stop_at_valid=False, **options)
    assert found.valid and found.evaluations > 8 and found.score is not None and first.score is not None and found.score > first.score
    with pytest.raises(ConfigError, match="stop_at_valid"):
        refine(QUESTION, check, **options)


def test_the_command_reaches_every_setting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def said(*more: str) -> tuple[int, str, str]:
        command = ["llmevo", "refine", QUESTION, "--check", "refining_model:never", "--steps", "3", *more]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out, out.err

    two = ("--model", "scripted:refining_model:idle", "--model", MODEL)
    code, out, err = said(*two, "--recipe", "map-elites", "--measure", "words", "--measure", "sentence", "--set", "cell=[1, 2]", "--go-on")
    assert code == 1 and out.startswith("CONFIG") and len(out.splitlines()) == 1 and IDLE and ASKED
    assert "step 1" in err and "evaluations" in err
    code, out, err = said("--model", MODEL, "--set", "patience=3", "--set", "budget.evaluations=9", "--set", "model.temperature=0.3")
    assert code == 1 and "evaluations is 9" in err
    code, out, err = said("--model", MODEL, "--evaluations", "5", "--json")
    assert code == 1 and '"paused": true' in out and not err
    for wrong, words in (
        (("--set", "patiense=3"), "did you mean 'patience'"),
        (("--set", "model=3"), "--set model: name one of its keys"),
        (("--set", "model.temprature=3"), "did you mean 'temperature'"),
        (("--set", "judge.votes=3"), "belong to a judge"),
        (("--votes", "3"), "belong to a judge"),
        (("--measure", "word"), "did you mean 'words'"),
    ):
        code, out, err = said("--model", MODEL, *wrong)
        assert code == 78 and words in err and not out, err
