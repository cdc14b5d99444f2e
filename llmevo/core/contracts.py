"""The contracts that everything else fulfils, in prose: shape, order, direction, failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from llmevo.core.genome import Genome
from llmevo.core.individual import Birth, G, Individual

if TYPE_CHECKING:
    import numpy as np

    from llmevo.core.context import Context
    from llmevo.core.fitness import Fitness
    from llmevo.core.mating import Mating
    from llmevo.core.view import View

G_contra = TypeVar("G_contra", bound=Genome, contravariant=True)


class Variation(Protocol[G]):
    """Makes one genome from the genomes of its parents: an LLM call, a tensor merge, or a plain function.

    It may await. It draws randomness from `context.seed` only, and charges what it costs to the context. Raises `VariationFailed`
    when there is no child (a refusal, an unreadable reply); a transport failure raises `Pause`.
    """

    @property
    def key(self) -> str:
        """Its name and parameters, e.g. `merge(linear,rank=8)`: part of every mating's id."""
        ...

    @property
    def arity(self) -> int | None:
        """How many parents: 0 = founder, None = any number. The order of parents carries their roles."""
        ...

    @property
    def picks(self) -> bool:
        """Whether it may return a parent's genome, whose score is then reused."""
        ...

    @property
    def reassess(self) -> bool:
        """Whether it evaluates a known individual on further cases instead of making a new one."""
        ...

    async def __call__(self, parents: Sequence[Individual[G]], context: Context) -> G: ...


class Strategy(Protocol[G]):
    """Decides which matings are planned and who lives on. It never evaluates, never awaits and never reads a clock.

    Its state is a fold over asks and tells, so a run is repeated by repeating them.
    """

    @property
    def view(self) -> View[G]:
        """The population and the memory, as of the last tell."""
        ...

    @property
    def ending(self) -> str | None:
        """Why the last `ask` gave nothing although nothing was open, in words for the user; None while there is more to do."""
        ...

    def ask(self, n: int) -> Sequence[Mating[G]]:
        """At most n matings. Empty means: wait for what is open; empty with nothing open ends the run."""
        ...

    def tell(self, births: Sequence[Birth[G]]) -> None:
        """The births of the oldest ask that was not told yet: same length and order, stillbirths included.

        Individuals after those are guests (migrants from another strategy): they compete like newborns.
        """
        ...


class Selection(Protocol[G]):
    """Chooses parents: n tuples of `arity` individuals of the view's population, in the order of their roles.

    Never two parents with the same genome in one tuple while others exist, unless a role demands it. With arity None it gives as
    many as it likes. Empty when the population is empty.
    """

    @property
    def seated(self) -> bool:
        """Whether a child is planned for the seat of its first parent."""
        ...

    def __call__(
        self, view: View[G], n: int, arity: int | None, rng: np.random.Generator
    ) -> list[tuple[Individual[G], ...]]: ...


class Succession(Protocol[G]):
    """Chooses who lives on: the next population, from the present one and the births (only those that live).

    Ties go to the incumbent. A genome holds at most one place. It never returns an individual that failed.
    """

    def __call__(
        self, population: Sequence[Individual[G]], births: Sequence[Individual[G]], rng: np.random.Generator
    ) -> list[Individual[G]]: ...


class Evaluate(Protocol[G_contra]):
    """Scores genomes: one `Fitness` per genome, in the same order, higher is better.

    A genome that cannot be scored because of itself gets `Fitness.failed`. A judge or transport that is down raises `Pause`: no
    score is invented, and the cohort stays untold. Any other exception is recorded as the failure of the genomes of that call.
    """

    @property
    def whole_cohort(self) -> bool:
        """Whether it wants all genomes of a cohort in one call (one forward pass) instead of each as soon as it is conceived."""
        ...

    async def __call__(self, genomes: Sequence[G_contra], contexts: Sequence[Context]) -> list[Fitness]: ...


class Mixture(Protocol[G]):
    """A choice among variations that learns: it chooses in `ask` and is credited in `tell`, so that it replays."""

    def choose(self, rng: np.random.Generator) -> Variation[G]:
        """The variation of the next mating."""
        ...

    def credit(self, told: Sequence[tuple[Mating[G], Birth[G]]]) -> None:
        """What became of the matings of one cohort, stillbirths included. Nominal costs and scores only, never seconds."""
        ...
