"""Where instruction files are: the user's folder first, then the installed package, then the checkout."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from llmevo.core.errors import ConfigError
from llmevo.core.resolve import nearest

Kind = Literal["operators", "prompts"]
Origin = Literal["user", "package", "checkout"]

PACKAGE = Path(__file__).resolve().parents[1]
NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*")


@dataclass(frozen=True, slots=True)
class Found:
    """A library entry: an operator's file or a prompt folder, and which of the three places it came from."""

    name: str
    path: Path
    origin: Origin


def roots(kind: Kind, user: Path | None = None) -> list[tuple[Origin, Path]]:
    """The existing folders of a kind in the order in which they win. `user` is the folder that holds the
    user's `operators/` and `prompts/` (usually the run file's).
    """
    places: list[tuple[Origin, Path]] = []
    shipped: list[tuple[Origin, Path]] = [("package", PACKAGE / "_library" / kind)]
    if _is_checkout(PACKAGE.parent):
        shipped.append(("checkout", PACKAGE.parent / kind))
    if user is not None and all((user / kind).resolve() != path for _, path in shipped):
        places.append(("user", user / kind))
    return [(origin, path) for origin, path in (*places, *shipped) if path.is_dir()]


def listing(kind: Kind, user: Path | None = None) -> list[Found]:
    """Every entry by name, each once: the one that a look-up of its name gives."""
    found: dict[str, Found] = {}
    for origin, root in roots(kind, user):
        for path in sorted(root.glob("*.md") if kind == "operators" else root.rglob("task.md")):
            name = path.stem if kind == "operators" else path.parent.relative_to(root).as_posix()
            found.setdefault(name, Found(name, path if kind == "operators" else path.parent, origin))
    return [found[name] for name in sorted(found)]


def find(kind: Kind, name: str, user: Path | None = None) -> Found:
    """The entry that a name means. Raises `ConfigError` with the nearest name and the places searched."""
    what = "operator" if kind == "operators" else "prompt folder"
    if not NAME.fullmatch(name) or ".." in name:
        raise ConfigError(f"{name!r} is no name of an entry in {kind}: use letters, digits, '-', '_', e.g. {'evoprompt-ga'!r}")
    places = roots(kind, user)
    for origin, root in places:
        path = root / f"{name}.md" if kind == "operators" else root / name
        if path.is_file() if kind == "operators" else path.is_dir():
            return Found(name, path, origin)
    searched = ", ".join(str(root) for _, root in places) or "no folder exists"
    hint = nearest(name, [one.name for one in listing(kind, user)])
    raise ConfigError(f"there is no {what} {name!r} (searched: {searched}){hint}")


@cache
def _is_checkout(folder: Path) -> bool:
    """Whether a folder is this project's source tree, and not some environment in which the package happens
    to lie.
    """
    try:
        with (folder / "pyproject.toml").open("rb") as file:
            return bool(tomllib.load(file).get("project", {}).get("name") == "llmevo")
    except (OSError, tomllib.TOMLDecodeError):
        return False
