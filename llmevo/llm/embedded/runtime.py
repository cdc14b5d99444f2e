"""Many questions at once: batches with shared prefixes, each answer as if it were alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from llmevo.llm.embedded.loops import Circles
from llmevo.llm.embedded.model import Cache, Decoder
from llmevo.llm.embedded.parallel import side_by_side
from llmevo.llm.embedded.sampling import choose, generator, log_softmax
from llmevo.llm.embedded.tokenizer import END, Tokenizer

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""The folder of the shipped model; `transformers.AutoModelForCausalLM.from_pretrained` loads it too."""

MAX_ROWS = 32
_WORTH_SHARING = 16


class TooLong(ValueError):
    """The prompt does not fit into the model's context."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to the embedded model. With a temperature above 0, `seed` decides the answer."""

    prompt: str
    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its text, whether it ended by itself, and tokens read and written."""

    text: str
    finish: Literal["stop", "length"]
    tokens_in: int
    tokens_out: int


class EmbeddedModel:
    """The small language model of the package, on numpy. Safe to use from several threads: it holds no state between calls."""

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer, weights: Path) -> None:
        self.decoder = decoder
        self.tokenizer = tokenizer
        self._weights = weights
        self._circles = Circles(tokenizer)

    @classmethod
    def load(cls, path: Path | str | None = None) -> EmbeddedModel:
        """The model in a folder (the shipped one by default): `model.safetensors`, `config.json`, `tokenizer.json`."""
        folder = WEIGHTS if path is None else Path(path)
        return cls(Decoder.load(folder), Tokenizer.load(folder / "tokenizer.json"), folder / "model.safetensors")

    @cached_property
    def _hash(self) -> str:
        return weights_hash(self._weights)

    def weights_hash(self) -> str:
        """BLAKE2b of the weight file, 32 hex digits; part of every answer's key."""
        return self._hash

    def generate(self, asks: Sequence[Ask]) -> list[Answer]:
        """The answers, in order. An answer does not depend on what else is asked. Raises `TooLong` before any work."""
        rows = [self.tokenizer.conversation(a.prompt) for a in asks]
        for row in rows:
            if len(row) >= self.decoder.limit:
                raise TooLong(f"the prompt has {len(row)} tokens; the embedded model reads {self.decoder.limit - 1}")
        answers: list[Answer | None] = [None] * len(asks)

        def answer(batch: tuple[list[int], int]) -> None:
            group, shared = batch
            for i, one in zip(group, self._batch([rows[i] for i in group], [asks[i] for i in group], shared), strict=True):
                answers[i] = one

        side_by_side(answer, list(_groups(rows)))
        return [a for a in answers if a is not None]

    def logprobs(self, prompt: str, continuations: Sequence[str]) -> list[float]:
        """The log-probability of each continuation as the whole answer to a prompt, its end included."""
        if not continuations:
            return []
        row = self.tokenizer.conversation(prompt)
        ends = [[*self.tokenizer.answer(c), END] for c in continuations]
        longest = max(map(len, ends))
        if len(row) + longest > self.decoder.limit:
            raise TooLong(f"prompt and continuation have {len(row) + longest} tokens; the limit is {self.decoder.limit}")
        prefix = self._prefix(row[:-1])
        cache = self.decoder.branch(prefix, len(ends), len(row) + longest)
        scores = log_softmax(self.decoder.read(cache, [[row[-1], *e[:-1]] for e in ends], every=True))
        return [float(sum(scores[i, j, t] for j, t in enumerate(e))) for i, e in enumerate(ends)]

    def _prefix(self, tokens: Sequence[int]) -> Cache:
        prefix = self.decoder.cache(1, len(tokens))
        if tokens:
            self.decoder.read(prefix, [tokens])
        return prefix

    def _batch(self, rows: list[list[int]], asks: list[Ask], shared: int) -> list[Answer]:
        limits = [min(a.max_tokens, self.decoder.limit - len(r)) for a, r in zip(asks, rows, strict=True)]
        # room for a few tokens; it grows when an answer turns out long
        room = max(map(len, rows)) + min(max(limits), 32)
        cache = (self.decoder.branch(self._prefix(rows[0][:shared]), len(rows), room) if shared
                 else self.decoder.cache(len(rows), room))
        scores = self.decoder.read(cache, [r[shared:] for r in rows])
        draws = [generator(a.seed) if a.temperature > 0 else None for a in asks]
        written: list[list[int]] = [[] for _ in asks]
        answers: list[Answer | None] = [None] * len(asks)
        live = list(range(len(asks)))
        while live:
            for k, i in enumerate(live):
                if (circle := self._circles.barred(written[i])) is not None:
                    scores[k, circle] = -np.inf
            # greedy rows are chosen together, the others one by one
            best = scores.argmax(axis=1)
            for k, i in enumerate(live):
                a = asks[i]
                token = int(best[k]) if draws[i] is None else choose(scores[k], a.temperature, a.top_p, draws[i])
                answers[i] = self._ended(a, rows[i], written[i], token, limits[i])
            stay = [k for k, i in enumerate(live) if answers[i] is None]
            if len(stay) < len(live):
                live = [live[k] for k in stay]
                cache = cache.keep(np.array(stay, np.int64))
            if live:
                cache = self.decoder.roomy(cache)
                scores = self.decoder.step(cache, np.array([written[i][-1] for i in live], np.int64))
        return [a for a in answers if a is not None]

    def _ended(self, ask: Ask, row: list[int], written: list[int], token: int, limit: int) -> Answer | None:
        """Takes the next token; the answer if it ends here."""
        if token == END:
            return Answer(self.tokenizer.read(written), "stop", len(row), len(written) + 1)
        written.append(token)
        if ask.stop:
            text = self.tokenizer.read(written)
            found = [at for s in ask.stop if s and (at := text.find(s)) >= 0]
            if found:
                return Answer(text[: min(found)], "stop", len(row), len(written))
        if len(written) >= limit:
            return Answer(self.tokenizer.read(written), "length", len(row), len(written))
        return None


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n


def _groups(rows: Sequence[list[int]]) -> Iterator[tuple[list[int], int]]:
    """Batches of row numbers and the length of the beginning that all rows of a batch share (never a whole row)."""
    order = sorted(range(len(rows)), key=lambda i: rows[i])
    families: list[tuple[list[int], int]] = []
    for i in order:
        if families:
            members, shared = families[-1]
            now = min(shared, _common(rows[members[0]], rows[i]), len(rows[i]) - 1)
            if shared < _WORTH_SHARING or (now >= _WORTH_SHARING and now * 2 >= min(shared, len(rows[i]))):
                members.append(i)
                families[-1] = (members, now)
                continue
        families.append(([i], len(rows[i]) - 1))
    for members, shared in families:
        members.sort(key=lambda i: len(rows[i]))
        if len(members) == 1 or shared < _WORTH_SHARING:
            shared = 0
        for at in range(0, len(members), MAX_ROWS):
            yield members[at : at + MAX_ROWS], shared


def weights_hash(file: Path | None = None) -> str:
    """BLAKE2b of a weight file (the shipped one by default), 32 hex digits; reads the file, loads no model."""
    return hashlib.blake2b((file or WEIGHTS / "model.safetensors").read_bytes(), digest_size=16).hexdigest()
