"""What a run will cost, before anything is paid: expected and worst case."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from llmevo.config.assemble import Search
from llmevo.config.task import Task
from llmevo.core import Usage
from llmevo.fitness import Case, Judging
from llmevo.fitness.judge import MAX_TOKENS as VERDICT
from llmevo.fitness.repeated import Repeated
from llmevo.fitness.together import SeveralJudging
from llmevo.library import Template
from llmevo.llm.build import Model
from llmevo.llm.contract import Message, Request, Sampling
from llmevo.llm.prices import Price, known_price
from llmevo.recipes.text import EXAMPLES
from llmevo.text import Likelihood, Prompted
from llmevo.text.instruct import MAX_TOKENS

CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for English; the worst case counts the bytes of what is known instead."""
FRAME = 10
"""Tokens around a message that are expected."""
CHILD = 240
"""Characters of a child that is expected."""
RECORD = 8_000
"""Most characters of a parent's failures or feedback in an instruction."""
REPAIR = 400
FENCES = 400
"""Characters of the marks around what a judge is shown, and of the word on them in an instruction."""
FENCE = 60
"""Characters of the marks around the input and the target of an example."""
MANY = 10
"""Parents of an operator that takes any number."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One row of the plan: who is asked, expected and worst usage. `price` in it is 0 where no price is known."""

    role: str
    model: str
    expected: Usage
    worst: Usage
    priced: bool


def estimate(search: Search, task: Task) -> list[Estimate]:
    """A row per model, and one for each that stands in for it. Expected: every mating gives a new genome, read at once, and nothing
    is refused. Worst: one repair for every child, answers and children of full length (asked for twice where a cut one may be),
    everything refused by those before, a token per byte; of several operator models each may have to write every child. Duplicates,
    stillbirths, recorded answers and whoever is dropped in a race make a run cheaper than both; only attempts that are repeated because
    the server failed come on top.
    """
    plan = search.plan
    given = sum(founder.key.startswith("given(") for founder in search.founders)
    seeds = [seed if isinstance(seed, str) else " ".join(seed.values()) for seed in task.seeds]
    longest = max((_size(seed) for seed in seeds), default=0)
    writers = [model for role, model in search.models.items() if role.startswith("operator")]
    if writers:
        limits = [max(_caps(model, one)) for one in search.instructions for writer in writers for model in writer.chain]
        longest += CHARACTERS_PER_TOKEN * max(limits, default=0)
    rows: list[Estimate] = []
    greeted: list[Model] = []
    # The last cohort is asked as a whole.
    most = plan.matings if search.race else plan.matings + plan.batch - 1  # a race takes no more births than are planned
    crowning = search.race.crowning if search.race else 0
    dev = _raced(search, task.dev)
    if "task" in search.models and isinstance(search.phenotype, Prompted):
        model, phenotype = search.models["task"], search.phenotype
        prompt = max(seeds, key=len, default=" " * CHILD)
        cases = [*task.dev, *task.test]
        questions = [_size(phenotype.task.render(prompt, case.input, case.fields, {})) for case in cases]
        answers = [_size(case.targets[0]) for case in task.dev]
        calls = plan.matings * len(dev) + crowning + len(task.test)
        shots = [len(f"\n\nInput: {asked}\nAnswer: {answered}".encode()) for asked, answered in (task.shots.shots if task.shots else ())]
        room = task.shots.most if task.shots else 0
        longest += room * max(shots, default=0)
        questions = [size + round(room / 2 * statistics.fmean(shots or [0])) for size in questions]
        into, out = FRAME + statistics.fmean(questions) / CHARACTERS_PER_TOKEN, statistics.fmean(answers) / CHARACTERS_PER_TOKEN
        for place, one in enumerate(model.chain):
            upper = one.upper(Request((Message("user", ""),), phenotype.sampling))
            caps = _twice(one, upper.tokens_out)
            each = max(questions) + longest + upper.tokens_in
            worst = _times(most * len(dev) + crowning + len(task.test), len(caps) * each, sum(caps), len(caps))
            rows.append(_row("task", one, _times(calls, into, max(1.0, out)), worst, greeted, place))
    if writers and search.instructions and plan.matings > given:
        asked = [_instruction(one, task, longest, RECORD) for one in search.instructions]
        usual = [_instruction(one, task, max(CHILD, *map(len, seeds or [""])), CHILD) for one in search.instructions]
        roles = (Message("system", ""), Message("user", ""), Message("assistant", ""), Message("user", ""))
        frames = max(writer.upper(Request(roles)).tokens_in for writer in writers)
        children = plan.matings - given
        into = FRAME + statistics.fmean(usual) / CHARACTERS_PER_TOKEN
        once = max(asked) + frames
        again = once + CHARACTERS_PER_TOKEN * max(limits) + REPAIR
        share = -(-children // len(writers))
        for place, one in ((place, one) for writer in writers for place, one in enumerate(writer.chain)):
            most_caps = max((_caps(one, template) for template in search.instructions), key=lambda caps: (len(caps), sum(caps)))
            times = len(most_caps)
            worst = _times(most - given, times * (once + again), 2 * sum(most_caps), 2 * times)
            rows.append(_row("operator", one, _times(share, into, CHILD / CHARACTERS_PER_TOKEN), worst, greeted, place))
    judges = task.scorer.judges if isinstance(task.scorer, SeveralJudging) else (task.scorer,)
    for judging in judges:
        if isinstance(judging, Judging):
            rows += _judged(search, task, judging, most, greeted)
    return rows


def _judged(search: Search, task: Task, judging: Judging, most: int, greeted: list[Model]) -> list[Estimate]:
    """The rows of the judge. Expected: every verdict is read at once. Worst: every reply is cut, and repaired once."""
    # Only a likelihood selects without answers, and so without a judge.
    scored = search.evaluate.inner if isinstance(search.evaluate, Repeated) else search.evaluate
    selects = not isinstance(scored, Likelihood)
    dev, template, judge = _raced(search, task.dev) if selects else (), judging.template, search.models["judge"]
    fresh = task.dev[len(dev) :] if search.race and selects else ()  # as many as are set apart; which ones is the split's to say
    finalists = search.race.finalists if search.race else 0
    fixed = _size(template.body) + _size(template.system) + sum(map(_size, judging.slots.values()))
    prompted = search.phenotype if isinstance(search.phenotype, Prompted) else None
    longest = max(_answers(search.models["task"], prompted)) if prompted else CHILD
    each = [(judging.calls(len(case.targets)), _size(case.input) + sum(map(_size, case.targets))) for case in (*dev, *fresh, *task.test)]
    times = [search.plan.matings] * len(dev) + [finalists] * len(fresh) + [1] * len(task.test)
    calls = sum(count * asked for (asked, _), count in zip(each, times, strict=True))
    worst_times = [most] * len(dev) + times[len(dev) :]
    worst_calls = sum(count * asked for (asked, _), count in zip(each, worst_times, strict=True))
    material = statistics.fmean(size for _, size in each) if each else 0
    into = FRAME + (fixed + material + CHILD) / CHARACTERS_PER_TOKEN
    rows = []
    for place, one in enumerate(judge.chain):
        caps = _twice(one, one.spec.max_tokens or template.max_tokens or VERDICT)
        frames = one.upper(Request(tuple(Message(role, "") for role in ("system", "user", "assistant", "user")))).tokens_in
        once = fixed + max((size for _, size in each), default=0) + CHARACTERS_PER_TOKEN * longest + FENCES + frames
        again = once + CHARACTERS_PER_TOKEN * max(caps) + REPAIR
        worst = _times(worst_calls, len(caps) * (once + again), 2 * sum(caps), 2 * len(caps))
        rows.append(_row("judge", one, _times(calls, into, CHILD / CHARACTERS_PER_TOKEN), worst, greeted, place))
    return rows


def _raced(search: Search, dev: Sequence[Case]) -> Sequence[Case]:
    """As many of the dev cases as births are scored on; the others are set apart for a crowning."""
    return dev[: sum(search.race.laps)] if search.race else dev


def _answers(model: Model, phenotype: Prompted) -> list[int]:
    """The bounds under which the models of the task may answer."""
    return [cap for one in model.chain for cap in _twice(one, one.spec.sampling(phenotype.sampling).max_tokens)]


def _row(role: str, model: Model, expected: Usage, worst: Usage, greeted: list[Model], place: int) -> Estimate:
    """The row of a model that is the `place`-th in its chain; every model is greeted once."""
    if place:
        role, expected = f"{role}, if refused", Usage()
    price = model.spec.price or known_price(model.spec.model)
    local = not hasattr(model.endpoint, "names")
    if not local and model not in greeted:
        greeted.append(model)
        hello = model.upper(Request((Message("user", "Hi"),), Sampling(max_tokens=16)))
        expected, worst = expected + Usage(1, 10, 1), worst + Usage(1, hello.tokens_in, hello.tokens_out)
    return Estimate(role, model.spec.model, _priced(expected, price), _priced(worst, price), local or price is not None)


def _instruction(template: Template, task: Task, text: int, record: int) -> int:
    """The bytes of an instruction when every parent has `text` bytes, and its failures or feedback `record` bytes."""
    size = _size(template.body) + _size(template.system)
    for parent in template.parents:
        times = len(re.findall(rf"\b{parent}\b", template.body))
        size += times * text * (MANY if template.many else 1)
    size += record * len(re.findall(r"\.(?:failures|feedback)\b", template.body))
    if "examples" in template.slots:
        size += EXAMPLES * max(_size(case.input) + _size(case.targets[0]) + len("Input: Answer: ") + FENCE for case in task.dev)
    return size + FENCES + _size(task.description or "")


def _caps(model: Model, template: Template) -> tuple[int, ...]:
    return _twice(model, model.spec.max_tokens or template.max_tokens or MAX_TOKENS)


def _twice(model: Model, cap: int) -> tuple[int, ...]:
    """The bounds under which a question may be asked: a second, larger one where a cut answer may be asked for again."""
    larger = model.spec.max_tokens_if_cut
    return (cap,) if larger is None or larger <= cap else (cap, larger)


def _times(questions: int, into: float, out: float, calls: int = 1) -> Usage:
    """Usage of so many questions, each with these tokens and so many calls."""
    return Usage(questions * calls, round(questions * into), round(questions * out))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _priced(usage: Usage, price: Price | None) -> Usage:
    return Usage(usage.calls, usage.tokens_in, usage.tokens_out, price.of(usage) if price else 0.0)


__all__ = ["Estimate", "estimate"]
