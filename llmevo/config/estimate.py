"""What a run will cost, before anything is paid: expected and worst case."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from llmevo.config.assemble import Search
from llmevo.config.task import Task
from llmevo.core import Usage
from llmevo.llm.build import Model
from llmevo.llm.contract import Message, Request, Sampling
from llmevo.llm.prices import Price, known_price
from llmevo.text import Prompted

CHARACTERS_PER_TOKEN = 4.0
"""A rule of thumb for English; the worst case counts bytes instead."""
INSTRUCTION = 1000
"""Characters of an operator's instruction around the parents, roughly."""
CHILD_TOKENS = 60
PARENTS = 4


@dataclass(frozen=True, slots=True)
class Estimate:
    """One row of the plan: who is asked, expected and worst usage. `price` in it is 0 where no price is known."""

    role: str
    model: str
    expected: Usage
    worst: Usage
    priced: bool


def estimate(search: Search, task: Task) -> list[Estimate]:
    """A row per model. Expected: every mating gives a new genome, read at once. Worst: one repair for every child, answers of full
    length, a token per byte. Duplicates, stillbirths and recorded answers make a run cheaper than both.
    """
    genomes = search.plan.matings
    given = sum(founder.key.startswith("given(") for founder in search.founders)
    children = genomes - given
    rows = []
    if "task" in search.models and isinstance(search.evaluate.phenotype, Prompted):
        model, phenotype = search.models["task"], search.evaluate.phenotype
        prompts = [seed if isinstance(seed, str) else " ".join(seed.values()) for seed in task.seeds] or [" " * 200]
        prompt = max(prompts, key=len)
        answers = [case.targets[0] for case in task.dev]
        questions = [phenotype.task.render(prompt, case.input, case.fields, {}) for case in task.dev[:50]]
        calls = genomes * len(task.dev) + len(task.test)
        rows.append(_row("task", model, calls, 1, questions, statistics.fmean(map(len, answers)), phenotype.sampling))
    if "operator" in search.models and children:
        model = search.models["operator"]
        longest = max((len(seed) if isinstance(seed, str) else sum(map(len, seed.values())) for seed in task.seeds), default=200)
        question = "x" * (INSTRUCTION + PARENTS * max(longest, int(CHILD_TOKENS * CHARACTERS_PER_TOKEN)))
        sampling = Sampling(max_tokens=512)
        rows.append(_row("operator", model, children, 2, [question], CHILD_TOKENS * CHARACTERS_PER_TOKEN, sampling))
    return rows


def _row(
    role: str, model: Model, calls: int, attempts: int, questions: Sequence[str], answer: float, sampling: Sampling
) -> Estimate:
    tokens_in = statistics.fmean(map(len, questions)) / CHARACTERS_PER_TOKEN
    tokens_out = max(1.0, answer / CHARACTERS_PER_TOKEN)
    price = model.spec.price or known_price(model.spec.model)
    expected = Usage(calls, round(calls * tokens_in), round(calls * tokens_out))
    request = Request((Message("user", max(questions, key=len)),), sampling)
    upper = model.upper(request)
    most = calls * attempts
    worst = Usage(most, most * upper.tokens_in, most * upper.tokens_out)
    local = not hasattr(model.endpoint, "names")
    return Estimate(role, model.spec.model, _priced(expected, price), _priced(worst, price), local or price is not None)


def _priced(usage: Usage, price: Price | None) -> Usage:
    return Usage(usage.calls, usage.tokens_in, usage.tokens_out, price.of(usage) if price else 0.0)


__all__ = ["Estimate", "estimate"]
