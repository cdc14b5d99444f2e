"""Many adapters on one resident model: merged one after the other into a scratch copy, or stacked in one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from llmevo.core.errors import ConfigError
from llmevo.weights.hf import Base
from llmevo.weights.layers import Layers, Overflow, shapes_of
from llmevo.weights.plans import ENGINES, Engine, Plan, Plans, choose
from llmevo.weights.programs import Program, Result

if TYPE_CHECKING:
    from llmevo.weights.adapter import Adapter


class Stopped(Exception):
    """Nobody waits for the results any more."""


@dataclass(frozen=True)
class Broken:
    """Why one individual has no results; the others have theirs."""

    reason: str


Row = list[Result] | Broken
"""One individual's results, in the order of the samples asked for."""


class Population:
    """Asks one model, which is never loaded again, on behalf of many adapters. Not for several threads at once.

    The engine and the size of a pass are chosen at the first call for a program and then kept, so that a result does not depend on
    who else is in the batch. When memory runs out the pass is halved, which `plans` remembers for the model; an individual whose
    single sample does not fit is `Broken("oom")`.
    """

    def __init__(
        self, base: Base, *, plans: Plans | None = None, engine: Engine | None = None, tokens: int | None = None
    ) -> None:
        if engine is not None and engine not in ENGINES:
            raise ConfigError(f"engine: {engine!r} is not known; write one of {', '.join(ENGINES)}, or leave it out")
        self.base = base
        self.plans = Plans() if plans is None else plans
        self.layers = Layers(base.model)
        self.passes = 0
        """Calls of the model so far, with one or many individuals in each."""
        self._engine, self._tokens = engine, tokens

    def run(
        self,
        adapters: Sequence[Adapter],
        program: Program,
        samples: Sequence[int] | None = None,
        stop: threading.Event | None = None,
    ) -> list[Row]:
        """One row per adapter, in order. An empty adapter is the base. Raises `ConfigError` for one that does not fit the model, and
        `Stopped` soon after `stop` is set."""
        wanted = list(range(len(program.samples))) if samples is None else list(samples)
        if not adapters or not wanted:
            return [[] for _ in adapters]
        for adapter in adapters:
            self.layers.check(adapter)
        plan = self.plan(adapters, program)
        found: list[Row] = []
        lengths = {i: program.lengths[i] for i in wanted}
        longest = max(lengths.values())
        with torch.inference_mode():
            try:
                while len(found) < len(adapters):
                    lot = adapters[len(found) : len(found) + plan.size(longest)]
                    try:
                        found.extend(self._lot(lot, plan, program, lengths, wanted, stop))
                    except Exception as error:
                        if not out_of_memory(error):
                            raise
                        del error
                        smaller = plan.halved(longest)
                        if smaller is None:
                            found.append(Broken("oom: one sample of one individual does not fit into memory"))
                        else:
                            plan = self.plans.lower(self.base.key, program.key, smaller)
                        _release(self.base.device)
            finally:
                self.layers.clear()
        return found

    def plan(self, adapters: Sequence[Adapter], program: Program) -> Plan:
        """The recorded plan for a program; made and recorded at the first call."""
        known = self.plans.get(self.base.key, program.key)
        if known is not None:
            return known
        shapes = shapes_of(adapters)
        modules = self.base.model.named_modules()
        layers = [(one.out_features, one.in_features) for _, one in modules if isinstance(one, nn.Linear)]
        plan = choose(layers, shapes, len(adapters), program.lengths, program.steps, self.base.device)
        if self._engine is not None and self._engine != plan.engine:
            plan = Plan(self._engine, 1 if self._engine == "merge" else len(adapters), plan.tokens)
        if self._tokens is not None:
            plan = Plan(plan.engine, plan.group, self._tokens)
        return self.plans.put(self.base.key, program.key, plan)

    def _lot(
        self,
        lot: Sequence[Adapter],
        plan: Plan,
        program: Program,
        lengths: dict[int, int],
        wanted: Sequence[int],
        stop: threading.Event | None,
    ) -> list[Row]:
        """The rows of the individuals of one pass."""
        try:
            copies = self._load(lot, plan, max(lengths.values()))
        except Overflow as error:
            if len(lot) == 1:
                return [Broken(str(error))]
            return [row for one in lot for row in self._lot([one], plan, program, lengths, wanted, stop)]
        model, table = self.base.model, [dict[int, Result]() for _ in lot]
        shared = program.begin(model, copies)
        self.passes += shared is not None
        for chunk in plan.chunks(lengths):
            if stop is not None and stop.is_set():
                raise Stopped("the evaluation was cancelled")
            self.passes += 1
            for found, results in zip(table, program(model, shared, chunk, copies), strict=False):
                found.update(zip(chunk, results, strict=True))
        return [[found[i] for i in wanted] for found in table]

    def _load(self, lot: Sequence[Adapter], plan: Plan, longest: int) -> int:
        """Puts the lot into the layers; how many individuals a pass carries."""
        if plan.engine == "merge":
            self.layers.merge(lot[0])
            return 1
        size = plan.size(longest)
        self.layers.stack(lot, size)
        return size


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's (or the machine's) memory is full."""
    words = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in words for sign in ("out of memory", "can't allocate memory"))
    )


_RELEASE: dict[str, Callable[[], Any]] = {"cuda": torch.cuda.empty_cache, "mps": torch.mps.empty_cache}


def _release(device: str) -> None:
    """Gives unused blocks back to the device."""
    _RELEASE.get(device.partition(":")[0], lambda: None)()
