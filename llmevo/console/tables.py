"""Results, plans and summaries as tables and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmevo.breeding import Behind, Capo
from llmevo.console.inert import inert, stdout
from llmevo.console.scores import score_lines
from llmevo.console.words import cost, counts, number, preview, shown
from llmevo.core import Individual
from llmevo.fitness.diversity import distinct

if TYPE_CHECKING:
    from llmevo.config import RunConfig, Search, Task
    from llmevo.config.estimate import Estimate
    from llmevo.library import Template
    from llmevo.recipes import Entry
    from llmevo.refined import Refined
    from llmevo.report.summary import Summary
    from llmevo.report.votes import Voted
    from llmevo.runs import Result


def show_result(result: Result, demonstrates: str | None = None) -> None:
    """How a run ended, what won, and what to do next. `demonstrates` is the run file of a run with the package's own small model."""
    out = stdout()
    now = result.outcome.progress
    out.print(Text(f"\n{inert(result.outcome.reason)}"))
    if result.best is None:
        out.print("Nobody lived, so there is no winner.")
        return
    out.print("\nThe winner:\n", style="bold")
    out.print(Text(inert(shown(result.best))), soft_wrap=True)
    out.print(Text("\n".join(["", *score_lines(result.best, result.crowning, result.held_out)])))
    show_vote(result.vote)
    out.print(f"{'search':>12}  {counts(now.births - now.reassessed, now.stillborn, now.evaluations, now.reassessed)}")
    out.print(f"{'paid':>12}  {cost(result.spent)}")
    if result.hits:
        out.print(f"{'record':>12}  {result.hits:,} answers came from it, and were not paid again")
    if result.folder is not None:
        lines = ["", f"In full:       llmevo show {result.folder}", f"As a page:     llmevo report {result.folder} -o report.html"]
        out.print(Text("\n".join([*lines, f"The winner:    llmevo best {result.folder}"])), soft_wrap=True)
    if demonstrates:
        words = f"Your own task: copy {demonstrates}; change `cases`,\n               `prompt` or `seeds`, and `models` (docs/models.md)"
        out.print(Text(words), soft_wrap=True)


def show_refined(found: Refined) -> None:
    """The best answer, alone on standard output; what is known of it on standard error."""
    if found.answer is not None:
        Console(highlight=False, markup=False).print(Text(inert(found.answer)), soft_wrap=True)
    about = Console(stderr=True, highlight=False, markup=False)
    strict = "" if found.verified is None else ", verified" if found.verified else ", NOT VERIFIED by the strict check"
    valid = ", valid" if found.valid else ", not valid" if found.decided else ""
    score = "" if found.score is None else f"score {number(found.score)}{valid}{strict}; "
    about.print(Text(inert(f"{score}{found.reason}; {found.evaluations} evaluations, {cost(found.spent)}")), soft_wrap=True)
    for note in found.feedback[:3]:
        about.print(Text(inert(f"found: {note}")), soft_wrap=True)
    show_front(found.front, about)
    if found.answer is not None and len(found.population) > 1 and found.population[0].fitness.measures:
        show_grid(found.population, about)


def show_plan(config: RunConfig, task: Task, search: Search, rows: Sequence[Estimate]) -> None:
    """The plan of a run: size, calls, tokens, money."""
    out = stdout()
    out.print(Text(f"{config.recipe}: up to {search.plan.matings} births, {len(task.dev)} dev and {len(task.test)} test cases\n"))
    if search.race is not None:
        race = search.race
        births, (few, most) = search.plan.matings, race.laps_of(search.plan.matings)
        out.print(Text(
            f"racing: {len(race.laps)} laps over {sum(race.laps)} dev cases, {race.laps[0]} in the first; a lap is an evaluation:\n"
            f"{few} to {most} evaluations. Below nobody is dropped; at best {race.least(births):,}\n"
            f"instead of {race.dev(births):,} answers on these cases are scored. At the end\n"
            f"{race.finalists} finalists are scored on the {race.fresh} other dev cases.\n"
        ))  # fmt: skip
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
    out = stdout()
    out.print(Text(inert(f"{summary.folder}: {summary.frozen.get('recipe', '?')}, seed {summary.frozen.get('seed', '?')}\n")))
    again = ["on cases"] if summary.reassessed else []
    table = Table("step", "births", "living", "best", "median", "best so far", *again)
    for step in summary.steps:
        row = [str(step.j + 1), str(step.births), str(step.living), number(step.best), number(step.median), number(step.best_so_far)]
        table.add_row(*row, *(", ".join(map(str, step.cases)) for _ in again))
    out.print(table)
    if summary.best is not None:
        name = "best so far" if summary.crowning is None else "crowned"
        out.print(Text(f"{name}: {inert(shown(summary.best))}"), soft_wrap=True)
        out.print(Text("\n".join(score_lines(summary.best, summary.crowning, summary.held_out, summary.tests))))
    texts = [inert(shown(one)) for one in summary.hall]
    if len(texts) > 1:
        out.print(f"{'diversity':>12}  distinct-1 {distinct(texts, 1):.2f}, distinct-2 {distinct(texts, 2):.2f} (the {len(texts)} best)")
    show_front(summary.front)
    show_vote(summary.vote)
    show_kinds(summary.makers)
    lost = sum(stillborn for stillborn, _ in summary.stillborn.values())
    out.print(f"{'search':>12}  {counts(summary.births, lost, summary.evaluations, summary.reassessed)}")
    out.print(f"{'paid':>12}  {cost(summary.spent)}" + (f"; {summary.unknown} calls of unknown outcome" if summary.unknown else ""))
    calls = sum(summary.ended.values())
    for how in ("refused", "truncated", "failed"):
        if count := summary.ended.get(how, 0):
            out.print(f"{how:>12}  {count} of {calls} calls ({count / calls:.1%})")
    for name, (lost, births) in summary.stillborn.items():
        if lost:
            out.print(Text(f"{'stillborn':>12}  {lost} of {births} by {inert(name)}"))
    show_dropped(summary)
    if summary.quoted:
        often = sorted(summary.quoted.items(), key=lambda one: (-one[1], one[0]))
        first = ", ".join(f"{inert(case)} in {count} births" for case, count in often[:3])
        out.print(Text(f"{'quoted':>12}  {len(often)} cases were shown to the model that writes: {first}{', ...' if often[3:] else ''}"))


def show_dropped(summary: Summary, most: int = 12) -> None:
    """Who was dropped in a race, when and by which test, a row each; nothing where nobody raced."""
    if not summary.dropped:
        return
    out = stdout()
    rule = summary.frozen.get("racing.rule", "?")
    alpha = summary.frozen.get("racing.alpha") or {"behind": Behind().alpha, "capo": Capo().alpha}.get(rule)
    test = f"rule {rule}" + (f" (alpha {alpha:g})" if alpha is not None else "")
    out.print(Text(inert(f"{'dropped':>12}  {len(summary.dropped)} of {summary.births} in the race, by {test}:")))
    table = Table("step", "lap", "why", "who")
    for one in summary.dropped[:most]:
        table.add_row(str(one.step), str(one.lap), Text(inert(one.why)), Text(inert(summary.previews.get(one.id, one.id)[:60])))
    out.print(table)
    if summary.dropped[most:]:
        out.print(f"and {len(summary.dropped) - most} more: llmevo show --json has them all")


def show_kinds(kinds: Mapping[str, tuple[int, float]]) -> None:
    """Who made how many children, and the best score among them, best first; nothing where there is one maker."""
    if len(kinds) < 2:
        return
    table = Table("made by", "living", "best")
    for name, (count, best) in sorted(kinds.items(), key=lambda item: -item[1][1]):
        table.add_row(Text(inert(name)), str(count), number(best))
    stdout().print(table)


def show_vote(vote: Voted | None) -> None:
    """What the vote of the best came to, a line; nothing where nobody voted."""
    if vote is None:
        return
    if vote.size == 1:
        words = f"the best alone is as good as any of up to {len(vote.candidates)} on the dev cases"
    else:
        words = f"of the {vote.size} best: {vote.dev:.3f} on the dev cases, which chose the number (the best alone {vote.alone:.3f})"
        words += f"; test {vote.held_out}" if vote.held_out else ""
    stdout().print(Text(f"{'vote':>12}  {words}"))


def show_front(front: Sequence[Individual[Any]], out: Console | None = None) -> None:
    """The individuals that nobody dominates, a row each; nothing where there is one objective."""
    if not front:
        return
    names = sorted(front[0].fitness.objectives)
    table = Table(*names, "value", "", title="the front: nobody is better in one and as good in all others", title_justify="left")
    for one in front:
        table.add_row(*(number(one.fitness.objectives[name]) for name in names), number(one.fitness.value), Text(inert(preview(one))))
    (out or stdout()).print(table)


def show_grid(elites: Sequence[Individual[Any]], out: Console) -> None:
    """The best of every cell of a grid, in the order of the measures."""
    names = [f"measure {i}" for i, _ in enumerate(elites[0].fitness.measures, start=1)]
    table = Table(*names, "value", "", title="the grid: the best of every cell", title_justify="left")
    for one in sorted(elites, key=lambda one: one.fitness.measures):
        table.add_row(*map(number, one.fitness.measures), number(one.fitness.value), Text(inert(preview(one))))
    out.print(table)


def show_recipes(entries: Sequence[Entry]) -> None:
    """The recipes, a row each."""
    out = stdout()
    table = Table("recipe", "what it is", "settings")
    for one in entries:
        table.add_row(one.name, Text(one.summary), Text(", ".join(f"{name}={value}" for name, value in one.settings.items())))
    out.print(table)


def show_operators(templates: Sequence[Template]) -> None:
    """The operators, a row each."""
    out = stdout()
    table = Table("operator", "parents", "slots", "from", "source")
    for one in templates:
        parents = ", ".join(one.parents) + ("*" if one.many else "")
        table.add_row(one.name, parents, ", ".join(one.slots), one.origin, Text(one.source))
    out.print(table)
