"""What the commands print: live progress, tables, and the JSON records of the same. Text of models is made inert first."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import statistics
import time
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from llmevo.core import Individual, Usage, living
from llmevo.fitness.diversity import distinct

if TYPE_CHECKING:
    from llmevo.config import RunConfig, Search, Task
    from llmevo.config.estimate import Estimate
    from llmevo.engine import Told
    from llmevo.library import Template
    from llmevo.recipes import Entry, Plan
    from llmevo.refining import Refined
    from llmevo.report.summary import Summary
    from llmevo.runs import Result

ROWS = 12
"""Steps that stay visible while a run goes on."""


def inert(text: str) -> str:
    """A text that a terminal shows and does not obey: control and bidirectional characters as escapes. Spaces of any kind stay."""
    return "".join(letter if _harmless(letter) else letter.encode("unicode_escape").decode("ascii") for letter in text)


def as_json(value: Any) -> str:
    """One line of standard JSON that a terminal does not obey either; what is not finite is null."""
    text = json.dumps(_finite(value), ensure_ascii=False, default=str, allow_nan=False)
    return "".join(letter if _harmless(letter) else json.dumps(letter)[1:-1] for letter in text)


def _harmless(letter: str) -> bool:
    return letter.isprintable() or letter in "\n\t" or unicodedata.category(letter) == "Zs"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


class Screen(Console):
    """A console for which it is no failure that nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Falls silent: a run goes on when its terminal or its reader is gone."""
        self.quiet = True
        silence(self.file)


def silence(stream: IO[str]) -> None:
    """Sends what a stream still holds to nowhere, so that its end is no error either."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _out() -> Console:
    return Screen(highlight=False)


COLUMNS = ("step", "best", "median", "evaluated", "calls", "tokens", "cost", "time", "left")


class Live:
    """Progress on stderr: a table that grows on a terminal, a line per step elsewhere, nothing if `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Screen(stderr=True)
        self._rows: list[tuple[str, ...]] = []
        self._began = time.monotonic()
        self._total: int | None = None
        self._fresh = 0
        """Births of this sitting, which tell how fast it goes."""
        self._live = RichLive(console=self._console, auto_refresh=False) if self._console.is_terminal and not quiet else None

    def __enter__(self) -> Live:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def planned(self, plan: Plan[Any]) -> None:
        """How many births there will be."""
        self._total = plan.matings

    def told(self, told: Told[Any]) -> None:
        """One more cohort."""
        if self._quiet:
            return
        now = told.progress
        self._fresh += 0 if told.replayed else len(told.births)
        scores = [one.fitness.value for one in living(told.births)]
        row = (
            str(told.cohort.j + 1) + ("" if not told.replayed else " (record)"),
            _number(now.best.fitness.value if now.best else None),
            _number(statistics.median(scores) if scores else None),
            str(now.evaluations),
            f"{now.usage.calls:,}",
            f"{now.usage.tokens_in + now.usage.tokens_out:,}",
            f"${now.usage.price:.4f}" if now.usage.price else "-",
            f"{time.monotonic() - self._began:.0f} s",
            self._left(now.births),
        )
        self._rows.append(row)
        if self._live:
            self._live.update(self._table(now.best), refresh=True)
        else:
            line = "  ".join(f"{name} {value}" for name, value in zip(COLUMNS, row, strict=True))
            self._console.print(line, highlight=False, soft_wrap=True)

    def _left(self, births: int) -> str:
        """How long the planned births will take at the pace of this sitting."""
        if self._total is None or not self._fresh:
            return "-"
        return f"{max(0, self._total - births) * (time.monotonic() - self._began) / self._fresh:.0f} s"

    def _table(self, best: Individual[Any] | None) -> Table:
        caption = Text(f"best: {best.genome.preview()}") if best else None
        table = Table(*COLUMNS, caption=caption, caption_justify="left")
        for row in self._rows[-ROWS:]:
            table.add_row(*row)
        return table


def show_result(result: Result) -> None:
    """How a run ended, what won, and what to do next."""
    out = _out()
    now = result.outcome.progress
    out.print(Text(f"\n{inert(result.outcome.reason)}"))
    if result.best is None:
        out.print("Nobody lived, so there is no winner.")
        return
    out.print("\nThe winner:\n", style="bold")
    out.print(Text(inert(_shown(result.best))), soft_wrap=True)
    scores = f"\n{'dev score':>12}  {result.best.fitness.value:.3f} (n = {len(result.best.fitness.cases) or 1}; the search has seen these)"
    if result.held_out is not None:
        scores += f"\n{'test score':>12}  {result.held_out} (never seen by the search)"
    out.print(Text(scores))
    lost = f", {now.stillborn} stillborn" if now.stillborn else ""
    out.print(f"{'search':>12}  {now.births} births{lost}, {now.evaluations} evaluations")
    out.print(f"{'paid':>12}  {_cost(result.spent)}; {result.hits:,} answers came from the record")
    if result.folder is not None:
        out.print(Text(f"{'run folder':>12}  {result.folder}"))
        out.print(Text(f"\nIn full: llmevo show {result.folder}     The winner alone: llmevo best {result.folder}"))


def show_refined(found: Refined) -> None:
    """The best answer, alone on standard output; what is known of it on standard error."""
    if found.answer is not None:
        Console(highlight=False, markup=False).print(Text(inert(found.answer)), soft_wrap=True)
    about = Console(stderr=True, highlight=False, markup=False)
    strict = "" if found.verified is None else ", verified" if found.verified else ", NOT VERIFIED by the strict check"
    score = "" if found.score is None else f"score {_number(found.score)}, {'valid' if found.valid else 'not valid'}{strict}; "
    about.print(Text(inert(f"{score}{found.reason}; {found.evaluations} evaluations, {_cost(found.spent)}")), soft_wrap=True)
    for note in found.feedback[:3]:
        about.print(Text(inert(f"the check found: {note}")), soft_wrap=True)


def refined_record(found: Refined) -> dict[str, Any]:
    """A refinement as JSON."""
    return {
        "answer": found.answer,
        "score": found.score,
        "valid": found.valid,
        "verified": found.verified,
        "feedback": list(found.feedback),
        "reason": found.reason,
        "paused": found.pause is not None,
        "evaluations": found.evaluations,
        "spent": dataclasses.asdict(found.spent),
        "lineage": [_individual_record(one) for one in found.lineage],
    }


def show_plan(config: RunConfig, task: Task, search: Search, rows: Sequence[Estimate]) -> None:
    """The plan of a run: size, calls, tokens, money."""
    out = _out()
    out.print(Text(f"{config.recipe}: up to {search.plan.matings} births, {len(task.dev)} dev and {len(task.test)} test cases\n"))
    table = Table(box=SIMPLE)
    for column in ("role", "model", "", "calls", "tokens in", "tokens out", "US $"):
        table.add_column(column, overflow="fold")  # a number is never cut
    for row in rows:
        for name, usage in (("expected", row.expected), ("worst case", row.worst)):
            money = f"{usage.price:.4f}" if row.priced else "price unknown"
            first = name == "expected"
            table.add_row(
                row.role if first else "",
                Text(row.model) if first else "",
                name,
                f"{usage.calls:,}",
                f"{usage.tokens_in:,}",
                f"{usage.tokens_out:,}",
                money,
            )
    if rows:
        out.print(table)
    else:
        out.print("No model is asked: this run is free.")
    limits = {name: value for name, value in config.budget.model_dump().items() if value is not None}
    out.print(Text("budget: " + (", ".join(f"{name} {value:g}" for name, value in limits.items()) if limits else "none set")))


def show_summary(summary: Summary) -> None:
    """A run folder in numbers."""
    out = _out()
    out.print(Text(inert(f"{summary.folder}: {summary.frozen.get('recipe', '?')}, seed {summary.frozen.get('seed', '?')}\n")))
    table = Table("step", "births", "living", "best", "median", "best so far")
    for step in summary.steps:
        table.add_row(
            str(step.j + 1), str(step.births), str(step.living), _number(step.best), _number(step.median), _number(step.best_so_far)
        )
    out.print(table)
    if summary.best is not None:
        out.print(Text(f"best so far: {inert(_shown(summary.best))}"), soft_wrap=True)
        out.print(f"{'dev score':>12}  {summary.best.fitness.value:.3f} (n = {len(summary.best.fitness.cases) or 1})")
    texts = [inert(_shown(one)) for one in summary.hall]
    if len(texts) > 1:
        out.print(f"{'diversity':>12}  distinct-1 {distinct(texts, 1):.2f}, distinct-2 {distinct(texts, 2):.2f} (the {len(texts)} best)")
    show_front(summary.front)
    if summary.held_out is not None:
        note = f"; {summary.tests} winners were scored on these cases, so the last score is too good" if summary.tests > 1 else ""
        out.print(Text(f"{'test score':>12}  {summary.held_out}{note}"))
    out.print(f"{'search':>12}  {summary.births} births, {summary.evaluations} evaluations")
    out.print(f"{'paid':>12}  {_cost(summary.spent)}" + (f"; {summary.unknown} calls of unknown outcome" if summary.unknown else ""))
    calls = sum(summary.ended.values())
    for how in ("refused", "truncated", "failed"):
        if count := summary.ended.get(how, 0):
            out.print(f"{how:>12}  {count} of {calls} calls ({count / calls:.1%})")
    for name, (lost, births) in summary.stillborn.items():
        if lost:
            out.print(Text(f"{'stillborn':>12}  {lost} of {births} by {inert(name)}"))


def show_front(front: Sequence[Individual[Any]]) -> None:
    """The individuals that nobody dominates, a row each; nothing where there is one objective."""
    if not front:
        return
    names = sorted(front[0].fitness.objectives)
    table = Table(*names, "value", "", title="the front: nobody is better in one and as good in all others", title_justify="left")
    for one in front:
        table.add_row(*(_number(one.fitness.objectives[name]) for name in names), _number(one.fitness.value), Text(one.genome.preview()))
    _out().print(table)


def show_recipes(entries: Sequence[Entry]) -> None:
    """The recipes, a row each."""
    out = _out()
    table = Table("recipe", "what it is", "settings")
    for one in entries:
        table.add_row(one.name, Text(one.summary), Text(", ".join(f"{name}={value}" for name, value in one.settings.items())))
    out.print(table)


def show_operators(templates: Sequence[Template]) -> None:
    """The operators, a row each."""
    out = _out()
    table = Table("operator", "parents", "slots", "from", "source")
    for one in templates:
        parents = ", ".join(one.parents) + ("*" if one.many else "")
        table.add_row(one.name, parents, ", ".join(one.slots), one.origin, Text(one.source))
    out.print(table)


def result_record(result: Result) -> dict[str, Any]:
    """A result as JSON."""
    now = result.outcome.progress
    return {
        "reason": result.outcome.reason,
        "paused": result.pause is not None,
        "best": _individual_record(result.best),
        "held_out": dataclasses.asdict(result.held_out) if result.held_out else None,
        "births": now.births,
        "stillborn": now.stillborn,
        "failed": now.failed,
        "evaluations": now.evaluations,
        "spent": dataclasses.asdict(result.spent),
        "answers_from_record": result.hits,
        "history": result.outcome.history,
        "run": str(result.folder) if result.folder else None,
    }


def summary_record(summary: Summary) -> dict[str, Any]:
    """A summary as JSON."""
    record = {field.name: getattr(summary, field.name) for field in dataclasses.fields(summary)}
    record["steps"] = [dataclasses.asdict(step) for step in summary.steps]
    record["held_out"] = dataclasses.asdict(summary.held_out) if summary.held_out else None
    record["spent"] = dataclasses.asdict(summary.spent)
    for name in ("hall", "front"):
        record[name] = [_individual_record(one) for one in getattr(summary, name)]
    return {**record, "folder": str(summary.folder), "best": _individual_record(summary.best)}


def best_record(summary: Summary) -> dict[str, Any]:
    """The best one of a summary as JSON."""
    return {
        "best": _individual_record(summary.best),
        "front": [_individual_record(one) for one in summary.front],
        "held_out": dataclasses.asdict(summary.held_out) if summary.held_out else None,
    }


def operator_record(template: Template) -> dict[str, Any]:
    """An operator as JSON."""
    record = {field.name: getattr(template, field.name) for field in dataclasses.fields(template)}
    return {**record, "path": str(template.path)}


def _individual_record(one: Individual[Any] | None) -> dict[str, Any] | None:
    if one is None:
        return None
    fitness = one.fitness
    return {
        "id": one.id,
        "genome": one.genome.key,
        "parts": dict(getattr(one.genome, "parts", {})),
        "value": fitness.value,
        "violation": fitness.violation,
        "objectives": dict(fitness.objectives),
        "cases": len(fitness.cases),
        "parents": list(one.parents),
        "variation": one.variation,
        "step": one.step,
    }


def _shown(one: Individual[Any]) -> str:
    parts = getattr(one.genome, "parts", {})
    if len(parts) == 1:
        return str(next(iter(parts.values())))
    return "\n".join(f"{name}: {text}" for name, text in parts.items()) or str(one.genome.preview())


def _cost(usage: Usage) -> str:
    money = f", ${usage.price:.4f}" if usage.price else ""
    return f"{usage.calls:,} calls, {usage.tokens_in:,} tokens in, {usage.tokens_out:,} out{money}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

