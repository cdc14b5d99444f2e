"""Edits of words, phrases and clauses without any model: free mutations, and the control for the paid ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError, VariationFailed
from llmevo.core.genome import content_key
from llmevo.core.individual import Individual
from llmevo.core.resolve import nearest
from llmevo.core.variation import VariationBase
from llmevo.text.genome import TextGenome

if TYPE_CHECKING:
    import numpy as np

TRIES = 16
"""How often an edit is drawn again when its child is empty or equals a parent."""
CLAUSE = re.compile(r"[^,;:.!?\n]*[,;:.!?\n]+\s*|[^,;:.!?\n]+")

Tokens = list[str]
Edit = Callable[[Tokens, Sequence[str], "np.random.Generator"], Tokens]


def words(text: str) -> Tokens:
    """The words of a text, each with the white space behind it."""
    return re.findall(r"\S+\s*", text)


def clauses(text: str) -> Tokens:
    """The clauses of a text, each with its punctuation and the white space behind it."""
    return [clause for clause in CLAUSE.findall(text) if clause.strip()]


def joined(tokens: Sequence[str]) -> str:
    """Tokens as one text: a blank where two would touch, none at the ends."""
    spaced = (token if token[-1:].isspace() else f"{token} " for token in tokens if token)
    return "".join(spaced).strip()


def _at(tokens: Tokens, rng: np.random.Generator) -> int:
    return int(rng.integers(len(tokens)))


def _span(tokens: Tokens, rng: np.random.Generator, longest: int) -> tuple[int, int]:
    length = int(rng.integers(1, max(2, min(longest, len(tokens)) + 1)))
    begin = int(rng.integers(len(tokens) - length + 1))
    return begin, begin + length


def _delete(tokens: Tokens, pool: Sequence[str], rng: np.random.Generator) -> Tokens:
    i = _at(tokens, rng)
    return tokens[:i] + tokens[i + 1 :]


def _swap(tokens: Tokens, pool: Sequence[str], rng: np.random.Generator) -> Tokens:
    i, j = _at(tokens, rng), _at(tokens, rng)
    tokens[i], tokens[j] = tokens[j], tokens[i]
    return tokens


def _duplicate(tokens: Tokens, pool: Sequence[str], rng: np.random.Generator) -> Tokens:
    i, j = _at(tokens, rng), _at(tokens, rng)
    return [*tokens[:j], tokens[i], *tokens[j:]]


def _move(tokens: Tokens, pool: Sequence[str], rng: np.random.Generator) -> Tokens:
    begin, end = _span(tokens, rng, 4)
    rest = tokens[:begin] + tokens[end:]
    j = int(rng.integers(len(rest) + 1))
    return rest[:j] + tokens[begin:end] + rest[j:]


def _replace(tokens: Tokens, pool: Sequence[str], rng: np.random.Generator) -> Tokens:
    tokens[_at(tokens, rng)] = pool[int(rng.integers(len(pool)))]
    return tokens


def _insert(tokens: Tokens, pool: Sequence[str], rng: np.random.Generator) -> Tokens:
    j = int(rng.integers(len(tokens) + 1))
    return [*tokens[:j], pool[int(rng.integers(len(pool)))], *tokens[j:]]


EDITS: dict[str, Edit] = {
    "delete": _delete,
    "swap": _swap,
    "duplicate": _duplicate,
    "move": _move,
    "replace": _replace,
    "insert": _insert,
}


@dataclass(frozen=True)
class WordEdits(VariationBase):
    """Blind edits of single words: delete, swap, duplicate, move, and replace or insert from a pool.

    The pool is the given vocabulary and the words of the other parents (`arity` 2); with neither, of the text itself. One edit,
    or up to `most` of them, each as likely. `unit` is `words` or `clauses`. Raises `VariationFailed` when no different child
    comes of it.
    """

    vocabulary: tuple[str, ...] = ()
    arity: int = 1
    most: int = 1
    kinds: tuple[str, ...] = (*EDITS, "delete")
    """What is drawn from, evenly. Deletion stands there twice, so that texts do not grow by themselves."""
    unit: str = "words"

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in EDITS:
                raise ConfigError(f"there is no edit {kind!r}{nearest(kind, EDITS)}")
        if self.unit not in UNITS:
            raise ConfigError(f"edits work on {' or '.join(UNITS)}, not on {self.unit!r}")
        if not self.kinds or self.most < 1 or self.arity < 1:
            raise ConfigError("word edits need at least one kind, one edit and one parent")

    @property
    def key(self) -> str:
        """All parameters; the vocabulary by its hash."""
        pool = content_key(self.vocabulary)[3:11] if self.vocabulary else "-"
        return f"edits({self.unit},{'+'.join(self.kinds)},most={self.most},arity={self.arity},vocabulary={pool})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        cut = UNITS[self.unit]
        text = parents[0].genome.text
        pool = [*self.vocabulary, *(token for one in parents[1:] for token in cut(one.genome.text))] or cut(text)

        def once(rng: np.random.Generator) -> str:
            tokens = cut(text)
            for _ in range(int(rng.integers(1, self.most + 1))):
                if not tokens:
                    break
                tokens = EDITS[self.kinds[int(rng.integers(len(self.kinds)))]](tokens, pool, rng)
            return joined(tokens)

        return different(once, parents, context, self.key)


@dataclass(frozen=True)
class Splice(VariationBase):
    """A crossover: a span of the first parent gives way to a span of the second.

    `unit` is `words` (phrases of up to `longest` words) or `clauses`. Raises `VariationFailed` when no different child comes of
    it.
    """

    unit: str = "words"
    longest: int = 6
    arity = 2

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ConfigError(f"a splice works on {' or '.join(UNITS)}, not on {self.unit!r}")

    @property
    def key(self) -> str:
        """Unit and longest span."""
        return f"splice({self.unit},longest={self.longest})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        cut = UNITS[self.unit]
        mine, theirs = (cut(one.genome.text) for one in parents)

        def once(rng: np.random.Generator) -> str:
            if not mine or not theirs:
                return joined(mine or theirs)
            begin, end = _span(mine, rng, self.longest)
            other, other_end = _span(theirs, rng, self.longest)
            return joined([*mine[:begin], *theirs[other:other_end], *mine[end:]])

        return different(once, parents, context, self.key)


@dataclass(frozen=True)
class Cut(VariationBase):
    """A one-point crossover: the beginning of the first parent and the end of the second, cut between words or clauses."""

    unit: str = "clauses"
    arity = 2

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ConfigError(f"a cut goes between {' or '.join(UNITS)}, not {self.unit!r}")

    @property
    def key(self) -> str:
        """The unit."""
        return f"cut({self.unit})"

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        cut = UNITS[self.unit]
        mine, theirs = (cut(one.genome.text) for one in parents)

        def once(rng: np.random.Generator) -> str:
            begin, end = int(rng.integers(len(mine) + 1)), int(rng.integers(len(theirs) + 1))
            return joined([*mine[:begin], *theirs[end:]])

        return different(once, parents, context, self.key)


UNITS: dict[str, Callable[[str], Tokens]] = {"words": words, "clauses": clauses}


def different(
    once: Callable[[np.random.Generator], str], parents: Sequence[Individual[TextGenome]], context: Context, name: str
) -> TextGenome:
    """The first draw that is neither empty nor the text of a parent, as the first parent's only part. Raises
    `VariationFailed`.
    """
    known = {one.genome.text.strip() for one in parents}
    rng = context.seed.rng()
    for _ in range(TRIES):
        text = once(rng)
        if text and text not in known:
            return parents[0].genome.with_part(None, text)
    raise VariationFailed(f"{name}: {TRIES} draws gave no child that is different from its parents")
