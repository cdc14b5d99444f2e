"""Refinement at inference time: the best answer that a model can be driven to, and how it came about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmevo.config import FREE_ON_RESUME, KINDS
from llmevo.config.assemble import imported, spec_of
from llmevo.config.checks import Checks
from llmevo.config.frozen import FROZEN, frozen_model, same_run
from llmevo.config.models import ModelConfig
from llmevo.config.reading import check_section, check_settings
from llmevo.config.schema import BudgetConfig
from llmevo.core import BudgetExhausted, ConfigError, Pause, Seed, canonical
from llmevo.core.blocking import blocking
from llmevo.engine import Told, evolve, stop
from llmevo.engine.brake import GRACE, Brake
from llmevo.engine.metered import Metered
from llmevo.llm.build import Connections
from llmevo.llm.greeting import greet
from llmevo.llm.spec import ModelSpec
from llmevo.recipes import Plan, planned
from llmevo.recipes import recipe as named
from llmevo.recipes.answers import AnswerKit
from llmevo.refined import Refined, Sitting
from llmevo.storage.blobs import FolderBlobs, MemoryBlobs
from llmevo.storage.budget import Budget
from llmevo.storage.database import Database
from llmevo.storage.folder import RunFolder
from llmevo.storage.journal import Journal
from llmevo.storage.stopwatch import Stopwatch
from llmevo.text import TextGenome

Model = str | Mapping[str, Any] | ModelSpec

BARREN = 30
"""Births in a row of which none lived, after which a refinement gives up."""


async def arefine(
    question: str,
    check: Callable[..., Any] | str | None = None,
    *,
    judge: str | Mapping[str, Any] | None = None,
    verify: Callable[..., Any] | str | None = None,
    measures: Sequence[Callable[..., Any] | str] = (),
    stop_at_valid: bool = True,
    model: Model | Sequence[Model] = "embedded",
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
    async. `judge` is the name of a judge, or a mapping with the keys `judge` (`rubric`, `pairwise`, or a file of yours), `model`, `votes`,
    `criteria`, `good`, `weight`, `references`, `panel`. It stands in the check's place; or beside it: then the check says what is valid,
    both are objectives (`recipe="nsga2"` keeps a front of them), and the search ends at a valid answer that is `good`. `verify` is a
    stricter check: no answer is valid against it, and of all answers the best that it calls valid is returned; if it calls none so, the
    best, with `verified` False. It is asked again at the end, also after the deadline, for at most ten seconds. `measures` are functions
    of an answer, or the names `words`, `characters` and `sentence`: where it lives in the grid of `map-elites`. With
    `stop_at_valid=False` the search goes on from valid answers to better ones. `model` may be several: samples come from each, and
    `choose="bandit"` finds who gains most for its cost. Founders are samples of the model. `settings` are those of the recipe. Without
    `run` nothing is left on disk; with it the search can be continued. Raises `ConfigError` before anything is asked when something
    cannot work. A `brake` brings it to rest from outside: no new call is made, what is in flight is recorded, and its reason is raised.
    """
    if deadline is not None and not deadline > 0:
        raise ConfigError(f"deadline: give seconds greater than 0, not {deadline!r}")
    limits = check_section(BudgetConfig, budget or {}, "budget")
    spending = Budget(**limits.model_dump(exclude={"evaluations"}))
    evaluations = Budget(evaluations=limits.evaluations, seconds=limits.seconds)
    specs, root = [imported(spec, near) for spec in _specs(model)], Seed.of(seed)
    checks = Checks(check, judge, verify, measures, specs[0], near, stop_at_valid)
    chosen = check_settings(named(recipe, near), settings, f"recipe {recipe}")
    # A rehearsal with nothing open: what cannot work is said before a folder exists.
    async with Connections(budget=spending, in_flight=in_flight, env=env) as rehearsal:
        answering = [rehearsal.connect(spec) for spec in specs]
        planned(recipe, AnswerKit(question, answering[0], seed=root, near=near, more=answering[1:]), chosen, near)
        frozen = _frozen({"recipe": recipe, "seed": seed, "question": question, **chosen}, specs)
        names = " and ".join(one.key for one in answering)
        frozen |= {"(check)": checks.of(question, rehearsal, root).key, "(model)": names, **checks.frozen}
    brake = brake or Brake()
    brake.holds(spending, evaluations)
    timer, passed, until = None, BudgetExhausted(f"the deadline of {deadline or 0:g} s has passed"), None
    if deadline is not None:
        timer = asyncio.get_running_loop().call_later(deadline, brake.pull, passed)
        until = timer.when() + GRACE
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
                models = [connections.connect(spec) for spec in specs]
                kit = AnswerKit(question, models[0], seed=root, near=near, more=models[1:])
                plan: Plan[TextGenome] = planned(recipe, kit, chosen, near)
                if not journal.recorded and deadline is None:
                    for one in dict.fromkeys(map(connections.connect, (*specs, checks.spec))):
                        await greet(one)
                sitting = Sitting(checks.enough, on_cohort, lambda: stopwatch.note(evaluations.elapsed))
                stops = [stop.matings(plan.matings), stop.barren(BARREN)]
                if stagnation is not None:
                    stops.append(stop.stagnation(stagnation))

                async def work() -> None:
                    try:
                        references = await checks.references(kit)
                    except Pause as pause:
                        return sitting.paused(pause)
                    checking = checks.of(question, connections, root, references)
                    sitting.decides = lambda: checking.decides
                    sitting.outcome = await evolve(
                        plan.strategy,
                        sitting.watching(Metered(checking, evaluations)),
                        journal,
                        seed=root,
                        batch=plan.batch,
                        slots=plan.slots,
                        stop=stops,
                        enough=checks.enough,
                        on_cohort=sitting.told,
                    )

                ended = await brake.stops(work())
                if folder is None or brake.reason is passed:
                    connections.grace = 0.0  # there is nothing to record it in, or nobody who waits for it
                if not ended:
                    assert brake.reason is not None
                    if not isinstance(brake.reason, Pause):
                        raise brake.reason
                    sitting.paused(brake.reason)
                stopwatch.note(evaluations.elapsed)
                strict = checks.of(question, connections, root) if verify is not None else None
                found = await sitting.refined(spending.spent, strict, until)
            # What was on its way at the end is settled by now, a call that was given up with its upper bound: never less than was billed.
            return replace(found, spent=spending.spent)
        finally:
            await asyncio.to_thread(database.close)


def _specs(model: Model | Sequence[Model]) -> list[ModelSpec]:
    """The models that answer, the first one first."""
    several = [model] if isinstance(model, str | Mapping | ModelSpec) else list(model)
    if not several:
        raise ConfigError("model: name at least one")
    return [_spec(one, "model" if len(several) == 1 else f"model {i}") for i, one in enumerate(several, start=1)]


def _spec(model: Model, where: str) -> ModelSpec:
    if isinstance(model, ModelSpec):
        return model
    values = {"model": model} if isinstance(model, str) else model
    return spec_of(check_section(ModelConfig, values, where).model_dump())


def _frozen(settings: Mapping[str, Any], specs: Sequence[ModelSpec]) -> dict[str, Any]:
    """What decides a refinement, flat: another value of it is another run."""
    frozen = {name: value for name, value in settings.items() if name not in FREE_ON_RESUME}
    for i, spec in enumerate(specs, start=1):
        frozen |= frozen_model(spec, f"model {i}" if i > 1 else "model")
    return frozen


def refine(question: str, check: Callable[..., Any] | str | None = None, **options: Any) -> Refined:
    """`arefine` for programs without an event loop: same options, same result."""
    return blocking("refine", lambda: arefine(question, check, **options))


__all__ = ["Refined", "arefine", "refine"]
