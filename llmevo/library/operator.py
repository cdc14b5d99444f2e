"""Operators as data: an instruction for a language model, its roles, its slots, and where its answer will
stand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateSyntaxError, meta, nodes

from llmevo.core.errors import ConfigError
from llmevo.core.genome import content_key
from llmevo.core.resolve import nearest
from llmevo.library.find import Found, Origin, find
from llmevo.library.frontmatter import Document, read_document
from llmevo.library.render import compiled, environment, render, variable_line

KEYS = ("parents", "slots", "answer", "temperature", "top_p", "max_tokens", "system", "source")
VIEW_FIELDS = ("text", "score", "feedback", "failures", "parts")
"""What a parent offers to a template besides its text."""
RESERVED = frozenset({"self", "super", "caller", "loop", "varargs", "kwargs", "true", "false", "none", "range"})
"""Names to which Jinja gives a meaning of its own."""
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Template:
    """A checked operator file. `parents` are the roles in order; with `many` the last of them is a list of
    any length.
    """

    name: str
    parents: tuple[str, ...]
    many: bool
    slots: tuple[str, ...]
    answer: str
    body: str
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    system: str = ""
    source: str = ""
    path: Path | None = None
    origin: Origin = "user"

    @property
    def arity(self) -> int | None:
        """How many parents it takes; None = any number (at least those that are named without a star)."""
        return None if self.many else len(self.parents)

    @property
    def key(self) -> str:
        """Content hash of all that reaches the model; moving the file or citing another source does not
        change it.
        """
        sampling = [self.temperature, self.top_p, self.max_tokens, self.system]
        return content_key([self.body, self.parents, self.many, self.slots, self.answer, sampling])

    def render(self, **values: Any) -> str:
        """The instruction with parents and slots filled in, ready to be sent. Raises `ConfigError` on a
        missing value.
        """
        missing = [name for name in (*self.parents, *self.slots) if name not in values]
        if missing:
            raise ConfigError(f"operator {self.name!r} needs a value for {', '.join(missing)}")
        return render(self.body, values, tag=self.answer, name=f"operator {self.name!r}").strip()


def load_operator(name: str, user: Path | None = None) -> Template:
    """The operator of a name, or of a path that ends in `.md`. Raises `ConfigError` that says file, line,
    what and cure.
    """
    path = Path(name)
    if name.endswith(".md") and path.is_file():
        return parse_operator(Found(path.stem, path, "user"))
    return parse_operator(find("operators", name, user))


def parse_operator(found: Found) -> Template:
    """The checked template of a file: variables used = parents + slots, in both directions."""
    document = read_document(found.path)
    document.only(KEYS)
    parents, many = _roles(document)
    slots = document.names("slots")
    for key, names in (("parents", parents), ("slots", slots)):
        for name in names:
            if not IDENTIFIER.fullmatch(name) or name.lower() in RESERVED:
                document.fail(f"{key}: {name!r} cannot be a variable in a template; choose another name", key)
            if (*parents, *slots).count(name) > 1:
                document.fail(f"{key}: {name!r} is declared twice; keep one", key)
    answer = document.text("answer")
    if not re.fullmatch(r"[A-Za-z][\w-]*", answer):
        document.fail("answer: names the tag in which the child stands, e.g. 'answer: prompt'", "answer")
    template = Template(
        found.name,
        parents,
        many,
        slots,
        answer,
        document.body,
        document.number("temperature", 0, 2),
        document.number("top_p", 0, 1),
        document.whole("max_tokens"),
        document.text("system"),
        document.text("source"),
        found.path,
        found.origin,
    )
    _check_variables(document, template)
    return template


def _roles(document: Document) -> tuple[tuple[str, ...], bool]:
    if "parents" not in document.fields:
        document.fail("'parents' is missing: list the roles in order, e.g. 'parents: [a, b]' ('[]' for a founder)")
    names = document.names("parents")
    many = bool(names) and names[-1].endswith("*")
    if any(name.endswith("*") for name in names[:-1]):
        document.fail("parents: only the last role may take any number ('*')", "parents")
    return (*names[:-1], names[-1].rstrip("*")) if many else names, many


def _check_variables(document: Document, template: Template) -> None:
    tree = parse_body(document, template.answer)
    both_ways(document, tree, {"parents": template.parents, "slots": template.slots})
    single = template.parents[:-1] if template.many else template.parents
    for node in tree.find_all(nodes.Getattr):
        if isinstance(node.node, nodes.Name) and node.node.name in single and node.attr not in VIEW_FIELDS:
            document.fail(
                f"a parent has no {node.attr!r}{nearest(node.attr, VIEW_FIELDS)}",
                line=document.first - 1 + node.lineno,
            )


def both_ways(document: Document, tree: nodes.Template, declared: Mapping[str, Sequence[str]], given: Sequence[str] = ()) -> set[str]:
    """The variables of a body, which are those that the front matter declares (by key) or that are `given` anyway.

    Raises `ConfigError` for one that is used and not declared, and for one that is declared and not used.
    """
    known = {*given, *(name for names in declared.values() for name in names)}
    used = meta.find_undeclared_variables(tree)
    for name in sorted(used - known):
        line = document.first - 1 + variable_line(tree, name)
        document.fail(f"'{{{{ {name} }}}}' is used but not declared{nearest(name, known)} (or add it to slots)", line=line)
    for key, names in declared.items():
        for name in names:
            if name not in used:
                document.fail(f"{name!r} is declared in {key} but never used; use '{{{{ {name} }}}}' or remove it", key)
    return used


def parse_body(document: Document, tag: str) -> nodes.Template:
    """The syntax tree of a body that also compiles. Raises `ConfigError` with the line in the file."""
    try:
        tree = environment(tag).parse(document.body)
        compiled(document.body, tag)
    except TemplateSyntaxError as error:
        document.fail(f"the template cannot be read: {error.message}", line=document.first - 1 + error.lineno)
    return tree
