"""The command line: thin functions over the Python face. Heavy parts are imported by the command that needs them."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmevo.core.errors import ConfigError, Interrupted, LlmevoError, StorageError
from llmevo.core.resolve import need

if TYPE_CHECKING:
    from llmevo.config import RunConfig, Task
    from llmevo.console import Live
    from llmevo.runs import Result

app = typer.Typer(
    name="llmevo",
    help="Evolve prompts, answers and model weights with one engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

LAST_WAIT = 0.8
"""Seconds after a second signal in which what was told is still written."""

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
    from llmevo import console

    config, task = _load(file, sets)
    place = folder or Path("runs") / file.stem
    with console.Live(quiet=as_json) as live:
        result = asyncio.run(_run(config, task, place, live))
    if as_json:
        _print_json(console.result_record(result))
    else:
        console.show_result(result)
    if result.pause is not None:
        _tell(f"paused: {result.pause}\nContinue with:\n  {_again()}")
        raise typer.Exit(result.pause.exit_code)
    if result.best is None:
        raise ConfigError(f"nobody lived, so there is no winner; the last error was:\n{result.outcome.progress.last_error}")


@app.command()
def refine(
    question: Annotated[str, typer.Argument(help="The question, or - to read it from standard input.", show_default=False)],
    check: Annotated[str | None, typer.Option("--check", help="module:name of a function of an answer.")] = None,
    judge: Annotated[str | None, typer.Option("--judge", help="Instead of a check: rubric, pairwise, or a judge of yours.")] = None,
    judge_model: Annotated[str | None, typer.Option("--judge-model", help="Who judges; by default the model that answers.")] = None,
    votes: Annotated[int, typer.Option("--votes", min=1, help="Votes of the judge for each answer.")] = 3,
    good: Annotated[float | None, typer.Option("--good", help="The judge's score (0 to 1) from which on an answer is valid.")] = None,
    verify: Annotated[str | None, typer.Option("--verify", help="module:name of a stricter check, which has the last word.")] = None,
    reference: Annotated[list[str] | None, typer.Option("--reference", help="An answer to compare with; may be repeated.")] = None,
    model: Annotated[str, typer.Option("--model", help="A name, as in docs/models.md.")] = "embedded",
    base_url: Annotated[str | None, typer.Option("--base-url", help="Any OpenAI-compatible endpoint.")] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="`llmevo recipes` lists them.")] = "ga-llm",
    population: Annotated[int, typer.Option(min=1)] = 8,
    steps: Annotated[int, typer.Option(min=1)] = 10,
    seed: Annotated[int, typer.Option()] = 0,
    ablate: Annotated[str | None, typer.Option("--ablate", help="Operators to leave out, with commas between them.")] = None,
    calls: Annotated[int | None, typer.Option("--calls", min=1, help="Most calls.")] = None,
    deadline: Annotated[float | None, typer.Option("--deadline", help="Most seconds.")] = None,
    folder: Annotated[Path | None, typer.Option("--run", help="A run folder that can be continued; nothing is left without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Refine an answer at inference time, until a check calls it valid."""
    from llmevo import console
    from llmevo.llm import ModelSpec
    from llmevo.refining import refine as refined

    settings: dict[str, Any] = {"population": population, "steps": steps}
    if ablate:
        settings["ablate"] = tuple(name.strip().replace("-", "_") for name in ablate.split(","))
    found = refined(
        sys.stdin.read() if question == "-" else question,
        check,
        verify=verify,
        judge=_judge(judge, judge_model, base_url, votes, good, reference),
        model=ModelSpec(model, base_url=base_url),
        recipe=recipe,
        seed=seed,
        run=folder,
        budget=None if calls is None else {"calls": calls},
        deadline=deadline,
        near=Path.cwd(),
        **settings,
    )
    if as_json:
        _print_json(console.refined_record(found))
    else:
        console.show_refined(found)
    if found.answer is None:
        raise typer.Exit(ConfigError.exit_code if found.pause is None else found.pause.exit_code)


def _judge(
    name: str | None, model: str | None, base_url: str | None, votes: int, good: float | None, references: list[str] | None
) -> dict[str, Any] | None:
    """The options of a judge as they stand in Python."""
    if name is None:
        if model or good is not None or references:
            raise ConfigError("--judge-model, --good and --reference belong to a judge: name one, e.g. `--judge rubric`")
        return None
    judging = {"judge": name, "votes": votes, "good": good, "references": references or []}
    return judging if model is None else {**judging, "model": {"model": model, "base_url": base_url}}


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
    """The best of a run, alone: a text to a file or to the screen, an adapter to a PEFT folder."""
    from llmevo import console
    from llmevo.config import KINDS
    from llmevo.report.summary import summarise

    summary = summarise(folder, KINDS)
    if summary.best is None:
        raise ConfigError(f"{folder}: nobody lived in this run yet; there is no best")
    genome: Any = summary.best.genome
    if not hasattr(genome, "parts"):
        _best_adapter(genome, folder, output, as_json)
        return
    text = next(iter(genome.parts.values())) if len(genome.parts) == 1 else json.dumps(dict(genome.parts), ensure_ascii=False, indent=2)
    if output is not None:
        try:
            output.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{output} cannot be written: {error}") from error
    elif as_json:
        _print_json(console.best_record(summary))
    else:
        _echo(text)


def _best_adapter(genome: Any, folder: Path, output: Path | None, as_json: bool) -> None:
    from llmevo import console
    from llmevo.runs import export_best

    if output is None:
        if as_json:
            _print_json({"genome": genome.key, "recipe": genome.preview()})
        else:
            _echo(genome.preview())
            _tell(f"an adapter: write it as a PEFT folder with llmevo best {folder} -o FOLDER")
        return
    written = export_best(folder, output)
    if as_json:
        _print_json({"genome": genome.key, "folder": str(written)})
    else:
        _tell(f"{console.inert(genome.preview())}\nwritten to {written}, read back and compared")


@app.command()
def replay(file: RunFile, folder: RunDir, sets: Sets = None, as_json: AsJson = False) -> None:
    """Repeat a recorded run without a request, and say where it differs."""
    from llmevo import runs

    config, task = _load(file, sets)
    done = runs.replay_run(config, task, folder)
    if as_json:
        _print_json({"cohorts": done.cohorts, "births": done.births, "history": done.history})
    else:
        _echo(f"{done.births} births in {done.cohorts} cohorts agree with the record, without a request.\nhistory {done.history}")


@app.command()
def doctor(folder: RunDir, as_json: AsJson = False) -> None:
    """Check a run folder: hashes, schema, blobs, leftovers. Changes nothing."""
    from llmevo.report.doctor import examine

    found = examine(folder)
    if as_json:
        _print_json(dataclasses.asdict(found))
    else:
        _echo(f"{found.rows} rows checked; {found.told} cohorts told and sound")
        for note in found.notes:
            _echo(f"note: {note}")
        for problem in found.problems:
            _echo(f"PROBLEM: {problem}")
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
        _echo(f"# {found[0].path} ({found[0].origin})\n\n{found[0].body}")
    else:
        console.show_operators(found)


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
            _echo(f"{one.folder}: {one.cases} cases, loss {losses}")

    training = Training(rank, alpha, epochs, batch, rate, shared)
    found = train(
        files, output, model=model, slices=slices, seed=seed, prompt=prompt, device=device, training=training, on_expert=show
    )
    if as_json:
        _print_json([{"folder": str(one.folder), "cases": one.cases, "losses": one.losses} for one in found])



def _load(file: Path, sets: list[str] | None) -> tuple[RunConfig, Task]:
    from llmevo.config import load_task, read_config

    config = read_config(file, sets or ())
    return config, load_task(config.task, seed=config.seed, near=file.parent)


async def _run(config: RunConfig, task: Task, folder: Path, live: Live) -> Result:
    """The run, under signals: the first one brings it to rest, the second one breaks it off."""
    from llmevo import runs
    from llmevo.engine.brake import GRACE, Brake

    brake = Brake()
    loop, work = asyncio.get_running_loop(), asyncio.ensure_future(
        runs.run(config, task, folder=folder, on_cohort=live.told, on_plan=live.planned, brake=brake)
    )
    interrupted = Interrupted(f"interrupted; what was recorded is kept. Continue with:\n  {_again()}")

    def give_up() -> None:
        _tell(str(interrupted))
        os._exit(Interrupted.exit_code)

    def asked_to_stop() -> None:
        if brake.reason is None:
            _tell("stopping: waiting for calls in flight (once more: at once)")
            brake.pull(interrupted)
            loop.call_later(GRACE + 1, give_up)  # e.g. a scorer's thread that does not end
        else:
            work.cancel()
            loop.call_later(LAST_WAIT, give_up)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup wants to be left alone
            loop.add_signal_handler(number, asked_to_stop)
    try:
        return await work
    except asyncio.CancelledError:
        raise interrupted from None


def _print_json(value: Any) -> None:
    from llmevo import console

    _echo(console.as_json(value))


def _again() -> str:
    return shlex.join(["llmevo", *sys.argv[1:]])


def main() -> None:
    """The entry point. Exit codes: 0 done; 2 usage; 70 bug; 73 held; 74 disk; 75 paused; 78 configuration; 130 interrupted."""
    try:
        code = app(standalone_mode=False)
    except LlmevoError as error:
        _tell(f"{'' if isinstance(error, Interrupted) else 'error: '}{error}")
        code = error.exit_code
    except typer.Exit as leave:
        code = leave.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = Interrupted.exit_code
    except Exception as error:
        code = _unexpected(error)
    sys.exit(code if isinstance(code, int) else 0)


def _unexpected(error: Exception) -> int:
    show = getattr(error, "show", None)
    if callable(show) and hasattr(error, "exit_code"):
        show()
        return int(error.exit_code)
    import traceback

    _tell(f"{traceback.format_exc()}This is a bug in llmevo; what was recorded is kept. Please report it with the lines above.")
    return LlmevoError.exit_code


def _echo(text: str) -> None:
    """Prints to stdout what no terminal obeys. Whoever read it may have gone: that is no failure."""
    from llmevo import console

    try:
        sys.stdout.write(f"{console.inert(text)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        console.silence(sys.stdout)


def _tell(text: str) -> None:
    """Prints a message to stderr, inert and without secrets."""
    from llmevo import console
    from llmevo.core.secret import redact

    try:
        sys.stderr.write(f"{console.inert(redact(text))}\n")
        sys.stderr.flush()
    except OSError:
        console.silence(sys.stderr)
