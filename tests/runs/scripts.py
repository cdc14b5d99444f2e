"""Models for `scripted:tests.runs.scripts:NAME`: they run in this process and answer by a function of the question."""

from __future__ import annotations

import hashlib

from llmevo.llm.contract import Request
from tests.runs.helpers import WORDS


def both(request: Request) -> str:
    """A child in a tag for an instruction; for a question `good` when the prompt says `careful`, else a coin by the question."""
    text = request.messages[-1].content
    number = int.from_bytes(hashlib.blake2b((text + request.sample).encode(), digest_size=4).digest(), "little")
    if "<prompt>" in text:
        return f"<prompt>Be {'careful' if number % 3 == 0 else WORDS[number % 20]}, {WORDS[number // 20 % 20]}!</prompt>"
    if "careful" in text:
        return "good" if "nice" in text else "bad"
    return "good" if number % 2 else "bad"
