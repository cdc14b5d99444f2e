"""Rendering of instructions: sandboxed, strict about unknown names, and deaf to markup inside inserted
values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, UndefinedError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmevo.core.errors import ConfigError


def tag_pattern(tag: str) -> re.Pattern[str]:
    """Matches an opening or closing answer tag as models write it: any case, a little space, attributes.
    Group 1 is `/` of a closing one. The spaces are bounded, so that matching stays linear on hostile text.
    """
    return re.compile(rf"<\s{{0,3}}(/?)\s{{0,3}}{re.escape(tag)}(?:\s[^<>]*)?>", re.IGNORECASE)


def neutral(text: str, tag: str) -> str:
    """The text with the answer tag made readable but inert: `<prompt>` becomes `[prompt]`."""
    return tag_pattern(tag).sub(lambda match: f"[{match[1]}{tag}]", text)


@lru_cache(maxsize=64)
def environment(tag: str = "") -> ImmutableSandboxedEnvironment:
    """The Jinja environment of instructions whose answer tag is `tag` (empty: none is made inert)."""
    finalize: Callable[[Any], Any] | None = None
    if tag:

        def finalize(value: Any) -> str:
            return neutral(str(value), tag)

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, finalize=finalize)


@lru_cache(maxsize=256)
def compiled(body: str, tag: str = "") -> Template:
    """The compiled template of a body; values that it inserts are never parsed again."""
    return environment(tag).from_string(body)


@lru_cache(maxsize=256)
def plain(body: str) -> tuple[tuple[str, str], ...] | None:
    """The pieces of a body that is text and names only, (text, "") or ("", name) each; None for any other.

    Such a body is joined without Jinja, with the same result: questions of an evaluation cost half as much.
    """
    try:
        tree = environment().parse(body)
    except TemplateError:
        return None
    pieces: list[tuple[str, str]] = []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                pieces.append((node.data, ""))
            elif isinstance(node, nodes.Name) and node.ctx == "load":
                pieces.append(("", node.name))
            else:
                return None
    return tuple(pieces)


def render(body: str, values: Mapping[str, Any], *, tag: str = "", name: str = "the template") -> str:
    """The text of a template with these values. A value is text even if it looks like Jinja or like the
    answer tag.

    Raises `ConfigError` when a name is missing or the template does what the sandbox forbids.
    """
    pieces = plain(body)
    if pieces is not None and all(isinstance(values.get(name), str) for _, name in pieces if name):
        return "".join([neutral(values[name], tag) if name and tag else values[name] if name else text for text, name in pieces])
    try:
        return compiled(body, tag).render(values)
    except UndefinedError as error:
        raise ConfigError(f"{name}: {error.message}; bind it as a slot, or guard it with 'is defined'") from error
    except (TemplateError, TypeError, ValueError, AttributeError, OverflowError, ZeroDivisionError) as error:
        raise ConfigError(f"{name}: cannot be rendered: {type(error).__name__}: {error}") from error


def variable_line(tree: nodes.Template, variable: str) -> int:
    """The first line of the body on which a variable is used (1 when it is not found)."""
    return next((node.lineno for node in tree.find_all(nodes.Name) if node.name == variable), 1)
