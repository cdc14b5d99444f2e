"""User code by name: `package.module:name` from a configuration, and a key that notices when that code has
changed.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType
from typing import Any

from llmevo.core.errors import ConfigError


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: `; did you mean X?` or `; known: ...`."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names) or 'none'}"


def resolve(name: str, near: Path | None = None) -> Any:
    """The object that `package.module:name` names; `near` is a folder whose modules can be named as well (the
    run file's).

    Raises `ConfigError` when the form is wrong, the module cannot be imported, or it has no such name.
    """
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise ConfigError(f"{name!r} does not name Python code: write package.module:name, e.g. my_task:score")
    found = _import(module_name, name, near)
    for part in path.split("."):
        if not hasattr(found, part):
            public = [other for other in dir(found) if not other.startswith("_")]
            where = f"{name!r}: {module_name} ({getattr(found, '__file__', None) or 'no file'})"
            raise ConfigError(f"{where} has no {part!r}{nearest(part, public)}")
        found = getattr(found, part)
    return found


def _import(module_name: str, name: str, near: Path | None) -> Any:
    places = [] if near is None else [str(near)]
    sys.path[:0] = places
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            looked = f"{near} and the installed packages" if near else "the installed packages"
            raise ConfigError(
                f"{name!r}: there is no module {error.name!r} in {looked}; put {error.name}.py there, or install its package"
            ) from error
        raise ConfigError(f"{name!r}: {module_name} needs {error.name!r}, which is not installed") from error
    except Exception as error:
        raise ConfigError(f"{name!r}: importing {module_name} raised {type(error).__name__}: {error}") from error
    finally:
        for place in places:
            sys.path.remove(place)


def need(module: str, extra: str, what: str) -> Any:
    """A module of an extra, imported when it is needed. Raises `ConfigError` that names the extra to
    install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{what} needs {module!r} ({error}): pip install 'llmevo[{extra}]'") from error


def function_key(function: Callable[..., Any]) -> str:
    """`module:name#hash`, where the hash is of the function's source: a resumed run notices that its fitness
    was edited. A lambda, whose lines hold more than itself, and what has no source are known by their code.
    """
    named = function if hasattr(function, "__qualname__") else type(function)
    body = getattr(named, "__code__", None)
    try:
        code = _code(body) if body is not None and body.co_name == "<lambda>" else inspect.getsource(named).encode()
    except (OSError, TypeError):
        code = b"" if body is None else _code(body)
    digest = hashlib.blake2b(code, digest_size=6).hexdigest()
    return f"{getattr(named, '__module__', '?')}:{named.__qualname__}#{digest}"


def _code(body: CodeType) -> bytes:
    return repr([body.co_code, body.co_names, [_constant(one) for one in body.co_consts]]).encode("utf-8", "surrogatepass")


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _code(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value
