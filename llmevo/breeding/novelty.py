"""What is already known is not paid for: births that repeat an earlier genome are told from new ones before they are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic

from llmevo.core import Birth, Context, G, Individual, Variation, VariationFailed
from llmevo.core.variation import VariationBase

Traces = Callable[[G], Iterable[Hashable]]
"""From a genome to marks of it: who shares one with a known genome counts as known. The representation brings it."""


class Known(Generic[G]):
    """All genomes that were told, by their traces, in the order of the tells. Several strategies may share one.

    `tries` is how often a variation may be asked for another child when the one it gave is known. The look-up takes the same time
    however many are known. `key` names the traces: another one is another run.
    """

    def __init__(self, traces: Traces[G], *, key: str, tries: int = 2) -> None:
        if tries < 1:
            raise ValueError(f"a variation is tried at least once, not {tries} times")
        self._traces, self.tries = traces, tries
        self.key = f"{key},tries={tries}"
        self._since: dict[Hashable, int] = {}
        self._tells = 0

    def learn(self, births: Iterable[Birth[G]]) -> None:
        """Notes the genomes of one tell. A failed evaluation counts: it would fail again."""
        for birth in births:
            if isinstance(birth, Individual):
                for trace in self._traces(birth.genome):
                    self._since.setdefault(trace, self._tells)
        self._tells += 1

    def holds(self, genome: G, tells: int) -> bool:
        """Whether a genome like this was among the first `tells` tells."""
        return any(self._since.get(trace, tells) < tells for trace in self._traces(genome))

    def unless(self, variation: Variation[G]) -> Variation[G]:
        """The variation, which fails rather than give what is known by now. What picks or reassesses is left as it is."""
        return variation if variation.picks or variation.reassess else Unless(variation, self, self._tells)


@dataclass(frozen=True)
class Unless(VariationBase, Generic[G]):
    """A variation whose child must be new. It is known under its own key; what is known is what was told before it was planned, so that
    the order in which births complete decides nothing.
    """

    variation: Variation[G]
    known: Known[G]
    tells: int

    @property
    def key(self) -> str:
        return self.variation.key

    @property
    def arity(self) -> int | None:
        return self.variation.arity

    async def __call__(self, parents: Sequence[Individual[G]], context: Context) -> G:
        for again in range(self.known.tries):
            genome = await self.variation(parents, context.stage("again", again) if again else context)
            if not self.known.holds(genome, self.tells):
                return genome
        raise VariationFailed(f"the child is known already, {self.known.tries} times")
