"""Cases from files and from the hub: CSV, TSV, JSONL, Parquet, aligned lines, or the name of a data set."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from llmevo.core.errors import ConfigError
from llmevo.core.resolve import nearest, need
from llmevo.fitness.cases import Labels, new_case, numbered, with_labels
from llmevo.fitness.contract import Case

GUESSES: Mapping[str, tuple[str, ...]] = {
    "input": ("input", "text", "sentence", "question", "source", "document"),
    "target": ("target", "label", "answer", "output", "summary", "reference"),
    "id": ("id",),
}
"""Column names that are understood without a mapping, in order of preference."""
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}

Row = Mapping[str, Any]


def load_file(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    labels: Labels | None = None,
    format: str | None = None,
) -> list[Case]:
    """The cases of a file. `columns` maps input, target and id to column names; without it common names are
    recognised.

    A TSV whose first line names no known column has none: its fields are the input and the target
    (`text<TAB>label id`). Raises `ConfigError` that says where and what when the file is missing, empty or
    malformed.
    """
    path = Path(path)
    if not path.is_file():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: there is no such file{nearest(path.name, beside) if beside else ''}")
    form = format or FORMATS.get(path.suffix.lower())
    if form == "parquet":
        return from_rows(_parquet(path), columns=columns, labels=labels, where=str(path))
    if form not in ("csv", "tsv", "jsonl"):
        raise ConfigError(f"{path}: what format is {path.suffix!r}? Say format: csv, tsv, jsonl or parquet")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    rows = _jsonl(path, text) if form == "jsonl" else _table(path, text, form, columns)
    return from_rows(rows, columns=columns, labels=labels, where=str(path))


def load_aligned(source: str | Path, targets: Sequence[str | Path]) -> list[Case]:
    """The cases of parallel files, one a line: an input and one reference from each of the target files."""
    texts = []
    for path in (Path(source), *map(Path, targets)):
        if not path.is_file():
            raise ConfigError(f"{path}: there is no such file")
        texts.append(path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n"))
        if len(texts[-1]) != len(texts[0]):
            raise ConfigError(f"{path}: {len(texts[-1])} lines, but {source} has {len(texts[0])}; they must be aligned")
    rows = zip(*texts, strict=True)
    return numbered([new_case(row[0], tuple(row[1:]) if len(row) > 2 else row[1] if row[1:] else "") for row in rows])


def load_hub(
    name: str,
    *,
    split: str,
    config: str | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Labels | None = None,
    limit: int | None = None,
) -> list[Case]:
    """The cases of one split of a data set of the Hugging Face hub (or of a local data set folder), through
    `datasets`.
    """
    datasets = need("datasets", "datasets", f"data set {name!r}")
    try:
        found: Any = datasets.load_dataset(name, config, split=split)
    except Exception as error:
        raise ConfigError(
            f"data set {name!r} (config {config!r}, split {split!r}) cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return from_dataset(found, columns=columns, labels=labels, limit=limit, where=f"{name}[{split}]")


def from_dataset(
    dataset: Any,
    *,
    columns: Mapping[str, str] | None = None,
    labels: Labels | None = None,
    limit: int | None = None,
    where: str = "the data set",
) -> list[Case]:
    """The cases of a loaded `datasets.Dataset`; label names come from its features unless they are given."""
    named = _mapping(columns, list(dataset.column_names), where)
    feature = dataset.features.get(named["target"]) if dataset.features and "target" in named else None
    if labels is None:
        labels = getattr(feature, "names", None)
    return from_rows(islice(dataset, limit), columns=columns, labels=labels, where=where)


def from_rows(
    rows: Iterable[Row],
    *,
    columns: Mapping[str, str] | None = None,
    labels: Labels | None = None,
    where: str = "rows",
) -> list[Case]:
    """The cases of rows (mappings of column names to values). A target that is a list holds several
    references.
    """
    cases: list[Case] = []
    named: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        named = named or _mapping(columns, list(row), where)
        for column in named.values():
            if row.get(column) is None:
                raise ConfigError(f"{where}, row {number}: {column!r} is missing or empty")
        target = row[named["target"]] if "target" in named else ""
        several = isinstance(target, list | tuple)
        if several and not target:
            raise ConfigError(f"{where}, row {number}: {named['target']!r} has no reference")
        rest = {key: _text(value) for key, value in row.items() if key not in named.values() and value is not None}
        cases.append(
            new_case(
                _text(row[named["input"]]),
                tuple(_text(one) for one in target) if several else _text(target),
                _text(row[named["id"]]) if "id" in named else "",
                rest,
            )
        )
    if not cases:
        raise ConfigError(f"{where}: no case found; the file is empty")
    given = "id" in named
    cases = cases if given else numbered(cases)
    return cases if labels is None else with_labels(cases, labels, where)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _mapping(columns: Mapping[str, str] | None, present: Sequence[str], where: str) -> dict[str, str]:
    """Which column is the input, the target, the id."""
    named: dict[str, str] = {}
    for role, column in (columns or {}).items():
        if role not in GUESSES:
            raise ConfigError(f"{where}: columns: {role!r} is no role{nearest(role, GUESSES)}")
        if column not in present:
            raise ConfigError(f"{where}: there is no column {column!r}{nearest(column, present)}")
        named[role] = column
    for role, guesses in GUESSES.items():
        found = next((guess for guess in guesses if guess in present and guess not in named.values()), None)
        if role not in named and found is not None:
            named[role] = found
    if "input" not in named:
        raise ConfigError(f"{where}: which of the columns {', '.join(present)} is the input? Say columns: {{input: ...}}")
    return named


def _table(path: Path, text: str, form: str, columns: Mapping[str, str] | None) -> Iterable[Row]:
    """The rows of a CSV or TSV. In a TSV quotes are ordinary characters."""
    dialect: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if form == "tsv" else {}
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), **dialect) if line]
    except csv.Error as error:
        raise ConfigError(f"{path}: not a table: {error}") from error
    if not lines:
        raise ConfigError(f"{path}: no case found; the file is empty")
    known = set((columns or {}).values()) or {name for names in GUESSES.values() for name in names}
    header = [name.strip() for name in lines[0]]
    if form == "csv" or known & set(header):
        body = lines[1:]
    else:
        header, body = ["input", "target"][: len(lines[0])], lines
    for number, line in enumerate(body, 1):
        if len(line) != len(header):
            raise ConfigError(f"{path}, row {number}: {len(line)} fields, expected {len(header)} ({', '.join(header)})")
    return [dict(zip(header, line, strict=True)) for line in body]


def _jsonl(path: Path, text: str) -> Iterable[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{path}:{number}: must be one JSON object a line, not a {type(row).__name__}")
        rows.append(row)
    return rows


def _parquet(path: Path) -> Iterable[Row]:
    parquet = need("pyarrow.parquet", "datasets", f"{path}: Parquet")
    try:
        rows: list[Row] = parquet.read_table(path).to_pylist()
    except Exception as error:
        raise ConfigError(f"{path}: not a readable Parquet file: {error}") from error
    return rows
