"""The command that refines one answer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmevo.cli.app import AsJson, app
from llmevo.cli.signals import under_signals
from llmevo.cli.speaking import again, print_json, tell
from llmevo.core.errors import ConfigError

if TYPE_CHECKING:
    from llmevo.engine.brake import Brake
    from llmevo.refined import Refined

NOTHING_VALID = 1
"""The exit code of a search that ended without a valid answer."""
EMBEDDED = "note: the embedded model knows its own small tasks only (docs/models.md); for any other question name a model with --model."
SECTIONS = ("model", "judge", "budget")
"""What `--set` reaches besides the settings of the recipe."""


@app.command()
def refine(
    question: Annotated[str, typer.Argument(help="The question, or - to read it from standard input.", show_default=False)],
    check: Annotated[str | None, typer.Option("--check", help="module:name of a function of an answer.")] = None,
    judge: Annotated[str | None, typer.Option("--judge", help="A model that scores: rubric, pairwise, or a judge of yours.")] = None,
    verify: Annotated[str | None, typer.Option("--verify", help="module:name of a stricter check, which has the last word.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Who answers: a name, as in docs/models.md; may be repeated.")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="Any OpenAI-compatible endpoint.")] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="`llmevo recipes` lists them.")] = "ga-llm",
    population: Annotated[int, typer.Option(min=1, help="Samples to begin with, and children in a step.")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Most steps after the samples.")] = 10,
    seed: Annotated[int, typer.Option(help="Another seed is another search.")] = 0,
    ablate: Annotated[str | None, typer.Option("--ablate", help="Operators to leave out, with commas between them.")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the recipe, or of model, judge or budget: patience=10, model.temperature=0.5."),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option("--measure", help="For map-elites: words, characters, sentence, or module:name; may be repeated."),
    ] = None,
    go_on: Annotated[bool, typer.Option("--go-on", help="Do not stop at the first valid answer.")] = False,
    judge_model: Annotated[str | None, typer.Option("--judge-model", help="Who judges; by default the model that answers.")] = None,
    votes: Annotated[int | None, typer.Option("--votes", min=1, help="Votes of the judge for each answer; by default 3.")] = None,
    good: Annotated[float | None, typer.Option("--good", help="The judge's score (0 to 1) that ends the search.")] = None,
    reference: Annotated[list[str] | None, typer.Option("--reference", help="An answer to compare with; may be repeated.")] = None,
    calls: Annotated[int | None, typer.Option("--calls", min=1, help="Most calls.")] = None,
    evaluations: Annotated[int | None, typer.Option("--evaluations", min=1, help="Most answers that are checked.")] = None,
    usd: Annotated[float | None, typer.Option("--usd", min=0, help="Most US dollars; needs prices.")] = None,
    deadline: Annotated[float | None, typer.Option("--deadline", help="Most seconds.")] = None,
    stagnation: Annotated[int | None, typer.Option("--stagnation", min=1, help="Most children without a better one.")] = None,
    folder: Annotated[Path | None, typer.Option("--run", help="A run folder that can be continued; nothing is left without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Refine an answer at inference time, until a check calls it valid. Ends with 1 when no answer is."""
    from llmevo import console
    from llmevo.refining import arefine

    if ablate:
        sets = [*(sets or ()), f"ablate=[{ablate.replace('-', '_')}]"]
    settings, sections = _settings(sets or ())
    limits = {"calls": calls, "evaluations": evaluations, "usd": usd}
    budget = {**sections["budget"], **{name: most for name, most in limits.items() if most is not None}}
    asked = sys.stdin.read() if question == "-" else question
    judging = _judge(judge, {"votes": votes, "good": good, "references": reference, **sections["judge"]}, judge_model, base_url)

    def work(brake: Brake) -> Coroutine[Any, Any, Refined]:
        return arefine(
            asked,
            check,
            verify=verify,
            judge=judging,
            measures=measure or (),
            stop_at_valid=not go_on,
            model=[{"model": name, "base_url": base_url, **sections["model"]} for name in model or ["embedded"]],
            recipe=recipe,
            seed=seed,
            run=folder,
            budget=budget,
            deadline=deadline,
            stagnation=stagnation,
            near=Path.cwd(),
            on_cohort=live.told,
            brake=brake,
            **{"population": population, "steps": steps, **settings},
        )

    if "embedded" in (model or ["embedded"]):
        tell(EMBEDDED)
    with console.Live(quiet=as_json) as live:
        found = asyncio.run(under_signals(work, kept=folder is not None))
    if as_json:
        print_json(console.refined_record(found))
    else:
        console.show_refined(found)
        if found.pause is not None and folder is not None:
            tell(f"With a larger limit it goes on where it stopped:\n  {again()}")
    if found.answer is None:
        raise typer.Exit(ConfigError.exit_code if found.pause is None else found.pause.exit_code)
    if found.decided and not found.valid:
        if not as_json:
            tell("no answer is valid: this is the best of those that are not. Give it more --steps or --calls, or another --model.")
        raise typer.Exit(NOTHING_VALID if found.pause is None or folder is None else found.pause.exit_code)


def _settings(sets: list[str] | tuple[str, ...]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The settings of the recipe, and what is set of the model, the judge and the budget."""
    from llmevo.config.reading import put

    values: dict[str, Any] = {}
    for one in sets:
        put(values, one)
    sections = {name: values.pop(name, {}) for name in SECTIONS}
    wrong = next((name for name, section in sections.items() if not isinstance(section, dict)), None)
    if wrong is not None:
        raise ConfigError(f"--set {wrong}: name one of its keys, e.g. --set model.temperature=0.5")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}, sections


def _judge(name: str | None, given: dict[str, Any], model: str | None, base_url: str | None) -> dict[str, Any] | None:
    """The options of a judge as they stand in Python."""
    given = {key: value for key, value in given.items() if value is not None}
    if name is None:
        if model or given:
            what = "--judge-model, --votes, --good, --reference and --set judge.KEY"
            raise ConfigError(f"{what} belong to a judge: name one, e.g. `--judge rubric`")
        return None
    who = {} if model is None else {"model": {"model": model, "base_url": base_url}}
    return {"judge": name, **who, **given}
