"""The key of user code: the same for the same code, another one when it was edited."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from llmevo.core.resolve import function_key


def test_a_lambda_is_known_by_what_it_does_and_not_by_the_line_on_which_it_stands() -> None:
    def optimize(score: Callable[[str], Any], **settings: int) -> str:
        return function_key(score)

    first = optimize(lambda answer: len(answer) + 1, steps=1)
    again = optimize(lambda answer: len(answer) + 1, steps=10)
    assert first == again, "more steps continue the same run"
    assert optimize(lambda answer: len(answer) + 2, steps=1) != first
    assert optimize(lambda answer: max(answer), steps=1) != optimize(lambda answer: min(answer), steps=1)
    assert optimize(lambda answer: [one + 1 for one in answer]) != optimize(lambda answer: [one + 2 for one in answer])


def test_a_function_without_source_is_known_by_its_constants_too() -> None:
    def made(text: str) -> str:
        place: dict[str, Any] = {"__name__": "typed_in"}
        compiled = compile(f"def score(answer):\n    return {text}\n", "<typed in>", "exec")
        return function_key(type(made)(compiled.co_consts[0], place))

    assert made("0.1 * len(answer)") == made("0.1 * len(answer)") != made("0.2 * len(answer)")


def test_the_key_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "from llmevo.core.resolve import function_key\n"
        "print(function_key(lambda answer: answer in {'yes', 'no', 'maybe', 'perhaps', 'never'}))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
