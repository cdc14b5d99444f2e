"""A run from beginning to end: folder, journal, search, the held-out score of the winner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llmevo.config.assemble import KINDS, Search, assemble, budget_of
from llmevo.config.reading import resolved
from llmevo.config.schema import FREE_ON_RESUME, RunConfig
from llmevo.config.task import Task
from llmevo.core import ConfigError, Context, Fitness, Individual, Pause, Seed, Usage, canonical
from llmevo.engine import Outcome, Replayed, Told, evolve, replay
from llmevo.engine.metered import Metered
from llmevo.llm.build import Connections, preflight
from llmevo.report.statistics import Interval, bootstrap
from llmevo.storage.blobs import FolderBlobs, MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.folder import RunFolder
from llmevo.storage.journal import Journal
from llmevo.text import TextGenome

FREE_IN_MODELS = ("timeout", "attempts", "max_wait", "in_flight", "price", "api_key_env")


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    outcome: Outcome[TextGenome]
    held_out: Interval | None
    """Score of the winner on the test cases, with its 95 % interval; None without test cases, or while the run is paused."""
    spent: Usage
    """What was paid in all sittings of this run, at most."""
    hits: int
    """Questions of this sitting that were answered from the record."""
    folder: Path | None
    pause: Pause | None

    @property
    def best(self) -> Individual[TextGenome] | None:
        """The best ever on the dev cases, valid first."""
        return self.outcome.best

    @property
    def text(self) -> str:
        """The winning text. Raises `LookupError` when nothing lived."""
        if self.best is None:
            raise LookupError(f"nobody lived: {self.outcome.reason}")
        return self.best.genome.text


async def run(
    config: RunConfig,
    task: Task,
    *,
    folder: Path | None = None,
    on_cohort: Callable[[Told[TextGenome]], None] | None = None,
    env: Mapping[str, str] | None = None,
) -> Result:
    """Runs a configuration, or continues it if the folder holds this run; without a folder everything stays in memory.

    Raises `ConfigError` before anything is paid. A budget that is spent or a model that cannot be asked pauses: `Result.pause`.
    """
    # A rehearsal with nothing open: whatever is wrong with keys, operators or settings is said before a folder exists.
    async with Connections(env=env, budget=budget_of(config), in_flight=config.in_flight) as rehearsal:
        assemble(config, task, rehearsal)
    if folder is None:
        return await _run(config, task, None, on_cohort, env)
    with RunFolder(folder) as opened:
        return await _run(config, task, opened, on_cohort, env)


async def _run(
    config: RunConfig,
    task: Task,
    folder: RunFolder | None,
    on_cohort: Callable[[Told[TextGenome]], None] | None,
    env: Mapping[str, str] | None,
) -> Result:
    database = Database(folder.record if folder else None)
    try:
        journal = Journal(database, FolderBlobs(folder.blobs) if folder else MemoryBlobs(), KINDS)
        budget = budget_of(config)
        budget.restore(evaluations=journal.evaluated)
        async with Connections(
            database=database,
            budget=budget,
            in_flight=config.in_flight,
            cache=Path(config.cache) if config.cache else None,
            seed=Seed.of(config.seed),
            env=env,
        ) as connections:
            search = assemble(config, task, connections)
            _same_run(database, config, search, folder.path if folder else None)
            if folder:
                folder.write_config(yaml.safe_dump(resolved(config), sort_keys=False, allow_unicode=True))
            outcome, held_out = await _search(config, search, journal, budget, database, on_cohort)
            spent = connections.ledger.budget.spent
            hits = connections.ledger.hits
    finally:
        await asyncio.to_thread(database.close)
    return Result(outcome, held_out, spent, hits, folder.path if folder else None, outcome.pause)


async def _search(
    config: RunConfig,
    search: Search,
    journal: Journal,
    budget: Any,
    database: Database,
    on_cohort: Callable[[Told[TextGenome]], None] | None,
) -> tuple[Outcome[TextGenome], Interval | None]:
    if not journal.recorded:
        for model in search.models.values():
            await preflight(model)
    seed = Seed.of(config.seed)
    outcome = await evolve(
        search.plan.strategy,
        Metered(search.evaluate, budget),
        journal,
        seed=seed,
        batch=search.plan.batch,
        slots=search.plan.slots,
        stop=search.stops,
        on_cohort=on_cohort,
    )
    if outcome.pause or outcome.best is None or search.held_out is None:
        return outcome, None
    try:
        return outcome, await _held_out(outcome.best, search, database, seed)
    except Pause as pause:
        reason = f"the search is done, its winner is not yet scored on the test cases: {pause}"
        return Outcome(reason, outcome.progress, outcome.view, outcome.history, pause), None


async def _held_out(best: Individual[TextGenome], search: Search, database: Database, seed: Seed) -> Interval:
    """The winner's score on the test cases: once per winner, then from the record."""
    assert search.held_out is not None
    name = f"test of {best.id}"
    known = dict(database.rows("meta", "WHERE name = ?", (name,)))
    if name in known:
        return Interval(**json.loads(known[name]))
    fitness: Fitness = (await search.held_out([best.genome], [Context(seed.fold("test", best.genome.key))]))[0]
    if not fitness.ok:
        raise ConfigError(f"the winner could not be scored on the test cases: {fitness.error}")
    interval = bootstrap(list(fitness.cases.values()), seed.fold("interval"))
    await asyncio.wrap_future(database.insert("meta", [(name, canonical(interval.record()))]))
    return interval


def replay_run(config: RunConfig, task: Task, folder: Path) -> Replayed[TextGenome]:
    """Repeats a recorded run without a request. Raises `ReplayDiffers` where the algorithm plans something else."""
    if not (folder / "run.sqlite").is_file():
        raise ConfigError(f"{folder} holds no run (there is no run.sqlite in it)")
    database = Database(folder / "run.sqlite")
    try:
        connections = Connections(env=_AnyKey())
        search = assemble(config, task, connections)
        journal = Journal(database, FolderBlobs(folder / "blobs"), KINDS)
        return replay(search.plan.strategy, journal, batch=search.plan.batch, slots=search.plan.slots)
    finally:
        database.close()


class _AnyKey(dict[str, str]):
    """An environment for a replay, which asks no model and therefore needs no key."""

    def get(self, name: str, default: Any = None) -> Any:
        return "unused"

    def __getitem__(self, name: str) -> str:
        return "unused"

    def __contains__(self, name: object) -> bool:
        return True


def _same_run(database: Database, config: RunConfig, search: Search, folder: Path | None) -> None:
    """Records what is frozen, or stops with a diff when the folder holds another run."""
    frozen = {**_frozen(config), **{f"({name})": key for name, key in search.fingerprint.items()}}
    known = dict(database.rows("meta", "WHERE name = 'frozen'"))
    if "frozen" not in known:
        database.insert("meta", [("frozen", canonical(frozen))]).result()
        return
    before = json.loads(known["frozen"])
    names = sorted({name for name in (*before, *frozen) if before.get(name) != frozen.get(name)})
    if names:
        diff = "\n".join(f"  {name}: {_shown(before.get(name))} -> {_shown(frozen.get(name))}" for name in names)
        raise ConfigError(
            f"{folder} holds another run; these settings differ:\n{diff}\n"
            f"Choose another folder with --run, or change them back. Free to change: {', '.join(FREE_ON_RESUME)}."
        )


def _frozen(config: RunConfig) -> dict[str, Any]:
    values = {key: value for key, value in resolved(config).items() if key not in FREE_ON_RESUME}
    flat = _flat(values)
    return {name: value for name, value in flat.items() if not (name.startswith("models.") and name.endswith(FREE_IN_MODELS))}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


__all__: Sequence[str] = ["Result", "replay_run", "run"]
