"""Several processes or GPUs that each hold the model: the same results as one, in the same order."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from llmevo.core.errors import ConfigError, Pause
from llmevo.core.gather import gather
from llmevo.weights.adapter import LowRank
from llmevo.weights.hf import BaseSpec
from llmevo.weights.plans import Engine, Plan, Plans
from llmevo.weights.population import Population, Row
from llmevo.weights.programs import Program

if TYPE_CHECKING:
    from llmevo.weights.adapter import Adapter

Packed = Mapping[str, tuple[Any, Any]]
"""An adapter as arrays, so that any executor can send it."""


class Spread:
    """A back end over executors, each of which holds one model on one device; `executors` are any `concurrent.futures` ones that
    run a job at a time (by default a process each, closed by `close`).

    What is computed together depends on the plan alone, never on the number of workers; so one and several give the same bits where
    the devices are alike. A worker that dies pauses the run.
    """

    def __init__(
        self,
        specs: Sequence[BaseSpec],
        *,
        executors: Sequence[Executor] | None = None,
        plans: Plans | None = None,
        engine: Engine | None = None,
        threads: int | None = None,
    ) -> None:
        if not specs:
            raise ConfigError("workers: at least one is needed")
        if executors is not None and len(executors) != len(specs):
            raise ConfigError(f"workers: {len(executors)} executors for {len(specs)} devices; give one for each")
        self.specs, self.engine = tuple(specs), engine
        self.plans = Plans() if plans is None else plans
        self.threads = threads or max(1, (os.cpu_count() or 1) // len(specs))
        own = multiprocessing.get_context("spawn")
        self._owned = executors is None
        self._executors = executors or [ProcessPoolExecutor(1, mp_context=own) for _ in specs]
        self._key = ""

    @classmethod
    def over(cls, spec: BaseSpec, devices: Sequence[str], **more: Any) -> Spread:
        """A process per device: `["cuda:0", "cuda:1"]`, or `["cpu"] * 2`."""
        return cls([replace(spec, device=device) for device in devices], **more)

    @property
    def key(self) -> str:
        """The base model, as the first worker has loaded it."""
        if not self._key:
            try:
                self._key = self._executors[0].submit(held_key, self.specs[0], 0, self.threads).result()
            except BrokenExecutor as error:
                raise _died(self.specs[0]) from error
        return self._key

    async def run(self, keys: Sequence[str], adapters: Sequence[Adapter], program: Program, samples: Sequence[int]) -> list[Row]:
        if not adapters or not samples:
            return [[] for _ in adapters]
        base = await asyncio.to_thread(lambda: self.key)
        packed = [pack(one) for one in adapters]
        plan = self.plans.get(base, program.key)
        if plan is None:
            made = await self._submit(0, plan_for, packed, program, self.engine)
            plan = self.plans.put(base, program.key, made)
        size = plan.size(max(program.lengths[i] for i in samples))
        lots = [range(start, min(start + size, len(packed))) for start in range(0, len(packed), size)]
        rows: list[Row] = [[] for _ in packed]
        waiting = iter(lots)

        async def work(worker: int) -> None:
            for lot in waiting:
                found, after = await self._submit(worker, run_lot, [packed[i] for i in lot], program, list(samples), plan)
                if after.tokens < plan.tokens:
                    self.plans.lower(base, program.key, after)
                for i, row in zip(lot, found, strict=True):
                    rows[i] = row

        await gather(work(worker) for worker in range(len(self.specs)))
        return rows

    def close(self) -> None:
        """Ends the processes that this back end started."""
        if self._owned:
            for executor in self._executors:
                executor.shutdown(wait=False, cancel_futures=True)

    async def _submit(self, worker: int, function: Any, *arguments: Any) -> Any:
        spec = self.specs[worker]
        try:
            return await asyncio.wrap_future(self._executors[worker].submit(function, spec, worker, self.threads, *arguments))
        except BrokenExecutor as error:
            raise _died(spec) from error


def pack(adapter: Adapter) -> Packed:
    """The factors as arrays."""
    return {path: (part.down.numpy(), part.up.numpy()) for path, part in adapter.items()}


def unpack(packed: Packed) -> Adapter:
    """The adapter of `pack`."""
    return {path: LowRank(torch.from_numpy(down), torch.from_numpy(up)) for path, (down, up) in packed.items()}


def held_key(spec: BaseSpec, worker: int, threads: int) -> str:
    """In a worker: the key of its model."""
    return _held(spec, worker, threads).base.key


def plan_for(
    spec: BaseSpec, worker: int, threads: int, packed: Sequence[Packed], program: Program, engine: Engine | None
) -> Plan:
    """In a worker: how these would go through its model."""
    held = _held(spec, worker, threads)
    return Population(held.base, engine=engine).plan([unpack(one) for one in packed], program)


def run_lot(
    spec: BaseSpec, worker: int, threads: int, packed: Sequence[Packed], program: Program, samples: Sequence[int], plan: Plan
) -> tuple[list[Row], Plan]:
    """In a worker: the rows of one lot, and the plan as its memory allowed it."""
    held = _held(spec, worker, threads)
    held.plans.put(held.base.key, program.key, plan)
    rows = held.run([unpack(one) for one in packed], program, samples)
    return rows, held.plans.get(held.base.key, program.key) or plan


_HELD: dict[tuple[BaseSpec, int], Population] = {}
"""The models of this worker: one, unless several workers are threads of one process."""
_LOADING = threading.Lock()


def _held(spec: BaseSpec, worker: int, threads: int) -> Population:
    """The model of this worker, loaded at its first job."""
    with _LOADING:
        if (spec, worker) not in _HELD:
            if multiprocessing.parent_process() is not None:
                torch.set_num_threads(threads)
            _HELD[spec, worker] = Population(spec.load())
        return _HELD[spec, worker]


def _died(spec: BaseSpec) -> Pause:
    return Pause(f"a worker with {spec.name} on {spec.device} died (out of memory?); continue with fewer workers")
