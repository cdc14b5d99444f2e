"""Every command in this process: exit codes, what goes where, JSON that parses, text that a terminal does not obey."""

from __future__ import annotations

import json
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from llmevo import console
from llmevo.cli import speaking
from llmevo.core import ConfigError, RunHeld, StorageError
from llmevo.storage.folder import RunFolder
from llmevo.testing.server import Action, FaultyLLM, Seen
from tests.cli.helpers import Said, say
from tests.runs.helpers import answer, is_operator, values_for, write_run

Capture = pytest.CaptureFixture[str]
COMMANDS = ("run", "plan", "show", "report", "best", "replay", "doctor", "recipes", "operators")
ESCAPE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def done(server: FaultyLLM, place: Path, capsys: Capture) -> tuple[Path, Path, Said]:
    """A run file, its finished run folder, and what the run printed."""
    file = write_run(place / "here", values_for(server.url))
    said = say(capsys, "run", file, "--run", place / "run")
    assert said.code == 0, said.err
    return file, place / "run", said


def test_without_arguments_and_with_help_all_commands_are_listed(capsys: Capture) -> None:
    bare, helped = say(capsys), say(capsys, "--help")
    assert bare.code == 2 and helped.code == 0
    for command in COMMANDS:
        assert re.search(rf"^ +{command} +\w", bare.out + bare.err, re.M) and re.search(rf"^ +{command} +\w", helped.out, re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys: Capture, command: str) -> None:
    said = say(capsys, command, "--help")
    assert said.code == 0 and "Usage" in said.out


@pytest.mark.parametrize("arguments", [("rnu",), ("run",), ("run", "a", "b"), ("best", "x", "--nope"), ("recipes", "x")])
def test_wrong_usage_is_2(capsys: Capture, arguments: tuple[str, ...]) -> None:
    said = say(capsys, *arguments)
    assert said.code == 2 and said.out == "" and "Usage" in said.err


def test_a_run_shows_its_winner_on_stdout_and_its_progress_on_stderr(done: tuple[Path, Path, Said]) -> None:
    _, folder, said = done
    assert "The winner:" in said.out and "test score" in said.out and str(folder) in said.out
    assert len([line for line in said.err.splitlines() if line.startswith("step ")]) >= 3
    assert all(f"{name} " in said.err for name in console.COLUMNS) and "left -" not in said.err.splitlines()[0]
    assert "step" not in said.out


def test_the_same_command_again_pays_nothing(done: tuple[Path, Path, Said], server: FaultyLLM, capsys: Capture) -> None:
    file, folder, first = done
    before = len(server.requests)
    said = say(capsys, "run", file, "--run", folder)
    assert said.code == 0 and len(server.requests) == before
    assert said.out.split("paid")[0] == first.out.split("paid")[0]
    assert "(record)" in said.err


def test_json_everywhere(done: tuple[Path, Path, Said], capsys: Capture) -> None:
    file, folder, _ = done
    ran: dict[str, Any] = json.loads(say(capsys, "run", file, "--run", folder, "--json").out)
    shown = json.loads(say(capsys, "show", folder, "--json").out)
    best = json.loads(say(capsys, "best", folder, "--json").out)
    replayed = json.loads(say(capsys, "replay", file, folder, "--json").out)
    healthy = json.loads(say(capsys, "doctor", folder, "--json").out)
    planned = json.loads(say(capsys, "plan", file, "--json").out)
    assert ran["best"] == shown["best"] == best["best"] and ran["held_out"] == shown["held_out"] == best["held_out"]
    assert ran["history"] == shown["history"] == replayed["history"]
    assert ran["births"] == shown["births"] == replayed["births"] == planned["matings"]
    assert ran["evaluations"] == shown["evaluations"] and ran["spent"] == shown["spent"]
    assert ran["stillborn"] == sum(lost for lost, _ in shown["stillborn"].values())
    assert healthy["problems"] == [] and ran["reason"] and ran["paused"] is False
    names = [one["name"] for one in json.loads(say(capsys, "recipes", "--json").out)]
    assert "evoprompt-ga" in names and "random" in names
    assert "paraphrase" in [one["name"] for one in json.loads(say(capsys, "operators", "--json").out)]
    assert json.loads(say(capsys, "operators", "paraphrase", "--json").out)[0]["parents"] == ["a"]


def test_json_is_silent_on_stderr_and_one_line(done: tuple[Path, Path, Said], capsys: Capture) -> None:
    file, folder, _ = done
    said = say(capsys, "run", file, "--run", folder, "--json")
    assert said.err == "" and said.out.count("\n") == 1


def test_show_best_replay_doctor_in_words(done: tuple[Path, Path, Said], capsys: Capture) -> None:
    file, folder, first = done
    shown = say(capsys, "show", folder)
    assert shown.code == 0 and "evoprompt-ga, seed 3" in shown.out and "test score" in shown.out
    winner = say(capsys, "best", folder)
    assert winner.code == 0 and winner.out.strip() in first.out
    # The score that chose it and the one that did not, side by side, each with its interval and n.
    assert re.search(r"dev score  0\.\d{3} \[.*\] \(n = 6\).*\n +test score  0\.\d{3} \[.*\] \(n = 4\)", winner.err)
    written = say(capsys, "best", folder, "-o", folder.parent / "prompt.txt")
    assert written.code == 0 and written.out == "" and (folder.parent / "prompt.txt").read_text() == winner.out
    replayed = say(capsys, "replay", file, folder)
    assert replayed.code == 0 and "agree with the record" in replayed.out
    healthy = say(capsys, "doctor", folder)
    assert healthy.code == 0 and "PROBLEM" not in healthy.out


def test_replay_says_where_a_changed_algorithm_differs(done: tuple[Path, Path, Said], server: FaultyLLM, capsys: Capture) -> None:
    file, folder, _ = done
    before = len(server.requests)
    said = say(capsys, "replay", file, folder, "--set", "selection=tournament")
    assert said.code == 78 and re.search(r"birth \d+ of cohort \d+ is planned differently", said.err) and said.out == ""
    other = say(capsys, "replay", file, folder, "--set", "task.scorer=contains")
    assert other.code == 78 and "task.scorer" in other.err and other.out == ""
    assert len(server.requests) == before


@pytest.mark.parametrize("command", ["show", "best", "doctor"])
def test_a_folder_without_a_run(capsys: Capture, tmp_path: Path, command: str) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        said = say(capsys, command, folder)
        assert said.code == 78 and "holds no run" in said.err and said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_best_of_a_run_in_which_nobody_lived(place: Path, capsys: Capture) -> None:
    with FaultyLLM(lambda seen: Action(text="I can't help with that.") if is_operator(seen) else answer(seen)) as server:
        values = values_for(server.url)
        values["task"] |= {"seeds": [], "description": "Good or bad."}
        file = write_run(place / "here", values)
        said = say(capsys, "run", file, "--run", place / "run")
        assert said.code == 78 and "Nobody lived" in said.out and "refusal" in said.err
        best = say(capsys, "best", place / "run")
        assert best.code == 78 and "nobody lived" in best.err
        assert json.loads(say(capsys, "show", place / "run", "--json").out)["best"] is None


def test_a_paused_run_is_75_and_says_how_to_go_on(server: FaultyLLM, place: Path, capsys: Capture) -> None:
    file = write_run(place / "here", values_for(server.url))
    said = say(capsys, "run", file, "--run", place / "run", "--set", "budget.calls=20")
    assert said.code == 75 and "paused: budget: calls is 20" in said.err
    assert f"llmevo run {file} --run {place / 'run'} --set budget.calls=20" in said.err
    record = say(capsys, "run", file, "--run", place / "run", "--set", "budget.calls=20", "--json")
    assert record.code == 75 and json.loads(record.out)["paused"] is True


@pytest.mark.fault("S8")
def test_errors_have_their_exit_codes_and_leave_stdout_alone(server: FaultyLLM, place: Path, capsys: Capture) -> None:
    file = write_run(place / "here", values_for(server.url))
    with RunFolder(place / "held"):
        held = say(capsys, "run", file, "--run", place / "held")
    (place / "a-file").write_text("x")
    disk = say(capsys, "run", file, "--run", place / "a-file")
    typo = say(capsys, "run", file, "--run", place / "run", "--set", "popluation=3")
    lost = say(capsys, "run", place / "here" / "rum.yaml")
    written = say(capsys, "best", place / "nowhere", "-o", "x")
    codes = (RunHeld.exit_code, StorageError.exit_code, ConfigError.exit_code, 78, 78)
    for said, code in zip((held, disk, typo, lost, written), codes, strict=True):
        assert said.code == code and said.out == "" and said.err.startswith("error: ")
    assert "did you mean 'population'" in typo.err and "did you mean 'run.yaml'" in lost.err
    assert server.requests == []


def test_a_bug_is_70_with_a_traceback(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmevo.recipes.catalogue", lambda: 1 / 0)
    said = say(capsys, "recipes")
    assert said.code == 70 and "ZeroDivisionError" in said.err and "a bug in llmevo" in said.err and said.out == ""


NASTY = "\x1b]52;c;aGk=\x07\x1b[2J\rSafe\x9b31m\u202eevil\u2066 \x1b]8;;http://x\x07café\u00a0東\u3000ok"


@pytest.mark.fault("X3")
def test_model_text_is_inert_on_the_terminal(place: Path, capsys: Capture) -> None:
    with FaultyLLM(lambda seen: Action(text="good")) as server:
        values = values_for(server.url, recipe="seeds")
        for unused in ("population", "steps"):
            del values[unused]
        values["task"]["seeds"] = [NASTY]
        values["models"]["operator"] = "edits"
        file = write_run(place / "here", values)
        folder = place / "run"
        for arguments in (("run", file, "--run", folder), ("run", file, "--run", folder, "--json"), ("show", folder), ("best", folder),
                          ("show", folder, "--json"), ("best", folder, "--json"), ("doctor", folder)):  # fmt: skip
            said = say(capsys, *arguments)
            assert said.code == 0, said.err
            assert not ESCAPE.search(said.out.replace("\n", "")), (arguments, said.out)
            assert not ESCAPE.search(said.err.replace("\n", "")), arguments
        assert "café\u00a0東\u3000ok" in say(capsys, "best", folder).out
        text = json.loads(say(capsys, "best", folder, "--json").out)["best"]["parts"]["prompt"]
        assert "\x1b]52" in text and "\u202e" in text, "JSON carries the text as it is"
        say(capsys, "best", folder, "-o", place / "best.txt")
        assert (place / "best.txt").read_bytes().decode() == f"{text}\n"


@pytest.mark.fault("X3")
def test_error_messages_are_inert(place: Path, capsys: Capture) -> None:
    def script(seen: Seen) -> Action:
        return Action(status=401, body={"error": {"message": NASTY}})

    with FaultyLLM(script) as server:
        file = write_run(place / "here", values_for(server.url))
        said = say(capsys, "run", file, "--run", place / "run")
    assert said.code == 78 and not ESCAPE.search(said.err.replace("\n", "")) and "evil" in said.err


@pytest.mark.fault("X1")
def test_a_key_never_shows(place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-canary-8823af0c"
    monkeypatch.setenv("CANARY_KEY", key)

    def script(seen: Seen) -> Action:
        assert seen.headers["authorization"] == f"Bearer {key}"
        if seen.number > 12:
            return Action(status=400, body={"error": {"message": f"bad request with {key}"}})
        return answer(seen)

    with FaultyLLM(script) as server:
        values = values_for(server.url)
        for model in values["models"].values():
            model["api_key_env"] = "CANARY_KEY"
        file = write_run(place / "here", values)
        printed = [say(capsys, "run", file, "--run", place / "run"), say(capsys, "show", place / "run", "--json")]
    monkeypatch.setattr("llmevo.recipes.catalogue", lambda: (_ for _ in ()).throw(RuntimeError(f"leak {key}")))
    printed.append(say(capsys, "recipes"))
    assert printed[2].code == 70
    for said in printed:
        assert key not in said.out + said.err
    for path in (place / "run").rglob("*"):
        assert path.is_dir() or key.encode() not in path.read_bytes(), path


def test_several_parts_are_printed_as_json(place: Path, capsys: Capture) -> None:
    with FaultyLLM(lambda seen: Action(text="good")) as server:
        values = values_for(server.url, recipe="seeds")
        for unused in ("population", "steps"):
            del values[unused]
        values["task"]["seeds"] = [{"prompt": "Judge.", "examples": "Fine: good"}]
        values["models"]["operator"] = "edits"
        file = write_run(place / "here", values)
        assert say(capsys, "run", file, "--run", place / "run").code == 0
        assert json.loads(say(capsys, "best", place / "run").out) == {"prompt": "Judge.", "examples": "Fine: good"}


def test_the_default_folder_is_named_after_the_run_file(
    server: FaultyLLM, place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    file = write_run(place / "here", values_for(server.url), "my prompts.yaml")
    assert say(capsys, "run", file).code == 0 and (place / "runs" / "my prompts" / "run.sqlite").is_file()
    twin = write_run(place / "there", values_for(server.url, seed=9), "my prompts.yaml")
    before = len(server.requests)
    said = say(capsys, "run", twin)
    assert said.code == 78 and "seed: 3 -> 9" in said.err and "--run" in said.err and len(server.requests) == before


class TestPlan:
    SHAPES: tuple[dict[str, Any], ...] = (
        {},
        {"recipe": "evoprompt-de", "batch": 3, "slots": 2, "steps": 3},
        {"recipe": "random", "batch": 3},
        {"recipe": "one-plus-one", "batch": 5},
        {"recipe": "best-of-n"},
        {"founders": "all", "population": 6},
    )

    @pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.get("recipe", "ga") + str(shape.get("batch", "")))
    @pytest.mark.parametrize("verbose", [False, True])
    def test_it_pays_nothing_and_bounds_what_is_paid(self, place: Path, capsys: Capture, shape: dict[str, Any], verbose: bool) -> None:
        def script(seen: Seen) -> Action:
            told = answer(seen)
            if not verbose:
                return told
            if is_operator(seen):
                if len(seen.body["messages"]) < 3:
                    return Action(text="I put it here: <prompt>never closed " + "blah " * 350, tokens=(len(seen.prompt), 500))
                return Action(text=told.text.replace("feels", "feels " * 150), tokens=(len(seen.prompt), 500))
            return Action(text=told.text, tokens=(len(seen.prompt), 512))

        with FaultyLLM(script) as server:
            values = values_for(server.url, **shape)
            if values["recipe"] == "best-of-n":
                values["task"]["description"] = "Say good or bad."
            file = write_run(place / "here", values)
            said = say(capsys, "plan", file, "--json")
            assert said.code == 0 and server.requests == []
            rows = {row["role"]: row for row in json.loads(said.out)["rows"]}
            text = say(capsys, "plan", file)
            assert text.code == 0 and "worst case" in text.out and "births" in text.out and server.requests == []
            assert all(f"{row['worst']['tokens_in']:,}" in text.out for row in rows.values()), "numbers are shown whole"
            ran = say(capsys, "run", file, "--run", place / "run", "--json")
            assert ran.code == 0, ran.err
            models = {"task": "test", "operator": "writer"}
            for role, row in rows.items():
                mine = [i for i, seen in enumerate(server.requests) if seen.body["model"] == models[role]]
                into = sum(server.billed[i]["tokens_in"] for i in mine)
                out = sum(server.billed[i]["tokens_out"] for i in mine)
                worst, expected = row["worst"], row["expected"]
                assert len(mine) <= worst["calls"] and into <= worst["tokens_in"] and out <= worst["tokens_out"], (role, row, into, out)
                if not verbose:
                    assert expected["calls"] / 3 <= len(mine) <= expected["calls"] * 1.3, role
                    assert expected["tokens_in"] / 6 <= into <= expected["tokens_in"] * 3, (role, into, row)
                    assert expected["tokens_out"] / 6 <= out <= expected["tokens_out"] * 6, (role, out, row)

    def test_no_key_is_needed_where_nothing_is_sent(self, place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        values = values_for(None)
        for model in values["models"].values():
            del model["base_url"]
        values["models"]["operator"] |= {"api_key_env": "NO_SUCH_KEY"}
        file = write_run(place / "here", values)
        assert say(capsys, "plan", file).code == 0
        refused = say(capsys, "run", file, "--run", place / "run")
        assert refused.code == 78 and "OPENAI_API_KEY" in refused.err and not (place / "run").exists()

    def test_money_and_free_models(self, place: Path, capsys: Capture) -> None:
        values = values_for("http://127.0.0.1:9/v1")
        values["models"]["operator"] = "edits"
        file = write_run(place / "here", values)
        assert "price unknown" in say(capsys, "plan", file).out
        values["models"]["task"]["price"] = {"input": 1.0, "output": 2.0}
        file = write_run(place / "here", values)
        row = json.loads(say(capsys, "plan", file, "--json").out)["rows"][0]
        usage = row["worst"]
        assert usage["price"] == pytest.approx((usage["tokens_in"] + 2 * usage["tokens_out"]) / 1e6) and row["priced"]


@pytest.mark.fault("S14")
def test_progress_survives_a_closed_terminal(server: FaultyLLM, place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        encoding = "utf-8"

        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

        def isatty(self) -> bool:
            return False

        def fileno(self) -> int:
            raise OSError("no file")

    file = write_run(place / "here", values_for(server.url))
    monkeypatch.setattr(sys, "stderr", Gone())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = say(capsys, "run", file, "--run", place / "run")
    assert said.code == 0 and "The winner:" in said.out


def test_the_live_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch, server: FaultyLLM, place: Path, capsys: Capture) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    file = write_run(place / "here", values_for(server.url))
    said = say(capsys, "run", file, "--run", place / "run")
    assert said.code == 0 and "median" in said.err and "best: " in said.err


def test_again_is_a_command_that_a_shell_understands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["llmevo", "run", "my prompts.yaml", "--set", "task.seeds=[a, 'b']"])
    assert speaking.again() == """llmevo run 'my prompts.yaml' --set 'task.seeds=[a, '"'"'b'"'"']'"""


@pytest.mark.fault("C1")
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_misspelt_model_is_met_with_the_file_the_key_and_what_it_might_mean(place: Path, capsys: Capture, command: str) -> None:
    file = write_run(place / "here", values_for(None, models={"task": "embeded", "operator": "edits"}))
    said = say(capsys, command, file)
    assert said.code == 78 and f"{file}: models.task: there is no model 'embeded'; did you mean 'embedded'?" in said.err
    assert "OPENAI_API_KEY" not in said.err


@pytest.mark.fault("C3")
def test_a_missing_key_is_told_with_the_file_the_model_and_the_variable(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    judge = {"model": "judge-7b", "base_url": "http://h/v1", "api_key_env": "MY_KEY"}
    values = values_for("http://h/v1")
    values["models"]["operator"] = judge
    file = write_run(place / "here", values)
    said = say(capsys, "run", file, "--run", place / "run")
    assert said.code == 78 and f"{file}: models.operator: model judge-7b: the environment variable MY_KEY is not set" in said.err
    assert not (place / "run").exists()


SCRIPT = """
def answers(request):
    return "<answer>three</answer>" if "<answer>" in request.messages[-1].content else "three"

def never(answer):
    return False

def length(answer):
    return len(answer)

def three(answer):
    return answer == "three"
"""


@pytest.mark.parametrize(("check", "code"), [("three", 0), ("never", 1), ("length", 0)])
def test_refining_with_functions_of_the_current_folder_ends_with_0_only_when_an_answer_is_valid(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, check: str, code: int
) -> None:
    name = f"refining_here_{check}"
    (place / f"{name}.py").write_text(SCRIPT)
    monkeypatch.chdir(place)
    options = ("--check", f"{name}:{check}", "--model", f"scripted:{name}:answers", "--steps", "1", "--population", "2")
    for _ in range(2):  # and once more from the record
        said = say(capsys, "refine", "How much is 1 + 2?", *options, "--run", place / "run")
        assert said.code == code and said.out.strip() == "three" and "embedded" not in said.err
        assert ("no answer is valid" in said.err) == (check == "never") == ("not valid" in said.err)


def test_refining_with_the_embedded_model_says_what_it_knows_before_it_is_asked(capsys: Capture) -> None:
    for model, count in (((), 1), (("--model", "embedded"), 1), (("--model", "gpt-4.1-mini"), 0)):
        said = say(capsys, "refine", "Hm?", "--check", "tests.no_such:check", *model)
        notes = [line for line in said.err.splitlines() if line.startswith("note: ")]
        assert len(notes) == count == sum("knows its own small tasks only" in note for note in notes) and said.code == 78
