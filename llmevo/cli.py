"""The command line: thin functions over the Python face. Heavy parts are imported by the command that needs them."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmevo.core.errors import ConfigError, Interrupted, LlmevoError, StorageError

if TYPE_CHECKING:
    from llmevo.config import RunConfig, Task
    from llmevo.runs import Result

app = typer.Typer(
    name="llmevo",
    help="Evolve prompts, answers and model weights with one engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RunFile = Annotated[Path, typer.Argument(help="A run file (YAML).", show_default=False)]
RunDir = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]
Sets = Annotated[list[str] | None, typer.Option("--set", help="key=value: overrides a setting; may be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file.")]


@app.command()
def run(
    file: RunFile,
    folder: Annotated[Path | None, typer.Option("--run", help="The run folder; by default runs/NAME of the run file.")] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Start a run, or continue it if the folder holds this run."""
    from llmevo import console, runs

    config, task = _load(file, sets)
    place = folder or Path("runs") / file.stem
    try:
        with console.Live(config, quiet=as_json) as live:
            result = asyncio.run(runs.run(config, task, folder=place, on_cohort=live.told))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; what was recorded is kept. Continue with:\n  {_again()}") from None
    if as_json:
        _print_json(_result_record(result))
    else:
        console.show_result(result, file)
    if result.pause is not None:
        sys.stderr.write(f"paused: {result.pause}\nContinue with:\n  {_again()}\n")
        raise typer.Exit(result.pause.exit_code)


@app.command()
def plan(file: RunFile, sets: Sets = None, as_json: AsJson = False) -> None:
    """Calls, tokens and money, expected and worst case, before anything is paid."""
    from llmevo import console
    from llmevo.config import assemble, budget_of
    from llmevo.config.estimate import estimate
    from llmevo.llm.build import Connections

    config, task = _load(file, sets)
    search = assemble(config, task, Connections(budget=budget_of(config)))
    rows = estimate(search, task)
    if as_json:
        _print_json({"matings": search.plan.matings, "rows": [dataclasses.asdict(row) for row in rows]})
    else:
        console.show_plan(config, task, search, rows)


@app.command()
def show(folder: RunDir, as_json: AsJson = False) -> None:
    """A run in numbers: steps, best, costs. It need not be finished."""
    from llmevo import console
    from llmevo.config import KINDS
    from llmevo.report.summary import summarise

    summary = summarise(folder, KINDS)
    if as_json:
        _print_json(console.summary_record(summary))
    else:
        console.show_summary(summary)


@app.command()
def best(folder: RunDir, output: Output = None, as_json: AsJson = False) -> None:
    """The best text of a run, alone: to a file or to the screen."""
    from llmevo import console
    from llmevo.config import KINDS
    from llmevo.report.summary import summarise

    summary = summarise(folder, KINDS)
    if summary.best is None:
        raise ConfigError(f"{folder}: nobody lived in this run yet; there is no best")
    genome: Any = summary.best.genome
    text = next(iter(genome.parts.values())) if len(genome.parts) == 1 else json.dumps(dict(genome.parts), ensure_ascii=False, indent=2)
    if output is not None:
        try:
            output.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{output} cannot be written: {error}") from error
    elif as_json:
        _print_json(console.best_record(summary))
    else:
        typer.echo(console.inert(text))


@app.command()
def replay(file: RunFile, folder: RunDir, sets: Sets = None, as_json: AsJson = False) -> None:
    """Repeat a recorded run without a request, and say where it differs."""
    from llmevo import runs

    config, task = _load(file, sets)
    done = runs.replay_run(config, task, folder)
    if as_json:
        _print_json({"cohorts": done.cohorts, "births": done.births, "history": done.history})
    else:
        typer.echo(f"{done.births} births in {done.cohorts} cohorts agree with the record, without a request.\nhistory {done.history}")


@app.command()
def doctor(folder: RunDir, as_json: AsJson = False) -> None:
    """Check a run folder: hashes, schema, blobs, leftovers. Changes nothing."""
    from llmevo.report.doctor import examine

    found = examine(folder)
    if as_json:
        _print_json(dataclasses.asdict(found))
    else:
        typer.echo(f"{found.rows} rows checked; {found.told} cohorts told and sound")
        for note in found.notes:
            typer.echo(f"note: {note}")
        for problem in found.problems:
            typer.echo(f"PROBLEM: {problem}")
    if found.problems:
        raise typer.Exit(StorageError.exit_code)


@app.command()
def recipes(as_json: AsJson = False) -> None:
    """The named algorithms, with their settings and sources."""
    from llmevo import console
    from llmevo.recipes import catalogue

    if as_json:
        _print_json([dataclasses.asdict(one) for one in catalogue()])
    else:
        console.show_recipes(catalogue())


@app.command()
def operators(
    name: Annotated[str | None, typer.Argument(help="Show this one.", show_default=False)] = None, as_json: AsJson = False
) -> None:
    """The instruction files: which there are, which file is meant, what it says."""
    from llmevo import console
    from llmevo.library import listing, load_operator

    user = Path.cwd()
    found = [load_operator(name, user)] if name else [load_operator(one.name, user) for one in listing("operators", user)]
    if as_json:
        _print_json([console.operator_record(one) for one in found])
    elif name:
        typer.echo(f"# {found[0].path} ({found[0].origin})\n\n{console.inert(found[0].body)}")
    else:
        console.show_operators(found)


def _load(file: Path, sets: list[str] | None) -> tuple[RunConfig, Task]:
    from llmevo.config import load_task, read_config

    config = read_config(file, sets or ())
    return config, load_task(config.task, seed=config.seed, near=file.parent)


def _result_record(result: Result) -> dict[str, Any]:
    from llmevo import console

    return console.result_record(result)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def _again() -> str:
    return shlex.join(["llmevo", *sys.argv[1:]])


def main() -> None:
    """The entry point. Exit codes: 0 done; 2 usage; 70 bug; 73 held; 74 disk; 75 paused; 78 configuration; 130 interrupted."""
    try:
        code = app(standalone_mode=False)
    except LlmevoError as error:
        sys.stderr.write(f"{'' if isinstance(error, Interrupted) else 'error: '}{_safe(str(error))}\n")
        code = error.exit_code
    except typer.Exit as leave:
        code = leave.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = Interrupted.exit_code
    except BrokenPipeError:
        # Whoever read the output has gone; that is no failure of the run.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        code = _unexpected(error)
    sys.exit(code if isinstance(code, int) else 0)


def _unexpected(error: Exception) -> int:
    show = getattr(error, "show", None)
    if callable(show) and hasattr(error, "exit_code"):
        show()
        return int(error.exit_code)
    import traceback

    traceback.print_exc()
    sys.stderr.write("This is a bug in llmevo; what was recorded is kept. Please report it with the lines above.\n")
    return LlmevoError.exit_code


def _safe(text: str) -> str:
    """Terminal control characters as escapes; line breaks stay."""
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text)
