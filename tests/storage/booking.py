"""Calls that are recorded without a model: what the tests of the record share."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from llmevo.core import Usage
from llmevo.storage.answers import Answer, Answers, Outcome


def intend(answers: Answers, key: str, model: str, upper: Usage) -> tuple[int, Future[None]]:
    """Writes an intent; its number, and when it is durable."""
    number, rows = answers.intend(key, model, upper)
    return number, answers.database.record(*rows)


def settle(
    answers: Answers, number: int | None, key: str, model: str, outcome: Outcome, spent: Usage, answer: Answer | None = None
) -> Future[Any]:
    """Writes how a call ended; done when it is durable, and the answer is known from then on."""
    rows = answers.settle(number, key, model, outcome, spent, answer=answer)
    written = answers.database.record(*rows, keep=True)
    if answer is not None:
        written.add_done_callback(lambda done: done.exception() or answers.learn(key, outcome, answer))
    return written
