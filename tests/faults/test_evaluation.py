"""What a fitness function may do to a run: nothing. Each test leaves no process behind."""

from __future__ import annotations

import asyncio
import math
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmevo.breeding import roulette, truncation
from llmevo.core import Context, Fitness, Seed
from llmevo.engine import stop
from llmevo.fitness.isolated import EvaluationFailed, IsolatedFitness, IsolatedFunction
from llmevo.strategies import Founding, Genetic, sequence
from llmevo.testing.toy import Digits, Toy, cross, fresh
from llmevo.text import TextGenome
from tests.faults.returned import RETURNED
from tests.helpers import SEED, run

NEAR = Path(__file__).parent
QUICK: dict[str, Any] = {"timeout": 20.0, "grace": 0.3, "near": NEAR}


def children() -> set[int]:
    """The processes that this one has started and not reaped, the dead ones included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(*pids: int) -> bool:
    until = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.01)
    return not any(map(alive, pids))


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


def play(scene: Callable[[IsolatedFunction], Awaitable[Any]], function: str = "does", **options: Any) -> Any:
    """What a scene with one isolated function gives."""

    async def whole() -> Any:
        async with IsolatedFunction(f"misbehaving:{function}", **{**QUICK, **options}) as isolated:
            return await scene(isolated)

    return asyncio.run(whole())


async def failure(isolated: IsolatedFunction, *args: Any) -> EvaluationFailed:
    with pytest.raises(EvaluationFailed) as caught:
        await isolated(*args)
    return caught.value


def rate(function: str, *texts: str, **options: Any) -> list[Fitness]:
    """The fitness of prompts by an isolated function of `misbehaving`, or of the module that is named."""

    async def whole() -> list[Fitness]:
        fitness: IsolatedFitness[TextGenome] = IsolatedFitness(
            function if ":" in function else f"misbehaving:{function}", **{**QUICK, **options}
        )
        try:
            return await fitness([TextGenome(text) for text in texts], [Context(Seed.of(0).fold(text)) for text in texts])
        finally:
            await fitness.aclose()

    return asyncio.run(whole())


@pytest.mark.fault("E1")
def test_an_exception_fails_one_genome_with_the_end_of_its_traceback() -> None:
    good, bad, also = rate("raises", "four", "bad", "fourteen")
    assert (good.value, also.value) == (4, 8)
    assert bad.error is not None and bad.error.startswith("ValueError: a bad genome [31m\ufffd\n")
    lines = bad.error.split("\n")
    assert len(lines) == 1 + 20 and "misbehaving.py" in bad.error and "worker.py" not in bad.error
    assert "raise ValueError" in bad.error


@pytest.mark.fault("E1")
def test_an_exception_without_words_or_without_end_is_still_one_failure() -> None:
    async def scene(isolated: IsolatedFunction) -> None:
        for what, words in (
            ("unspeakable", "Unspeakable: (its message cannot be shown: RuntimeError)"),
            ("recurse", "RecursionError: "),
            ("interrupt", "KeyboardInterrupt: "),
        ):
            failed = await failure(isolated, what)
            assert failed.kind == "raised" and str(failed).startswith(words)
        assert (await isolated("nothing"))["pid"] > 0

    play(scene)


@pytest.mark.fault("E1")
@pytest.mark.fault("E7")
def test_a_run_goes_on_and_is_the_same_with_one_worker_and_with_two() -> None:
    def outcome(workers: int) -> Any:
        founding = Founding([Toy(f"fresh{i}", fresh(), 0) for i in range(6)], seed=SEED)
        strategy = sequence(founding, Genetic(Toy("cross", cross, 2), roulette, truncation(6), seed=SEED))
        fitness: IsolatedFitness[Digits] = IsolatedFitness("misbehaving:digits", **QUICK, workers=workers)
        try:
            return run(strategy, fitness, batch=6, stops=[stop.matings(18)])
        finally:
            asyncio.run(fitness.aclose())

    one, two = outcome(1), outcome(2)
    assert one.best is not None and math.isfinite(one.best.fitness.value)
    assert sum(one.best.genome.values) % 5 and sum(one.best.genome.values) % 13
    assert one.history == two.history


@pytest.mark.fault("E2")
@pytest.mark.fault("E3")
def test_what_comes_back_is_a_number_by_the_written_rule_or_a_named_failure() -> None:
    good: dict[str, float] = {
        "int": 3, "bool": 1, "float32": 0.5, "zero-d array": 0.25, "one element": 0.75, "score": 0.5, "pair": 0.5, "fitness": 0.5,
        "mapping": 0.5,
    }  # fmt: skip
    bad = {
        "own error": "no compiler",
        "nan": "a fitness must be finite, not nan",
        "inf": "a fitness must be finite, not inf",
        "-inf": "a fitness must be finite, not -inf",
        "numpy nan": "a fitness must be finite, not nan",
        "huge int": "a fitness must be finite, not inf",
        "None": "a fitness must be a number, not NoneType",
        "str": "a fitness must be a number, not str ('0.5')",
        "list": "a fitness must be a number, not list",
        "vector": "a fitness must be one number, not a ndarray of many",
        "complex": "a fitness must be a number, not complex",
        "fraction": "a fitness must be a number, not Fraction",
        "dict": "a fitness has no 'accuracy'",
        "typo": "a fitness has no 'mesures'; did you mean 'measures'?",
        "nan measure": "a fitness must be finite, not nan",
        "scalar measures": "'int' object is not iterable",
        "nan case": "a fitness must be finite, not nan",
        "negative violation": "a violation is 0 (valid) or positive, not -1.0",
        "feedback": "feedback is a tuple of strings",
        "object": "a fitness must be a number, not object",
        "long": "the result takes 50001",
        "function": "a fitness must be a number, not builtin_function_or_method",
    }
    assert {*good, *bad} == set(RETURNED)
    found = dict(zip([*good, *bad], rate("returned:returns", *good, *bad), strict=True))
    for name, value in good.items():
        assert found[name].ok and found[name].value == value, (name, found[name].error)
    for name, words in bad.items():
        assert not found[name].ok and found[name].value == -math.inf, name
        assert str(found[name].error).startswith(words), (name, found[name].error)
    assert found["fitness"] == RETURNED["fitness"]
    assert found["mapping"] == Fitness(0.5, 2.0, {"o": 1.0}, measures=(1.0, 2.0), feedback=("one",))
    assert found["pair"].feedback == ("half",)


@pytest.mark.fault("E4")
def test_a_function_that_sleeps_for_ever_is_ended_at_its_deadline() -> None:
    async def scene(isolated: IsolatedFunction) -> None:
        pid = (await isolated("nothing"))["pid"]
        isolated.timeout, began = 0.7, time.monotonic()
        failed = await failure(isolated, "sleep")
        assert 0.7 <= time.monotonic() - began < 4
        assert failed.kind == "timeout" and failed.attempts == 1
        assert str(failed).startswith("timeout: no result within 0.7 s (attempt 1 of 1)\nprinted last:\nabout to sleep\n")
        assert "in do_sleep" in str(failed), "where it hung"
        assert gone(pid)
        isolated.timeout = 20.0
        assert (await isolated("nothing"))["pid"] != pid

    play(scene)


@pytest.mark.fault("E4")
@pytest.mark.fault("E5")
@pytest.mark.parametrize("what", ["regex", "sleep_deaf", "pause_with_the_gil"])
def test_a_function_that_hears_no_signal_or_hangs_in_c_is_ended_as_well(what: str) -> None:
    async def scene(isolated: IsolatedFunction) -> None:
        failed = await failure(isolated, what)
        assert failed.kind == "timeout"

    play(scene, timeout=0.4)


@pytest.mark.fault("E6")
@pytest.mark.parametrize("what", ["grow", "grow_in_numpy", "torch_like"])
def test_a_function_that_takes_too_much_memory_fails_alone(what: str) -> None:
    async def scene(isolated: IsolatedFunction) -> None:
        failed = await failure(isolated, what)
        assert failed.kind == "oom" and str(failed).startswith("oom: more than 100 MB (attempt 1 of 1)")
        assert (await isolated("nothing"))["pid"] > 0

    play(scene, memory_mb=100)


@pytest.mark.fault("E6")
def test_a_worker_that_leaks_is_replaced_before_it_hurts() -> None:
    async def scene(isolated: IsolatedFunction) -> list[int]:
        return [await isolated("leak") for _ in range(6)]

    pids = play(scene, memory_mb=120)  # 16 MB a call, half of the limit is allowed
    assert pids[0] == pids[1] == pids[2] == pids[3] != pids[4] == pids[5]


@pytest.mark.fault("E6")
def test_a_worker_is_replaced_after_so_many_calls() -> None:
    async def scene(isolated: IsolatedFunction) -> list[int]:
        return [(await isolated("nothing"))["pid"] for _ in range(4)]

    pids = play(scene, recycle=2)
    assert pids[0] == pids[1] != pids[2] == pids[3]


@pytest.mark.fault("E7")
def test_a_function_that_ends_its_process_fails_only_its_own_call() -> None:
    async def scene(isolated: IsolatedFunction) -> None:
        for what, kind, words in (
            ("exit", "exit", "exit code 3"),
            ("sys_exit", "exit", "exit code 4"),
            ("segfault", "killed", "killed by signal 11 (SIGSEGV)"),
            ("abort", "killed", "killed by signal 6 (SIGABRT)"),
            ("kill", "killed", "killed by signal 9 (SIGKILL: by itself, or by the system for want of memory)"),
            ("hang_up", "exit", "exit code 1"),
            ("flood", "invalid", "the result takes more than 8388608 bytes"),
        ):
            failed = await failure(isolated, what)
            assert (failed.kind, failed.attempts) == (kind, 1)
            assert str(failed).startswith(f"{words} (attempt 1 of 1)"), str(failed)
            if what == "segfault":
                assert "in do_segfault" in str(failed), "where it crashed"

    play(scene)


@pytest.mark.fault("E7")
def test_nothing_is_run_again_behind_the_users_back(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"

    async def scene(isolated: IsolatedFunction) -> None:
        for n in (1, 2):
            await failure(isolated, str(ledger))
            assert isolated.calls == n == len(ledger.read_text().split())

    play(scene, "counted")


@pytest.mark.fault("E7")
def test_a_function_that_forks_and_returns_twice_answers_once() -> None:
    async def scene(isolated: IsolatedFunction) -> None:
        assert [await isolated("fork_and_both_return") for _ in range(3)] == [(await isolated("nothing"))["pid"]] * 3

    play(scene)


@pytest.mark.fault("E8")
@pytest.mark.parametrize("how", ["hang", "exit", "return", "cancel"])
def test_what_a_function_has_started_ends_with_it(how: str, tmp_path: Path) -> None:
    note = tmp_path / "pids"

    async def scene(isolated: IsolatedFunction) -> None:
        if how == "return":
            assert await isolated(f"{note}|return") == 1
        elif how == "cancel":
            task = asyncio.ensure_future(isolated(f"{note}|hang"))
            while not note.exists() or len(note.read_text().split()) < 3:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            failed = await failure(isolated, f"{note}|{how}")
            assert failed.kind == ("timeout" if how == "hang" else "exit")

    play(scene, "leave_children", timeout=1.0 if how == "hang" else 20.0)
    pids = [int(word) for word in note.read_text().split()]
    assert len(pids) == 3 and gone(*pids)


@pytest.mark.fault("E10")
def test_100_megabytes_of_output_are_read_and_the_end_is_kept() -> None:
    async def scene(isolated: IsolatedFunction) -> None:
        failed = await failure(isolated, "print_100_mb")
        assert str(failed).startswith("ValueError: after printing\nTraceback")
        assert str(failed).endswith("the last line") and len(str(failed)) < 10_000

    play(scene)


@pytest.mark.fault("E10")
def test_the_state_of_the_parent_and_of_the_next_call_is_untouched() -> None:
    def state() -> list[Any]:
        handlers = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
        return [
            os.getcwd(),
            dict(os.environ),
            random.getstate(),
            np.random.get_state()[1].tolist(),
            handlers,
            os.listdir("/proc/self/fd"),
        ]

    async def scene(isolated: IsolatedFunction) -> None:
        first = await isolated("where", seed=5)
        assert await isolated("upset") == 1
        assert await isolated("where", seed=5) == first == [os.getcwd(), False, True, *first[3:]]
        assert (await isolated("where", seed=6))[3:] != first[3:]

    before = state()
    play(scene)
    assert state() == before


@pytest.mark.fault("X1")
def test_keys_are_not_in_the_environment_of_a_worker_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-0123456789")
    monkeypatch.setenv("MY_SETTING", "blue")

    async def scene(isolated: IsolatedFunction) -> set[str]:
        return set(await isolated("environment"))

    assert not {"OPENAI_API_KEY", "MY_SETTING"} & play(scene)
    assert "MY_SETTING" in play(scene, env=["MY_SETTING"])
