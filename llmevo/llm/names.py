"""What the name of a model can mean, and what a misspelt one might have meant."""

from __future__ import annotations

import difflib

from llmevo.core.errors import ConfigError

BUILT_IN = ("embedded", "edits")
"""Names that stand for no model of a provider."""
SELLERS = ("openai", "litellm")
SCRIPTED = "scripted"


def refuse_misspelt(name: str) -> None:
    """Raises `ConfigError` for a name without a `base_url` that OpenAI cannot know: a misspelt built-in one, or another provider's."""
    before, colon, _ = name.partition(":")
    seller, slash, rest = name.partition("/")
    if slash:
        close = _close(seller, SELLERS)
        meant = f"{close}/{rest}" if close and rest else f"litellm/{name}"
        raise ConfigError(
            f"{name!r} names no model: before the stroke only {' and '.join(f'{one}/' for one in SELLERS)} are known. Did you mean "
            f"{meant!r}? A server of your own needs its `base_url`."
        )
    close = _close(name, BUILT_IN) or (colon and _close(before, (SCRIPTED,)) and f"{SCRIPTED}{name[len(before):]}")
    if close:
        raise ConfigError(f"there is no model {name!r}; did you mean {close!r}? A model of OpenAI or a server needs its exact name.")


def _close(word: str, known: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.7)
    return found[0] if found else ""
