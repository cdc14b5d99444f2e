"""Misspelt names of models are met with what they might mean, and not with a question for OpenAI's key."""

from __future__ import annotations

import pytest

from llmevo.core import ConfigError
from llmevo.llm import ModelSpec, connect


@pytest.mark.fault("C1")
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("embeded", "embedded"),
        ("Embedded", "embedded"),
        ("edit", "edits"),
        ("scripd:my:answers", "scripted:my:answers"),
        ("opena/gpt-4.1-mini", "openai/gpt-4.1-mini"),
        ("lite_llm/anthropic/x", "litellm/anthropic/x"),
        ("anthropic/claude", "litellm/anthropic/claude"),
        ("openai/", "litellm/openai/"),
    ],
)
def test_a_misspelt_name_is_met_with_what_it_might_mean(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"[Dd]id you mean {meant!r}") as refused:
        connect(ModelSpec(name), env={"OPENAI_API_KEY": "a-key-of-some-length"})
    assert "OPENAI_API_KEY" not in str(refused.value)


@pytest.mark.parametrize("name", ["gpt-4.1-mini", "o3", "ft:gpt-4o-mini:me::abc", "chatgpt-4o-latest"])
def test_names_of_openai_are_left_alone(name: str) -> None:
    assert connect(ModelSpec(name), env={"OPENAI_API_KEY": "a-key-of-some-length"}).key


@pytest.mark.parametrize("name", ["meta/llama-3", "embeded", "Qwen/Qwen3-8B"])
def test_a_server_of_ones_own_may_call_its_models_anything(name: str) -> None:
    assert connect(ModelSpec(name, base_url="http://localhost:8000/v1"), env={}).key
