"""Refinement at inference time: the best answer that a model can be driven to, and how it came about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmevo.config import KINDS
from llmevo.core import Birth, BudgetExhausted, Individual, Pause, Seed, Usage, View
from llmevo.core.resolve import resolve
from llmevo.engine import Outcome, Told, evolve, stop
from llmevo.engine.brake import GRACE, Brake
from llmevo.engine.metered import Metered
from llmevo.engine.progress import Progress
from llmevo.fitness.check import Checked
from llmevo.llm.build import Connections, ModelSpec
from llmevo.recipes import Plan
from llmevo.recipes import recipe as named
from llmevo.recipes.answers import AnswerKit
from llmevo.storage.blobs import FolderBlobs, MemoryBlobs
from llmevo.storage.budget import Budget
from llmevo.storage.database import Database
from llmevo.storage.folder import RunFolder
from llmevo.storage.journal import Journal
from llmevo.text import TextGenome
from llmevo.text.reprompt import ANSWER

BARREN = 30
"""Births in a row of which none lived, after which a refinement gives up."""


@dataclass(frozen=True, slots=True)
class Refined:
    """The best answer found. Never worse than the best sample, by the check's own score."""

    answer: str | None
    """None when no answer could be checked; `reason` says why."""
    score: float | None
    valid: bool
    """Whether the check called it valid."""
    feedback: tuple[str, ...]
    reason: str
    """Why the search ended."""
    evaluations: int
    spent: Usage
    lineage: tuple[Individual[TextGenome], ...]
    """The answer's ancestors along first parents, the oldest first, itself last."""
    pause: Pause | None
    """Set when the budget, the deadline or the model cut the search short; a run folder can go on."""


async def arefine(
    question: str,
    check: Callable[[str], Any] | str,
    *,
    model: str | Mapping[str, Any] | ModelSpec = "embedded",
    recipe: str = "ga-llm",
    seed: int = 0,
    run: str | Path | None = None,
    budget: Mapping[str, float] | None = None,
    deadline: float | None = None,
    stagnation: int | None = None,
    in_flight: int = 16,
    near: Path | None = None,
    on_cohort: Callable[[Told[TextGenome]], None] | None = None,
    env: Mapping[str, str] | None = None,
    **settings: Any,
) -> Refined:
    """Refines an answer to a question until the check calls one valid, or until budget, deadline, steps or patience end.

    `check` (or its `module:name`) gets an answer and returns a bool, a number, a `Verdict`, or a pair of these and feedback; it may be
    async. Founders are samples of the model. `settings` are those of the recipe. Without `run` nothing is left on disk; with it the
    search can be continued. Raises `ConfigError` before anything is asked when something cannot work.
    """
    function = resolve(check, near) if isinstance(check, str) else check
    checking: Checked[TextGenome] = Checked(function, reads=lambda genome: genome.part(ANSWER))
    limits = dict(budget or {})
    evaluations = Budget(evaluations=limits.pop("evaluations", None))  # type: ignore[arg-type]
    spending = Budget(**limits)  # type: ignore[arg-type]
    brake = Brake()
    brake.holds(spending, evaluations)
    timer = None
    if deadline is not None:
        passed = BudgetExhausted(f"the deadline of {deadline:g} s has passed")
        timer = asyncio.get_running_loop().call_later(deadline, brake.pull, passed)
    folder = None if run is None else RunFolder(Path(run))
    database = Database(folder.record if folder else None)
    try:
        journal = Journal(database, FolderBlobs(folder.blobs) if folder else MemoryBlobs(), KINDS)
        grace = 0.0 if deadline is not None else GRACE
        async with Connections(
            database=database, budget=spending, in_flight=in_flight, seed=Seed.of(seed), env=env, grace=grace
        ) as connections:
            kit = AnswerKit(question, connections.connect(_spec(model)), seed=Seed.of(seed), near=near)
            plan: Plan[TextGenome] = named(recipe, near)(kit, **settings)
            sitting = _Sitting(on_cohort)
            stops = [stop.matings(plan.matings), stop.barren(BARREN)]
            if stagnation is not None:
                stops.append(stop.stagnation(stagnation))

            async def work() -> None:
                sitting.outcome = await evolve(
                    plan.strategy,
                    Metered(checking, evaluations),
                    journal,
                    seed=Seed.of(seed),
                    batch=plan.batch,
                    slots=plan.slots,
                    stop=stops,
                    enough=_valid,
                    on_cohort=sitting.told,
                )

            if not await brake.stops(work()):
                assert isinstance(brake.reason, Pause), "only a deadline pulls this brake"
                sitting.outcome = replace(sitting.outcome, reason=str(brake.reason), pause=brake.reason)
            return sitting.refined(connections.ledger.budget.spent)
    finally:
        if timer is not None:
            timer.cancel()
        await asyncio.to_thread(database.close)
        if folder is not None:
            folder.__exit__()


class _Sitting:
    """How far a refinement has come, also when it is broken off."""

    def __init__(self, on_cohort: Callable[[Told[TextGenome]], None] | None) -> None:
        self.outcome: Outcome[TextGenome] = Outcome("", Progress(), View(), "")
        self._on_cohort = on_cohort
        self._known: dict[str, Individual[TextGenome]] = {}

    def told(self, now: Told[TextGenome]) -> None:
        """One more cohort."""
        self.outcome = replace(self.outcome, progress=now.progress, view=now.view)
        self._known.update({one.id: one for one in now.births if isinstance(one, Individual)})
        if self._on_cohort is not None:
            self._on_cohort(now)

    def refined(self, spent: Usage) -> Refined:
        """The best so far and its line."""
        outcome, best = self.outcome, self.outcome.best
        if best is None:
            why = outcome.progress.last_error
            reason = f"{outcome.reason}; no answer could be checked" + (f", last error: {why}" if why else "")
            return Refined(None, None, False, (), reason, outcome.progress.evaluations, spent, (), outcome.pause)
        valid = _valid(best)
        return Refined(
            best.genome.part(ANSWER),
            best.fitness.value,
            valid,
            best.fitness.feedback,
            "an answer is valid" if valid else outcome.reason,
            outcome.progress.evaluations,
            spent,
            self._line(best),
            outcome.pause,
        )

    def _line(self, one: Individual[TextGenome] | None) -> tuple[Individual[TextGenome], ...]:
        line: list[Individual[TextGenome]] = []
        while one is not None:
            line.append(one)
            one = self._known.get(one.parents[0]) if one.parents else None
        return tuple(reversed(line))


def _valid(birth: Birth[TextGenome]) -> bool:
    return isinstance(birth, Individual) and birth.fitness.ok and birth.fitness.violation == 0


def _spec(model: str | Mapping[str, Any] | ModelSpec) -> ModelSpec:
    if isinstance(model, ModelSpec):
        return model
    return ModelSpec(model) if isinstance(model, str) else ModelSpec(**model)


def refine(question: str, check: Callable[[str], Any] | str, **options: Any) -> Refined:
    """`arefine` for programs without an event loop: same options, same result."""
    return asyncio.run(arefine(question, check, **options))


__all__: Sequence[str] = ["Refined", "arefine", "refine"]
