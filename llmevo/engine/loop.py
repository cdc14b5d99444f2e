"""The loop that most runs use: ask, conceive, evaluate, record, tell."""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Generic

from llmevo.core import Birth, CaseSlice, Evaluate, G, Individual, Mating, Pause, Seed, StorageError, Strategy, Usage, View
from llmevo.core.crash import crash_point
from llmevo.engine.nursery import Enough, Nursery
from llmevo.engine.progress import Progress
from llmevo.engine.schedule import Cohort, Schedule
from llmevo.engine.stop import Stop
from llmevo.storage.journal import Journal


@dataclass(frozen=True, slots=True)
class Told(Generic[G]):
    """What an observer sees after a cohort was told."""

    cohort: Cohort[G]
    births: Sequence[Birth[G]]
    progress: Progress
    view: View[G]
    replayed: bool
    """Whether it was read from the record."""
    standing: str = ""
    """How far a strategy is whose births race, in words."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[G]):
    """How a run ended, or why it paused."""

    reason: str
    progress: Progress
    view: View[G]
    history: str
    """Hash over all that was told."""
    pause: Pause | None = None
    """Set when the run can go on later: nothing that was recorded is paid again."""

    @property
    def best(self) -> Individual[G] | None:
        """The best ever, valid first."""
        return self.view.best


async def evolve(
    strategy: Strategy[G],
    evaluate: Evaluate[G],
    journal: Journal,
    *,
    seed: Seed,
    batch: int,
    slots: int = 1,
    stop: Iterable[Stop] = (),
    enough: Enough | None = None,
    on_cohort: Callable[[Told[G]], None] | None = None,
) -> Outcome[G]:
    """Runs a strategy until it ends, a stop holds, or something makes it pause.

    Up to `slots` cohorts of `batch` matings are open. The same strategy, seed, batch and slots give the same run, whatever completes
    first. A journal that already holds a part of this run is read on the way: those births are neither conceived nor evaluated again.
    The first birth that is `enough` ends the run at once: what stands behind it in its cohort is cancelled and recorded as such, later
    cohorts are dropped. Raises `ReplayDiffers` if it holds another run, and errors of configuration or storage; a `Pause` is returned in
    the outcome.
    """
    schedule = Schedule(strategy, batch=batch, slots=slots)
    nursery = Nursery(evaluate, journal, seed, enough)
    stops = tuple(stop)
    open_cohorts: deque[tuple[Cohort[G], bool, asyncio.Task[list[Birth[G]]]]] = deque()
    evaluated: set[tuple[str, CaseSlice | None]] = set()
    progress = Progress()
    reason: str | None = None
    pause: Pause | None = None
    telling: deque[tuple[Future[None], Told[G]]] = deque()

    async def written(most: int) -> None:
        """Notifies of what is durable, and waits until at most so many told cohorts are not."""
        while telling and (len(telling) > most or telling[0][0].done()):
            future, told = telling[0]
            if not future.done():
                await asyncio.wrap_future(future)
            future.result()
            telling.popleft()
            crash_point("after-told")
            if told.births:
                _notify(on_cohort, told)

    try:
        while True:
            while reason is None and not schedule.full:
                try:
                    reason = next((why for held in stops if (why := held(progress))), None)
                except Pause as error:
                    reason, pause = str(error), error
                if reason is not None:
                    break
                cohort = schedule.ask()
                if cohort is None:
                    reason = strategy.ending or "the strategy plans nothing more"
                    break
                known = journal.asked(cohort.j, cohort.matings)
                progress = replace(progress, asked=progress.asked + len(cohort.matings))
                nursery.remember(cohort, known)
                task = asyncio.ensure_future(nursery.deliver(cohort, known))
                open_cohorts.append((cohort, None not in known, task))
            if not open_cohorts:
                await written(0)
                break
            cohort, replayed, task = open_cohorts[0]
            # The open cohorts are on their way meanwhile: what they record comes behind this in the file. Births that are there already
            # can be told before earlier ones are durable, so that tells are committed together.
            await written(slots if task.done() else 0)
            try:
                births = await task
            except Pause as error:
                reason, pause = str(error), error
                await written(0)
                break
            open_cohorts.popleft()
            schedule.tell(births)
            crash_point("before-told")
            durable = journal.told(cohort.j, births)
            view = strategy.view
            if births:
                pairs = list(zip(cohort.matings, births, strict=True))
                conceived = [None if mating.variation.reassess else birth.birth_usage for mating, birth in pairs]
                paid = [_cost(mating, birth, evaluated) for mating, birth in pairs]
                progress = progress.after(births, conceived, paid, view.best)
            telling.append((durable, Told(cohort, births, progress, view, replayed, getattr(strategy, "standing", ""))))
            if enough is not None and any(map(enough, births)):
                reason = "a birth was enough"
                dropped, open_cohorts = open_cohorts, deque()
                for _, _, task in dropped:
                    task.cancel()
                await asyncio.gather(*(task for _, _, task in dropped), return_exceptions=True)
    except asyncio.CancelledError:
        for _, _, task in open_cohorts:
            task.cancel()
        raise
    finally:
        # What is open completes and is recorded (or is cancelled, above) before the journal may be closed.
        await asyncio.gather(*(task for _, _, task in open_cohorts), return_exceptions=True)
        journal.flush()
        # Whatever ends the run: an observer hears of every cohort that is on the disk, so that what it shows fits the record.
        with suppress(StorageError):
            await written(0)
    return Outcome(reason or "", progress, strategy.view, journal.history, pause)


def _cost(
    mating: Mating[G], birth: Birth[G], evaluated: set[tuple[str, CaseSlice | None]]
) -> Usage | None:
    """What the evaluation of a birth cost; None if there was none because it is stillborn or was known before."""
    if not isinstance(birth, Individual) or (birth.genome.key, mating.cases) in evaluated:
        return None
    evaluated.add((birth.genome.key, mating.cases))
    before = mating.parents[0].fitness.usage if mating.variation.reassess else Usage()
    return birth.fitness.usage - before


def _notify(on_cohort: Callable[[Told[G]], None] | None, told: Told[G]) -> None:
    if on_cohort is None:
        return
    try:
        on_cohort(told)
    except Exception as error:
        warnings.warn(f"on_cohort failed and the run goes on: {type(error).__name__}: {error}", stacklevel=2)
