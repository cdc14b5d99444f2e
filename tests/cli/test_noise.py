"""`confirm` and `stop.fail_on_error` as a run file says them, through the command line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llmevo.testing.server import Action, FaultyLLM, Seen
from tests.cli.helpers import say
from tests.runs.helpers import answer, is_operator, values_for, write_run

Capture = pytest.CaptureFixture[str]
LUCKY, STEADY = "Name the feeling.", "Say good or bad."


def noisy() -> Any:
    """Answers to one prompt are right the first time and never again; to another they are right for one label; else wrong."""
    asked: Counter[str] = Counter()

    def script(seen: Seen) -> Action:
        if is_operator(seen) or "case" not in seen.prompt:
            return answer(seen)
        asked[seen.prompt] += 1
        number = int(seen.prompt.split("case ")[1].split()[0])
        right = "good" if number % 2 else "bad"
        lucky = LUCKY in seen.prompt and asked[seen.prompt] == 1
        steady = STEADY in seen.prompt and number % 2 == 1
        return Action(text=right if lucky or steady else "neither")

    return script


@pytest.mark.fault("E9")
def test_a_run_with_confirm_is_not_taken_in_by_a_lucky_score(server: FaultyLLM, place: Path, capsys: Capture) -> None:
    found = {}
    for times in (None, 3):
        server.script = noisy()
        server.requests.clear()
        file = write_run(place / "here", values_for(server.url, confirm=times, steps=1))
        said = say(capsys, "run", file, "--run", place / f"run{times}", "--json")
        assert said.code == 0, said.err
        asked = Counter(seen.prompt for seen in server.requests if LUCKY in seen.prompt and not is_operator(seen))
        found[times] = json.loads(said.out), set(asked.values())
        shown = json.loads(say(capsys, "show", place / f"run{times}", "--json").out)
        assert shown["best"]["value"] == found[times][0]["best"]["value"]
    (plain, once), (confirmed, again) = found[None], found[3]
    assert LUCKY in json.dumps(plain["best"]) and plain["best"]["value"] == 1.0 and 1 in once
    assert STEADY in json.dumps(confirmed["best"]) and confirmed["best"]["value"] < 1.0
    assert 4 in again, "once for the score that brought it up, and three times afresh"


@pytest.mark.fault("E1")
@pytest.mark.parametrize(("limit", "pauses"), [(True, True), (1, True), (0.05, True), (0.9, False), (99, False), (False, False)])
def test_a_run_pauses_when_more_evaluations_fail_than_its_file_allows(
    server: FaultyLLM, place: Path, capsys: Capture, limit: Any, pauses: bool
) -> None:
    (place / "here").mkdir()
    (place / "here" / f"picky{place.name}.py").write_text(
        "def score(answer, case):\n"
        "    if answer == 'boom':\n"
        "        raise ValueError('no score for this')\n"
        "    return float(answer == case.target)\n"
    )

    def script(seen: Seen) -> Action:
        fails = not is_operator(seen) and ("Good?" in seen.prompt or LUCKY in seen.prompt)
        return Action(text="boom") if fails else answer(seen)

    server.script = script
    values = values_for(server.url, stop={"fail_on_error": limit})
    values["task"]["scorer"] = f"picky{place.name}:score"
    file = write_run(place / "here", values)
    said = say(capsys, "run", file, "--run", place / "run", "--json")
    if not pauses:
        assert said.code == 0, said.err
        return
    assert said.code == 75, said.err
    assert "evaluations failed" in said.err and "fail_on_error" in said.err and "no score for this" in said.err
    paid = len(server.requests)
    again = say(capsys, "run", file, "--run", place / "run", "--json", "--set", "stop.fail_on_error=false")
    assert again.code == 0, again.err
    needed = Counter(json.dumps(seen.body) for seen in server.requests if "case" in seen.prompt and not is_operator(seen))
    assert paid < len(server.requests) and set(needed.values()) == {1}, "what was paid before the pause was not paid again"
