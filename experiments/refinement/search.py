"""One search on one problem: every arm of the studies, and what is recorded of it."""

from __future__ import annotations

import hashlib
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from problems import PROBLEMS
from proposer import Proposer, bind

from llmevo import arefine
from llmevo.core import Individual
from llmevo.fitness.check import Verdict
from llmevo.fitness.diversity import distinct, self_bleu
from llmevo.llm.embedded.runtime import WEIGHTS, weights_hash

ARMS: dict[str, dict[str, Any]] = {
    "ga-llm": {},
    "ga-llm without crossover": {"ablate": ("crossover",)},
    "ga-llm without prompt mutation": {"ablate": ("prompt_mutation",)},
    "ga-llm without textual mutation": {"ablate": ("textual_mutation",)},
    "ga-llm, textual mutation alone": {"ablate": ("crossover", "prompt_mutation")},
    "ga-llm with local edits": {"local_edits": 0.3},
    "ga-llm, rates by a bandit": {"choose": "bandit"},
    "ga-llm, duplicates allowed": {"duplicates": "allow"},
    "ga-llm, no repair": {"repair": False},
    "ga-llm, never spent": {"patience": 10**6},
    "best-of-n": {"recipe": "best-of-n"},
    "revise": {"recipe": "revise"},
    "one-plus-one": {"recipe": "one-plus-one"},
    "evoscale": {"recipe": "evoscale"},
    "mind-evolution": {"recipe": "mind-evolution", "population": 20},
}
"""Name to the settings of `llmevo.refine` in which it differs from the defaults. "Never spent": the best is the first parent for ever."""


def name_of(operator: Any) -> str:
    """The name of an operator as a row has it."""
    return operator if isinstance(operator, str) else str(operator["model"])


def weights_of(operator: Any) -> str | None:
    """Which weights the model in the package has, so that rows of former ones are not taken for theirs; None for other operators."""
    return weights_hash(WEIGHTS / "model.safetensors")[:12] if name_of(operator) == "embedded" else None


async def search(
    task: str, arm: str, seed: int, evaluations: int, operator: Any = "stub", corrupt: float = 0.0, sloppy: bool = False, births: int = 0
) -> dict[str, Any]:
    """A row: the best score after each number of checks and of tokens, and what became of the births.

    `operator` is `stub`, or a model as `llmevo.refine` takes it. Ends at a valid answer, after `evaluations` checks, or `births` births.
    """
    problem = PROBLEMS[task](seed)
    model = operator
    if operator == "stub":
        model = bind(f"{task}_{seed}_{corrupt}_{sloppy}".replace("-", "_").replace(".", "_"), Proposer(problem, corrupt, sloppy))
    log: list[Verdict] = []
    answers: list[str] = []
    marks: list[tuple[int, int]] = []
    fates = {"born": 0, "known": 0, "copy": 0, "unreadable": 0, "cancelled": 0, "failed": 0}
    solved_at: dict[str, int] = {}
    samples: list[float] = []

    async def check(answer: str) -> Verdict:
        log.append(problem.check(answer))
        answers.append(answer)
        if log[-1].violation == 0:
            solved_at.setdefault("checks", len(log))
        return log[-1]

    def told(now: Any) -> None:
        usage = now.progress.usage
        marks.append((usage.tokens_in + usage.tokens_out, len(log)))
        for birth in now.births:
            if isinstance(birth, Individual):
                fates["born" if birth.fitness.ok else "failed"] += 1
                if not birth.parents and birth.fitness.ok:
                    samples.append(birth.fitness.value)
                if birth.fitness.ok and birth.fitness.violation == 0:
                    solved_at.setdefault("births", fates["born"])
            else:
                error = birth.error
                fate = next((f for f in ("known", "copy", "cancelled") if f in error), "unreadable")
                fates[fate] += 1

    check.__qualname__ = f"check_{hashlib.blake2b(f'{task}{seed}'.encode(), digest_size=6).hexdigest()}"
    began = time.perf_counter()
    settings = {"population": 8, **ARMS[arm]}
    settings["steps"] = -(-(births or 6 * evaluations) // settings["population"])
    found = await arefine(
        problem.question, check, model=model, seed=seed, budget={"evaluations": evaluations}, on_cohort=told, **settings
    )
    best, track = float("-inf"), []
    standing = (float("-inf"), float("-inf"))
    for i, one in enumerate(log, start=1):
        if (-one.violation, one.value) > standing:
            standing, best = (-one.violation, one.value), one.value
            track.append([i, round(best, 6)])
    normal = {"".join(answer.split()) for answer in answers}
    return {
        "task": task, "arm": arm, "seed": seed, "operator": name_of(operator), "weights": weights_of(operator),
        "corrupt": corrupt, "sloppy": sloppy, "budget": evaluations,
        "checks": len(log), "solved": solved_at.get("checks"), "solved_births": solved_at.get("births"),
        "track": track, "marks": thinned(marks),
        "different": len(normal), "distinct_2": round(distinct(answers), 4),
        "self_bleu": round(self_bleu(answers), 4) if find_spec("sacrebleu") else None,
        "fates": fates, "best": found.score, "sample": max(samples, default=None),
        "calls": found.spent.calls, "tokens": found.spent.tokens_in + found.spent.tokens_out, "usd": found.spent.price,
        "reason": found.reason[:80], "seconds": round(time.perf_counter() - began, 3),
    }  # fmt: skip


def thinned(marks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """One mark for each number of checks, the last."""
    last = {checks: tokens for tokens, checks in marks}
    return [(tokens, checks) for checks, tokens in last.items()]
