"""How a population is put through a model: which engine, how many at once. Decided from shapes alone, remembered, reused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from llmevo.core.errors import ConfigError

Engine = Literal["merge", "stack"]
ENGINES: tuple[Engine, ...] = ("merge", "stack")


@dataclass(frozen=True)
class Plan:
    """One way through the model. `tokens` bounds what one pass carries, over all individuals in it."""

    engine: Engine
    group: int
    """Individuals in one pass; 1 when weights are merged."""
    tokens: int

    def size(self, longest: int) -> int:
        """Individuals in one pass over samples of so many tokens."""
        return max(1, min(self.group, self.tokens // max(1, longest)))

    def chunks(self, lengths: Mapping[int, int]) -> list[list[int]]:
        """Samples that go through the model together: alike in length, as many as fit. Lengths by sample number."""
        order = sorted(lengths, key=lambda i: (lengths[i], i))
        size = self.size(max(lengths.values(), default=1))
        chunks: list[list[int]] = []
        for i in order:
            if not chunks or (len(chunks[-1]) + 1) * lengths[i] * size > self.tokens:
                chunks.append([])
            chunks[-1].append(i)
        return chunks

    def halved(self, longest: int) -> Plan | None:
        """The plan with half the tokens, for the memory of a smaller device; None when one sample of one individual is too much."""
        if self.tokens <= longest and self.size(longest) == 1:
            return None
        return replace(self, tokens=max(1, min(self.tokens, 1 << 20) // 2))


@dataclass(frozen=True)
class Machine:
    """A device in round numbers: operations a second, numbers moved a second, and seconds per layer for whatever else it takes."""

    flops: float
    moves: float
    call: float
    tokens: int
    """What one pass carries best: few enough to stay in cache, enough to fill the device."""

    def layer(self, m: int, k: int, n: int) -> float:
        """Seconds for one linear layer, with its share of what stands around it."""
        return self.call + self.product(m, k, n)

    def product(self, m: int, k: int, n: int, times: int = 1) -> float:
        """Seconds for `times` (m, k) x (k, n) matrix products in one call."""
        return self.call / 8 + times * max(2 * m * k * n / self.flops, (m * k + k * n + m * n) / self.moves)


MACHINES: Mapping[str, Machine] = {
    "cpu": Machine(6e10, 3e9, 1e-4, 4096),
    "cuda": Machine(2e14, 8e11, 5e-5, 32768),
    "mps": Machine(5e12, 5e10, 1e-4, 8192),
}


def choose(
    layers: Sequence[tuple[int, int]],
    adapted: Mapping[str, tuple[int, int, int]],
    individuals: int,
    lengths: Iterable[int],
    steps: int,
    device: str = "cpu",
) -> Plan:
    """The cheaper engine by a count of operations and of numbers moved.

    `layers` are (out, in) of all linear layers, `adapted` (out, in, rank) of those with an adapter; `steps` passes over one token
    follow the first. The same shapes give the same plan everywhere.
    """
    machine = MACHINES.get(device.partition(":")[0], MACHINES["cpu"])
    by_number = dict(enumerate(lengths))
    costs: dict[Plan, float] = {}
    for engine, group in (("merge", 1), ("stack", individuals)):
        plan = Plan(engine, group, machine.tokens)  # type: ignore[arg-type]
        size = plan.size(max(by_number.values(), default=1))
        plan = replace(plan, group=size)
        once = 0.0
        for chunk in plan.chunks(by_number):
            width = max(by_number[i] for i in chunk)
            for rows, times in ((len(chunk) * max(1, width - steps), 1), (len(chunk), steps)):
                if not times:
                    continue
                once += times * sum(machine.layer(size * rows, k, n) for n, k in layers)
                if engine == "stack":
                    pairs = (
                        machine.product(rows, k, r, size) + machine.product(rows, r, n, size) for n, k, r in adapted.values()
                    )
                    once += times * sum(pairs)
        if engine == "merge":
            once += sum(machine.product(n, r, k) + n * k / machine.moves for n, k, r in adapted.values())
        costs[plan] = once * -(-individuals // size)
    return min(costs, key=lambda plan: costs[plan])


class Plans:
    """The plans of earlier calls, by model and program; with a path they outlive the process. A ceiling that a model's memory
    once set holds for all its plans."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._plans: dict[str, Plan] = {}
        self._ceilings: dict[str, int] = {}
        if path is not None and path.exists():
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                self._plans = {key: Plan(**plan) for key, plan in record["plans"].items()}
                self._ceilings = {key: int(most) for key, most in record["ceilings"].items()}
                if not all(plan.engine in ENGINES for plan in self._plans.values()):
                    raise ValueError("unknown engine")
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{path}: is no record of plans ({error}); delete it, the plans are then made anew") from error

    def get(self, model: str, program: str) -> Plan | None:
        """The recorded plan, under the model's ceiling."""
        plan = self._plans.get(f"{model}|{program}")
        return plan and self._under(model, plan)

    def put(self, model: str, program: str, plan: Plan) -> Plan:
        """Records a plan; returns it under the model's ceiling."""
        plan = self._under(model, plan)
        self._plans[f"{model}|{program}"] = plan
        self._write()
        return plan

    def lower(self, model: str, program: str, plan: Plan) -> Plan:
        """Records that the model's memory holds no more than this plan asks for."""
        self._ceilings[model] = min(plan.tokens, self._ceilings.get(model, plan.tokens))
        return self.put(model, program, plan)

    def _under(self, model: str, plan: Plan) -> Plan:
        return replace(plan, tokens=min(plan.tokens, self._ceilings.get(model, plan.tokens)))

    def _write(self) -> None:
        if self._path is None:
            return
        record = {"plans": {key: asdict(plan) for key, plan in self._plans.items()}, "ceilings": self._ceilings}
        draft = self._path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as out:
            json.dump(record, out, indent=1, sort_keys=True)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(self._path)
