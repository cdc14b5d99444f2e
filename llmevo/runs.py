"""A run from beginning to end: folder, journal, search, the held-out score of the winner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from llmevo.config.assemble import KINDS, Search, assemble, budget_of, evaluations_of
from llmevo.config.frozen import FROZEN, free_settings, frozen, same_run
from llmevo.config.reading import resolved
from llmevo.config.schema import RunConfig
from llmevo.config.task import Task
from llmevo.core import (
    BudgetExhausted,
    ConfigError,
    Individual,
    Pause,
    Seed,
    Usage,
    View,
    canonical,
)
from llmevo.engine import Outcome, Replayed, Told, evolve, replay
from llmevo.engine.brake import GRACE, Brake
from llmevo.engine.metered import Metered
from llmevo.engine.progress import Progress
from llmevo.llm.build import Connections
from llmevo.llm.greeting import greet
from llmevo.llm.keys import AnyKey
from llmevo.recipes import Plan
from llmevo.report.held_out import Crowning
from llmevo.report.races import Drop
from llmevo.report.statistics import Interval
from llmevo.report.summary import open_record
from llmevo.report.votes import Voted
from llmevo.storage.blobs import FolderBlobs, MemoryBlobs
from llmevo.storage.budget import Budget
from llmevo.storage.database import Database
from llmevo.storage.folder import RunFolder
from llmevo.storage.journal import Journal
from llmevo.storage.stopwatch import Stopwatch
from llmevo.strategies import Racing
from llmevo.voting import vote
from llmevo.winning import crowned, tested

NEAR = "near"
"""The name of the record of where the run file stood: paths in it are relative to that folder."""
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    outcome: Outcome[Any]
    held_out: Interval | None
    """Score of the winner on the test cases, with its 95 % interval; None without test cases, or while the run is paused."""
    spent: Usage
    """What was paid in all sittings of this run, at most."""
    hits: int
    """Questions of this sitting that were answered from the record."""
    folder: Path | None
    pause: Pause | None
    notes: Mapping[str, str] = field(default_factory=dict)
    """What is needed to write the winner down, besides its genome."""
    vote: Voted | None = None
    """With a recipe that lets the best vote, what came of it; None while the run is paused."""
    crowned: Individual[Any] | None = None
    """With racing: who was best on the cases of the search and on fresh ones together."""
    crowning: Crowning | None = None

    @property
    def best(self) -> Individual[Any] | None:
        """The winner: who was crowned on fresh cases, else the best ever on the dev cases, valid first."""
        return self.crowned or self.outcome.best

    @property
    def text(self) -> str:
        """The winning text. Raises `LookupError` when nothing lived; adapters have none: see `export`."""
        return str(self._winner.genome.text)

    def export(self, folder: str | Path) -> Path:
        """Writes the winning adapter as a PEFT folder, loaded back and compared. Raises `LookupError` when nothing lived."""
        from llmevo.config.adapters import export_genome

        return export_genome(self._winner.genome, self.notes, Path(folder), run=self.folder)

    def export_vote(self, folder: str | Path) -> Path:
        """Writes the adapters that vote, the winner first, as PEFT folders in a folder. Raises `LookupError` when there was no vote."""
        from llmevo.config.adapters import export_voters

        if self.vote is None:
            raise LookupError("nobody voted: the recipe does not let the best vote, or the run is not done")
        genomes = {one.genome.key: one.genome for one in self.outcome.view.hall}
        return export_voters([genomes[key] for key in self.vote.members], self.notes, Path(folder), run=self.folder)

    @property
    def _winner(self) -> Individual[Any]:
        if self.best is None:
            raise LookupError(f"nobody lived: {self.outcome.reason}")
        return self.best


async def run(
    config: RunConfig,
    task: Task,
    *,
    folder: Path | None = None,
    on_cohort: Callable[[Told[Any]], None] | None = None,
    on_plan: Callable[[Plan[Any]], None] | None = None,
    env: Mapping[str, str] | None = None,
    deadline: float | None = None,
    brake: Brake | None = None,
) -> Result:
    """Runs a configuration, or continues it if the folder holds this run; without a folder everything stays in memory.

    Raises `ConfigError` before anything is paid, and `Unreachable` for a model that cannot be asked at the start. Later a model
    that cannot be asked, a budget that is spent and a deadline (in seconds) that has passed pause: `Result.pause`.
    """
    brake = brake or Brake()
    # A rehearsal with nothing open: whatever is wrong with keys, operators or settings is said before a folder exists.
    async with Connections(env=env, budget=budget_of(config), in_flight=config.in_flight) as rehearsal:
        plan = assemble(config, task, rehearsal).plan
    if on_plan is not None:
        on_plan(plan)
    timer, grace = None, GRACE if deadline is None else 0.0
    if deadline is not None:
        passed = BudgetExhausted(f"the deadline of {deadline:g} s has passed. Continue the run: recorded answers are not paid again.")
        timer = asyncio.get_running_loop().call_later(deadline, brake.pull, passed)
    try:
        if folder is None:
            return await _run(config, task, None, on_cohort, env, brake, grace)
        with RunFolder(folder) as opened:
            return await _run(config, task, opened, on_cohort, env, brake, grace)
    finally:
        if timer is not None:
            timer.cancel()
        close = getattr(task.scorer, "aclose", None)
        if close is not None:  # worker processes; asked again, they start again
            await close()


async def _run(
    config: RunConfig,
    task: Task,
    folder: RunFolder | None,
    on_cohort: Callable[[Told[Any]], None] | None,
    env: Mapping[str, str] | None,
    brake: Brake,
    grace: float,
) -> Result:
    database = Database(folder.record if folder else None, spare=folder is not None)
    try:
        journal = Journal(database, FolderBlobs(folder.blobs) if folder else MemoryBlobs(), KINDS)
        budget, evaluations = budget_of(config), evaluations_of(config)
        stopwatch = Stopwatch(database)
        budget.restore(seconds=stopwatch.earlier)
        evaluations.restore(evaluations=journal.evaluated, seconds=stopwatch.earlier)
        brake.holds(budget, evaluations)
        async with Connections(
            database=database,
            budget=budget,
            in_flight=config.in_flight,
            cache=Path(config.cache) if config.cache else None,
            seed=Seed.of(config.seed),
            env=env,
            grace=grace,
        ) as connections:
            search = assemble(config, task, connections)
            if task.near is not None:
                search = replace(search, notes={**search.notes, NEAR: str(task.near.resolve())})
            if search.plans_at is not None:
                search.plans_at(folder.plans if folder else None)
            sitting = _Sitting(config, search, journal, evaluations, stopwatch, folder, on_cohort)
            done = await brake.stops(sitting.work())
            if not done or sitting.outcome.pause:
                stopwatch.note(evaluations.elapsed)
            if not done:
                reason = brake.reason
                if not isinstance(reason, Pause):
                    raise reason or AssertionError("only a pulled brake stops a run")
                sitting.pause(str(reason), reason)
            spent = connections.ledger.budget.spent
            hits = connections.ledger.hits
    finally:
        await asyncio.to_thread(database.close)
    outcome = sitting.outcome
    place = folder.path if folder else None
    return Result(outcome, sitting.held_out, spent, hits, place, outcome.pause, search.notes, sitting.vote, sitting.best, sitting.crowning)


class _Sitting:
    """One sitting of a run: its work, and how far it has come, also when the work is broken off."""

    def __init__(
        self,
        config: RunConfig,
        search: Search,
        journal: Journal,
        evaluations: Budget,
        stopwatch: Stopwatch,
        folder: RunFolder | None,
        on_cohort: Callable[[Told[Any]], None] | None,
    ) -> None:
        self._config, self._search, self._journal, self._folder = config, search, journal, folder
        self._evaluations, self._stopwatch, self._on_cohort = evaluations, stopwatch, on_cohort
        self.outcome: Outcome[Any] = Outcome("", Progress(), View(), journal.history)
        self.held_out: Interval | None = None
        self.vote: Voted | None = None
        self.crowning: Crowning | None = None
        self.best: Individual[Any] | None = None
        """Who was crowned, if anybody."""
        self._heard = 0
        """Of so many cohorts was heard: the strategy may have been told more, which are not yet durable."""
        self._dropped: set[str] = set()

    async def work(self) -> None:
        """The search, then the winner's score on the test cases."""
        config, search, journal = self._config, self._search, self._journal
        settings = frozen(config, search.fingerprint)
        if not same_run(journal.database, settings, self._folder.path if self._folder else None, free_settings()):
            for model in dict.fromkeys(one for first in search.models.values() for one in first.chain):
                await greet(model)
            # Only now: what the models refuse can be corrected, and the run started again in the same folder.
            await asyncio.wrap_future(journal.database.insert("meta", [(FROZEN, canonical(settings)), *search.notes.items()]))
        if self._folder:
            self._folder.write_config(yaml.dump(resolved(config), Dumper=_DUMPER, sort_keys=False, allow_unicode=True))
        seed = Seed.of(config.seed)
        self.outcome = await evolve(
            search.plan.strategy,
            Metered(search.evaluate, self._evaluations),
            journal,
            seed=seed,
            batch=search.plan.batch,
            slots=search.plan.slots,
            stop=search.stops,
            on_cohort=self._told,
        )
        if self.outcome.pause or self.outcome.best is None:
            return
        try:
            await self._win(self.outcome.best, seed)
        except Pause as pause:
            self.pause(f"the search is done, its winner is not yet scored on cases that it never saw: {pause}", pause)
        except ConfigError as error:
            self.outcome = replace(self.outcome, reason=f"{self.outcome.reason}; {error}")

    async def _win(self, best: Individual[Any], seed: Seed) -> None:
        """The crowning, and the score of the crowned on the test cases."""
        search, hall, database = self._search, self.outcome.view.hall, self._journal.database
        if search.fresh is not None and self._config.racing is not None:
            self.crowning = await crowned(hall, self._config.racing.finalists, search.fresh, database, seed)
        if self.crowning is not None:
            best = self.best = next(one for one in hall if one.id == self.crowning.crowned)
        if search.held_out is not None:
            self.held_out = await tested(best, search.held_out, database, seed)
        if search.ballot is not None:
            self.vote = await vote([best, *(one for one in hall if one.id != best.id)], search.ballot, database, seed)

    def pause(self, reason: str, pause: Pause) -> None:
        """The outcome so far, paused."""
        self.outcome = replace(self.outcome, reason=reason, pause=pause, history=self._journal.history)

    def _told(self, told: Told[Any]) -> None:
        self.outcome = replace(self.outcome, progress=told.progress, view=told.view)
        self._note_dropped(told.cohort.j + 1)
        if not told.replayed:
            self._stopwatch.note(self._evaluations.elapsed)
        if self._on_cohort is not None:
            self._on_cohort(told)

    def _note_dropped(self, step: int) -> None:
        """Notes who was dropped in a race with this step, for whoever reads the record; on resuming it is there already."""
        strategy = self._search.plan.strategy
        self._heard += 1
        if isinstance(strategy, Racing):
            new = [id for id, drop in strategy.dropped.items() if drop.told <= self._heard and id not in self._dropped]
            self._dropped.update(new)
            rows = [Drop(id, step, strategy.dropped[id].lap, strategy.dropped[id].why).row for id in new]
            if rows:
                self._journal.database.insert("meta", rows)


def own_file(folder: Path) -> tuple[Path, Path]:
    """The run file that a run folder holds, and the folder to which paths in it are relative. Raises `ConfigError` without a run."""
    database = open_record(folder)
    try:
        near = dict(database.rows("meta")).get(NEAR)
    finally:
        database.close()
    return folder / "run.yaml", Path(near) if near else folder


def replay_run(config: RunConfig, task: Task, folder: Path) -> Replayed[Any]:
    """Repeats a recorded run without a request. Raises `ReplayDiffers` where the algorithm plans something else.

    Raises `ConfigError` when it plans the same, but data, scorer or models are others than those of the record.
    """
    if not (folder / "run.sqlite").is_file():
        raise ConfigError(f"{folder} holds no run (there is no run.sqlite in it)")
    database = Database(folder / "run.sqlite")
    try:
        connections = Connections(env=AnyKey())
        search = assemble(config, task, connections)
        journal = Journal(database, FolderBlobs(folder / "blobs"), KINDS)
        done = replay(search.plan.strategy, journal, batch=search.plan.batch, slots=search.plan.slots)
        # The same plans do not show that another scorer or other data would have given the same scores.
        same_run(database, frozen(config, search.fingerprint), folder, free_settings())
        return done
    finally:
        database.close()


__all__ = ["Result", "own_file", "replay_run", "run"]
