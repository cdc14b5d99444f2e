"""The commands that begin or repeat something: run, plan, replay, train-experts."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmevo.cli.app import AsJson, RunFile, Sets, app, load, naming
from llmevo.cli.signals import under_signals
from llmevo.cli.speaking import again, echo, print_json, tell
from llmevo.core.errors import ConfigError
from llmevo.core.resolve import need

if TYPE_CHECKING:
    pass


@app.command()
def run(
    file: RunFile,
    folder: Annotated[Path | None, typer.Option("--run", help="The run folder; by default runs/NAME of the run file.")] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Start a run, or continue it if the folder holds this run."""
    from llmevo import console, runs

    config, task = load(file, sets)
    place = folder or Path("runs") / file.stem
    with naming(file), console.Live(quiet=as_json) as live:
        result = asyncio.run(
            under_signals(
                lambda brake: runs.run(config, task, folder=place, on_cohort=live.told, on_plan=live.planned, brake=brake)
            )
        )
    if as_json:
        print_json(console.result_record(result))
    else:
        small = config.models.task is not None and config.models.task.model == "embedded"
        console.show_result(result, demonstrates=str(file) if small else None)
    if result.pause is not None:
        tell(f"paused: {result.pause}\nContinue with:\n  {again()}")
        raise typer.Exit(result.pause.exit_code)
    if result.best is None:
        raise ConfigError(f"nobody lived, so there is no winner; the last error was:\n{result.outcome.progress.last_error}")


@app.command()
def plan(file: RunFile, sets: Sets = None, as_json: AsJson = False) -> None:
    """Calls, tokens and money, expected and worst case, before anything is paid."""
    from llmevo import console
    from llmevo.config import assemble, budget_of
    from llmevo.config.estimate import estimate
    from llmevo.llm.build import Connections
    from llmevo.llm.keys import AnyKey

    config, task = load(file, sets)
    with naming(file):
        search = assemble(config, task, Connections(budget=budget_of(config), env=AnyKey()))
    rows = estimate(search, task)
    if as_json:
        print_json({"matings": search.plan.matings, "rows": [dataclasses.asdict(row) for row in rows]})
    else:
        console.show_plan(config, task, search, rows)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A run file (YAML), or a run folder, which holds its own.", show_default=False)],
    folder: Annotated[Path | None, typer.Argument(help="The run folder; by default FILE is it.", show_default=False)] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Repeat a recorded run without a request, and say where it differs."""
    from llmevo import runs

    near = None
    if folder is None:
        if not file.is_dir():
            raise ConfigError(f"which run is to be repeated? Say its folder, too: llmevo replay {file} FOLDER")
        folder = file
        file, near = runs.own_file(folder)
    config, task = load(file, sets, near)
    with naming(file):
        done = runs.replay_run(config, task, folder)
    if as_json:
        print_json({"cohorts": done.cohorts, "births": done.births, "history": done.history})
    else:
        echo(f"{done.births} births in {done.cohorts} cohorts agree with the record, without a request.\nhistory {done.history}")


@app.command(name="train-experts")
def train_experts(
    files: Annotated[list[Path], typer.Argument(help="Files of cases: CSV, TSV, JSONL or Parquet.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder of the pool.", show_default=False)],
    model: Annotated[str, typer.Option("--model", help="A folder or a name on the hub.")] = "embedded",
    slices: Annotated[int, typer.Option(min=1, help="Experts per file, each on a part of it.")] = 1,
    prompt: Annotated[str, typer.Option("--prompt", help="What is asked before every input.")] = "",
    rank: Annotated[int, typer.Option(min=1)] = 8,
    alpha: Annotated[float, typer.Option()] = 16.0,
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    batch: Annotated[int, typer.Option(min=1)] = 16,
    rate: Annotated[float, typer.Option(help="The learning rate.")] = 1e-3,
    shared: Annotated[bool, typer.Option("--shared-down", help="One frozen inner factor for all: merging is then exact.")] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    seed: Annotated[int, typer.Option()] = 0,
    as_json: AsJson = False,
) -> None:
    """Train a pool of LoRA experts, one per file or slice, as standard PEFT folders."""
    need("peft", "weights", "train-experts")
    from llmevo.weights.training import Trained, Training
    from llmevo.weights.training import train_experts as train

    def show(one: Trained) -> None:
        losses = " ".join(f"{loss:.3f}" for loss in one.losses) or "was there already"
        if not as_json:
            echo(f"{one.folder}: {one.cases} cases, loss {losses}")

    training = Training(rank, alpha, epochs, batch, rate, shared)
    found = train(
        files, output, model=model, slices=slices, seed=seed, prompt=prompt, device=device, training=training, on_expert=show
    )
    if as_json:
        print_json([{"folder": str(one.folder), "cases": one.cases, "losses": one.losses} for one in found])
