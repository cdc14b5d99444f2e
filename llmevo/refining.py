"""Refinement at inference time: the best answer that a model can be driven to, and how it came about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmevo.config import FREE_ON_RESUME, KINDS
from llmevo.config.assemble import spec_of
from llmevo.config.checks import Checks, answer_of
from llmevo.config.frozen import FROZEN, frozen_model, same_run
from llmevo.config.models import ModelConfig
from llmevo.config.reading import check_section, check_settings
from llmevo.config.schema import BudgetConfig
from llmevo.core import (
    Birth,
    BudgetExhausted,
    ConfigError,
    Context,
    Individual,
    Pause,
    Seed,
    Usage,
    View,
    canonical,
)
from llmevo.core.blocking import blocking
from llmevo.engine import Outcome, Told, evolve, stop
from llmevo.engine.brake import GRACE, Brake
from llmevo.engine.metered import Metered
from llmevo.engine.progress import Progress
from llmevo.fitness.check import Checked
from llmevo.llm.build import Connections
from llmevo.llm.greeting import greet
from llmevo.llm.spec import ModelSpec
from llmevo.recipes import Plan, planned
from llmevo.recipes import recipe as named
from llmevo.recipes.answers import AnswerKit
from llmevo.storage.blobs import FolderBlobs, MemoryBlobs
from llmevo.storage.budget import Budget
from llmevo.storage.database import Database
from llmevo.storage.folder import RunFolder
from llmevo.storage.journal import Journal
from llmevo.storage.stopwatch import Stopwatch
from llmevo.text import TextGenome

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
    verified: bool | None = None
    """Whether the strict check agrees that it is valid; None without one."""


async def arefine(
    question: str,
    check: Callable[..., Any] | str | None = None,
    *,
    judge: str | Mapping[str, Any] | None = None,
    verify: Callable[..., Any] | str | None = None,
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
    brake: Brake | None = None,
    **settings: Any,
) -> Refined:
    """Refines an answer to a question until the check calls one valid, or until budget, deadline, steps or patience end.

    `check` (or its `module:name`) gets an answer and returns a bool, a number, a `Verdict`, or a pair of these and feedback; it may be
    async. `judge` may stand in its place: the name of a judge, or a mapping with the keys `judge` (`rubric`, `pairwise`, or a file of
    yours), `model`, `votes`, `criteria`, `good`, `references`, `panel`. `verify` is a stricter check: no answer is valid against it, and
    of the best answers the first that it calls valid is returned; if it calls none so, the best, with `verified` False. Founders are
    samples of the model. `settings` are those of the recipe. Without `run` nothing is left on disk; with it the search can be
    continued. Raises `ConfigError` before anything is asked when something cannot work. A `brake` brings it to rest from outside: no
    new call is made, what is in flight is recorded, and its reason is raised.
    """
    if deadline is not None and not deadline > 0:
        raise ConfigError(f"deadline: give seconds greater than 0, not {deadline!r}")
    limits = check_section(BudgetConfig, budget or {}, "budget")
    spending = Budget(**limits.model_dump(exclude={"evaluations"}))
    evaluations = Budget(evaluations=limits.evaluations, seconds=limits.seconds)
    spec, root = _spec(model), Seed.of(seed)
    checks = Checks(check, judge, verify, spec, near)
    chosen = check_settings(named(recipe, near), settings, f"recipe {recipe}")
    # A rehearsal with nothing open: what cannot work is said before a folder exists.
    async with Connections(budget=spending, in_flight=in_flight, env=env) as rehearsal:
        answering = rehearsal.connect(spec)
        kit = AnswerKit(question, answering, seed=root, near=near)
        planned(recipe, kit, chosen, near)
        frozen = _frozen({"recipe": recipe, "seed": seed, "question": question, **chosen}, spec)
        frozen |= {"(check)": checks.of(question, rehearsal, root).key, "(model)": answering.key, **checks.frozen}
    brake = brake or Brake()
    brake.holds(spending, evaluations)
    timer, passed = None, BudgetExhausted(f"the deadline of {deadline or 0:g} s has passed")
    if deadline is not None:
        timer = asyncio.get_running_loop().call_later(deadline, brake.pull, passed)
    with ExitStack() as opened:
        if timer is not None:
            opened.callback(timer.cancel)
        folder = None if run is None else opened.enter_context(RunFolder(Path(run)))
        database = Database(folder.record if folder else None, spare=folder is not None)
        try:
            if not same_run(database, frozen, folder.path if folder else None, "budget, deadline, in_flight, stagnation, steps"):
                await asyncio.wrap_future(database.insert("meta", [(FROZEN, canonical(frozen))]))
            journal = Journal(database, FolderBlobs(folder.blobs) if folder else MemoryBlobs(), KINDS)
            stopwatch = Stopwatch(database)
            spending.restore(seconds=stopwatch.earlier)
            evaluations.restore(evaluations=journal.evaluated, seconds=stopwatch.earlier)
            async with Connections(
                database=database, budget=spending, in_flight=in_flight, seed=root, env=env, grace=GRACE
            ) as connections:
                kit = AnswerKit(question, connections.connect(spec), seed=root, near=near)
                plan: Plan[TextGenome] = planned(recipe, kit, chosen, near)
                if not journal.recorded and deadline is None:
                    for one in dict.fromkeys(map(connections.connect, (spec, checks.spec))):
                        await greet(one)
                sitting = _Sitting(on_cohort, lambda: stopwatch.note(evaluations.elapsed))
                stops = [stop.matings(plan.matings), stop.barren(BARREN)]
                if stagnation is not None:
                    stops.append(stop.stagnation(stagnation))

                async def work() -> None:
                    try:
                        references = await checks.references(kit)
                    except Pause as pause:
                        sitting.outcome = replace(sitting.outcome, reason=str(pause), pause=pause)
                        return
                    checking = checks.of(question, connections, root, references)
                    sitting.outcome = await evolve(
                        plan.strategy,
                        Metered(checking, evaluations),
                        journal,
                        seed=root,
                        batch=plan.batch,
                        slots=plan.slots,
                        stop=stops,
                        enough=_valid,
                        on_cohort=sitting.told,
                    )

                ended = await brake.stops(work())
                if folder is None or brake.reason is passed:
                    connections.grace = 0.0  # there is nothing to record it in, or nobody who waits for it
                if not ended:
                    assert brake.reason is not None
                    if not isinstance(brake.reason, Pause):
                        raise brake.reason
                    sitting.outcome = replace(sitting.outcome, reason=str(brake.reason), pause=brake.reason)
                stopwatch.note(evaluations.elapsed)
                strict = checks.of(question, connections, root) if verify is not None else None
                return await sitting.refined(connections.ledger.budget.spent, strict)
        finally:
            await asyncio.to_thread(database.close)


class _Sitting:
    """How far a refinement has come, also when it is broken off."""

    def __init__(self, on_cohort: Callable[[Told[TextGenome]], None] | None, note_time: Callable[[], object]) -> None:
        self.outcome: Outcome[TextGenome] = Outcome("", Progress(), View(), "")
        self._on_cohort, self._note_time = on_cohort, note_time
        self._known: dict[str, Individual[TextGenome]] = {}

    def told(self, now: Told[TextGenome]) -> None:
        """One more cohort."""
        self.outcome = replace(self.outcome, progress=now.progress, view=now.view)
        self._known.update({one.id: one for one in now.births if isinstance(one, Individual)})
        if not now.replayed:
            self._note_time()
        if self._on_cohort is not None:
            self._on_cohort(now)

    async def refined(self, spent: Usage, strict: Checked[TextGenome] | None) -> Refined:
        """The best so far and its line; of the best ones the first that the strict check calls valid, where there is such a check."""
        outcome, best = self.outcome, self.outcome.best
        if best is None:
            why = outcome.progress.last_error
            reason = f"{outcome.reason}; no answer could be checked" + (f", last error: {why}" if why else "")
            return Refined(None, None, False, (), reason, outcome.progress.evaluations, spent, (), outcome.pause)
        verified: bool | None = None
        notes = best.fitness.feedback
        if strict is not None:
            refusals = [await strict.refused(answer_of(one.genome), Context(Seed(0).fold(one.id))) for one in outcome.view.hall]
            best, verified = next(
                ((one, True) for one, why in zip(outcome.view.hall, refusals, strict=True) if why is None), (best, False)
            )
            notes = best.fitness.feedback if verified else tuple(dict.fromkeys([*notes, *(why for why in refusals[:1] if why)]))
        valid = _valid(best)
        return Refined(
            answer_of(best.genome),
            best.fitness.value,
            valid,
            notes,
            "an answer is valid" if valid else outcome.reason,
            outcome.progress.evaluations,
            spent,
            self._line(best),
            outcome.pause,
            verified,
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
    values = {"model": model} if isinstance(model, str) else model
    return spec_of(check_section(ModelConfig, values, "model").model_dump())


def _frozen(settings: Mapping[str, Any], spec: ModelSpec) -> dict[str, Any]:
    """What decides a refinement, flat: another value of it is another run."""
    return {**{name: value for name, value in settings.items() if name not in FREE_ON_RESUME}, **frozen_model(spec, "model")}


def refine(question: str, check: Callable[..., Any] | str | None = None, **options: Any) -> Refined:
    """`arefine` for programs without an event loop: same options, same result."""
    return blocking("refine", lambda: arefine(question, check, **options))


__all__ = ["Refined", "arefine", "refine"]
