"""Numbers, costs and genomes in words."""

from __future__ import annotations

from typing import Any

from llmevo.core import Individual, Usage


def texts(genome: Any) -> dict[str, str]:
    """The texts of a genome by the names of its parts; of a part that is no text its preview, of a genome without parts nothing."""
    members = getattr(genome, "members", None)
    if members is None:
        return dict(getattr(genome, "parts", {}))
    found: dict[str, str] = {}
    for name, member in members.items():
        inner = texts(member)
        found |= {f"{name}.{part}" if len(inner) > 1 else name: text for part, text in inner.items()} or {name: member.preview()}
    return found


def shown(one: Individual[Any]) -> str:
    """The text of a genome, part by part."""
    parts = texts(one.genome)
    if len(parts) == 1:
        return str(next(iter(parts.values())))
    return "\n".join(f"{name}: {text}" for name, text in parts.items()) or str(one.genome.preview())


def preview(one: Individual[Any]) -> str:
    """One line of a genome; of an answer without the question, which is the same for all."""
    parts = dict(getattr(one.genome, "parts", {}))
    return " ".join(str(parts["answer"]).split())[:200] if set(parts) == {"question", "answer"} else str(one.genome.preview())


def cost(usage: Usage) -> str:
    """Calls, tokens and, where it is known, money."""
    money = f", ${usage.price:.4f}" if usage.price else ""
    return f"{usage.calls:,} calls, {usage.tokens_in:,} tokens in, {usage.tokens_out:,} out{money}"


def counts(births: int, stillborn: int, evaluations: int, reassessed: int) -> str:
    """What a search was: how many were born, and how often one was scored."""
    lost = f", {stillborn} stillborn" if stillborn else ""
    more = f" ({reassessed} of them laps or repeats)" if reassessed else ""
    return f"{births} births{lost}, {evaluations} evaluations{more}"


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    return "-" if value is None else f"{value:.3f}"
