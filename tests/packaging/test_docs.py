"""The pages of the documentation: their Python runs and prints what they say, their YAML is understood, their links lead on."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmevo.config import read_config
from llmevo.config.assemble import EDITS
from llmevo.config.models import Models
from llmevo.llm import Connections, ModelSpec, Price

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.joinpath("docs").glob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def blocks(page: Path) -> list[tuple[str, str, int]]:
    """Language, content and line of every fenced block, in order."""
    text = page.read_text(encoding="utf-8")
    return [(match[1], match[2], text.count("\n", 0, match.start()) + 2) for match in FENCE.finditer(text)]


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if any(found == language for found, _, _ in blocks(page))]


@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.name)
def test_python_of_a_page_runs_and_prints_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page share their names; a `text` block right after one holds what it prints."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    found = blocks(page)
    for i, (language, content, line) in enumerate(found):
        if language != "python":
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile("\n" * (line - 1) + content, str(page), "exec"), names)
        if i + 1 < len(found) and found[i + 1][0] == "text":
            assert out.getvalue() == found[i + 1][1], f"{page.name}:{found[i + 1][2]}"
        else:
            assert not out.getvalue(), f"{page.name}:{line} prints; say in a `text` block what"


def yaml_blocks(page: Path) -> list[Any]:
    return [pytest.param(content, id=f"line-{line}") for language, content, line in blocks(page) if language == "yaml"]


@pytest.mark.parametrize("content", yaml_blocks(ROOT / "docs" / "models.md"))
def test_models_of_the_page_on_models_are_understood(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is valid in a run file and can be connected, which opens no connection; those of an extra only where it is installed."""
    models = Models.model_validate(yaml.safe_load(content)["models"])
    monkeypatch.setenv("LITELLM_MODE", "PRODUCTION")  # importing it to see whether it is there must not fetch a price list
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    env = {"OPENAI_API_KEY": "k" * 20, "PROXY_KEY": "k" * 20}

    async def connected(spec: ModelSpec) -> None:
        async with Connections(env=env) as connections:
            assert connections.connect(spec).spec == spec

    for model in (models.task, models.operator):
        if model is None or model.model == EDITS or model.model.startswith("scripted:"):
            continue  # no model, or code of the reader's
        for package in ("openai", "litellm"):
            if model.model.startswith(f"{package}/"):
                pytest.importorskip(package)
        values = model.model_dump()
        price = values.pop("price")
        asyncio.run(connected(ModelSpec(**values, price=price and Price(**price))))


@pytest.mark.parametrize("content", yaml_blocks(ROOT / "README.md"))
def test_run_files_on_the_front_page_are_understood(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(content)
    assert read_config(tmp_path / "run.yaml").recipe == yaml.safe_load(content)["recipe"]


def test_the_table_of_settings_on_models_is_complete() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    table = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    assert re.findall(r"`(\w+)`", " ".join(table)) == [field.name for field in fields(ModelSpec)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / target).exists()]
    assert not missing, f"{page.name} links to {missing}"
