"""Classification by an adapted sentence encoder: the class whose description is nearest. Lower layers are frozen and run once per text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from llmevo.core.errors import ConfigError
from llmevo.core.genome import content_key
from llmevo.fitness.contract import Case
from llmevo.weights.hf import Base
from llmevo.weights.layers import AdaptedLinear
from llmevo.weights.phenotypes import Grading, classified, label_numbers
from llmevo.weights.programs import Ids, Result

LONGEST = 128
"""Tokens of a text that are read."""
TOGETHER = 32
TEMPERATURE = 0.1


def layers_of(model: Any) -> nn.ModuleList:
    """The layers of a BERT-like encoder. Raises `ConfigError` for another kind of model."""
    found = getattr(getattr(model, "encoder", None), "layer", None)
    if found is None:
        raise ConfigError(f"{type(model).__name__} is no BERT-like encoder (no `encoder.layer`): name another base model")
    return found


def upper(model: Any, states: Tensor, depth: int, sizes: Tensor | None = None) -> Tensor:
    """Unit rows from the states below layer `depth`: the layers above, the mean over the tokens, normalised. Rows that are
    shorter than the rest have their `sizes`."""
    mask = None if sizes is None else torch.arange(states.shape[1], device=states.device) < sizes[:, None]
    bias = None
    if mask is not None:
        bias = torch.zeros(mask.shape, dtype=states.dtype, device=states.device)
        bias = bias.masked_fill(~mask, torch.finfo(states.dtype).min)[:, None, None]
    for layer in layers_of(model)[depth:]:
        out = layer(states, bias)
        states = out[0] if isinstance(out, tuple) else out
    if mask is None or sizes is None:
        mean = states.mean(dim=1)
    else:
        mean = (states * mask[..., None]).sum(dim=1) / sizes[:, None]
    return functional.normalize(mean.float(), dim=-1)


class States:
    """What the frozen layers of one encoder make of texts, kept in memory: (tokens, width) per text."""

    def __init__(self) -> None:
        self._states: dict[Ids, Tensor] = {}
        self.computed = 0
        """Texts that went through the frozen layers."""

    def of(self, model: Any, texts: Sequence[Ids], depth: int) -> list[Tensor]:
        """The states below layer `depth`; texts of equal length that are new go through together, nothing is padded."""
        lengths: dict[int, list[Ids]] = {}
        for text in dict.fromkeys(texts):
            if text not in self._states:
                lengths.setdefault(len(text), []).append(text)
        for some in lengths.values():
            for start in range(0, len(some), TOGETHER):
                part = some[start : start + TOGETHER]
                states = model.embeddings(input_ids=torch.tensor(part, device=model.device))
                for layer in layers_of(model)[:depth]:
                    out = layer(states, None)
                    states = out[0] if isinstance(out, tuple) else out
                self._states.update(zip(part, states, strict=True))
                self.computed += len(part)
        return [self._states[text] for text in texts]


@dataclass(frozen=True)
class Nearest:
    """The cosine of each text to each class description; both go through the individual's own layers above `depth`."""

    texts: tuple[Ids, ...]
    classes: tuple[Ids, ...]
    depth: int
    states: States = field(default_factory=States, compare=False, repr=False)
    steps = 0

    def __reduce__(self) -> Any:
        return Nearest, (self.texts, self.classes, self.depth)

    @property
    def key(self) -> str:
        return f"nearest({self.depth},{content_key(self.classes)})"

    @cached_property
    def samples(self) -> tuple[str, ...]:
        return tuple(map(content_key, self.texts))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        return tuple(map(len, self.texts))

    def begin(self, model: Any, copies: int) -> Tensor:
        """The descriptions of every individual: (copies, classes, width)."""
        for path, layer in layers_of(model)[: self.depth].named_modules():
            if isinstance(layer, AdaptedLinear) and (layer.merged or layer.siblings is not None):
                raise ConfigError(
                    f"the adapter changes encoder.layer.{path}, but the layers below {self.depth} are frozen: "
                    "train experts on the upper layers, or set depth to 0"
                )
        rows = self._rows(model, self.classes, copies)
        return rows.view(copies, len(self.classes), -1)

    def __call__(self, model: Any, shared: Tensor, some: Sequence[int], copies: int) -> list[list[Result]]:
        rows = self._rows(model, [self.texts[i] for i in some], copies).view(copies, len(some), -1)
        table: list[list[Result]] = torch.bmm(rows, shared.transpose(1, 2)).tolist()
        return table

    def _rows(self, model: Any, texts: Sequence[Ids], copies: int) -> Tensor:
        states = self.states.of(model, texts, self.depth)
        sizes = torch.tensor([len(one) for one in states], device=states[0].device)
        even = bool((sizes == sizes[0]).all())
        padded = nn.utils.rnn.pad_sequence(states, batch_first=True)
        return upper(model, padded.repeat(copies, 1, 1), self.depth, None if even else sizes.repeat(copies))


def tokens_of(base: Base, texts: Sequence[str]) -> tuple[Ids, ...]:
    """The tokens of texts, cut after `LONGEST`."""
    return tuple(tuple(ids) for ids in base.tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"])


def nearest_description(
    base: Base,
    descriptions: Mapping[str, str],
    *,
    layers: int = 2,
    temperature: float = TEMPERATURE,
    states: States | None = None,
) -> Callable[[Sequence[Case]], Grading]:
    """How cases are graded by an encoder whose upper `layers` are adapted: `descriptions` say what each label means.

    The smooth score is the log-probability of the right label under a softmax over the cosines with this `temperature`. Where descriptions
    evolve, too, all of them share the `states` of the texts below the adapted layers.
    """
    depth = len(layers_of(base.model)) - layers
    if depth < 0 or layers < 1:
        raise ConfigError(f"layers: {layers}: the encoder has {len(layers_of(base.model))}; at least one of them is adapted")
    known, names = States() if states is None else states, list(descriptions)
    classes = tokens_of(base, list(descriptions.values()))

    def make(cases: Sequence[Case]) -> Grading:
        right = label_numbers(cases, names)
        program = Nearest(tokens_of(base, [case.input for case in cases]), classes, depth, known)
        return Grading(program, lambda result, i: classified([one / temperature for one in result], right[i]), range(len(cases)))

    return make
