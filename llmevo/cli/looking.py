"""The commands that look at what is there: show, report, best, doctor, recipes, operators."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmevo.cli.app import AsJson, Output, RunDir, app
from llmevo.cli.speaking import echo, print_json, tell
from llmevo.core.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from llmevo.report.summary import Summary


@app.command()
def show(folder: RunDir, as_json: AsJson = False) -> None:
    """A run in numbers: steps, best, costs. It need not be finished."""
    from llmevo import console
    from llmevo.config import KINDS
    from llmevo.report.summary import summarise

    summary = summarise(folder, KINDS)
    if as_json:
        print_json(console.summary_record(summary))
    else:
        console.show_summary(summary)


@app.command()
def report(folder: RunDir, output: Annotated[Path, typer.Option("-o", "--output", help="*.html, or *.svg for the figure alone.")]) -> None:
    """Write a run as a page of its own, or its figure alone. It need not be finished."""
    from llmevo.config import KINDS
    from llmevo.report.figure import figure
    from llmevo.report.page import page
    from llmevo.report.summary import summarise

    makers = {".html": page, ".svg": figure}
    if output.suffix not in makers:
        raise ConfigError(f"{output}: a report is a page, NAME.html, or the figure alone, NAME.svg")
    text = makers[output.suffix](summarise(folder, KINDS))
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{output} cannot be written: {error}") from error
    tell(f"written: {output}")


@app.command()
def best(
    folder: RunDir,
    output: Output = None,
    as_json: AsJson = False,
    vote: Annotated[bool, typer.Option("--vote", help="All adapters that vote, best first, each in a folder of its own.")] = False,
) -> None:
    """The best of a run, alone: a text to a file or to the screen, an adapter to a PEFT folder, several parts to a folder.

    Its scores go to standard error.
    """
    from llmevo import console
    from llmevo.config import KINDS
    from llmevo.report.summary import summarise

    summary = summarise(folder, KINDS)
    if summary.best is None:
        raise ConfigError(f"{folder}: nobody lived in this run yet; there is no best")
    genome: Any = summary.best.genome
    if vote and (hasattr(genome, "members") or hasattr(genome, "parts")):
        raise ConfigError("--vote is for runs whose adapters vote; in this one they do not")
    if hasattr(genome, "members"):
        _best_parts(summary, folder, output, as_json)
        return
    if not hasattr(genome, "parts"):
        _best_adapter(genome, folder, output, summary, as_json, vote)
        return
    text = next(iter(genome.parts.values())) if len(genome.parts) == 1 else json.dumps(dict(genome.parts), ensure_ascii=False, indent=2)
    if output is not None:
        try:
            output.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{output} cannot be written: {error}") from error
    if as_json:
        print_json(console.best_record(summary))
        return
    if output is None:
        echo(text)
    tell(_scores(summary))


def _scores(summary: Summary) -> str:
    from llmevo import console

    assert summary.best is not None
    return "\n".join(console.score_lines(summary.best, summary.crowning, summary.held_out, summary.tests))


def _best_parts(summary: Summary, folder: Path, output: Path | None, as_json: bool) -> None:
    """The parts of a product: shown, or written as a text file or a PEFT folder each."""
    from llmevo import console
    from llmevo.exporting import export_parts

    assert summary.best is not None
    if output is not None:
        written = [str(path) for path in export_parts(folder, output)]
    if as_json:
        print_json({**console.best_record(summary), **({"files": written} if output else {})})
        return
    if output is not None:
        tell("\n".join(["written:", *written]))
    else:
        echo("\n".join(f"{name}: {text}" for name, text in console.texts(summary.best.genome).items()))
        tell(f"write the parts, the adapter as a PEFT folder, with llmevo best {folder} -o FOLDER")
    tell(_scores(summary))


def _best_adapter(genome: Any, folder: Path, output: Path | None, summary: Summary, as_json: bool, vote: bool) -> None:
    from llmevo import console
    from llmevo.exporting import export_best

    written = None if output is None else export_best(folder, output, vote=vote)
    if as_json:
        where = {"recipe": genome.preview()} if written is None else {"folder": str(written)}
        print_json({"genome": genome.key, **where, **console.scores_record(summary.best, summary.crowning, summary.held_out)})
        return
    if written is None:
        echo(genome.preview())
        tell(f"an adapter: write it as a PEFT folder with llmevo best {folder} -o FOLDER")
    else:
        tell(f"{console.inert(genome.preview())}\nwritten to {written}, read back and compared")
    tell(_scores(summary))


@app.command()
def doctor(folder: RunDir, as_json: AsJson = False) -> None:
    """Check a run folder: hashes, schema, blobs, leftovers. Changes nothing."""
    from llmevo.report.doctor import examine

    found = examine(folder)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        echo(f"{found.rows} rows checked; {found.told} cohorts told and sound")
        for note in found.notes:
            echo(f"note: {note}")
        for problem in found.problems:
            echo(f"PROBLEM: {problem}")
    if found.problems:
        raise typer.Exit(StorageError.exit_code)


@app.command()
def recipes(as_json: AsJson = False) -> None:
    """The named algorithms, with their settings and sources."""
    from llmevo import console
    from llmevo.recipes import catalogue

    if as_json:
        print_json([dataclasses.asdict(one) for one in catalogue()])
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
        print_json([console.operator_record(one) for one in found])
    elif name:
        echo(f"# {found[0].path} ({found[0].origin})\n\n{found[0].body}")
    else:
        console.show_operators(found)
