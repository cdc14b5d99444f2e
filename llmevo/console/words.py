"""Numbers, costs and genomes in words."""

from __future__ import annotations

from typing import Any

from llmevo.core import Individual, Usage


def shown(one: Individual[Any]) -> str:
    """The text of a genome, part by part."""
    parts = getattr(one.genome, "parts", {})
    if len(parts) == 1:
        return str(next(iter(parts.values())))
    return "\n".join(f"{name}: {text}" for name, text in parts.items()) or str(one.genome.preview())


def cost(usage: Usage) -> str:
    """Calls, tokens and, where it is known, money."""
    money = f", ${usage.price:.4f}" if usage.price else ""
    return f"{usage.calls:,} calls, {usage.tokens_in:,} tokens in, {usage.tokens_out:,} out{money}"


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    return "-" if value is None else f"{value:.3f}"
