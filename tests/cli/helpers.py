"""The command line in this process: what it prints, and its exit code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmevo.cli import main


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


def say(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Said:
    """Runs `llmevo` with these arguments."""
    capsys.readouterr()
    before, sys.argv = sys.argv, ["llmevo", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as left:
            main()
    finally:
        sys.argv = before
    said = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return Said(left.value.code, said.out, said.err)
