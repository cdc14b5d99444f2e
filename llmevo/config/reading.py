"""From a YAML file to checked settings: errors name the key, the line, the nearest known name and what was expected."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from llmevo.config.models import Section
from llmevo.config.schema import RunConfig
from llmevo.core import ConfigError
from llmevo.core.resolve import nearest
from llmevo.recipes import Recipe, parameters, recipe

MAX_BYTES = 1_000_000
MAX_ALIASES = 50
MAX_DEPTH = 50
MAX_NODES = 100_000
"""Values that a run file may hold, those behind aliases counted wherever they stand."""
TOP = tuple(name for name in RunConfig.model_fields if name != "settings")

OPENING = (yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken, yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)
CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
Lines = dict[tuple[str | int, ...], int]
S = TypeVar("S", bound=Section)


def read_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """The checked configuration of a run file; `overrides` are `key.path=value` from the command line, values in YAML."""
    if not path.is_file():
        beside = [other.name for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: there is no such run file{nearest(path.name, beside)}")
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{path}: a run file has at most {MAX_BYTES:,} bytes; put data into files of their own")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    values, lines = load_yaml(text, str(path))
    for override in overrides:
        place = put(values, override)
        lines = {known: line for known, line in lines.items() if known[: len(place)] != place}
    return check_config(values, where=str(path), lines=lines, near=path.parent)


class _Loader(yaml.SafeLoader):
    """Safe types only, and only `true` and `false` are booleans: `yes`, `no`, `on` and `off` are words."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def _scan(text: str, where: str) -> None:
    """Refuses a text whose tokens already show that it would take for ever."""
    depth = aliases = 0
    for token in yaml.scan(text):
        depth += isinstance(token, OPENING) - isinstance(token, CLOSING)
        aliases += isinstance(token, yaml.AliasToken)
        if aliases > MAX_ALIASES:
            raise ConfigError(f"{where}: more than {MAX_ALIASES} aliases; write the values out")
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}, line {token.start_mark.line + 1}: nested more than {MAX_DEPTH} deep; write it flatter")


def _plain(text: str) -> Any:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def load_yaml(text: str, where: str) -> tuple[dict[str, Any], Lines]:
    """The mapping of a YAML text and the line of every key. Safe types only, few aliases, no key twice."""
    try:
        _scan(text, where)
        node = yaml.compose(text, Loader=_Loader)
        if node is not None and _size(node, {}) > MAX_NODES:
            raise ConfigError(f"{where}: more than {MAX_NODES:,} values; write less, and data into files of their own")
        values = _plain(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: a run file is a mapping of keys to values, e.g. `recipe: evoprompt-ga`")
    lines: Lines = {}
    _note_lines(node, (), lines, where)
    return values, lines


def _size(node: Any, known: dict[int, int]) -> int:
    """How many values a node stands for when every alias is written out; too many for one that holds itself."""
    if id(node) not in known:
        known[id(node)] = MAX_NODES
        pairs = node.value if isinstance(node, yaml.MappingNode | yaml.SequenceNode) else ()
        inner = [part for one in pairs for part in (one if isinstance(one, tuple) else (one,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in inner)
    return known[id(node)]


def check_config(
    values: Mapping[str, Any], *, where: str = "the configuration", lines: Lines | None = None, near: Path | None = None
) -> RunConfig:
    """The typed configuration of plain values. Raises `ConfigError` that lists every mistake."""
    lines = lines or {}
    if not isinstance(values.get("recipe"), str):
        raise ConfigError(f"{where}: which recipe? Add e.g. `recipe: evoprompt-ga` (`llmevo recipes` lists them)")
    try:
        found = recipe(values["recipe"], near)
        known = parameters(found)
    except ConfigError as error:
        raise ConfigError(f"{where}{_at(lines, ('recipe',))}recipe: {error}") from error
    settings = {key: value for key, value in values.items() if key in known}
    rest = {key: value for key, value in values.items() if key not in known}
    checked, mistakes = _settings(known, settings, lines)
    if "settings" in rest:
        del rest["settings"]
        mistakes.append(_at(lines, ("settings",)) + "settings: unknown key; the recipe's settings stand beside `recipe`, not under a key")
    try:
        config = RunConfig.model_validate(rest)
    except ValidationError as error:
        mistakes += _mistakes(error, lines, RunConfig, (*TOP, *known))
    if mistakes:
        raise ConfigError("\n".join(f"{where}{mistake}" for mistake in mistakes))
    return config.model_copy(update={"settings": checked})


def check_settings(found: Recipe, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """All settings of a recipe, from those that are given. Raises `ConfigError` that lists every mistake."""
    checked, mistakes = _settings(parameters(found), settings, {})
    if mistakes:
        raise ConfigError("\n".join(f"{where}{mistake}" for mistake in mistakes))
    return checked


def check_section(kind: type[S], values: Mapping[str, Any], where: str) -> S:
    """A part of a run file by itself. Raises `ConfigError` that lists every mistake."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        mistakes = _mistakes(error, {}, kind, list(kind.model_fields))
        raise ConfigError("\n".join(f"{where}{mistake}" for mistake in mistakes)) from None


def _settings(
    known: Mapping[str, inspect.Parameter], settings: Mapping[str, Any], lines: Lines
) -> tuple[dict[str, Any], list[str]]:
    """The settings of a recipe with its defaults, and what is wrong with those that are given."""
    schema = create_model(
        "Settings",
        __config__=ConfigDict(extra="forbid", strict=True),
        **{name: (_given(one.annotation, Any), _given(one.default, ...)) for name, one in known.items()},
    )  # type: ignore[call-overload]
    mistakes: list[str] = []
    checked: dict[str, Any] = {}
    try:
        checked = schema.model_validate(settings).model_dump()
    except ValidationError as error:
        mistakes += _mistakes(error, lines, schema, list(known))
    for name in ("population", "steps", "batch", "slots"):
        value = settings.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value < 1:
            mistakes.append(_at(lines, (name,)) + f"{name}: {value} is out of range; give at least 1")
    return checked, mistakes


def resolved(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain values with all defaults, as it is written into the run folder."""
    values = config.model_dump(mode="json", exclude={"settings"})
    return {**values, **TypeAdapter(dict[str, Any]).dump_python(config.settings, mode="json")}


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is inspect.Parameter.empty else value


def _mistakes(error: ValidationError, lines: Lines, root: type[BaseModel], known: Sequence[str]) -> list[str]:
    """What pydantic says in words for the user. `known` are the keys on top, those of a recipe included."""
    found = []
    for one in error.errors():
        place = tuple(part for part in one["loc"] if not _is_branch(part))
        name = ".".join(map(str, place))
        if one["type"] == "extra_forbidden":
            siblings = known if len(place) == 1 else _siblings(root, place[:-1])
            what = f"{name}: unknown key{nearest(str(place[-1]), siblings)}"
        elif one["type"] == "missing":
            what = f"{name}: this key is missing"
        elif one["type"] == "value_error":
            what = f"{name}: {one['msg'].removeprefix('Value error, ')}"
        else:
            what = f"{name}: {one['msg'][0].lower() + one['msg'][1:]}, not {_cut(one['input'])}{_hint(one)}"
        line = _at(lines, place) + what
        if line not in found:
            found.append(line)
    return found


_SECTIONS = frozenset(kind.__name__ for kind in Section.__subclasses__())


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _hint(one: Mapping[str, Any]) -> str:
    """The cure for what YAML reads otherwise than people do."""
    value = one["input"]
    if one["type"] == "literal_error" and isinstance(value, str):
        hint = nearest(value, re.findall(r"'([^']*)'", one["ctx"]["expected"]))
        return hint if "did you mean" in hint else ""
    if one["type"] == "bool_type" and isinstance(value, str):
        return " (write true or false)"
    if one["type"] in ("float_type", "int_type") and isinstance(value, str):
        try:
            return f" (a text in YAML; write {float(value)!r} without quotes)" if math.isfinite(float(value)) else ""
        except ValueError:
            return ""
    return ""


def _is_branch(part: str | int) -> bool:
    """Pydantic names the members of a union in the path of an error; users do not know those names."""
    return isinstance(part, str) and ("[" in part or part in ("int", "float", "str") or part in _SECTIONS)


def _siblings(root: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """The keys that are known where an unknown one stands; of several kinds of section, those of all."""
    models: list[Any] = [root]
    for part in (part for part in place if isinstance(part, str)):
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if fields:  # else it is a name of the user's, in a mapping of sections
            models = [model for field in fields for model in _sections_in(field.annotation)]
    return [name for model in models for name in model.model_fields]


def _sections_in(annotation: Any) -> list[Any]:
    """The sections that an annotation names, inside unions and `Annotated`."""
    if hasattr(annotation, "model_fields"):
        return [annotation]
    inner = (getattr(annotation, "__origin__", None), *getattr(annotation, "__args__", ()))
    return [model for one in inner if one is not None and one is not annotation for model in _sections_in(one)]


def _at(lines: Lines, place: tuple[Any, ...]) -> str:
    while place and place not in lines:
        place = place[:-1]
    return f", line {lines[place]}: " if place else ": "


def _note_lines(node: Any, place: tuple[str | int, ...], lines: Lines, where: str) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen and name != "<<":
                raise ConfigError(f"{where}, line {key.start_mark.line + 1}: {name!r} stands here twice")
            seen.add(name)
            lines[(*place, name)] = key.start_mark.line + 1
            _note_lines(value, (*place, name), lines, where)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _note_lines(value, (*place, i), lines, where)


def put(values: dict[str, Any], override: str) -> tuple[str, ...]:
    """Puts a value from the command line, `key.path=value` in YAML, in its place; gives the place."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override}: write key=value or section.key=value")
    try:
        _scan(text, f"--set {path}")
        value = _plain(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML") from error
    target = values
    *parents, last = path.split(".")
    for part in parents:
        inner = target.get(part)
        if inner is None:
            inner = target[part] = {}
        if isinstance(inner, str) and parents[0] == "models":
            inner = target[part] = {"model": inner}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {part!r} holds {inner!r}, which has no keys of its own")
        target = inner
    target[last] = value
    return (*parents, last)
