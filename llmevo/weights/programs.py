"""What a causal model is asked for many samples at once: a fixed target, a choice among labels, or an open answer.

A program knows tokens only. It is called with rows in individual-major order: `copies` individuals, each with the same samples.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from llmevo.core.genome import content_key

Ids = tuple[int, ...]
Result = Any
"""What JSON can say of one individual on one sample."""
SHORT = 8
"""A common beginning of fewer tokens is not worth a pass of its own."""


class Program(Protocol):
    """A question about samples that are numbered from 0. Plain data: it can be sent to another process."""

    @property
    def key(self) -> str:
        """Everything but the samples that decides the results."""
        ...

    @property
    def samples(self) -> Sequence[str]:
        """The content key of each sample."""
        ...

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens of each sample in its longest pass."""
        ...

    @property
    def steps(self) -> int:
        """Passes over one further token each, after the first pass."""
        ...

    def begin(self, model: Any, copies: int) -> Any:
        """What all samples share, computed once per individual (the cached beginning of a prompt), or None."""
        ...

    def __call__(self, model: Any, shared: Any, some: Sequence[int], copies: int) -> list[list[Result]]:
        """[individual][sample] for the samples of these numbers."""
        ...


@dataclass(frozen=True)
class _Prompts:
    """Prompts in tokens, with the beginning that all of them share."""

    prompts: tuple[Ids, ...]

    @cached_property
    def common(self) -> Ids:
        """The shared beginning; never the whole of a prompt, whose last token gives the first prediction."""
        first, last = min(self.prompts, default=()), max(self.prompts, default=())
        shortest = min(map(len, self.prompts), default=0)
        same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), shortest)
        size = min(same, shortest - 1)
        return first[:size] if size >= SHORT and len(self.prompts) > 1 else ()

    def begin(self, model: Any, copies: int) -> Any:
        if not self.common:
            return None
        ids = torch.tensor([self.common] * copies, device=model.device)
        return model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values

    @property
    def steps(self) -> int:
        return 0


@dataclass(frozen=True)
class Forced(_Prompts):
    """Whether greedy decoding would give exactly the target and then end, and how probable that is: one teacher-forced pass.

    The result of a sample is `[1.0 or 0.0, log-probability]`. Without `ends` the answer may go on behind the target.
    """

    targets: tuple[Ids, ...]
    ends: Ids = ()
    """Tokens that end an answer."""

    @property
    def key(self) -> str:
        return f"forced({','.join(map(str, self.ends))})"

    @cached_property
    def samples(self) -> tuple[str, ...]:
        return tuple(content_key(pair) for pair in zip(self.prompts, self.targets, strict=True))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        less = len(self.common) + (not self.ends)
        return tuple(len(p) + len(t) - less for p, t in zip(self.prompts, self.targets, strict=True))

    def __call__(self, model: Any, shared: Any, some: Sequence[int], copies: int) -> list[list[Result]]:
        cut, device = len(self.common), model.device
        sizes = [len(self.targets[i]) for i in some]
        rows = [(self.prompts[i] + self.targets[i])[cut:] for i in some]
        begins = torch.tensor([len(row) - 1 for row in rows]) - torch.tensor(sizes)
        if not self.ends:
            rows = [row[:-1] for row in rows]
        first, last = int(begins.min()), max(map(len, rows))
        logits = _logits(model, _padded(rows), shared, copies, torch.arange(first, last, device=device)).float()
        targets = torch.full((len(some), last - first), -1)
        for at, i, begin, size in zip(targets, some, (begins - first).tolist(), sizes, strict=True):
            at[begin : begin + size] = torch.tensor(self.targets[i])
        right, found = _hits(logits, targets.to(device).repeat(copies, 1))
        if self.ends:
            ends = torch.tensor(self.ends, device=device)
            behind = (begins - first + torch.tensor(sizes)).repeat(copies).to(device)
            final = logits[torch.arange(len(behind), device=device), behind]
            right = right * torch.isin(final.argmax(dim=-1), ends)
            found = found + final[:, ends].logsumexp(dim=-1) - final.logsumexp(dim=-1)
        pairs = torch.stack([right, found], dim=1).tolist()
        return [pairs[k * len(some) : (k + 1) * len(some)] for k in range(copies)]


@dataclass(frozen=True)
class Choice(_Prompts):
    """The log-probability of each label as the answer: labels of one token in a plain pass, longer ones side by side behind it.

    All labels share the pass over their prompt; they do not see each other. The result of a sample is one number per label.
    """

    labels: tuple[Ids, ...]

    @property
    def key(self) -> str:
        return f"choice({content_key(self.labels)})"

    @cached_property
    def samples(self) -> tuple[str, ...]:
        return tuple(map(content_key, self.prompts))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        more = sum(len(label) - 1 for label in self.labels) - len(self.common)
        return tuple(len(prompt) + more for prompt in self.prompts)

    def __call__(self, model: Any, shared: Any, some: Sequence[int], copies: int) -> list[list[Result]]:
        cut, device = len(self.common), model.device
        tails = [token for label in self.labels for token in label[:-1]]
        rows = [self.prompts[i][cut:] for i in some]
        sizes = torch.tensor([len(row) for row in rows])
        ids = _padded([(*row, *tails) for row in rows])
        more = self._side_by_side(sizes, ids.shape[1], cut, copies, model) if tails else {}
        first, last = int(sizes.min()) - 1, int(sizes.max()) + len(tails)
        logits = _logits(model, ids, shared, copies, torch.arange(first, last, device=device), **more)
        scores = torch.log_softmax(logits.float(), dim=-1)
        ends = (sizes - 1 - first).repeat(copies).to(device)
        line = torch.arange(len(ends), device=device)
        found, behind = [], 0
        for label in self.labels:
            total = scores[line, ends, label[0]]
            for token in label[1:]:
                behind += 1
                total = total + scores[line, ends + behind, token]
            found.append(total)
        table = torch.stack(found, dim=1).tolist()
        return [table[k * len(some) : (k + 1) * len(some)] for k in range(copies)]

    def _side_by_side(self, sizes: Tensor, width: int, cut: int, copies: int, model: Any) -> dict[str, Tensor]:
        """Mask and positions with which every label continues the prompt and sees no other label."""
        place = torch.arange(width)
        sees = place[:, None] >= place[None, :]
        sees = sees.repeat(len(sizes), 1, 1)
        positions = place.repeat(len(sizes), 1)
        for row, size in enumerate(sizes.tolist()):
            start = size
            for label in self.labels:
                stop = start + len(label) - 1
                sees[row, start:stop, size:start] = False
                positions[row, start:stop] = torch.arange(size, size + stop - start)
                start = stop
        if cut:
            sees = torch.cat([torch.ones(len(sizes), width, cut, dtype=torch.bool), sees], dim=2)
        mask = torch.zeros(sees.shape, dtype=model.dtype).masked_fill_(~sees, torch.finfo(model.dtype).min)
        return {
            "attention_mask": mask[:, None].repeat(copies, 1, 1, 1).to(model.device),
            "position_ids": (positions + cut).repeat(copies, 1).to(model.device),
        }


@dataclass(frozen=True)
class Greedy(_Prompts):
    """The most probable continuation, token by token, with a key/value cache. The result of a sample is its tokens, without the
    one that ended it."""

    most: int
    """Tokens of an answer at most."""
    ends: Ids
    """Tokens that end an answer."""

    @property
    def key(self) -> str:
        return f"greedy({self.most},{','.join(map(str, self.ends))})"

    @property
    def steps(self) -> int:
        return self.most - 1

    @cached_property
    def samples(self) -> tuple[str, ...]:
        return tuple(map(content_key, self.prompts))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        return tuple(len(prompt) - len(self.common) + self.most for prompt in self.prompts)

    def __call__(self, model: Any, shared: Any, some: Sequence[int], copies: int) -> list[list[Result]]:
        device, cut = model.device, len(self.common)
        rows = [self.prompts[i][cut:] for i in some]
        width = max(map(len, rows))
        even = all(len(row) == width for row in rows)
        ids = torch.tensor([(0,) * (width - len(row)) + row for row in rows], device=device).repeat(copies, 1)
        more: dict[str, Tensor] = {}
        if not even:
            here = [[1] * cut + [0] * (width - len(row)) + [1] * len(row) for row in rows]
            mask = torch.tensor(here, device=device).repeat(copies, 1)
            more = {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)[:, cut:]}
        cache = _spread(shared, len(some))
        ends = torch.tensor(self.ends, device=device)
        over = torch.zeros(len(ids), dtype=torch.bool, device=device)
        found: list[Tensor] = []
        for _ in range(self.most):
            out = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **more)
            cache, best = out.past_key_values, out.logits[:, -1].argmax(dim=-1)
            over |= torch.isin(best, ends)
            found.append(torch.where(over, -1, best))
            if bool(over.all()):
                break
            ids = best[:, None]
            if more:
                mask = torch.cat([more["attention_mask"], torch.ones_like(ids)], dim=1)
                more = {"attention_mask": mask, "position_ids": more["position_ids"][:, -1:] + 1}
        answers = [[token for token in row if token >= 0] for row in torch.stack(found, dim=1).tolist()]
        return [answers[k * len(some) : (k + 1) * len(some)] for k in range(copies)]


def _padded(rows: Sequence[Ids]) -> Tensor:
    """(rows, longest): padded behind the end, where a causal model never looks."""
    width = max(map(len, rows))
    return torch.tensor([row + (0,) * (width - len(row)) for row in rows])


def _logits(model: Any, ids: Tensor, shared: Any, copies: int, keep: Tensor, **more: Tensor) -> Tensor:
    """(copies x rows, kept positions, vocabulary)."""
    cache = _spread(shared, len(ids))
    ids = ids.to(model.device).repeat(copies, 1)
    logits: Tensor = model(input_ids=ids, past_key_values=cache, use_cache=cache is not None, logits_to_keep=keep, **more).logits
    return logits


def _spread(shared: Any, rows: int) -> Any:
    """The cached beginning once per row; the original stays as it is."""
    if shared is None:
        return None
    cache = copy.deepcopy(shared)
    cache.batch_repeat_interleave(rows)
    return cache


def _hits(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Per row: 1.0 when every target is the most probable token, and the sum of their log-probabilities. -1 is no target."""
    counts = targets >= 0
    right = ((logits.argmax(dim=-1) == targets) | ~counts).all(dim=1).float()
    wanted = targets.clamp(min=0)[..., None]
    scores = logits.gather(-1, wanted)[..., 0] - logits.logsumexp(dim=-1)
    return right, (scores * counts).sum(dim=1)
