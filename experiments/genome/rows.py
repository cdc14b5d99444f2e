"""Files of rows, one JSON object a line: a line that was cut off when its process ended is done again, a damaged one is an error."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rows_of(path: Path) -> list[Row]:
    """The rows of a file; none if there is no file. What stands after the last line's end was cut off and does not count.

    Raises `ValueError` for a line that has an end and is no row: no interruption writes such a line.
    """
    found = []
    for number, line in enumerate(_whole(path).splitlines(), start=1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"it holds a {type(row).__name__}, not an object")
        except ValueError as error:
            raise ValueError(f"{path}, line {number} is damaged ({error}): take the line out, and its row is made again") from None
        found.append(row)
    return found


def append(path: Path, row: Row) -> None:
    """Adds a row behind the last whole line; what was cut off there goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as out:
        out.truncate(len(_whole(path)))
        out.write(json.dumps(row).encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())


def _whole(path: Path) -> bytes:
    """What stands before the end of the last line that has one."""
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1]
