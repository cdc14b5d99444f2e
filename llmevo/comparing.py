"""Several run files at the same budget and with the same seeds: run as one, continued as one, told apart by a paired test."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmevo import runs
from llmevo.config import RunConfig, Task
from llmevo.config.assemble import assemble
from llmevo.config.reading import resolved
from llmevo.contending import Contender, Unit, common_budget, comparable, contender_of, limited, said_by
from llmevo.core import BudgetExhausted, ConfigError, Context, Pause, Seed, StorageError
from llmevo.core.blocking import blocking
from llmevo.engine import Told
from llmevo.engine.brake import Brake
from llmevo.llm.build import Connections
from llmevo.report.comparison import Comparison, Row, add_row, rows_of
from llmevo.report.comparison import compare as compared
from llmevo.report.curves import as_csv, as_svg, curve
from llmevo.report.summary import PLAN
from llmevo.storage.database import Database
from llmevo.storage.folder import LOCK, RECORD, hold
from llmevo.storage.opening import sync

WRITTEN = ("table.md", "table.csv", "curves.svg", "curves.csv")
ROWS, UNFINISHED = "rows.jsonl", "compare.new"


@dataclass(frozen=True)
class Compared:
    """What came of a comparison, or of the part of it that is done."""

    comparison: Comparison
    folder: Path
    missing: int
    """Runs that are still to be made."""
    pause: Pause | None = None

    @property
    def files(self) -> list[Path]:
        """What was written for a reader, the table first; curves only where all searches climb the same measure."""
        return [self.folder / name for name in WRITTEN if (self.folder / name).is_file()]


async def acompare(
    files: Sequence[str | Path],
    *,
    seeds: int = 10,
    budget: str | Mapping[str, float] | None = None,
    run: str | Path = "runs/compare",
    sets: Sequence[str] = (),
    on_run: Callable[[str, int, int, int], None] | None = None,
    env: Mapping[str, str] | None = None,
    brake: Brake | None = None,
) -> Compared:
    """Runs every file with the seeds 0, 1, ... at the same budget, and compares the winners on the test cases.

    `budget` is one of evaluations, calls, tokens and seconds, e.g. `"evaluations=200"`; without it the files say it. It is not passed: a
    run ends when another step, each birth as dear as in the dearest so far, would not fit (for seconds: in the step during which they
    pass, which does not count). `steps` of the files is not looked at. All runs see the same split. The folder keeps everything: the
    same call goes on where it was stopped, and does only what is missing. `on_run(name, seed, number, of)` is called before each run.
    Raises `ConfigError` for what cannot be compared, before anything is paid.
    """
    contenders = [contender_of(Path(file), sets) for file in files]
    unit, amount = common_budget(budget, contenders)
    comparable(contenders, unit)
    if seeds < 1:
        raise ConfigError(f"seeds: at least one, not {seeds}")
    folder = Path(run)
    with _Held(folder, contenders, unit, amount):
        todo = [(one, seed) for seed in range(seeds) for one in contenders]
        done = {(row.name, row.seed) for row in rows_of(folder / ROWS)}
        pause: Pause | None = None
        for number, (one, seed) in enumerate(todo, start=1):
            if (one.name, seed) in done:
                continue
            if on_run is not None:
                on_run(one.name, seed, number, len(todo))
            row = await _row(one, seed, unit, amount, folder / one.name / f"seed-{seed}", env, brake)
            if isinstance(row, Pause):
                pause = row
                break
            add_row(folder / ROWS, row)
        rows = [row for row in rows_of(folder / ROWS) if row.seed < seeds]
        comparison = compared(rows, [one.name for one in contenders], unit, amount)
        if rows:
            _write(folder, comparison, rows, contenders)
    return Compared(comparison, folder, len(todo) - len(rows), pause)


def compare(files: Sequence[str | Path], **options: Any) -> Compared:
    """`acompare` for programs without an event loop: same options, same result."""
    return blocking("compare", lambda: acompare(files, **options))


async def _row(
    one: Contender, seed: int, unit: Unit, amount: float, folder: Path, env: Mapping[str, str] | None, brake: Brake | None
) -> Row | Pause:
    """One run to its end, and its winner on both sets of cases by the scorer of the task; or why it has not ended."""
    config = limited(one.config, seed, unit, amount)
    track: list[tuple[float, float]] = []

    def told(now: Told[Any]) -> None:
        usage = now.progress.usage
        spent = {"calls": usage.calls, "tokens": usage.tokens_in + usage.tokens_out}.get(unit, now.progress.evaluations)
        if now.progress.best is not None:
            track.append((float(spent), now.progress.best.fitness.value))

    result = await runs.run(config, one.task, folder=folder, on_cohort=told, env=env, brake=brake)
    # Another budget of the files may be spent first; then the run stands still, and its time is not over.
    timed_out = unit == "seconds" and isinstance(result.pause, BudgetExhausted) and _seconds(folder) >= amount
    if result.pause is not None and not timed_out:
        return result.pause
    if result.best is None:
        raise ConfigError(f"{one.name}, seed {seed}: nobody lived, so there is no winner; {result.outcome.reason}")
    try:
        scores = await _scores(config, one.task, result.best.genome, folder, env)
    except Pause as pause:
        return pause
    progress = result.outcome.progress
    tokens = progress.usage.tokens_in + progress.usage.tokens_out
    return Row(
        one.name, seed, scores["dev"], scores["test"], progress.evaluations, progress.usage.calls, tokens, _seconds(folder),
        result.best.genome.preview(), result.outcome.reason, tuple(track), result.best.genome.key,
    )  # fmt: skip


async def _scores(
    config: RunConfig, task: Task, genome: Any, folder: Path, env: Mapping[str, str] | None
) -> dict[str, Mapping[str, float]]:
    """The winner's scores per case. What a model answered during the run comes from the run's record."""
    found: dict[str, Mapping[str, float]] = {}
    seed = Seed.of(config.seed)
    database = Database(folder / RECORD)
    try:
        async with Connections(database=database, in_flight=config.in_flight, seed=seed, env=env) as connections:
            for part, cases in (("dev", task.dev), ("test", task.test)):
                scorer = assemble(config, replace(task, test=cases), connections).held_out
                assert scorer is not None, "both parts have cases"
                (fitness,) = await scorer([genome], [Context(seed.fold("test", genome.key))])
                if not fitness.ok:
                    raise ConfigError(f"{folder}: the winner could not be scored on the {part} cases: {fitness.error}")
                found[part] = dict(fitness.cases)
    finally:
        database.close()
    return found


class _Held:
    """The folder of a comparison, for one process; it holds this comparison or none yet."""

    def __init__(self, folder: Path, contenders: Sequence[Contender], unit: Unit, amount: float) -> None:
        self._folder = folder
        free = ("steps", "in_flight", "cache")
        files = {one.name: {k: v for k, v in resolved(one.config).items() if k not in free} for one in contenders}
        said = {one.name: [said_by(one, what) for what in ("test cases", "examples to learn from", "scorer")] for one in contenders}
        self._plan = json.loads(json.dumps({"unit": unit, "amount": amount, "files": files, "content": said}, default=str))

    def __enter__(self) -> None:
        place = self._folder / PLAN
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            strangers = [one.name for one in self._folder.iterdir() if one.name not in (LOCK, UNFINISHED)]
        except OSError as error:
            raise StorageError(f"{self._folder} cannot be used: {error}. Choose another folder with --run.") from error
        if strangers and not place.exists():  # looked at before the lock, which would litter somebody's folder
            raise ConfigError(f"{self._folder} is not empty and holds no comparison: choose another folder with --run")
        self._lock = hold(self._folder)
        try:
            if place.exists():
                self._check(place)
            else:
                self._write(place)
        except BaseException:
            self._lock.close()
            raise

    def _check(self, place: Path) -> None:
        """Refuses to go on with another comparison, and says in what it is another one."""
        try:
            before = json.loads(place.read_text(encoding="utf-8"))
            files, unit, amount, said = (before[key] for key in ("files", "unit", "amount", "content"))
            names = sorted(name for name in {*files, *self._plan["files"]} if files.get(name) != self._plan["files"].get(name))
            budget = f"budget {amount:g} {unit}"
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{place} cannot be read as the plan of a comparison ({error!r}): put it back from a copy, "
                f"or choose another folder with --run"
            ) from error
        if names:
            what = f"run files {', '.join(names)}"
        elif (unit, amount) != (self._plan["unit"], self._plan["amount"]):
            what = budget
        elif said != self._plan["content"]:
            what = "cases or scorer"
        else:
            return
        raise ConfigError(f"{self._folder} holds another comparison ({what} differ): choose another folder with --run")

    def _write(self, place: Path) -> None:
        """Writes the plan, complete or not at all."""
        fresh = self._folder / UNFINISHED
        try:
            fresh.unlink(missing_ok=True)  # perhaps a link to elsewhere
            with fresh.open("x", encoding="utf-8") as out:
                out.write(json.dumps(self._plan, indent=1))
            sync(fresh)
            os.replace(fresh, place)
            sync(self._folder)
        except OSError as error:
            raise StorageError(f"{place} cannot be written: {error}. Choose another folder with --run.") from error

    def __exit__(self, *exc: object) -> None:
        self._lock.close()


def _write(folder: Path, comparison: Comparison, rows: Sequence[Row], contenders: Sequence[Contender]) -> None:
    """The table as text and CSV, and the curves as CSV and SVG where all searches climb the same measure."""
    (folder / "table.md").write_text(comparison.markdown(), encoding="utf-8")
    (folder / "table.csv").write_text(comparison.csv(), encoding="utf-8")
    for name in ("curves.csv", "curves.svg"):  # of an earlier sitting
        (folder / name).unlink(missing_ok=True)
    if len({one.config.task.fitness for one in contenders}) > 1:
        return
    tracks = {one.name: [row.curve for row in rows if row.name == one.name and row.curve] for one in contenders}
    if not any(tracks.values()):
        return  # nobody had a best while a step was told
    unit = "evaluations" if comparison.unit == "seconds" else comparison.unit
    most = max(row.curve[-1][0] for row in rows if row.curve) if comparison.unit == "seconds" else comparison.amount
    curves = {name: curve(some, most) for name, some in tracks.items() if some}
    (folder / "curves.csv").write_text(as_csv(curves, unit), encoding="utf-8")
    title = "best dev score by what was spent, mean and 95 % band over seeds"
    (folder / "curves.svg").write_text(as_svg(curves, unit, title), encoding="utf-8")


def _seconds(folder: Path) -> float:
    from llmevo.storage.stopwatch import Stopwatch

    database = Database(folder / RECORD)
    try:
        return Stopwatch(database).earlier
    finally:
        database.close()


__all__ = ["Compared", "acompare", "compare"]
