"""From genomes to results: built, asked of a back end, and never asked twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from llmevo.core.errors import LlmevoError
from llmevo.core.genome import Genome
from llmevo.weights.population import Broken, Population, Row
from llmevo.weights.programs import Program
from llmevo.weights.results import Results

if TYPE_CHECKING:
    from llmevo.weights.adapter import Adapter

G_contra = TypeVar("G_contra", bound=Genome, contravariant=True)


class Builds(Protocol[G_contra]):
    """Makes the weights of a genome."""

    def build(self, genome: G_contra) -> Adapter: ...


class Backend(Protocol):
    """A model that answers for many adapters: in this process, in several, or behind a server.

    One row per adapter in order, each with one result per sample in order. Raises `Pause` when the model cannot be asked now.
    """

    @property
    def key(self) -> str:
        """Everything about the model that decides its results."""
        ...

    async def run(
        self, keys: Sequence[str], adapters: Sequence[Adapter], program: Program, samples: Sequence[int]
    ) -> list[Row]: ...


class Resident:
    """The model of this process: a `Population` in a thread, one call at a time."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self._lock = threading.Lock()

    @property
    def key(self) -> str:
        """The base model."""
        return self.population.base.key

    async def run(self, keys: Sequence[str], adapters: Sequence[Adapter], program: Program, samples: Sequence[int]) -> list[Row]:
        stop = threading.Event()

        def work() -> list[Row]:
            with self._lock:
                return self.population.run(adapters, program, samples, stop)

        try:
            return await asyncio.to_thread(work)
        except asyncio.CancelledError:
            stop.set()
            raise


class Answering:
    """Results of genomes from a back end. What is known of a genome, a sample and a model is not computed again."""

    def __init__(self, backend: Backend, builder: Builds[Any], results: Results | None = None) -> None:
        self.backend, self.builder = backend, builder
        self.results = Results() if results is None else results

    async def rows(self, genomes: Sequence[Genome], program: Program) -> list[Row]:
        """One row per genome over all samples of the program. A genome that cannot be built is `Broken`, with the reason; errors
        that concern the run (`LlmevoError`) are raised."""
        settings = f"{self.backend.key}|{program.key}"
        broken: dict[str, Broken] = {}
        groups: dict[tuple[int, ...], list[Genome]] = {}
        for genome in {genome.key: genome for genome in genomes}.values():
            known = self.results.of(genome.key, settings)
            missing = tuple(i for i, sample in enumerate(program.samples) if sample not in known)
            if missing:
                groups.setdefault(missing, []).append(genome)
        for missing, some in groups.items():
            built = await asyncio.to_thread(self._built, some)
            ready = [(genome.key, one) for genome, one in zip(some, built, strict=True) if not isinstance(one, Broken)]
            broken |= {genome.key: one for genome, one in zip(some, built, strict=True) if isinstance(one, Broken)}
            rows = await self.backend.run([key for key, _ in ready], [one for _, one in ready], program, missing) if ready else []
            for (key, _), row in zip(ready, rows, strict=True):
                if isinstance(row, Broken):
                    broken[key] = row
                else:
                    self.results.add(key, settings, dict(zip((program.samples[i] for i in missing), row, strict=True)))
        return [broken.get(genome.key) or self._row(genome.key, settings, program) for genome in genomes]

    def _row(self, key: str, settings: str, program: Program) -> Row:
        known = self.results.of(key, settings)
        return [known[sample] for sample in program.samples]

    def _built(self, genomes: Sequence[Genome]) -> list[Adapter | Broken]:
        found: list[Adapter | Broken] = []
        for genome in genomes:
            try:
                found.append(self.builder.build(genome))
            except LlmevoError:
                raise
            except Exception as error:
                found.append(Broken(f"the weights cannot be built: {type(error).__name__}: {error}"))
        return found
