"""One run against a server, to be killed and continued: what the hunts let die, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmevo import runs
from llmevo.config import Task, check_config
from llmevo.config.assemble import assemble
from llmevo.core import StorageError
from llmevo.core.crash import arm
from llmevo.fitness import new_case
from llmevo.fitness.scorers import exact
from llmevo.library import TaskTemplate
from llmevo.storage.blobs import FolderBlobs
from llmevo.storage.database import Database
from llmevo.storage.folder import RunFolder
from llmevo.storage.spare import Spare
from llmevo.testing.server import Action, Seen
from llmevo.voting import Ballot

WORDS = ("say", "the", "sum", "of", "both", "numbers", "now", "please", "exactly", "briefly")
CASES = [new_case(f"{i} + {i + 1}", str(2 * i + 1)) for i in range(8)]
FRESH = [new_case(f"{i % 3} + {i}", str(i % 3 + i)) for i in range(50, 54)]
"""Further cases, which a race sets apart for the crowning."""
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "slots": {"slots": 4, "batch": 1},
    "ends": {"racing": {"block": 3, "places": 1, "fresh": 4}},
}
"""The runs of the hunts: two cohorts open; four of them, so that several may be told and not yet durable; and one whose births race, whose
best are crowned on fresh cases, and where they vote at last."""


def answering(seen: Seen) -> Action:
    """The model of the hunt: a pure function of the question. Prompts with more of the right words answer more sums."""
    question = seen.prompt
    number = sum(map(ord, question))
    if "<prompt>" in question:
        words = [WORDS[(number >> k) % len(WORDS)] for k in range(5)]
        return Action(text=f"<prompt>{' '.join(words)}</prompt>", delay=0.001)
    if " + " not in question:
        return Action(text="hello")
    prompt, _, sum_ = question.rpartition("\n")
    a, _, b = sum_.partition(" + ")
    knows = len({"sum", "both", "numbers"} & set(prompt.split())) * 3 > int(a)
    return Action(text=str(int(a) + int(b)) if knows else "?", delay=0.001)


def voting(config: Any, task: Task, connections: Any) -> Any:
    """`assemble` for a run of texts whose best vote, as the adapters of some recipes do."""
    search = assemble(config, task, connections)
    assert search.phenotype is not None
    return replace(search, ballot=Ballot(search.phenotype, task.scorer, task.dev, task.test, most=3))


def sitting(folder: str, url: str, in_flight: int = 4, on_cohort: Any = None, way: str = "plain", **more: Any) -> runs.Result:
    """One sitting of a run in a folder; `more` are settings of the configuration."""
    model: dict[str, Any] = {"model": "test", "base_url": url, "price": {"input": 1.0, "output": 2.0}}
    config = check_config({
        "recipe": "evoprompt-ga", "population": 4, "steps": 2, "batch": 2, "slots": 2, "in_flight": in_flight,
        "models": {"task": model, "operator": model}, "task": {"cases": {"path": "(python)"}}, **WAYS[way], **more,
    })  # fmt: skip
    prompts = ("say the sum", "numbers please", "now", "both briefly")
    dev = CASES[:6]
    if way == "ends":
        dev = CASES[:6] + FRESH
        runs.assemble = voting  # type: ignore[attr-defined]
    task = Task(tuple(dev), tuple(CASES[6:]), exact(), TaskTemplate(), prompts)
    return asyncio.run(runs.run(config, task, folder=Path(folder), on_cohort=on_cohort))


def run(folder: str, url: str, crash: str = "", kill_after: float = 0.0, out: str = "", in_flight: int = 4, way: str = "plain") -> None:
    """Runs or continues the run in a folder; dies at a crash point or after some seconds; else writes what came out."""
    arm(crash)
    if kill_after:
        threading.Timer(kill_after, os.kill, (os.getpid(), signal.SIGKILL)).start()
    result = sitting(folder, url, in_flight, way=way)
    if out:
        best = result.best
        record = {
            "history": result.outcome.history,
            "best": best.genome.text if best else None,
            "test": result.held_out.mean if result.held_out else None,
            "crowning": result.crowning.dump() if result.crowning else None,
            "vote": result.vote.record() if result.vote else None,
            "reason": result.outcome.reason,
            "spent": [result.spent.calls, result.spent.tokens_in, result.spent.tokens_out],
        }
        Path(out).write_text(json.dumps(record), encoding="utf-8")


def full(folder: str, url: str, left: int = 0) -> None:
    """The same on a disk on which the log may grow by `left` bytes after the next cohort; leaves with the code of the error."""

    def told(_: Any) -> None:
        log = Path(folder) / "run.sqlite-wal"
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + left, resource.RLIM_INFINITY))

    try:
        sitting(folder, url, on_cohort=told)
    except StorageError as error:
        os._exit(error.exit_code)


def keep(folder: str, crash: str = "") -> None:
    """What the run above does not come to: blobs, and answers that were put aside and are taken over; dies at a crash point."""
    arm(crash)
    with RunFolder(Path(folder)) as opened:
        for number in range(4):
            Database(opened.record, spare=True).close()
            FolderBlobs(opened.blobs).put(blob(number))
            spare = Spare(opened.record.with_suffix(".spare"))
            spare.keep([("answers", (f"b2:{number}", "model", "an answer", "stop", 1, 2, 3, 0.5))])
            spare.close()
            Database(opened.record, spare=True).close()


def blob(number: int) -> bytes:
    return b"tensor %d" % number * 1000
