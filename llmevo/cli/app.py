"""The application that the commands belong to, and the arguments that several of them take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmevo.cli.speaking import echo
from llmevo.core.errors import ConfigError

if TYPE_CHECKING:
    from llmevo.config import RunConfig, Task

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


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        echo(f"llmevo {version('llmevo')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """Evolve prompts, answers and model weights with one engine."""


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Errors of configuration that are met within say which run file they are about."""
    try:
        yield
    except ConfigError as error:
        if str(file) not in str(error):
            error.args = (f"{file}: {error}",)
        raise


def load(file: Path, sets: list[str] | None, near: Path | None = None) -> tuple[RunConfig, Task]:
    """The checked configuration of a run file, with what was set on the command line, and its data: paths are relative to `near`, by
    default the folder of the file."""
    from llmevo.config import load_task, read_config

    config = read_config(file, sets or ())
    with naming(file):
        return config, load_task(config.task, seed=config.seed, near=near or file.parent)
