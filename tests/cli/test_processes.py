"""The command line as a process: signals, kills, a reader that has gone. A server's ledger is the judge."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llmevo.storage.database import Database
from llmevo.testing.server import Action, FaultyLLM, Seen
from tests.cli.helpers import say
from tests.runs.helpers import answer, command, slowly, values_for, write_run

Capture = pytest.CaptureFixture[str]


def wait_for(server: FaultyLLM, requests: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 30
    while len(server.requests) < requests:
        assert time.monotonic() < until and process.poll() is None, process.communicate()
        time.sleep(0.01)


def read_until(process: subprocess.Popen[str], word: bytes) -> str:
    """What it wrote to standard error up to a word."""
    assert process.stderr is not None
    said = b""
    while word not in said:
        some = os.read(process.stderr.fileno(), 4096)
        assert some, said
        said += some
    return said.decode()


def finished(process: subprocess.Popen[str], seconds: float = 30) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def soon() -> float:
    """Two seconds on a machine with nothing else to do; where starting the command takes longer than it should, as much more."""
    began = time.monotonic()
    finished(command("--version"))
    return 2.0 * max(1.0, (time.monotonic() - began) / 0.5)


def questions(server: FaultyLLM) -> Counter[str]:
    """What was paid, preflights aside."""
    return Counter(f"{seen.body['model']}: {seen.prompt}" for seen in server.requests if seen.prompt != "Hi")


def undisturbed(capsys: Capture, file: Path, folder: Path) -> dict[str, Any]:
    """The record of a run that comes to its end, in this process, which is quicker."""
    said = say(capsys, "run", file, "--run", folder, "--json")
    assert said.code == 0, said.err
    record: dict[str, Any] = json.loads(said.out)
    return record


@pytest.mark.fault("S13")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_one_signal_brings_it_to_rest(server: FaultyLLM, place: Path, capsys: Capture, number: signal.Signals) -> None:
    before, released = 12, threading.Event()

    def held(seen: Seen) -> Action:
        if seen.number > before:
            released.wait(60)
        return answer(seen)

    server.script = held
    file = write_run(place / "here", values_for(server.url, in_flight=4))
    process = command("run", file, "--run", place / "run")
    arrived = before + 4
    wait_for(server, arrived, process)  # all that may be in flight is held: nothing moves now
    process.send_signal(number)
    said = read_until(process, b"stopping")
    released.set()
    code, out, err = finished(process)
    err = said + err
    assert code == 130 and "stopping" in err and "interrupted; what was recorded is kept" in err and out == ""
    assert f"run {file} --run {place / 'run'}" in err
    assert len(server.requests) == arrived, "nothing was sent after the signal"
    with closing(Database(place / "run" / "run.sqlite")) as database:
        settled = [row[1] for row in database.rows("settled")]
    assert settled.count("answer") == len(server.billed) == arrived, "what was in flight is recorded"
    server.script = answer
    done = undisturbed(capsys, file, place / "run")
    paid = questions(server)
    server.requests.clear()
    whole = undisturbed(capsys, file, place / "whole")
    assert (done["history"], done["best"], done["held_out"]) == (whole["history"], whole["best"], whole["held_out"])
    assert paid == questions(server), "no recorded answer was paid again"


@pytest.mark.fault("S13")
def test_with_sixteen_slow_calls_in_flight_it_leaves_within_two_seconds(server: FaultyLLM, place: Path) -> None:
    server.script = lambda seen: slowly(0.6)(seen) if seen.prompt != "Hi" else answer(seen)
    file = write_run(place / "here", values_for(server.url, in_flight=16))
    process = command("run", file, "--run", place / "run")
    wait_for(server, 2 + 16, process)  # two preflights
    process.send_signal(signal.SIGINT)
    began, arrived = time.monotonic(), len(server.requests)
    code, out, _ = finished(process)
    took = time.monotonic() - began
    assert took < soon()
    assert code == 130 and out == "" and len(server.requests) == arrived == 18, "nothing was sent after the signal"
    with closing(Database(place / "run" / "run.sqlite")) as database:
        assert [row[1] for row in database.rows("settled")].count("answer") == 18


@pytest.mark.fault("S14")
def test_two_signals_end_it_at_once(server: FaultyLLM, place: Path, capsys: Capture) -> None:
    server.script = lambda seen: answer(seen) if seen.number < 8 else slowly(60)(seen)
    file = write_run(place / "here", values_for(server.url, in_flight=4))
    process = command("run", file, "--run", place / "run")
    wait_for(server, 10, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None, "it waits for what is in flight"
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    code, _, _ = finished(process)
    assert code == 130 and time.monotonic() - began < 1.5
    server.script = answer
    done = undisturbed(capsys, file, place / "run")
    assert done["history"] == undisturbed(capsys, file, place / "whole")["history"]


@pytest.mark.fault("S14")
def test_a_scorer_that_never_ends_does_not_hold_the_process(server: FaultyLLM, place: Path) -> None:
    values = values_for(server.url)
    values["task"]["scorer"] = "hanging:score"
    file = write_run(place / "here", values)
    (place / "here" / "hanging.py").write_text("import time\n\ndef score(answer, case):\n    time.sleep(1000)\n")
    process = command("run", file, "--run", place / "run")
    wait_for(server, 12, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    code, _, err = finished(process, 5)
    assert code == 130 and "Continue with" in err


@pytest.mark.fault("S1")
@pytest.mark.fault("S8")
@pytest.mark.slow
def test_kills_at_any_moment_cost_at_most_what_was_in_flight(server: FaultyLLM, place: Path, capsys: Capture) -> None:
    in_flight = 4
    server.script = slowly(0.01)
    file = write_run(place / "here", values_for(server.url, in_flight=in_flight, steps=4))
    whole = undisturbed(capsys, file, place / "whole")
    needed = questions(server)
    server.requests.clear()
    rng = random.Random(5)
    moments = [1, 4, 15, 33, 60]
    for kills, moment in enumerate(moments, 1):
        process = command("run", file, "--run", place / "run")
        wait_for(server, min(moment + kills, needed.total() - 5), process)
        time.sleep(rng.random() * 0.03)
        if kills == 2:
            second = command("run", file, "--run", place / "run")
            code, out, err = finished(second)
            if process.poll() is None:
                assert code == 73 and str(process.pid) in err and out == ""
        process.kill()
        process.communicate()
    done = undisturbed(capsys, file, place / "run")
    assert (done["history"], done["best"], done["held_out"]) == (whole["history"], whole["best"], whole["held_out"])
    again = questions(server) - needed
    assert not needed - questions(server)
    assert again.total() <= len(moments) * 2 * in_flight
    spent = done["spent"]
    billed = [row for row in server.billed[-len(server.requests) :]]
    assert spent["tokens_in"] >= sum(row["tokens_in"] for row in billed), "spending is never understated"
    assert spent["calls"] >= len(billed)


@pytest.mark.fault("S14")
@pytest.mark.slow
def test_a_reader_that_has_gone_is_no_failure(server: FaultyLLM, place: Path) -> None:
    file = write_run(place / "here", values_for(server.url))
    line = f"{sys.executable} -c 'from llmevo.cli import main; main()'"
    for arguments in (f"run {file} --run {place / 'run'}", f"show {place / 'run'} --json", "recipes"):
        script = f"set -o pipefail; {line} {arguments} 2>err | true; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=place, timeout=60)
        assert done.stdout.strip() == "0", (arguments, done.stdout, (place / "err").read_text())
        errors = (place / "err").read_text()
        assert "Traceback" not in errors and "BrokenPipe" not in errors
    script = f"{line} run {file} --run {place / 'run'} 2>&- | cat"
    closed = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert closed.returncode == 0 and "The winner:" in closed.stdout


@pytest.mark.slow
def test_nohup_is_left_alone(server: FaultyLLM, place: Path) -> None:
    server.script = slowly(0.02)
    file = write_run(place / "here", values_for(server.url, in_flight=2))
    process = command("run", file, "--run", place / "run", ignoring=(signal.SIGHUP,))
    wait_for(server, 5, process)
    process.send_signal(signal.SIGHUP)
    code, out, err = finished(process)
    assert code == 0 and "The winner:" in out, err


@pytest.mark.slow
def test_another_folder_another_hash_seed_the_same_run(server: FaultyLLM, place: Path) -> None:
    histories = set()
    for i in range(2):
        file = write_run(place / f"here{i}", values_for(server.url))
        env = {**os.environ, "PYTHONHASHSEED": str(i)}
        line = [sys.executable, "-c", "from llmevo.cli import main; main()", "run", str(file), "--run", str(place / f"run{i}"), "--json"]
        done = subprocess.run(line, capture_output=True, text=True, env=env, cwd=place / f"here{i}", timeout=60)
        histories.add(json.loads(done.stdout)["history"])
    assert len(histories) == 1


@pytest.mark.fault("S13")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_one_signal_brings_a_refinement_to_rest(server: FaultyLLM, place: Path, number: signal.Signals) -> None:
    """16 slow calls in flight: nothing is sent after the signal, what was sent is recorded, and it leaves."""
    server.script = slowly(0.5)
    process = refinement(server, place)
    wait_for(server, 17, process)
    process.send_signal(number)
    began, arrived = time.monotonic(), len(server.requests)
    code, out, err = finished(process)
    took = time.monotonic() - began
    assert took < soon()
    assert code == 130 and out == "" and "interrupted; what was recorded is kept" in err and "--run" in err
    assert len(server.requests) == arrived == 17
    with closing(Database(place / "run" / "run.sqlite")) as database:
        assert [row[1] for row in database.rows("settled")].count("answer") == 17


@pytest.mark.fault("S14")
def test_two_signals_end_a_refinement_at_once(server: FaultyLLM, place: Path) -> None:
    server.script = lambda seen: slowly(60)(seen) if seen.number > 1 else answer(seen)
    process = refinement(server, place)
    wait_for(server, 17, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None, "it waits for what is in flight"
    process.send_signal(signal.SIGINT)
    code, _, _ = finished(process, 5)
    assert code == 130


def refinement(server: FaultyLLM, place: Path) -> subprocess.Popen[str]:
    """A refinement with 16 founders, all of which are asked at once."""
    (place / "checking.py").write_text("def never(answer):\n    return False\n")
    options = ["--check", "checking:never", "--model", "test", "--base-url", server.url, "--population", 16, "--run", place / "run"]
    return command("refine", "What is it?", *options, cwd=place)
