"""A check that knows a hidden setting of three values and tells only how many of them an answer has right.

    cd examples
    llmevo refine "Find the hidden CONFIG of 3 values from 0 to 4." --check hidden:check

The small model in the package writes the answers: `CONFIG = [..]` is the one form of answer that it was taught. A real model
(`--model NAME`) answers any question; put what a good answer is into a check of your own, in words too: docs/refining.md.
"""

from __future__ import annotations

import re

from llmevo import Verdict

HIDDEN = ["3", "0", "2"]


def check(answer: str) -> Verdict:
    """The share of the values that are right; valid when all are."""
    found = re.search(r"CONFIG = \[(\d(?:, \d)*)\]", answer)
    values = found[1].split(", ") if found else []
    if len(values) != len(HIDDEN):
        return Verdict(0.0, violation=2.0, feedback=("write CONFIG = [a, b, c]",))
    right = sum(a == b for a, b in zip(values, HIDDEN, strict=True))
    return Verdict(right / 3, violation=1 - right / 3, feedback=(f"{right} of 3 values are right",))
