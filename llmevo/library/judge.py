"""Judges as data: what a judge is shown, on which scale or by which words it gives its verdict, and where it will stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmevo.core.errors import ConfigError
from llmevo.core.genome import content_key
from llmevo.core.resolve import nearest
from llmevo.library.find import Found, Origin, find
from llmevo.library.frontmatter import Document, read_document
from llmevo.library.operator import IDENTIFIER, RESERVED, both_ways, parse_body
from llmevo.library.render import render

KEYS = ("shows", "slots", "verdict", "scale", "choices", "remark", "temperature", "top_p", "max_tokens", "system", "source")
SHOWN = ("question", "answer", "reference", "first", "second")
"""What a judge may be shown. Each is fenced: it is material, whatever it says."""
FENCE = "fence"
"""The mark around what is shown. Every judge's file must name it, or the model would not know what it means."""
SIDES = ("first", "second")


@dataclass(frozen=True, slots=True)
class JudgeTemplate:
    """A checked judge's file. It has a `scale` (a rubric) or `choices` (a comparison of two answers), never both."""

    name: str
    shows: tuple[str, ...]
    slots: tuple[str, ...]
    verdict: str
    """The tag in which the verdict stands."""
    body: str
    scale: tuple[float, float] | None = None
    """The worst and the best number."""
    choices: tuple[str, ...] = ()
    """The words for: the first is better, the second is better, neither is."""
    remark: str = ""
    """The tag of what the judge found, in words; empty when it is not asked for any."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    system: str = ""
    source: str = ""
    path: Path | None = None
    origin: Origin = "user"

    @property
    def key(self) -> str:
        """Content hash of all that reaches the model or decides how its reply is read."""
        sampling = [self.temperature, self.top_p, self.max_tokens, self.system]
        return content_key([self.body, self.shows, self.slots, self.verdict, self.scale, self.choices, self.remark, sampling])

    def render(self, shown: Mapping[str, str], slots: Mapping[str, str], fence: str) -> str:
        """The instruction. Everything in `shown` stands between two lines with the fence, and none of it is markup."""
        values: dict[str, Any] = {name: f"[begin {fence}]\n{shown[name]}\n[end {fence}]" for name in self.shows}
        return render(self.body, {**values, **slots, FENCE: fence}, tag=self.verdict, name=f"judge {self.name!r}").strip()


def load_judge(name: str, user: Path | None = None) -> JudgeTemplate:
    """The judge of a name, or of a path that ends in `.md`. Raises `ConfigError` that says file, line, what and cure."""
    path = Path(name)
    if name.endswith(".md") and path.is_file():
        return parse_judge(Found(path.stem, path, "user"))
    return parse_judge(find("judges", name, user))


def parse_judge(found: Found) -> JudgeTemplate:
    """The checked template of a file: variables used = shows + slots + `fence`, in both directions."""
    document = read_document(found.path)
    document.only(KEYS)
    shows, slots = document.names("shows"), document.names("slots")
    for name in shows:
        if name not in SHOWN:
            document.fail(f"shows: {name!r} is nothing that a judge can be shown{nearest(name, SHOWN)}", "shows")
    for name in slots:
        if not IDENTIFIER.fullmatch(name) or name.lower() in RESERVED or name in (*SHOWN, FENCE):
            document.fail(f"slots: {name!r} cannot be a slot of a judge; choose another name", "slots")
    for name in (*shows, *slots):
        if (*shows, *slots).count(name) > 1:
            document.fail(f"{name!r} is declared twice; keep one", "shows" if name in shows else "slots")
    scale, choices = _scale(document), document.names("choices")
    if (scale is None) == (not choices):
        document.fail("give either 'scale: [worst, best]' (a rubric) or 'choices: [first, second, tie]' (a comparison)")
    needed = SIDES if choices else ("answer",)
    if missing := [name for name in needed if name not in shows]:
        document.fail(f"shows: {' and '.join(missing)} must be shown, or there is nothing to judge", "shows")
    if choices and (len(choices) != 3 or len({word.casefold() for word in choices}) != 3):
        document.fail("choices: give three different words, for: the first is better, the second is better, neither is", "choices")
    template = JudgeTemplate(
        found.name,
        shows,
        slots,
        _tag(document, "verdict", needed=True),
        document.body,
        scale,
        choices,
        _tag(document, "remark"),
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


def _tag(document: Document, key: str, needed: bool = False) -> str:
    tag = document.text(key)
    if (tag or needed) and not re.fullmatch(r"[A-Za-z][\w-]*", tag):
        document.fail(f"{key}: names the tag in which it stands, e.g. '{key}: {'score' if needed else 'remark'}'", key)
    return tag


def _scale(document: Document) -> tuple[float, float] | None:
    value = document.fields.get("scale")
    if value is None:
        return None
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 2 or not all(type(one) in (int, float) for one in numbers) or not numbers[0] < numbers[1]:
        document.fail(f"scale: give the worst and the best number, e.g. [1, 10], not {value!r}", "scale")
    return float(numbers[0]), float(numbers[1])


def _check_variables(document: Document, template: JudgeTemplate) -> None:
    tree = parse_body(document, template.verdict)
    used = both_ways(document, tree, {"shows": template.shows, "slots": template.slots}, given=(FENCE,))
    if FENCE not in used:
        document.fail(
            f"'{{{{ {FENCE} }}}}' is never used: say that what stands between the lines with it is to be judged and not obeyed",
            line=document.first,
        )


def bound(template: JudgeTemplate, slots: Mapping[str, str]) -> dict[str, str]:
    """The slots of a judge, each bound. Raises `ConfigError` for one that is missing or not declared."""
    if set(slots) != set(template.slots):
        given, wanted = ", ".join(slots) or "none", ", ".join(template.slots) or "none"
        raise ConfigError(f"judge {template.name!r} has the slots: {wanted}; given: {given}")
    return dict(slots)


__all__ = ["FENCE", "JudgeTemplate", "bound", "load_judge", "parse_judge"]
