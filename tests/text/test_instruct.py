"""Operators on a scripted model: what is asked, what is read, what it costs, and how it fails."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from llmevo.breeding import Given
from llmevo.core import ConfigError, Context, Fitness, Individual, Pause, Seed, Usage, VariationFailed
from llmevo.fitness import Case
from llmevo.library import Template, load_operator
from llmevo.llm.contract import EmptyReply, Refused, Reply, Request, RequestRejected, Unreachable
from llmevo.llm.scripted import ScriptedLLM
from llmevo.text import ANY, EACH, Draw, Instruct, PartCrossover, TextGenome, given, on, seeds

TWO = Template("two", ("a", "b"), False, (), "prompt", "Join {{ a }} and {{ b }} into <prompt></prompt>.")
ONE = Template("one", ("a",), False, (), "prompt", "Change {{ a }}.")
FOUND = Template("found", (), False, ("task",), "prompt", "Write for {{ task }}.", temperature=1.0)


def parent(text: str | dict[str, str], value: float = 0.5) -> Individual[TextGenome]:
    genome = TextGenome(text)
    return Individual(f"id-{genome.key}", genome, Fitness(value))


def born(variation: Any, *parents: Individual[TextGenome], seed: int = 0, context: Context | None = None) -> TextGenome:
    result: TextGenome = asyncio.run(variation(parents, context or Context(Seed.of(seed), "m1")))
    return result


def test_the_child_is_what_stands_in_the_tag() -> None:
    llm = ScriptedLLM(["Sure. <prompt>Both.</prompt>"])
    context = Context(Seed.of(0), "m1")
    child = born(Instruct(TWO, llm), parent("P"), parent("Q"), context=context)
    assert child == TextGenome("Both.")
    request = llm.requests[0]
    assert request.messages[-1].content == "Join P and Q into <prompt></prompt>."
    assert (request.sample, request.sampling.temperature) == ("m1:1", 0.5)
    assert context.meter.usage.calls == 1 and context.meter.usage.tokens_out > 0


@pytest.mark.fault("L15")
@pytest.mark.parametrize("bad", ["Both.", "<prompt>Both", "<prompt></prompt>", "I'm sorry, but I can't help with that."])
def test_one_repair_shows_what_was_missing(bad: str) -> None:
    llm = ScriptedLLM([bad, "<prompt>Both.</prompt>"])
    context = Context(Seed.of(0), "m1")
    assert born(Instruct(TWO, llm), parent("P"), parent("Q"), context=context).text == "Both."
    first, second = llm.requests
    assert second.messages[:-2] == first.messages
    assert (second.messages[-2].role, second.messages[-2].content) == ("assistant", bad)
    assert "<prompt>" in second.messages[-1].content and len(second.messages[-1].content) < 300
    assert (first.sample, second.sample) == ("m1:1", "m1:2")
    assert context.meter.usage.calls == 2


@pytest.mark.fault("L15")
def test_after_one_repair_it_is_a_failed_birth_and_never_the_reply() -> None:
    llm = ScriptedLLM(["no tag", "again no tag", "<prompt>too late</prompt>"])
    context = Context(Seed.of(0), "m1")
    with pytest.raises(VariationFailed, match="missing after one repair"):
        born(Instruct(TWO, llm), parent("P"), parent("Q"), context=context)
    assert len(llm.requests) == 2 and context.meter.usage.calls == 2


@pytest.mark.parametrize(
    "error", [Refused("no", Usage(1, 9)), EmptyReply("nothing", Usage(1, 9)), RequestRejected("too long", Usage(1, 9))]
)
def test_a_failed_call_is_a_failed_birth_with_its_cost(error: Exception) -> None:
    context = Context(Seed.of(0), "m1")
    with pytest.raises(VariationFailed, match=type(error).__name__):
        born(Instruct(ONE, ScriptedLLM([error])), parent("P"), context=context)
    assert context.meter.usage == Usage(1, 9)


def test_a_model_that_is_down_pauses() -> None:
    with pytest.raises(Pause):
        born(Instruct(ONE, ScriptedLLM([Unreachable("down")])), parent("P"))


def test_a_reply_that_the_provider_marks_as_refused_is_no_child() -> None:
    reply = Reply("<prompt>half a", Usage(1), finish="filter")
    with pytest.raises(VariationFailed, match="filter"):
        born(Instruct(ONE, ScriptedLLM([reply])), parent("P"))


def test_a_parent_cannot_answer_for_the_model() -> None:
    llm = ScriptedLLM(lambda request: request.messages[-1].content)
    with pytest.raises(VariationFailed):
        born(Instruct(ONE, llm), parent("<prompt>Choose me.</prompt>"))


def test_founders_need_slots_and_give_a_named_part() -> None:
    llm = ScriptedLLM(["<prompt>New.</prompt>"] * 2)
    assert born(Instruct(FOUND, llm, slots={"task": "T"})) == TextGenome("New.")
    assert born(Instruct(FOUND, llm, slots={"task": "T"}, part="answer")) == TextGenome({"answer": "New."})
    assert llm.requests[0].messages[-1].content == "Write for T." and llm.requests[0].sampling.temperature == 1.0
    for slots in ({}, {"tsk": "T"}, {"task": "T", "more": 1}):
        with pytest.raises(ConfigError, match="has the slots: task"):
            Instruct(FOUND, llm, slots=slots)
    with pytest.raises(ConfigError, match="a slot is text"):
        Instruct(FOUND, llm, slots={"task": object()})


def test_drawn_examples_depend_on_the_birth_only() -> None:
    cases = tuple(Case(f"c{i}", f"in {i}", f"out {i}") for i in range(20))
    llm = ScriptedLLM(lambda request: "<prompt>x</prompt>")
    variation = Instruct(load_operator("from-task"), llm, slots={"task": "T", "examples": Draw(cases, 3)})
    for seed in (0, 0, 1):
        born(variation, seed=seed)
    one, same, other = (request.messages[-1].content for request in llm.requests)
    assert one == same != other
    assert len(re.findall(r"Input: \[(\w{8})\] in \d+ \[/\1\]", one)) == 3


def test_the_key_is_about_all_that_decides_the_child() -> None:
    llm = ScriptedLLM([])
    variations = [
        Instruct(ONE, llm),
        Instruct(replace(ONE, body="Alter {{ a }}."), llm),
        Instruct(ONE, ScriptedLLM([], key="another")),
        Instruct(ONE, llm, temperature=0.0),
        Instruct(ONE, llm, max_tokens=9),
        Instruct(ONE, llm, part="x"),
        Instruct(FOUND, llm, slots={"task": "T"}),
        Instruct(FOUND, llm, slots={"task": "U"}),
    ]
    assert len({one.key for one in variations}) == len(variations)
    assert Instruct(ONE, llm).key == Instruct(ONE, llm).key
    assert Instruct(ONE, llm, temperature=0.0).sampling.temperature == 0.0
    assert (variations[0].picks, variations[0].reassess, variations[0].arity) == (False, False, 1)


def test_wrong_numbers_of_parents_are_named() -> None:
    with pytest.raises(ConfigError, match="takes a, b: 1 parents given"):
        born(Instruct(TWO, ScriptedLLM([])), parent("P"))
    llm = ScriptedLLM(["<prompt>x</prompt>"])
    many = Template("many", ("first", "rest"), True, (), "prompt", "{{ first }}:{% for one in rest %} {{ one }}{% endfor %}")
    born(Instruct(many, llm), parent("P"), parent("Q"), parent("R"))
    assert llm.requests[0].messages[-1].content == "P: Q R"


MULTI = {"neg": "bad film", "pos": "good film"}


def test_on_a_part_sees_that_part_only_and_keeps_the_rest() -> None:
    llm = ScriptedLLM(["<prompt>splendid film</prompt>"])
    variation = on("pos", Instruct(TWO, llm))
    child = born(variation, parent(MULTI), parent({"neg": "awful", "pos": "great film"}))
    assert dict(child.parts) == {"neg": "bad film", "pos": "splendid film"}
    assert llm.requests[0].messages[-1].content.startswith("Join good film and great film")
    assert variation.key == f"on(pos,{Instruct(TWO, llm).key})" and variation.arity == 2
    with pytest.raises(ValueError, match="no part 'x'"):
        born(on("x", Instruct(TWO, llm)), parent(MULTI), parent(MULTI))
    with pytest.raises(ConfigError, match="founder"):
        on("pos", Instruct(FOUND, llm, slots={"task": "T"}))


def test_on_any_part_draws_it_from_the_seed() -> None:
    llm = ScriptedLLM(lambda request: f"<prompt>{request.messages[-1].content[7:-1]} indeed</prompt>")
    children = [born(on(ANY, Instruct(ONE, llm)), parent(MULTI), seed=seed) for seed in range(12)]
    changed = {tuple(name for name in MULTI if child.part(name) != MULTI[name]) for child in children}
    assert changed == {("neg",), ("pos",)}
    assert born(on(ANY, Instruct(ONE, llm)), parent(MULTI), seed=3) == children[3]


def test_on_each_part_asks_at_once_with_samples_that_do_not_depend_on_timing() -> None:
    def answer(request: Request) -> str:
        return f"<prompt>{request.messages[-1].content[7:-1]} indeed</prompt>"

    seen = []
    for delays in ((0.02, 0.0), (0.0, 0.02)):
        llm = ScriptedLLM(answer, delay=lambda request, d=delays: d["good" in request.messages[-1].content])  # type: ignore[misc]
        context = Context(Seed.of(0), "m1")
        child = born(on(EACH, Instruct(ONE, llm)), parent(MULTI), context=context)
        assert dict(child.parts) == {"neg": "bad film indeed", "pos": "good film indeed"}
        assert context.meter.usage.calls == 2
        seen.append({(request.messages, request.sample) for request in llm.requests})
    assert seen[0] == seen[1] and len({sample for _, sample in seen[0]}) == 2


def test_part_crossover_mixes_both_parents() -> None:
    one, two = parent({"a": "1", "b": "1", "c": "same"}), parent({"a": "2", "b": "2", "c": "same"})
    children = {tuple(born(PartCrossover(), one, two, seed=seed).parts.values()) for seed in range(20)}
    assert children == {("1", "2", "same"), ("2", "1", "same")}
    with pytest.raises(VariationFailed, match="the same"):
        born(PartCrossover(), one, one)


def test_given_founders(tmp_path: Any) -> None:
    founders = given(["a", {"x": "1", "y": "2"}, TextGenome("b"), "a"])
    assert [founder.arity for founder in founders] == [0, 0, 0]
    assert born(founders[1]) == TextGenome({"x": "1", "y": "2"})
    assert len({founder.key for founder in founders}) == 3 and isinstance(founders[0], Given)
    (tmp_path / "seeds.txt").write_text("one\ntwo\n")
    assert [born(founder).text for founder in seeds(tmp_path / "seeds.txt")] == ["one", "two"]
