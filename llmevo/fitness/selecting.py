"""The guard of the test split: its cases do not decide who lives, unless that is said in as many words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from llmevo.core.errors import ConfigError
from llmevo.fitness.contract import Case

KEY = "select_on_test"
TEST = "test"
COLUMN = "split"
"""The column of a row that names its split."""


def not_test(cases: Sequence[Case], where: str, *, split: str | None = None, path: str | None = None) -> None:
    """Raises `ConfigError` when cases that will select are of the test split: by the name of the split that was asked for, by that of
    their file, or by the `split` column of their rows.
    """
    if split is not None and TEST in _words(split):
        _refuse(where, f"the cases that select are the split {split!r}", "name another split")
    if path is not None and TEST in _words(PurePath(path).stem):
        _refuse(where, f"the cases that select are read from {path}, by its name a test split", "name another file")
    marked = [case for case in cases if case.fields.get(COLUMN, "").strip().lower() == TEST]
    if marked:
        told = f"{len(marked)} of the {len(cases)} cases that select say `{COLUMN}: {TEST}` of themselves (e.g. {marked[0].id})"
        _refuse(where, told, "leave them out")


def split_of(examples: Any) -> str | None:
    """The name of the split that a loaded `datasets.Dataset` is; None for anything else."""
    name = getattr(examples, COLUMN, None)
    return None if name is None or (callable(name) and not isinstance(name, str)) else str(name)


def _refuse(where: str, what: str, cure: str) -> None:
    raise ConfigError(
        f"{where}: {what}. A winner that was chosen on test cases has no honest score left: {cure} here and give these as `test`, "
        f"where they are scored once at the end. If you mean it, say so: `{KEY}: true`"
    )


def _words(name: str) -> set[str]:
    """The words of `test[:100]`, `train+test`, `sst2_test`; not those of `testimony`."""
    return set(re.split(r"[^a-z]+", name.lower()))
