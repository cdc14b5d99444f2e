"""What tokens cost: the user's prices, else a small dated table that ships as data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from llmevo.core.errors import ConfigError
from llmevo.core.fitness import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens, in and out."""

    input: float
    output: float

    def __post_init__(self) -> None:
        if not (0 <= self.input < math.inf and 0 <= self.output < math.inf):
            raise ConfigError(f"price: US dollars per million tokens, from 0 on, not {self.input!r} and {self.output!r}")

    def of(self, usage: Usage) -> float:
        """The price of a usage's tokens in dollars, without any discount for cached prompts."""
        return (usage.tokens_in * self.input + usage.tokens_out * self.output) / 1e6


NO_PRICE = Price(0.0, 0.0)


@cache
def table() -> dict[str, Any]:
    """The shipped table: `date`, `source` and `models` (name -> price). As of its date; it does not update itself."""
    import yaml

    text = files("llmevo.llm").joinpath("prices.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def known_price(model: str) -> Price | None:
    """The price of a model in the shipped table, by its exact name; None when it is not there.

    `openai/NAME` is looked up as NAME; any other prefix is another seller, whose prices may differ.
    """
    found = table()["models"].get(model.removeprefix("openai/"))
    return Price(float(found["input"]), float(found["output"])) if found else None
