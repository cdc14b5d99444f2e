"""A smooth fitness for class descriptions: how probable they make the right class, not only which class is nearest."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError
from llmevo.core.fitness import Fitness
from llmevo.core.genome import content_key
from llmevo.core.mating import CaseSlice
from llmevo.core.resolve import nearest
from llmevo.fitness.contract import Case, Failure
from llmevo.text.encoded import Encoded
from llmevo.text.genome import TextGenome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Likelihood:
    """The mean log-probability of the right class under a softmax over the similarities to the descriptions.

    Two hundred right-or-wrong cases tell few genomes apart, and luck chooses among the equals; every case has something to say
    about a likelihood. `temperature` is in units of cosine similarity: a low one looks at cases near the border only. The targets
    are names of parts. Plain accuracy stands in `Fitness.objectives`; `failures` is how many wrong cases, drawn per genome, are
    kept for reflective variations, their texts cut to `excerpt` characters.
    """

    whole_cohort = True

    def __init__(
        self, encoded: Encoded, cases: Sequence[Case], *, temperature: float = 0.1, failures: int = 5, excerpt: int = 500
    ) -> None:
        if not cases:
            raise ConfigError("a likelihood needs at least one case; 0 given")
        if not temperature > 0:
            raise ConfigError(f"the temperature of a likelihood is positive, not {temperature!r}")
        self.encoded, self.cases, self.temperature = encoded, tuple(cases), temperature
        self.failures, self.excerpt = failures, excerpt
        self._by_id = {case.id: case for case in self.cases}

    @property
    def key(self) -> str:
        """What decides its scores: the encoder, the temperature, and the content of the cases."""
        content = [[case.id, case.input, case.target] for case in self.cases]
        return f"likelihood({self.encoded.key},temperature={self.temperature:g},{content_key(content)})"

    async def __call__(self, genomes: Sequence[TextGenome], contexts: Sequence[Context]) -> list[Fitness]:
        groups: dict[CaseSlice | None, list[int]] = {}
        for i, context in enumerate(contexts):
            groups.setdefault(context.cases, []).append(i)
        result = [Fitness.failed("not evaluated")] * len(genomes)
        for some, members in groups.items():
            cases = self._chosen(some)
            found = await asyncio.to_thread(
                self.encoded.similarities, [genomes[i] for i in members], [one.input for one in cases]
            )
            for i, similarities in zip(members, found, strict=True):
                result[i] = self._fitness(genomes[i], cases, similarities)
        return result

    def _chosen(self, cases: CaseSlice | None) -> Sequence[Case]:
        if cases is None:
            return self.cases
        try:
            return [self._by_id[id] for id in cases.ids]
        except KeyError as error:
            raise ConfigError(f"there is no case {error.args[0]!r}{nearest(error.args[0], list(self._by_id)[:8])}") from None

    def _fitness(self, genome: TextGenome, cases: Sequence[Case], similarities: NDArray[np.float32]) -> Fitness:
        """From (cases, classes) similarities."""
        import numpy as np

        names = list(genome.parts)
        try:
            right = np.array([names.index(case.targets[0]) for case in cases])
        except ValueError:
            wrong = next(case for case in cases if case.targets[0] not in names)
            return Fitness.failed(f"case {wrong.id}: no part {wrong.targets[0]!r}; this genome has {', '.join(names)}")
        scaled = similarities.astype(np.float64) / self.temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        log = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        scores = log[np.arange(len(cases)), right]
        answers = similarities.argmax(axis=1)
        wrong_ones = sorted(
            (i for i in range(len(cases)) if answers[i] != right[i]),
            key=lambda i: zlib.crc32(f"{genome.key}{cases[i].id}".encode()),
        )
        notes = [
            Failure(cases[i].id, cases[i].input[: self.excerpt], names[answers[i]], cases[i].targets[0]).dump()
            for i in wrong_ones[: self.failures]
        ]
        return Fitness(
            math.fsum(scores) / len(cases),
            cases=dict(zip((case.id for case in cases), scores.tolist(), strict=True)),
            objectives={"accuracy": float((answers == right).mean())},
            feedback=tuple(notes),
        )
