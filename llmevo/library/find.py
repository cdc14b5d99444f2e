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

Kind = Literal["operators", "prompts", "judges"]
Origin = Literal["user", "package", "checkout"]

PACKAGE = Path(__file__).resolve().parents[1]
PLACES: dict[Kind, str] = {"operators": "operators", "prompts": "prompts", "judges": "prompts/judges"}
WORDS: dict[Kind, str] = {"operators": "operator", "prompts": "prompt folder", "judges": "judge"}
NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*")


@dataclass(frozen=True, slots=True)
class Found:
    """A library entry: a file of an operator or a judge, or a prompt folder, and which of the three places it came from."""

    name: str
    path: Path
    origin: Origin


def roots(kind: Kind, user: Path | None = None) -> list[tuple[Origin, Path]]:
    """The existing folders of a kind in the order in which they win. `user` is the folder that holds the
    user's `operators/` and `prompts/` (usually the run file's).
    """
    place = PLACES[kind]
    places: list[tuple[Origin, Path]] = []
    shipped: list[tuple[Origin, Path]] = [("package", PACKAGE / "_library" / place)]
    if _is_checkout(PACKAGE.parent):
        shipped.append(("checkout", PACKAGE.parent / place))
    if user is not None and all((user / place).resolve() != path for _, path in shipped):
        places.append(("user", user / place))
    return [(origin, path) for origin, path in (*places, *shipped) if path.is_dir()]


def listing(kind: Kind, user: Path | None = None) -> list[Found]:
    """Every entry by name, each once: the one that a look-up of its name gives."""
    folders = kind == "prompts"
    found: dict[str, Found] = {}
    for origin, root in roots(kind, user):
        for path in sorted(root.rglob("task.md") if folders else root.glob("*.md")):
            name = path.parent.relative_to(root).as_posix() if folders else path.stem
            found.setdefault(name, Found(name, path.parent if folders else path, origin))
    return [found[name] for name in sorted(found)]


def find(kind: Kind, name: str, user: Path | None = None) -> Found:
    """The entry that a name means. Raises `ConfigError` with the nearest name and the places searched."""
    if not NAME.fullmatch(name) or ".." in name:
        raise ConfigError(f"{name!r} is no name of an entry in {kind}: use letters, digits, '-', '_', e.g. {'evoprompt-ga'!r}")
    places = roots(kind, user)
    for origin, root in places:
        path = root / name if kind == "prompts" else root / f"{name}.md"
        if path.is_dir() if kind == "prompts" else path.is_file():
            return Found(name, path, origin)
    searched = ", ".join(str(root) for _, root in places) or "no folder exists"
    hint = nearest(name, [one.name for one in listing(kind, user)])
    raise ConfigError(f"there is no {WORDS[kind]} {name!r} (searched: {searched}){hint}")


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
