"""What the tests of whole runs share: a model server that plays both parts, run files, and runs in this process or another."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from llmevo.testing.server import Action, Seen

WORDS = "apple bread cloud dream earth flame green house ivory jolly karma lemon music night ocean peach quiet river stone tiger".split()
OPERATOR = re.compile(r"<prompt>")
"""An operator's instruction names its answer tag; a task's question does not."""


def is_operator(seen: Seen) -> bool:
    return OPERATOR.search(seen.prompt) is not None


def pick(text: str, most: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little") % most


def answer(seen: Seen) -> Action:
    """A child that depends on the question (and not on the order of arrival), or a label that depends on prompt and input."""
    if is_operator(seen):
        first = pick(seen.prompt, len(WORDS))
        second = pick(seen.prompt + "?", len(WORDS))
        return Action(text=f"Here it is: <prompt>Say how the {WORDS[first]} {WORDS[second]} feels.</prompt>")
    return Action(text="good" if pick(seen.prompt, 3) else "bad")


def slowly(seconds: float) -> Any:
    """`answer`, after a delay."""

    def script(seen: Seen) -> Action:
        told = answer(seen)
        return Action(text=told.text, delay=seconds)

    return script


def cases(count: int, tag: str = "case") -> list[dict[str, str]]:
    return [{"input": f"{tag} {i} {WORDS[i % len(WORDS)]}", "target": "good" if i % 2 else "bad"} for i in range(count)]


def write_cases(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def values_for(url: str | None, **more: Any) -> dict[str, Any]:
    """The plain values of a small run: four seeds, ten dev and five test cases, GA with four."""
    model: dict[str, Any] = {"model": "test", "base_url": url, "attempts": 2, "max_wait": 3.0, "timeout": 10.0}
    values: dict[str, Any] = {
        "recipe": "evoprompt-ga",
        "seed": 3,
        "population": 4,
        "steps": 2,
        "models": {"task": dict(model), "operator": {**model, "model": "writer"}},
        "task": {
            "cases": {"path": "cases.jsonl"},
            "dev": 6,
            "test": 4,
            "scorer": "exact",
            "seeds": ["Is it good or bad?", "Say good or bad.", "Name the feeling.", "Good? Bad?"],
        },
    }
    return {**values, **more}


def write_run(folder: Path, values: dict[str, Any], name: str = "run.yaml", rows: int = 10) -> Path:
    """A run file and its cases in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "cases.jsonl").exists():
        write_cases(folder / "cases.jsonl", cases(rows))
    file = folder / name
    file.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return file


def command(
    *arguments: object, ignoring: tuple[signal.Signals, ...] = (), cwd: Path | None = None
) -> subprocess.Popen[str]:
    """The command line in a process of its own; its signals are as in a terminal, also when the tests run in the background."""

    def signals() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number in ignoring else signal.SIG_DFL)

    line = [sys.executable, "-c", "from llmevo.cli import main; main()", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "120", "TERM": "dumb"}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=cwd, preexec_fn=signals)
