"""A model in words: what a run file says of it, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llmevo.core.errors import ConfigError
from llmevo.llm.contract import Sampling
from llmevo.llm.prices import Price


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model in the words of the run's YAML, where each field is a key of the same name.

    `model` is `embedded`, `scripted:package.module:name`, `openai/NAME`, `litellm/PROVIDER/NAME`, or the name of a model at
    `base_url` (OpenAI's by default). Sampling fields that are set win over what a request asks for.
    """

    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    """The environment variable with the key. By default OPENAI_API_KEY at OpenAI's address, none elsewhere."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    price: Price | None = None
    """US dollars per million tokens; the shipped table by default."""
    timeout: float = 120.0
    """Deadline of one attempt, in seconds."""
    attempts: int = 6
    max_wait: float = 600.0
    """Most seconds of waiting between the attempts of one call."""
    give_up: int = 20
    """Questions in a row, of more than one genome, at which the server fails until the run pauses."""
    max_tokens_if_cut: int | None = None
    """A larger bound with which an answer that was cut at `max_tokens` is asked for once more; by default it is not."""
    fallback: ModelSpec | None = None
    """Another model, which is asked what this one refuses."""
    in_flight: int | None = None
    """Most requests in flight at this endpoint; the run's setting by default. Of several models at one endpoint that name it
    the smallest counts."""
    seed: bool = False
    """Whether to send a `seed` derived from the sample index, for servers that know it."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request's JSON body; null removes a field (`temperature: null`)."""

    def __post_init__(self) -> None:
        least = (("timeout", 0.001), ("attempts", 1), ("max_wait", 0), ("in_flight", 1), ("max_tokens", 1), ("temperature", 0))
        for name, bound in (*least, ("give_up", 1), ("max_tokens_if_cut", (self.max_tokens or 0) + 1)):
            value = getattr(self, name)
            if value is not None and not bound <= value < math.inf:
                raise ConfigError(f"model {self.model}: {name} must be at least {bound:g}, not {value!r}")

    def sampling(self, asked: Sampling) -> Sampling:
        """A request's sampling with the fields that are set here."""
        return replace(
            asked,
            temperature=asked.temperature if self.temperature is None else self.temperature,
            top_p=asked.top_p if self.top_p is None else self.top_p,
            max_tokens=asked.max_tokens if self.max_tokens is None else self.max_tokens,
        )
