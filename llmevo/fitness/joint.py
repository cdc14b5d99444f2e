"""A text and an adapter that answer together: weights are evaluated under the words that stand beside them in the genome."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from llmevo.core.context import Context
from llmevo.core.contracts import Evaluate
from llmevo.core.fitness import Fitness

R = TypeVar("R", bound=Hashable)
KEPT = 64
"""Evaluations under different words that are kept."""


class Joint(Generic[R]):
    """Scores genomes of several parts: those with the same words are put through the model together, as genomes of their weights.

    `render` makes of a genome what the model is told (a prompt, with examples or without; the descriptions of classes), `weights`
    takes its weights out, and `under` gives the evaluation of weights that are told this. So the words may be of any kind, and so may
    the weights: neither has to know the other.
    """

    whole_cohort = True

    def __init__(
        self, render: Callable[[Any], R], weights: Callable[[Any], Any], under: Callable[[R], Evaluate[Any]]
    ) -> None:
        self.render, self.weights, self.under = render, weights, under
        self._known: OrderedDict[R, Evaluate[Any]] = OrderedDict()

    async def __call__(self, genomes: Sequence[Any], contexts: Sequence[Context]) -> list[Fitness]:
        groups: dict[R, list[int]] = {}
        for i, genome in enumerate(genomes):
            groups.setdefault(self.render(genome), []).append(i)
        result = [Fitness.failed("not evaluated")] * len(genomes)
        for words, members in groups.items():
            scores = await self._evaluate(words)([self.weights(genomes[i]) for i in members], [contexts[i] for i in members])
            for i, score in zip(members, scores, strict=True):
                result[i] = score
        return result

    def _evaluate(self, words: R) -> Evaluate[Any]:
        found = self._known.pop(words, None) or self.under(words)
        self._known[words] = found
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return found


__all__ = ["Joint"]
