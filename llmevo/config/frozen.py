"""What may not change when a run is continued, and the comparison with what its folder says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmevo.config.reading import resolved
from llmevo.config.schema import FREE_ON_RESUME, RunConfig
from llmevo.core import ConfigError, canonical
from llmevo.llm.spec import ModelSpec
from llmevo.storage.database import Database

FREE_IN_MODELS = ("timeout", "attempts", "max_wait", "give_up", "in_flight", "price", "api_key_env")
FROZEN = "frozen"
"""The name of the record that holds what is frozen."""


def frozen(config: RunConfig, fingerprint: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a run that may not change, flat, and the keys of what else decides it."""
    values = {key: value for key, value in resolved(config).items() if key not in FREE_ON_RESUME}
    settings = {name: value for name, value in _flat(values).items() if not _is_free(name.split("."))}
    return {**settings, **{f"({name})": key for name, key in fingerprint.items()}}


def frozen_model(spec: ModelSpec, prefix: str) -> dict[str, Any]:
    """What of a model may not change, flat, with names that begin with the prefix."""
    return {f"{prefix}.{name}": value for name, value in asdict(spec).items() if name not in FREE_IN_MODELS}


def same_run(database: Database, now: Mapping[str, Any], folder: Path | None, free: str) -> bool:
    """Whether the record holds this run already. Raises `ConfigError` with a diff when it holds another one.

    `free` says what may be changed instead.
    """
    known = dict(database.rows("meta"))  # all of them: a row that is gone would be noticed
    if FROZEN not in known:
        return False
    before, after = json.loads(known[FROZEN]), json.loads(canonical(now))
    names = sorted({name for name in (*before, *after) if before.get(name) != after.get(name)})
    if names:
        diff = "\n".join(f"  {name}: {_differing(before.get(name), after.get(name))}" for name in names)
        raise ConfigError(
            f"{folder} holds another run; these settings differ:\n{diff}\n"
            f"Choose another folder with --run, or change them back. Free to change: {free}."
        )
    return True


def free_settings() -> str:
    """The settings of a run file that may change, for a message."""
    return f"{', '.join(FREE_ON_RESUME)}, and of the models {', '.join(FREE_IN_MODELS)}"


def _is_free(place: Sequence[str]) -> bool:
    if place[0] == "models":
        place = [part for part in place if not part.isdecimal()]  # of several operator models, which one
        return len(place) > 2 and place[2] in FREE_IN_MODELS
    return place[:3] == ["task", "scorer", "isolate"]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            value = {str(i): one for i, one in enumerate(value)}
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _differing(before: Any, now: Any) -> str:
    """Two values as `old -> new`; of long ones the place where they begin to differ."""
    old, new = (json.dumps(value, ensure_ascii=False, default=str) for value in (before, now))
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return " -> ".join(_excerpt(text, same) for text in (old, new))


def _excerpt(text: str, place: int) -> str:
    if len(text) <= 80:
        return text
    begin = max(0, min(place - 40, len(text) - 76))
    return ("..." if begin else "") + text[begin : begin + 76] + ("..." if begin + 76 < len(text) else "")
