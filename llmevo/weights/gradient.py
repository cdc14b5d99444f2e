"""An adapter trained by gradient on the examples of a search, as a recipe: what a search without gradients is measured against."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from llmevo.core import ConfigError, Context, Individual, Seed, canonical, content_key
from llmevo.core.variation import VariationBase
from llmevo.weights.adapter import Adapter, LowRank
from llmevo.weights.genome import AdapterGenome, recipe_seed

if TYPE_CHECKING:
    from llmevo.weights.hf import Base

OPERATOR = "gradient"
Pair = tuple[tuple[int, ...], tuple[int, ...]]
"""The tokens of a question, and of its answer with what ends it."""


@dataclass(frozen=True)
class Gradient(VariationBase):
    """A founder that is trained on the examples whose content is `lesson`: by AdamW, as experts are."""

    lesson: str
    rank: int = 8
    epochs: int = 3
    rate: float = 1e-3
    arity: ClassVar[int | None] = 0

    @property
    def key(self) -> str:
        """The lesson and how it is taught."""
        return f"gradient({self.lesson},rank={self.rank},epochs={self.epochs},rate={self.rate})"

    async def __call__(self, parents: Sequence[Individual[AdapterGenome]], context: Context) -> AdapterGenome:
        settings = {"lesson": self.lesson, "rank": self.rank, "epochs": self.epochs, "rate": self.rate}
        return AdapterGenome(OPERATOR, (), settings, recipe_seed(context.seed), "gradient")


class Teacher:
    """The operator of such a recipe: trains on a base model in memory, which is as it was afterwards.

    `base` and `pairs` are asked for when they are needed; `modules` are the linear layers that the experts change.
    """

    def __init__(self, base: Callable[[], Base], modules: Sequence[str], pairs: Callable[[], Sequence[Pair]]) -> None:
        self._base, self._modules, self._make = base, tuple(sorted(modules)), pairs

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The lesson."""
        return tuple((tuple(question), tuple(answer)) for question, answer in self._make())

    @property
    def lesson(self) -> str:
        """What a recipe calls it."""
        return content_key(["lesson", self.pairs])[3:27]

    def dump(self) -> str:
        """The lesson as text, for a record."""
        return canonical([[list(question), list(answer)] for question, answer in self.pairs])

    @classmethod
    def load(cls, text: str, base: Callable[[], Base], modules: Sequence[str]) -> Teacher:
        """The teacher of a recorded lesson."""
        return cls(base, modules, lambda: json.loads(text))

    def __call__(self, parents: Sequence[Adapter], *, seed: Seed, lesson: str, rank: int, epochs: int, rate: float) -> Adapter:
        from llmevo.weights.training import Training, expert, fit, pairs_loss

        if lesson != self.lesson:
            raise ConfigError("a recipe was trained on other examples than those of this run: give the same cases and the same prompt")
        training = Training(rank, 2.0 * rank, epochs, rate=rate, modules=self._modules)
        with expert(self._base(), training, seed) as model:
            fit(model, pairs_loss(self.pairs), len(self.pairs), training, seed)
            made = {}
            for name in self._modules:
                layer = model.base_model.model.get_submodule(name)
                down, up = layer.lora_A["default"].weight.detach().cpu().float(), layer.lora_B["default"].weight.detach().cpu().float()
                made[name] = LowRank(down.contiguous(), (up * layer.scaling["default"]).contiguous())
        return made
