"""Isolated functions: the same scores as in the process, several at a time, refused early, and ended when nobody wants them."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from llmevo.core import ConfigError, Context, InvalidFitness, Pause, Seed
from llmevo.fitness import Case, Evaluator, FunctionScorer, scorer_named
from llmevo.fitness.isolated import EvaluationFailed, IsolatedFitness, IsolatedFunction, IsolatedScorer, words
from llmevo.fitness.worker import FORMS
from llmevo.testing.toy import Digits
from llmevo.text import TextGenome

CONTEXT = Context(Seed.of(0))
CASE = Case("c1", "how many?", ("two", "2"), {"lang": "en"})
MODULE = """
    import asyncio, os, time
    from pathlib import Path

    def length(text): return len(text)
    def both(*args): return list(args)
    def slow(path):
        with open(path, "a") as file: file.write("+")
        time.sleep(0.15)
        with open(path, "a") as file: file.write("-")
        return os.getpid()
    def hang(path):
        Path(path).write_text(str(os.getpid()))
        time.sleep(1e6)
    async def later(text):
        await asyncio.sleep(0)
        return len(text)
    def pause(text):
        from llmevo.core import Pause
        raise Pause("the judge is down")
    def leaks_key(text): raise ValueError(os.environ["MY_API_KEY"])
    class Tools:
        @staticmethod
        def one(text): return 1
    NUMBER = 3
"""
SCORER = """
    def score(answer, case):
        right = case.target if isinstance(case.target, tuple) else (case.target,)
        if answer == "crash":
            import os
            os._exit(9)
        if answer == "None":
            return None
        return float(answer in right), f"{case.id} {case.input} {dict(case.fields)} {answer}"
"""


@pytest.fixture
def near(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "scoring.py").write_text(textwrap.dedent(SCORER))
    return tmp_path


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def until(condition: Any, seconds: float = 10) -> None:
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def test_calls_queue_for_the_workers(near: Path) -> None:
    async def main() -> None:
        log = near / "log"
        async with IsolatedFunction("mine:slow", near=near, workers=2, timeout=5.0) as slow:
            pids = await asyncio.gather(*(slow(str(log)) for _ in range(6)))
            assert len(set(pids)) == 2 and slow.calls == 6
        open_now, most = 0, 0
        for mark in log.read_text():
            open_now += 1 if mark == "+" else -1
            most = max(most, open_now)
        assert most == 2
        assert not any(map(alive, pids))

    asyncio.run(main())


def test_arguments_and_results_are_json_of_any_size(near: Path) -> None:
    async def main() -> None:
        async with IsolatedFunction("mine:both", near=near) as both:
            big = "é\ud800\n" * 200_000
            assert await both(big, 1, None, {"a": [1.5]}) == [big, 1, None, {"a": [1.5]}]
            with pytest.raises(TypeError):
                await both(object())

    asyncio.run(main())


@pytest.mark.parametrize(
    "forged", [b"[]\n", b"\n", b"nonsense\n", b'{"value": NaN}\n', b'{"value": "1"}\n', b"[" * 100_000 + b"\n"]
)
def test_whoever_writes_a_reply_it_is_a_number_or_a_failure(forged: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    fitness: IsolatedFitness[TextGenome] = IsolatedFitness(len)
    scorer = IsolatedScorer(len)

    class Stub:
        printed = ""

    for isolated in (fitness.function, scorer.function):
        try:
            found = isolated._result(forged, Stub())  # type: ignore[arg-type]
        except EvaluationFailed as failed:
            assert failed.kind == "invalid"
            continue

        async def given(*args: Any, found: Any = found, **more: Any) -> Any:
            return found

        monkeypatch.setattr(fitness, "function", given)
        monkeypatch.setattr(scorer, "function", given)
        assert not asyncio.run(fitness([TextGenome("a")], [CONTEXT]))[0].ok
        with pytest.raises(InvalidFitness):
            asyncio.run(scorer("a", CASE, CONTEXT))


def test_async_functions_and_attributes_by_path_work_too(near: Path) -> None:
    async def main() -> None:
        async with IsolatedFunction("mine:later", near=near) as later, IsolatedFunction("mine:Tools.one", near=near) as one:
            assert (await later("four"), await one("four")) == (4, 1)

    asyncio.run(main())


def test_a_pause_in_the_function_stops_the_run(near: Path) -> None:
    async def main() -> None:
        fitness: IsolatedFitness[TextGenome] = IsolatedFitness("mine:pause", near=near)
        try:
            with pytest.raises(Pause, match="the judge is down"):
                await fitness([TextGenome("a")], [CONTEXT])
        finally:
            await fitness.aclose()

    asyncio.run(main())


def test_what_cannot_be_imported_is_refused_before_anything_is_paid(near: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SETTING", "1")
    (near / "dies.py").write_text("import os; os._exit(3)")
    (near / "asks.py").write_text("import os; os.environ['MY_SETTING']")
    (near / "contextual.py").write_text("def score(answer, case, context): return 1")
    for name, message in (
        ("mine", "does not name Python code"),
        ("mine:lenght", "did you mean 'length'"),
        ("nowhere_at_all:f", "there is no module 'nowhere_at_all'"),
        ("mine:NUMBER", "is a int, which cannot be called"),
        ("dies:f", "importing it in a worker process: exit code 3"),
        ("asks:f", "MY_SETTING is set here, but workers see it only if `env` names it"),
        ("contextual:score", "takes a `context`, which does not exist"),
    ):
        with pytest.raises(ConfigError, match=message):
            _ = IsolatedFunction(name, near=near).key
    with pytest.raises(ConfigError, match=r"a worker process cannot import .*lambda"):
        IsolatedFunction(lambda text: 1.0)
    with pytest.raises(ConfigError, match="ABSENT, which is not set"):
        IsolatedFunction("mine:length", env=["ABSENT"])
    with pytest.raises(ConfigError, match="timeout is a number above 0"):
        IsolatedFunction("mine:length", timeout=0)


def test_a_scorer_gives_the_same_scores_and_has_the_same_key_as_in_the_process(near: Path) -> None:
    inside = scorer_named("scoring:score", near=near)
    isolated = IsolatedScorer("scoring:score", near=near)
    assert isinstance(inside, FunctionScorer)
    assert isolated.key == inside.key  # asked outside of a loop, used in two loops after it

    async def both(answer: str) -> Any:
        return await isolated(answer, CASE, CONTEXT), await inside(answer, CASE, CONTEXT)

    for answer in ("2", "three"):
        a, b = asyncio.run(both(answer))
        assert a == b and a.explanation
    asyncio.run(isolated.aclose())


@pytest.mark.fault("E7")
def test_a_scorer_that_loses_its_process_fails_the_genome_of_the_answer(near: Path) -> None:
    class Echo:
        key, whole_cohort = "echo", False

        async def __call__(self, genomes: Any, cases: Any, contexts: Any) -> Any:
            return [[genome.text for _ in cases] for genome in genomes]

    async def main() -> None:
        scorer = IsolatedScorer("scoring:score", near=near, workers=2)
        try:
            cases = [Case("a", "?", "yes"), Case("b", "?", "no")]
            genomes = [TextGenome(text) for text in ("yes", "crash", "None")]
            good, crashed, none = await Evaluator(Echo(), cases, scorer)(genomes, [CONTEXT] * 3)
            assert (good.value, good.cases) == (0.5, {"a": 1.0, "b": 0.0})
            assert (
                crashed.error is not None and "exit code 9 (attempt 1 of 1)" in crashed.error and "Traceback" not in crashed.error
            )
            assert none.error is not None and "must be a number, not NoneType" in none.error
            assert crashed.error.startswith("case a: scorer function(scoring:score#")
        finally:
            await scorer.aclose()

    asyncio.run(main())


def test_a_fitness_reads_a_genome_as_text_parts_or_record() -> None:
    assert words(TextGenome("a")) == "a"
    assert words(TextGenome({"a": "x", "b": "y"})) == {"a": "x", "b": "y"}
    assert words(Digits((1, 2))) == {"values": [1, 2]}
    fitness: IsolatedFitness[TextGenome] = IsolatedFitness(len, reads=lambda genome: {genome})
    assert str(asyncio.run(fitness([TextGenome("a")], [CONTEXT]))[0].error).startswith("the genome cannot be read: TypeError")


def test_a_function_that_is_edited_while_the_run_uses_it_is_noticed(near: Path) -> None:
    async def main() -> None:
        async with IsolatedFunction("mine:length", near=near, recycle=1) as length:
            assert await length("four") == 4
            (near / "mine.py").write_text("def length(text): return 0.1 + len(text)")
            with pytest.raises(ConfigError, match="was edited while the run uses it"):
                await length("four")

    asyncio.run(main())


def test_a_worker_that_cannot_be_replaced_in_mid_run_pauses_it(near: Path) -> None:
    (near / "once.py").write_text(
        "import os, pathlib\nif pathlib.Path(__file__).with_name('flag').exists(): os._exit(3)\ndef f(text): return 1"
    )

    async def main() -> None:
        async with IsolatedFunction("once:f", near=near, recycle=1) as once:
            assert await once("a") == 1
            (near / "flag").touch()
            with pytest.raises(Pause, match="importing it in a worker process: exit code 3"):
                await once("a")

    asyncio.run(main())


@pytest.mark.fault("X1")
def test_a_key_that_a_worker_may_see_is_in_no_message(near: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "canary-0123456789")

    async def main() -> None:
        async with IsolatedFunction("mine:leaks_key", near=near, env=["MY_API_KEY"]) as leaks:
            with pytest.raises(EvaluationFailed, match="ValueError") as caught:
                await leaks("a")
            assert "canary" not in str(caught.value) and "[MY_API_KEY]" in str(caught.value)

    asyncio.run(main())


def test_a_cancelled_call_ends_its_worker_at_once_and_leaves_a_turn_to_the_next(near: Path) -> None:
    async def main() -> None:
        note = near / "note"
        async with IsolatedFunction("mine:hang", near=near, grace=30.0) as hang:
            for _ in range(2):
                note.unlink(missing_ok=True)
                task = asyncio.ensure_future(hang(str(note)))
                queued = asyncio.ensure_future(hang(str(note)))
                await until(lambda: note.exists() and note.read_text())
                pid = int(note.read_text())
                began = time.monotonic()
                queued.cancel()
                task.cancel()
                results = await asyncio.gather(task, queued, return_exceptions=True)
                assert all(isinstance(result, asyncio.CancelledError) for result in results)
                assert time.monotonic() - began < 2 and not Path(f"/proc/{pid}").exists()

    asyncio.run(main())


def test_closing_ends_calls_at_work_and_those_that_wait(near: Path) -> None:
    async def main() -> None:
        note = near / "note"
        hang = IsolatedFunction("mine:hang", near=near, grace=30.0)
        tasks = [asyncio.ensure_future(hang(str(note))) for _ in range(3)]
        await until(lambda: note.exists() and note.read_text())
        await hang.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, Pause) for result in results), results
        assert not Path(f"/proc/{note.read_text()}").exists()

    asyncio.run(main())


def test_a_function_that_nobody_holds_any_more_ends_its_workers(near: Path) -> None:
    function = IsolatedFunction("mine:length", near=near)
    assert function.key.startswith("mine:length#")
    (worker,) = function._all
    assert alive(worker.pid)
    del function
    gc.collect()
    assert not Path(f"/proc/{worker.pid}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does this")
def test_workers_and_their_children_die_with_a_parent_that_is_killed(near: Path) -> None:
    note = near / "note"
    (near / "orphan.py").write_text(
        textwrap.dedent(f"""
        import os, re
        def f(text):
            child = os.fork()
            open({str(note)!r}, "a").write(f"{{os.getpid()}} ")
            re.match("(a+)+$", "a" * 64 + "b")
    """)
    )
    code = f"""
import asyncio
from pathlib import Path
from llmevo.fitness.isolated import IsolatedFunction
asyncio.run(IsolatedFunction("orphan:f", near=Path({str(near)!r}))("a"))
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    try:
        asyncio.run(until(lambda: note.exists() and len(note.read_text().split()) == 2, 30))
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    asyncio.run(until(lambda: not any(alive(int(pid)) for pid in note.read_text().split())))
    assert parent.returncode == -signal.SIGKILL


def test_the_forms_of_a_result_are_those_that_are_asked_for() -> None:
    assert {IsolatedFunction.form, IsolatedFitness(len).function.form, IsolatedScorer(len).function.form} == set(FORMS)
