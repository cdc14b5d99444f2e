"""What a worker process is allowed, what it may see, and the failure of a call in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from llmevo.core.errors import ConfigError, InvalidFitness
from llmevo.core.secret import Secret

PASSED = frozenset(
    "PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM TMPDIR TEMP TMP VIRTUAL_ENV CONDA_PREFIX LD_LIBRARY_PATH DYLD_LIBRARY_PATH "
    "CUDA_VISIBLE_DEVICES OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS XDG_CACHE_HOME HF_HOME HF_HUB_OFFLINE NLTK_DATA".split()
)
"""The variables that every worker sees, besides those that begin with LC_ or PYTHON; `env` names further ones."""
KEY_LIKE = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)

Kind = Literal["timeout", "oom", "killed", "exit", "raised", "invalid"]


class Options(TypedDict, total=False):
    """What can be said of every isolated function."""

    timeout: float
    """Seconds that one call may take. Then its process group gets SIGTERM, and SIGKILL after `grace` seconds."""
    memory_mb: float | None
    """Data that calls may allocate beyond what importing the function took."""
    recycle: int
    """Calls after which a worker is replaced."""
    recycle_mb: float | None
    """Resident memory gained since the import, over which a worker is replaced; by default half of `memory_mb`."""
    workers: int
    """Calls at the same time; the others wait, and their time does not run."""
    grace: float
    startup: float
    """Seconds that importing the function may take."""
    near: Path | None
    """A folder whose modules can be named (the run file's)."""
    env: Iterable[str]
    """Environment variables that workers see besides the usual ones. A key is seen only if it is named here."""


class EvaluationFailed(InvalidFitness):
    """A call in a worker that gave no result. The message begins with `timeout`, `oom`, `killed by signal N`, `exit code N`, the
    type of an exception, or says what was wrong with the result. Nothing was tried twice: `attempts` is 1."""

    attempts = 1

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def environment(function: str, asked: Sequence[str]) -> tuple[dict[str, str], list[Secret]]:
    """The variables of a worker, and the keys among them, which are kept out of messages while they are held."""
    environ = {name: value for name, value in os.environ.items() if name in PASSED or name.startswith(("LC_", "PYTHON"))}
    environ.setdefault("PYTHONHASHSEED", "0")
    secrets = []
    for name in asked:
        if name not in os.environ:
            raise ConfigError(f"{function!r} asks for the environment variable {name}, which is not set (export {name}=...)")
        environ[name] = os.environ[name]
        if KEY_LIKE.search(name):
            secrets.append(Secret(name, os.environ[name]))
    return environ, secrets


def withheld(environ: Mapping[str, str], message: str) -> str:
    """The end of a message that names a variable which workers do not see."""
    words = set(re.findall(r"\w+", message))
    hidden = sorted(name for name in os.environ.keys() - environ.keys() if name in words)
    return f"; {hidden[0]} is set here, but workers see it only if `env` names it" if hidden else ""


def positive(name: str, value: float) -> float:
    """The value. Raises `ConfigError` unless it is a number above 0."""
    if isinstance(value, bool) or not value > 0:
        raise ConfigError(f"isolate: {name} is a number above 0, not {value!r}")
    return value
