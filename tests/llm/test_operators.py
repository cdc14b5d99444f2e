"""Operators whose model answers what nobody hoped for: the parent again, half a child, a refusal, a context that is too long; and
how many failures it takes until a run stops."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from llmevo.breeding import Bandit, truncation, uniform
from llmevo.config import check_config, load_task
from llmevo.config.assemble import KINDS
from llmevo.console import show_summary
from llmevo.core import ConfigError, Context, Fitness, Individual, Seed, Usage, VariationFailed
from llmevo.engine import Outcome, evolve, stop
from llmevo.fitness import Case, Evaluator, Failure, scorer_named
from llmevo.library import Template, load_operator
from llmevo.llm import Connections, ContextTooLong, ModelSpec, Refused, Reply, Request, ScriptedLLM
from llmevo.llm.build import Model
from llmevo.report.summary import summarise
from llmevo.runs import Result, run
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.strategies import Founding, Genetic, sequence
from llmevo.testing.clock import FakeClock, settle
from llmevo.testing.server import Action, FaultyLLM, Seen
from llmevo.text import Draw, Instruct, Prompted, TextGenome, given
from tests.llm.helpers import ask, through
from tests.runs.helpers import answer, cases, is_operator, values_for, write_cases

SEED = Seed.of(3)
ONE = Template("one", ("a",), False, (), "prompt", "Change {{ a }}.")
CASES = tuple(Case(f"c{i}", f"input {i}", "good") for i in range(4))


def born(variation: Any, *parents: Individual[TextGenome], context: Context | None = None) -> TextGenome:
    result: TextGenome = asyncio.run(variation(parents, context or Context(SEED, "m1")))
    return result


def failing(text: str, failures: int, notes: int = 0) -> Individual[TextGenome]:
    records = [Failure(f"c{i}", f"long input {i}", "bad", "good").dump() for i in range(failures)]
    feedback = (*records, *(f"note {i}" for i in range(notes)))
    return Individual(f"id-{text}", TextGenome(text), Fitness(0.5, feedback=feedback))


async def search(variation: Any, task: Any, *, births: int, batch: int, seeds: tuple[str, ...]) -> Outcome[TextGenome]:
    founding = Founding(given(seeds), seed=SEED)
    strategy = sequence(founding, Genetic(variation, uniform, truncation(len(seeds)), seed=SEED))
    journal = Journal(Database(None), MemoryBlobs(), {TextGenome.kind: TextGenome})
    evaluate = Evaluator(Prompted(task), CASES, scorer_named("exact", ("good", "bad"), None))
    return await evolve(strategy, evaluate, journal, seed=SEED, batch=batch, stop=[stop.matings(births)])


@pytest.mark.fault("L16")
def test_an_answer_that_is_the_parent_again_is_no_child_costs_no_evaluation_and_earns_no_credit() -> None:
    echo = ScriptedLLM(lambda request: f"<prompt>{request.messages[-1].content[7:-1]}</prompt>", key="echo")
    task = ScriptedLLM(lambda request: "good", key="task")
    bandit: Bandit[TextGenome] = Bandit([Instruct(ONE, echo), Instruct(ONE, echo, temperature=0.9)])
    outcome = asyncio.run(search(bandit, task, births=8, batch=2, seeds=("first", "second")))
    now = outcome.progress
    assert (now.births, now.stillborn, now.evaluations) == (8, 6, 2)
    assert now.last_error == "the child is a copy of its parent"
    assert len(task.requests) == 2 * len(CASES) and len(echo.requests) == 6, "no question is asked about a copy"
    assert bandit.gains == [0.0, 0.0] and sum(bandit.chosen) == 6, "the choice is paid for and gains nothing"
    assert sum(bandit.costs) == 6


def test_the_first_child_is_evaluated_before_the_last_of_its_cohort_is_conceived() -> None:
    """Text waits for nothing inside a cohort, also with one slot: on a clock that only the test moves."""
    clock = FakeClock(auto=False)
    log: list[tuple[float, str]] = []

    def child(request: Request) -> str:
        return f"<prompt>{request.messages[-1].content[7:-1]} {len(writer.requests)}</prompt>"

    async def writes(request: Request) -> Reply:
        late = float(1 + len(writer.requests))
        reply = await writer(request)
        await clock.sleep(late)
        log.append((clock.monotonic() - 1000, "conceived"))
        return reply

    async def answers(request: Request) -> Reply:
        log.append((clock.monotonic() - 1000, "asked"))
        await clock.sleep(0.25)
        return await judge(request)

    writer, judge = ScriptedLLM(child), ScriptedLLM(lambda request: "good")
    writes.key, answers.key = "writer", "judge"  # type: ignore[attr-defined]

    async def go() -> Outcome[TextGenome]:
        running = asyncio.ensure_future(search(Instruct(ONE, writes), answers, births=8, batch=4, seeds=("a", "b", "c", "d")))  # type: ignore[arg-type]
        for _ in range(60):
            await clock.advance(0.25)
            if running.done():
                break
            await settle()
        return await running

    assert asyncio.run(go()).progress.births == 8
    conceived = [hour for hour, what in log if what == "conceived"]
    asked = [hour for hour, what in log if what == "asked"][4 * len(CASES) :]
    assert len(conceived) == 4 and len(asked) == 4 * len(CASES)
    assert conceived == [conceived[0] + i for i in range(4)]
    assert [asked[len(CASES) * i] for i in range(4)] == conceived, "each is evaluated in the moment in which it is conceived"


@pytest.mark.fault("L21")
def test_a_question_that_is_too_long_is_asked_once_more_in_a_short_form() -> None:
    def script(request: Request) -> Any:
        if "long input 1" in request.messages[-1].content:
            return ContextTooLong("too long", limit=100, asked=150)
        return "<prompt>Better.</prompt>"

    llm = ScriptedLLM(script)
    context = Context(SEED, "m1")
    assert born(Instruct(load_operator("mutate"), llm), failing("P", 3, 3), context=context).text == "Better."
    first, second = (request.messages[-1].content for request in llm.requests)
    assert first.count("Input: ") == 3 and first.count("Note: ") == 3
    assert second.count("Input: ") == 1 and second.count("Note: ") == 1 and "long input 0" in second
    assert [request.sample for request in llm.requests] == ["m1:1", "m1:2"]


@pytest.mark.fault("L21")
def test_drawn_examples_and_lists_of_parents_are_shortened_too() -> None:
    drawn = tuple(Case(f"c{i}", f"in {i}", f"out {i}") for i in range(20))
    llm = ScriptedLLM([ContextTooLong("too long"), "<prompt>New.</prompt>"])
    born(Instruct(load_operator("from-task"), llm, slots={"task": "T", "examples": Draw(drawn, 3)}))
    first, second = (request.messages[-1].content for request in llm.requests)
    assert tuple(len(re.findall(r"Input: \[\w+\] in \d", question)) for question in (first, second)) == (3, 1)
    assert re.search(r"\] in \d+ \[", second)[0] == re.search(r"\] in \d+ \[", first)[0], "the first that was drawn"  # type: ignore[index]
    many = Template("many", ("first", "rest"), True, (), "prompt", "{{ first }}:{% for one in rest %} {{ one }}{% endfor %}")
    llm = ScriptedLLM([ContextTooLong("too long"), "<prompt>New.</prompt>"])
    born(Instruct(many, llm), *(failing(text, 0) for text in "ABCD"))
    assert [request.messages[-1].content for request in llm.requests] == ["A: B C D", "A: B C"]


@pytest.mark.fault("L21")
def test_what_stays_too_long_fails_with_the_numbers() -> None:
    long = ContextTooLong("m: HTTP 400: too long", limit=100, asked=150)
    llm = ScriptedLLM([long])
    with pytest.raises(VariationFailed, match=r"150 tokens asked, 100 fit\), and it has no shorter form"):
        born(Instruct(ONE, llm), failing("P", 3))
    llm = ScriptedLLM([long, long])
    with pytest.raises(VariationFailed, match=r"150 tokens asked, 100 fit\), also in its short form"):
        born(Instruct(load_operator("mutate"), llm), failing("P", 3))
    assert len(llm.requests) == 2


@pytest.mark.fault("L12")
def test_a_cut_answer_is_asked_for_once_more_with_a_larger_bound_if_that_was_allowed() -> None:
    def script(seen: Seen) -> Action:
        return Action("half", finish="length") if seen.body["max_tokens"] < 400 else Action("the whole")

    with FaultyLLM(script) as server:
        reply, models = through(server, lambda model: model(ask(max_tokens=50)), max_tokens_if_cut=400)
        assert reply.text == "the whole" and reply.finish == "stop"
        assert [seen.body["max_tokens"] for seen in server.requests] == [50, 400]
        assert reply.usage == Usage(*server.spent) == models.ledger.budget.spent, "both are paid and both are counted"
    with FaultyLLM(script) as server:
        reply, _ = through(server, lambda model: model(ask(max_tokens=50)))
        assert (reply.text, reply.finish, len(server.requests)) == ("half", "length", 1)
    with FaultyLLM(lambda seen: Action("half", finish="length")) as server:
        reply, _ = through(server, lambda model: model(ask(max_tokens=50)), max_tokens_if_cut=400)
        assert (reply.finish, len(server.requests)) == ("length", 2)
    with pytest.raises(ConfigError, match="max_tokens_if_cut must be at least 51"):
        ModelSpec("m", max_tokens=50, max_tokens_if_cut=50)


@pytest.mark.fault("L12")
def test_what_was_paid_for_a_cut_answer_and_its_whole_is_not_paid_again(tmp_path: Path) -> None:
    def script(seen: Seen) -> Action:
        return Action("half", finish="length") if seen.body["max_tokens"] < 400 else Action("the whole")

    with FaultyLLM(script) as server:
        for _ in range(2):
            database = Database(tmp_path / "run.sqlite")
            reply, _ = through(server, lambda model: model(ask(max_tokens=50)), max_tokens_if_cut=400, database=database)
            database.close()
            assert reply.text == "the whole" and reply.usage.calls == 2 == len(server.requests)


@pytest.mark.fault("L13")
def test_a_fallback_is_a_model_of_its_own_with_its_own_settings() -> None:
    def script(seen: Seen) -> Action:
        return Action(refusal="I cannot help with that.") if seen.body["model"] == "strict" else Action("gladly")

    async def go() -> None:
        other = ModelSpec("mild", base_url=server.url, temperature=0.9)
        async with Connections(env={}) as models:
            model = models.connect(ModelSpec("strict", base_url=server.url, temperature=0.1, fallback=other))
            assert [one.spec.model for one in model.chain] == ["strict", "mild"] and "mild" in model.key and "strict" in model.key
            reply = await model(ask())
            assert reply.text == "gladly" and reply.usage == Usage(*server.spent) and reply.usage.calls == 2
            assert [seen.body["temperature"] for seen in server.requests] == [0.1, 0.9]
            assert isinstance(models.connect(other), Model) and models.connect(other) is model.fallback
            alone = models.connect(ModelSpec("strict", base_url=server.url, temperature=0.1))
            with pytest.raises(Refused):
                await alone(ask(sample="2"))

    with FaultyLLM(script) as server:
        asyncio.run(go())


def start(values: dict[str, Any], near: Path, folder: Path | None = None) -> Result:
    if not (near / "cases.jsonl").exists():
        write_cases(near / "cases.jsonl", cases(10))
    config = check_config(values, near=near)
    task = load_task(config.task, seed=config.seed, near=near)
    return asyncio.run(asyncio.wait_for(run(config, task, folder=folder, env={}), 60))


@pytest.mark.fault("L13")
def test_a_run_goes_on_with_the_model_that_stands_in_and_shows_how_much_was_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(seen: Seen) -> Action:
        return Action(refusal="No.") if seen.body["model"] == "writer" and seen.prompt != "Hi" else answer(seen)

    with FaultyLLM(script, models=("test", "writer", "mild")) as server:
        values = values_for(server.url)
        refused = start(values, tmp_path, tmp_path / "refused")
        assert refused.outcome.progress.stillborn > 0 and "Refused" in (refused.outcome.progress.last_error or "")
        summary = summarise(tmp_path / "refused", KINDS)
        asked = sum(is_operator(seen) for seen in server.requests)
        assert summary.ended["refused"] == asked > 0
        show_summary(summary)
        assert f"refused  {asked} of {len(server.requests)} calls (" in capsys.readouterr().out
        server.requests.clear()
        values["models"]["operator"]["fallback"] = {"model": "mild", "base_url": server.url}
        result = start(values, tmp_path)
        assert result.outcome.progress.stillborn == 0 and result.pause is None
        hellos = [seen.body["model"] for seen in server.requests if seen.prompt == "Hi"]
        assert sorted(hellos) == ["mild", "test", "writer"], "all three are found out about before anything is paid"
        writers = [seen.body["model"] for seen in server.requests if is_operator(seen)]
        assert writers.count("writer") == writers.count("mild") > 0


@pytest.mark.fault("L6")
def test_a_genome_at_which_the_server_fails_is_marked_and_the_run_goes_on(tmp_path: Path) -> None:
    def script(seen: Seen) -> Action:
        return Action(status=500) if "Name the feeling." in seen.prompt else answer(seen)

    with FaultyLLM(script, models=("test", "writer")) as server:
        values = values_for(server.url, in_flight=16)
        values["models"]["task"] |= {"attempts": 1, "give_up": 2}
        values["models"]["operator"] |= {"attempts": 1}
        result = start(values, tmp_path)
        assert result.pause is None and result.outcome.progress.births > 8, result.outcome.reason
        assert result.best is not None and "Name the feeling." not in result.best.genome.text


@pytest.mark.fault("L6")
def test_many_questions_of_several_genomes_in_a_row_pause_the_run_with_75(tmp_path: Path) -> None:
    def script(seen: Seen) -> Action:
        return Action(status=500) if seen.prompt != "Hi" else answer(seen)

    with FaultyLLM(script, models=("test", "writer")) as server:
        values = values_for(server.url, in_flight=4)
        for model in values["models"].values():
            model |= {"attempts": 1, "give_up": 8}
        paused = start(values, tmp_path, tmp_path / "run")
        assert paused.pause is not None and paused.pause.exit_code == 75
        assert "questions in a row failed so" in paused.outcome.reason
        assert len(server.requests) >= 2 + 8, "preflights, the eight, and what was in flight"


@pytest.mark.fault("L6")
def test_a_server_that_fails_at_everything_judges_nobody(tmp_path: Path) -> None:
    broken = True

    def script(seen: Seen) -> Action:
        return Action(status=500) if broken and seen.number > 2 else answer(seen)

    with FaultyLLM(script, models=("test", "writer")) as server:
        values = values_for(server.url, in_flight=4)
        for model in values["models"].values():
            model |= {"attempts": 1}
        paused = start(values, tmp_path, tmp_path / "run")
        assert paused.pause is not None and paused.pause.exit_code == 75 and "Nor does it answer anything else" in str(paused.pause)
        broken = False
        done = start(values, tmp_path, tmp_path / "run")
        assert done.pause is None and done.outcome.history == start(values, tmp_path).outcome.history

