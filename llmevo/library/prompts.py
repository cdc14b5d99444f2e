"""Prompt folders: how a prompt wraps an input of its task (`task.md`), and the prompts to begin with
(`seeds.txt`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import meta

from llmevo.core.errors import ConfigError
from llmevo.core.genome import content_key
from llmevo.core.resolve import nearest
from llmevo.library.find import Found, Origin, find
from llmevo.library.frontmatter import read_document
from llmevo.library.operator import parse_body
from llmevo.library.render import render, variable_line

KEYS = ("system", "max_tokens", "stop", "temperature", "source")
NEEDED = ("prompt", "input")
OFFERED = (*NEEDED, "fields", "parts", "labels")


@dataclass(frozen=True, slots=True)
class TaskTemplate:
    """How a prompt and an input become one question. The prompt comes first, so that questions share a
    prefix.
    """

    body: str = "{{ prompt }}\n\n{{ input }}"
    name: str = "plain"
    system: str = ""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    labels: tuple[str, ...] = ()
    """The classes of the data, which a template may list; they come with the data, not with the file."""

    @property
    def key(self) -> str:
        """Content hash of all that reaches the model."""
        return content_key([self.body, self.system, self.max_tokens, self.stop, self.temperature, self.labels])

    def render(
        self,
        prompt: str,
        input: str,
        fields: Mapping[str, Any] | None = None,
        parts: Mapping[str, str] | None = None,
    ) -> str:
        """The question. `fields` are the further columns of the case, `parts` all named parts of the
        genome.
        """
        values = {"prompt": prompt, "input": input, "fields": fields or {}, "parts": parts or {}, "labels": list(self.labels)}
        return render(self.body, values, name=f"task template {self.name!r}").strip()


@dataclass(frozen=True, slots=True)
class PromptFolder:
    """One task's `task.md` and `seeds.txt`, and where they came from."""

    name: str
    task: TaskTemplate
    seeds: tuple[str, ...]
    path: Path
    origin: Origin


def load_prompts(name: str, user: Path | None = None) -> PromptFolder:
    """The prompt folder of a name, or of a path (absolute, or beginning with a dot). `seeds.txt` may be absent: then there
    are no seeds.
    """
    direct = Path(name)
    is_path = (direct.is_absolute() or name.startswith(".")) and direct.is_dir()
    found = Found(direct.name, direct, "user") if is_path else find("prompts", name, user)
    task = load_task(found.path / "task.md", found.name)
    seeds = found.path / "seeds.txt"
    return PromptFolder(found.name, task, load_seeds(seeds) if seeds.is_file() else (), found.path, found.origin)


def load_task(path: Path, name: str | None = None) -> TaskTemplate:
    """The checked template of a `task.md`: it must use `prompt` and `input`, may use `fields` and `parts`,
    nothing else.
    """
    document = read_document(path)
    document.only(KEYS)
    tree = parse_body(document, "")
    used = meta.find_undeclared_variables(tree)
    for variable in sorted(used - set(OFFERED)):
        line = document.first - 1 + variable_line(tree, variable)
        document.fail(f"'{{{{ {variable} }}}}' is not known here{nearest(variable, OFFERED)}", line=line)
    for variable in NEEDED:
        if variable not in used:
            document.fail(
                f"'{{{{ {variable} }}}}' is never used; a task template needs the prompt and the input",
                line=document.first,
            )
    return TaskTemplate(
        document.body,
        name or path.parent.name,
        document.text("system"),
        document.whole("max_tokens"),
        document.names("stop"),
        document.number("temperature", 0, 2),
    )


def load_seeds(path: Path) -> tuple[str, ...]:
    """The prompts of a file, one a line, each once. Raises `ConfigError` when there are none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    seeds = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not seeds:
        raise ConfigError(f"{path}: holds no prompt; write one a line")
    return seeds
