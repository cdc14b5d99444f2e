"""The command that runs several run files beside each other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from llmevo.cli.app import AsJson, Sets, app
from llmevo.cli.signals import under_signals
from llmevo.cli.speaking import again, print_json, tell


@app.command()
def compare(
    files: Annotated[list[Path], typer.Argument(help="Run files (YAML), at least two.", show_default=False)],
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each file, with the seeds 0, 1, ...")] = 10,
    budget: Annotated[
        str | None, typer.Option("--budget", help="unit=number: evaluations, calls, tokens or seconds; by default as the files say.")
    ] = None,
    folder: Annotated[Path, typer.Option("--run", help="The folder of the comparison; given again, it goes on.")] = Path("runs/compare"),
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Compare run files at equal budgets: paired seeds, scores with intervals, a corrected test, curves."""
    from llmevo import console
    from llmevo.comparing import acompare

    def show(name: str, seed: int, number: int, of: int) -> None:
        if not as_json:
            tell(f"run {number} of {of}: {name}, seed {seed}")

    found = asyncio.run(
        under_signals(
            lambda brake: acompare(files, seeds=seeds, budget=budget, run=folder, sets=sets or (), on_run=show, brake=brake)
        )
    )
    if as_json:
        print_json({**found.comparison.record(), "missing": found.missing, "folder": str(found.folder)})
    else:
        console.show_comparison(found.comparison, found.files)
    if found.pause is not None:
        tell(f"paused, {found.missing} runs are missing: {found.pause}\nContinue with:\n  {again()}")
        raise typer.Exit(found.pause.exit_code)
