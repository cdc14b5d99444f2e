"""Batches of token ids for training, made by worker processes from seeds alone."""

from __future__ import annotations

import multiprocessing as mp
import os
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from queue import Full
from random import Random

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from breeding import ANSWERS_OF, WEIGHTS_OF, fixed_prefix, templates  # noqa: E402
from crossing import copying  # noqa: E402
from samples import Sample, copy_sample, lexical_sample, multi_sample, operator_sample, task_sample  # noqa: E402

from llmevo.llm.embedded.tokenizer import ANSWER, BEGIN, END, Tokenizer  # noqa: E402

WEIGHTS = ROOT / "llmevo" / "llm" / "embedded" / "weights"


@dataclass
class Batch:
    """Rows of ids (padded at the right), the flat places whose next token is learnt, those tokens, their weights."""

    kind: str
    ids: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    prefix: np.ndarray | None = None
    tagged: np.ndarray | None = None
    """Flat places of tagged tokens, and two untagged ones a row."""
    tags: np.ndarray | None = None
    asked: np.ndarray | None = None
    """Flat places of the tokens before the answer, where a sign is asked."""
    signs: np.ndarray | None = None


@dataclass(frozen=True)
class Row:
    """A sample in ids: context, answer, tags of places in the context, the sign that is asked."""

    context: list[int]
    answer: list[int]
    tags: tuple[tuple[int, int], ...] = ()
    sign: bool | None = None

    def __len__(self) -> int:
        return len(self.context) + len(self.answer)


@dataclass(frozen=True)
class Mix:
    """Shares of the sample kinds and the size of a step in tokens."""

    task: float = 0.68
    multi: float = 0.06
    lexical: float = 0.08
    copy: float = 0.18
    generic: float = 0.25
    plain_tokens: int = 1400
    operator_tokens: int = 2800
    copying_only: bool = False
    crossing: bool = False
    """The lesson of the second leg: parents that are alike, words in pieces, more copying."""


def pack(kind: str, rows: list[Row], prefix: list[int] | None = None) -> Batch:
    """One batch of rows; the loss is on answers only, each row weighs about the root of its length."""
    width = max(map(len, rows)) - 1
    ids = np.full((len(rows), width), END, dtype=np.int64)
    places, targets, weights = [], [], []
    tagged: list[tuple[int, int]] = []
    asked: list[tuple[int, int]] = []
    for r, row in enumerate(rows):
        ids[r, : len(row) - 1] = [*row.context, *row.answer[:-1]]
        first = len(row.context) - 1
        places.extend(range(r * width + first, r * width + first + len(row.answer)))
        targets.extend(row.answer)
        weights.extend([len(row.answer) ** -0.5] * len(row.answer))
        tagged.extend((r * width + at, tag) for at, tag in row.tags)
        if row.sign is not None:
            asked.append((r * width + first, int(row.sign)))
    w = np.asarray(weights, dtype=np.float32)
    batch = Batch(kind, ids, np.asarray(places), np.asarray(targets), w / w.sum(), None if prefix is None else np.asarray(prefix))
    if tagged:
        batch.tagged, batch.tags = np.asarray(tagged).T
    if asked:
        batch.asked, batch.signs = np.asarray(asked).T
    return batch


def sliced(rows: list[Row], budget: int, rng: Random) -> list[list[Row]]:
    """Rows sorted by length and cut into batches of about `budget` padded tokens, in random order."""
    rows.sort(key=len)
    out: list[list[Row]] = []
    batch: list[Row] = []
    for row in rows:
        if batch and (len(batch) + 1) * len(row) > budget:
            out.append(batch)
            batch = []
        batch.append(row)
    if len(batch) >= 8 or not out:
        out.append(batch)
    rng.shuffle(out)
    return out


class Source:
    """An endless stream of steps (lists of batches) from a seed."""

    def __init__(self, seed: int, mix: Mix) -> None:
        self.rng = Random(seed)
        self.mix = mix
        self.tok = Tokenizer.load(WEIGHTS / "tokenizer.json")
        self.widths = [len(self.tok.decode([i])) for i in range(len(self.tok))]
        """Characters of each token; generated text is ASCII."""
        self.prefixes = {n: [BEGIN, *self.tok.encode(fixed_prefix(t))] for n, t in templates().items() if n in WEIGHTS_OF | ANSWERS_OF}

    def row(self, sample: tuple[str, str] | Sample) -> Row:
        """A sample in ids. An opinion is tagged where it ends, facts and labels where they begin."""
        context, answer = self.tok.conversation(sample[0]), [*self.tok.answer(sample[1]), END]
        if not isinstance(sample, Sample) or not sample.tags:
            return Row(context, answer, (), sample.sign if isinstance(sample, Sample) else None)
        ends = list(accumulate(self.widths[i] for i in context))
        tags = {bisect_left(ends, end if tag < 5 else begin + 1): tag for begin, end, tag in sample.tags}
        others = [at for at in range(1, len(context) - 1) if at not in tags]
        tags |= dict.fromkeys(self.rng.sample(others, min(len(others), 2)), 0)
        return Row(context, answer, tuple(sorted(tags.items())), sample.sign)

    def echo(self) -> Row:
        """Random ids again and again: the purest practice of copying, with a look-up to learn at every token."""
        block = [self.rng.randrange(3, len(self.tok)) for _ in range(self.rng.randint(3, 16))]
        if self.rng.random() < (0.6 if self.mix.crossing else 0.4):
            # few different ids: where to go on is known by two or three tokens, as in words that are spelt in pieces
            few = block[: self.rng.randint(2, 6)]
            block = [self.rng.choice(few) if self.rng.random() < 0.7 else i for i in block]
        if self.rng.random() < 0.3:
            return Row([BEGIN, *block, ANSWER], [*block, END])
        return Row([BEGIN, *block], block * max(1, 40 // len(block)))

    def plain(self) -> Row:
        """A row that is not an operator's."""
        m, r = self.mix, self.rng.random()
        if m.copying_only:
            return self.echo() if r < 0.65 else self.row(copy_sample(self.rng))
        if r < m.task:
            return self.row(task_sample(self.rng, 1.0 if self.rng.random() < 0.1 else m.generic))
        if r < m.task + m.multi:
            return self.row(multi_sample(self.rng))
        if r < m.task + m.multi + m.lexical:
            return self.row(lexical_sample(self.rng))
        if self.rng.random() < 0.25:
            return self.echo()
        return self.row(copying(self.rng) if m.crossing and self.rng.random() < 0.6 else copy_sample(self.rng))

    def steps(self) -> Iterator[list[Batch]]:
        """Each step: one batch of plain rows and one of an operator's, whose fixed text is a shared prefix."""
        plain: list[Batch] = []
        operators: list[Batch] = []
        shares = WEIGHTS_OF | ANSWERS_OF | ({"evoprompt-ga": 12} if self.mix.crossing else {})
        names = list(shares)
        while True:
            if not plain:
                rows = [self.plain() for _ in range(24 * self.mix.plain_tokens // 60)]
                plain = [pack("plain", b) for b in sliced(rows, self.mix.plain_tokens, self.rng)]
            step = [plain.pop()]
            if not self.mix.copying_only:
                if not operators:
                    for name in self.rng.choices(names, list(shares.values()), k=12):
                        cut = len(self.prefixes[name])
                        rows = [self.row(operator_sample(self.rng, name, self.mix.crossing))
                                for _ in range(3 * self.mix.operator_tokens // 90)]
                        rows = [Row(row.context[cut:], row.answer) for row in rows]
                        operators += [pack(name, b, self.prefixes[name])
                                      for b in sliced(rows, self.mix.operator_tokens, self.rng)]
                    self.rng.shuffle(operators)
                step.append(operators.pop())
            yield step


def _work(seed: int, mix: Mix, queue: mp.Queue[list[Batch]]) -> None:
    parent = os.getppid()
    for step in Source(seed, mix).steps():
        while True:
            try:
                queue.put(step, timeout=5)
                break
            except Full:
                if os.getppid() != parent:
                    return


def stream(seed: int, mix: Mix) -> tuple[Iterator[list[Batch]], Callable[[], None]]:
    """Steps made ahead by one worker process, and a function that ends it; the order depends on the seed alone."""
    context = mp.get_context("spawn")
    queue: mp.Queue[list[Batch]] = context.Queue(maxsize=64)
    worker = context.Process(target=_work, args=(seed, mix, queue), daemon=True)
    worker.start()

    def steps() -> Iterator[list[Batch]]:
        while True:
            yield queue.get(timeout=600)

    return steps(), worker.terminate

