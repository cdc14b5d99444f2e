"""Evaluations of which a part fails, and answers that look like code."""

from __future__ import annotations

import asyncio
import sys
import types
from typing import Any

import pytest

from llmevo.core import Context, Seed
from llmevo.core.errors import Pause
from llmevo.fitness import Evaluator, new_case
from llmevo.fitness.scorers import exact
from llmevo.llm import Connections, ScriptedLLM
from llmevo.llm.contract import EmptyReply, Request, Unreachable
from llmevo.storage.database import Database
from llmevo.text import Prompted, TextGenome

CASES = [new_case(f"question {i}", "yes") for i in range(50)]
BROKEN = {"question 7", "question 21", "question 40"}


def asked_for(request: Request) -> str:
    return request.messages[-1].content.split("\n")[-1]


@pytest.mark.fault("E12")
def test_three_of_fifty_without_an_answer_score_the_minimum_and_say_so() -> None:
    def answer(request: Request) -> str:
        if asked_for(request) in BROKEN:
            raise EmptyReply("nothing came")
        return "yes"

    evaluate = Evaluator(Prompted(ScriptedLLM(answer)), CASES, exact())
    fitness = asyncio.run(evaluate([TextGenome("Say yes.")], [Context(Seed.of(0))]))[0]
    assert fitness.ok and fitness.value == pytest.approx(47 / 50)
    zeros = [case.input for case in CASES if fitness.cases[case.id] == 0.0]
    assert set(zeros) == BROKEN and all("nothing came" in note for note in fitness.feedback)


@pytest.mark.fault("E12", "E14")
def test_three_of_fifty_that_cannot_be_asked_are_asked_again_and_only_they() -> None:
    up, asked = False, []

    def answer(request: Request) -> str:
        asked.append(asked_for(request))
        if asked[-1] in BROKEN and not up:
            raise Unreachable("the server is down")
        return "yes"

    async def sitting(database: Database) -> Any:
        async with Connections(database=database) as connections:
            model = connections.connect("scripted:partial_model:llm")
            return (await Evaluator(Prompted(model), CASES, exact())([TextGenome("Say yes.")], [Context(Seed.of(0))]))[0]

    module = types.ModuleType("partial_model")
    module.llm = ScriptedLLM(answer, key="partial")  # type: ignore[attr-defined]
    sys.modules["partial_model"] = module
    database = Database(None)
    try:
        with pytest.raises(Pause):
            asyncio.run(sitting(database))
        first, up = len(asked), True
        recorded = {row[0] for row in database.rows("answers")}
        fitness = asyncio.run(sitting(database))
        again = asked[first:]
        assert fitness.value == 1.0 and set(again) >= BROKEN
        assert len(again) == len(CASES) - len(recorded), "what was answered is not asked again"
    finally:
        database.close()
        del sys.modules["partial_model"]


@pytest.mark.fault("X9")
def test_an_answer_that_is_code_stays_text(tmp_path: Any) -> None:
    marker = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch() or 'yes'"
    evaluate = Evaluator(Prompted(ScriptedLLM(lambda request: code)), CASES[:3], exact())
    fitness = asyncio.run(evaluate([TextGenome("Say yes.")], [Context(Seed.of(0))]))[0]
    assert fitness.value == 0.0 and not marker.exists()
