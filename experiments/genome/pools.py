"""Pools of ten experts for four regimes, and the task that each pool is evolved for. A pool is trained once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from world import SKILLS, World, asking

from llmevo.core import Seed
from llmevo.fitness import Case
from llmevo.weights.hf import Base
from llmevo.weights.training import Training, answers_loss, expert, fit, save

EXPERTS = 10
PLAIN = Training(rank=8, alpha=16.0, epochs=5, batch=40, rate=2e-3)
SHARED = Training(rank=8, alpha=16.0, epochs=5, batch=40, rate=2e-3, shared_down=True)


@dataclass(frozen=True)
class Regime:
    """What the experts of a pool were trained on, and what is asked of them together."""

    name: str
    about: str
    target: tuple[int, ...]
    """Skills of the task."""
    cases: int
    """Training cases of one expert."""
    training: Training = PLAIN
    own: bool = True
    """Whether an expert has a skill of its own; otherwise all learn the target's."""
    replay: float = 0.0
    """Share of an expert's cases that ask any skill."""
    wrong: float = 0.0
    """Share of random answers among the cases that are no replay."""

    @property
    def others(self) -> list[int]:
        """Skills that the task does not ask."""
        return [skill for skill in range(len(SKILLS)) if skill not in self.target]

    def shortened(self, share: float) -> Regime:
        """The same with a share of the training cases."""
        return replace(self, cases=round(self.cases * share))

    def lesson(self, world: World, number: int, seed: Seed) -> list[Case]:
        """The training cases of expert `number`."""
        replayed = round(self.cases * self.replay)
        skills = (number,) if self.own else self.target
        rows = world.cases(skills, self.cases - replayed, seed.fold("own"), wrong=self.wrong)
        rows += world.cases(range(len(SKILLS)), replayed, seed.fold("replay"))
        return rows


REGIMES: Mapping[str, Regime] = {
    one.name: one
    for one in (
        Regime("noisy", "ten slices of the target, a quarter of their answers random", (0, 1, 2), 200, own=False, wrong=0.25),
        Regime("complementary", "each its own skill, half replay; three of the ten are asked", (1, 4, 8), 400, replay=0.5),
        Regime("shared", "the same, with one frozen inner factor for all", (1, 4, 8), 400, SHARED, replay=0.5),
        Regime("disjoint", "each its own skill alone; three others are asked", (11, 12, 13), 400),
    )
}
"""METHODS: noisy soup, complementary, shared A, disjoint (the negative control)."""


def tuned(base: Base, cases: Sequence[Case], training: Training, folder: Path, seed: Seed, shared: Seed | None = None) -> None:
    """A LoRA adapter trained on cases by gradients, as a PEFT folder; what is there is left as it is."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    loss = answers_loss(asking(base), cases)
    with expert(base, training, seed, shared) as model:
        fit(model, loss, len(cases), training, seed)
        save(model, folder, base.name)


def train_pool(base: Base, world: World, regime: Regime, folder: Path) -> None:
    """Trains the experts of a regime that are not there yet."""
    seed = world.seed.fold("pool", regime.name)
    for number in range(EXPERTS):
        own = seed.fold(number)
        tuned(base, regime.lesson(world, number, own), regime.training, folder / str(number), own, seed)


def members(folder: Path) -> list[Path]:
    """The folders of a pool's experts, in their order."""
    return [folder / str(number) for number in range(EXPERTS)]
