"""Shared equipment of the model tests."""

from __future__ import annotations

from llmevo.llm.contract import Message, Request, Sampling


def ask(text: str, sample: str = "", **sampling: object) -> Request:
    """A question with one user message."""
    return Request((Message("user", text),), Sampling(**sampling), sample)  # type: ignore[arg-type]
