"""A scripted proposer for measurements of search policies: it reads the answers in its prompt and knows nothing of the fitness.

It speaks through the real operators: templates, tags, repair. `bind` gives the name by which a run finds it.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

from problems import Problem, Values

from llmevo.llm.contract import Request

MIXES = 0.5
KINDS = ("no tags", "unclosed", "cut", "empty", "refusal", "nested", "placeholder")
"""How a reply is corrupted; each as likely."""


@dataclass
class Proposer:
    """With chance 0.5 mixes two of the answers that it is shown field by field (else takes the first), then changes one random field.

    Shown none it writes a random one; asked for a question it says the same one in other words, and as a critic nothing of use. A share
    `corrupt` of its replies is spoilt; with `sloppy` spaces fall as they like, so that equal answers differ as texts.
    """

    problem: Problem
    corrupt: float = 0.0
    sloppy: bool = False

    def __call__(self, request: Request) -> str:
        prompt = "\n".join(message.content for message in request.messages if message.role == "user")
        chance = random.Random(f"{request.sample}\n{prompt}")
        instruction = request.messages[0].content
        if "</chosen>" in instruction:
            numbers = re.findall(r"^Number (\d+)", instruction, re.MULTILINE)
            tag, text = "chosen", ", ".join(chance.sample(numbers, len(numbers)))
        elif "</critique>" in instruction:
            tag, text = "critique", "Change one field of what is there."
        elif "</question>" in instruction:
            question = instruction.rsplit("Question: ", 1)[-1]
            tag, text = "question", re.sub(r" \(\d+\)$", "", question) + f" ({chance.randrange(10**6)})"
        else:
            tag, text = "answer", self.problem.write(self.propose(self.shown(prompt), chance))
            if self.sloppy:
                text = "".join(letter + " " * chance.randrange(2) * (letter == ",") for letter in text.replace(", ", ","))
        reply = f"Here it is.\n<{tag}>{text}</{tag}>"
        return spoilt(reply, tag, text, chance) if chance.random() < self.corrupt else reply

    def shown(self, prompt: str) -> list[Values]:
        """The answers that stand in the prompt, in their order."""
        found = (self.problem.read(line) for line in re.findall(r"^Answer[^:\n]*: (.+)$", prompt, re.MULTILINE))
        return [values for values in found if values is not None]

    def propose(self, shown: list[Values], chance: random.Random) -> Values:
        """A new answer."""
        if not shown:
            return self.problem.sample(chance)
        values = list(shown[0])
        if len(shown) > 1 and chance.random() < MIXES:
            values = [chance.choice(pair) for pair in zip(*chance.sample(shown, 2), strict=True)]
        i = chance.randrange(len(values))
        values[i] = self.problem.change(values, i, chance)
        return values


def spoilt(reply: str, tag: str, text: str, chance: random.Random) -> str:
    """The reply as a small model might garble it."""
    return {
        "no tags": text,
        "unclosed": reply.replace(f"</{tag}>", ""),
        "cut": reply[: len(reply) // 2],
        "empty": f"<{tag}></{tag}>",
        "refusal": "I'm sorry, but I cannot help with that.",
        "nested": f"<{tag}><{tag}>{text}</{tag}></{tag}>",
        "placeholder": f"<{tag}>your answer here</{tag}>",
    }[chance.choice(KINDS)]


BOUND: dict[str, Proposer] = {}


def bind(name: str, proposer: Proposer) -> str:
    """The name under which a run finds this proposer as its model."""
    BOUND[name] = proposer
    return f"scripted:proposer:{name}"


def __getattr__(name: str) -> Any:
    if name in BOUND:
        return BOUND[name]
    raise AttributeError(name)
