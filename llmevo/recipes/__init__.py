"""Named algorithms: each a function of a kit, whose signature is its schema and whose docstring names its source."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from llmevo.core import ConfigError
from llmevo.core.resolve import nearest, resolve
from llmevo.recipes.kit import Kit, Plan

RECIPES: Mapping[str, str] = {
    "evoprompt-ga": "evoprompt:evoprompt_ga",
    "evoprompt-de": "evoprompt:evoprompt_de",
    "nsga2": "pareto:nsga2",
    "seeds": "baselines:seeds",
    "random": "baselines:random",
    "best-of-n": "baselines:best_of_n",
    "one-plus-one": "baselines:one_plus_one",
}
"""The shipped recipes: name to module and function."""

REFINEMENTS: Mapping[str, str] = {
    "ga-llm": "refinement:ga_llm",
    "revise": "refinement:revise",
    "evoscale": "refinement:evoscale",
    "map-elites": "refinement:map_elites",
    "islands": "archipelago:islands",
    "mind-evolution": "archipelago:mind_evolution",
}
"""Recipes that refine one answer: every founder is a further sample of the first."""

ADAPTERS: Mapping[str, str] = {
    "genome": "weights:genome",
    "genome-plus": "weights:genome_plus",
    "model-swarms": "weights:model_swarms",
    "lorahub": "weights:lorahub",
    "cma": "weights:cma",
    "eggroll": "weights:eggroll",
    "deep-ga": "weights:deep_ga",
    "m2n2": "weights:m2n2",
    "portfolio": "weights:portfolio",
}
"""Recipes for adapters; the others serve them, too, except those that refine an answer."""

Recipe = Callable[..., Plan[Any]]


def recipe(name: str, near: Path | None = None) -> Recipe:
    """The recipe of a name, or the user's as `package.module:name`. Raises `ConfigError` that names the nearest one."""
    shipped = {**RECIPES, **REFINEMENTS, **ADAPTERS}
    if name in shipped:
        module, function = shipped[name].split(":")
        found: Recipe = getattr(import_module(f"llmevo.recipes.{module}"), function)
        return found
    if ":" not in name:
        raise ConfigError(f"there is no recipe {name!r}{nearest(name, shipped)}; your own is package.module:function")
    own = resolve(name, near)
    if not callable(own):
        raise ConfigError(f"recipe {name!r} is a {type(own).__name__}; name a function of a kit that returns a Plan")
    return own  # type: ignore[no-any-return]


def planned(name: str, kit: Kit[Any], settings: Mapping[str, Any], near: Path | None = None) -> Plan[Any]:
    """The plan of a named recipe. Raises `ConfigError` for settings that do not go together, before anything is paid."""
    try:
        return recipe(name, near)(kit, **settings)
    except ValueError as error:
        raise ConfigError(f"recipe {name}: {error}") from error


def parameters(found: Recipe) -> dict[str, inspect.Parameter]:
    """The settings of a recipe: its keyword parameters, with types and defaults. Raises `ConfigError` when it cannot say them."""
    try:
        signature = inspect.signature(found, eval_str=True)
    except (NameError, TypeError, ValueError) as error:
        name = getattr(found, "__qualname__", repr(found))
        raise ConfigError(f"the settings of {name} cannot be read: {error}; import what its annotations name") from error
    return {name: one for name, one in signature.parameters.items() if one.kind is inspect.Parameter.KEYWORD_ONLY}


@dataclass(frozen=True, slots=True)
class Entry:
    """A shipped recipe, described by itself."""

    name: str
    summary: str
    """The first line of its docstring."""
    source: str
    """The first line of its module's docstring."""
    settings: Mapping[str, Any]
    """Setting to default."""


def catalogue() -> list[Entry]:
    """The shipped recipes, in their order."""
    entries = []
    for name in (*RECIPES, *REFINEMENTS, *ADAPTERS):
        found = recipe(name)
        module = inspect.getmodule(found)
        settings = {key: one.default for key, one in parameters(found).items()}
        entries.append(Entry(name, _first_line(found), _first_line(module), settings))
    return entries


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").split("\n")[0]


__all__ = ["ADAPTERS", "RECIPES", "REFINEMENTS", "Entry", "Kit", "Plan", "Recipe", "catalogue", "parameters", "planned", "recipe"]
