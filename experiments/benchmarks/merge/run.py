"""Merging speed beside what bounds it (memcpy) and beside PEFT and mergekit, on the same tensors, and whether the results agree.

    python experiments/benchmarks/merge/run.py [--mergekit PYTHON] [--small] [--cpu]
    python experiments/benchmarks/merge/run.py --check [--mergekit PYTHON]      agreement only; exit 1 when it is broken

With `--cpu` everything runs on one thread and processor time is shown, which another load on the machine disturbs less. mergekit
lives in an environment of its own (`pip install torch==2.13.0 mergekit`), whose interpreter is named.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from llmevo.core import Seed
from llmevo.weights.adapter import Adapter, LowRank, size
from llmevo.weights.flat import pack
from llmevo.weights.merge import METHODS

EXPERTS, RANK = 10, 8
DENSITY, GAMMA, T = 0.5, 0.01, 0.3
BARS = {"memcpy": 0.5, "PEFT": 10.0}
SEEDED = {"dare", "dare-ties", "della"}
TOLERANCE = 1e-5
"""Of the largest entry. Both sides are float32; an entry that stands at a threshold may fall on either side of it."""


@dataclass(frozen=True)
class Shape:
    layers: int
    per_layer: int
    width: int

    @property
    def title(self) -> str:
        megabytes = self.layers * self.per_layer * RANK * 2 * self.width * 4 / 1e6
        return f"width {self.width:,}, {self.layers} layers x {self.per_layer}, {EXPERTS} adapters of {megabytes:.2f} MB"


SMALL = Shape(4, 7, 128)
MIDDLE = Shape(4, 7, 512)
GEMMA = Shape(26, 7, 2304)
MODULE = Shape(1, 1, 2304)


def adapter(number: int, shape: Shape) -> Adapter:
    """Experts that have something in common, as trained ones have: half of each is shared."""
    made = {}
    for layer in range(shape.layers):
        for i in range(shape.per_layer):
            name = f"layers.{layer}.linear{i}"
            factors = []
            for role, form in (("down", (RANK, shape.width)), ("up", (shape.width, RANK))):
                own, common = (
                    Seed.of(seed).fold(name, role).rng().standard_normal(form, dtype="float32") for seed in (number, 999)
                )
                factors.append(torch.from_numpy((own + common) / shape.width**0.5))
            made[name] = LowRank(*factors)
    return pack(made)


clock = time.perf_counter


def timed(work: Callable[[], Any], repeats: int) -> float:
    """Median seconds, after one call to warm up."""
    if repeats > 1:
        work()
    times = []
    for _ in range(repeats):
        begin = clock()
        work()
        times.append(clock() - begin)
    return statistics.median(times)


class Peft:
    """The same adapters on a PEFT model."""

    def __init__(self, adapters: Sequence[Adapter]) -> None:
        import peft

        self.names = list(adapters[0])
        parts = {name.replace(".", "_"): torch.nn.Linear(*reversed(adapters[0][name].shape), bias=False) for name in self.names}
        config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(parts))
        self.experts = [f"e{i}" for i in range(len(adapters))]
        self.model = peft.get_peft_model(torch.nn.ModuleDict(parts), config, self.experts[0])
        for expert in self.experts[1:]:
            self.model.add_adapter(expert, config)
        for name in self.names:
            for expert, one in zip(self.experts, adapters, strict=True):
                self.layer(name).lora_A[expert].weight.data = one[name].down
                self.layer(name).lora_B[expert].weight.data = one[name].up

    def layer(self, name: str) -> Any:
        return self.model.base_model.model[name.replace(".", "_")]

    def merge(self, kind: str, weights: Sequence[float], **more: Any) -> None:
        self.model.add_weighted_adapter(self.experts, list(weights), "merged", combination_type=kind, **more)
        self.model.delete_adapter("merged")

    def merged(self, kind: str, weights: Sequence[float], **more: Any) -> dict[str, torch.Tensor]:
        self.model.add_weighted_adapter(self.experts, list(weights), "merged", combination_type=kind, **more)
        found = {name: self.layer(name).get_delta_weight("merged").detach() for name in self.names}
        self.model.delete_adapter("merged")
        return found


def mergekit(
    python: str, adapters: Sequence[Adapter], weights: Sequence[float]
) -> tuple[dict[str, float], dict[str, dict[str, torch.Tensor]]]:
    """Seconds and results of mergekit's rules on the full matrices: by method, and by method and module."""
    settings = {
        "weights": list(weights),
        "density": DENSITY,
        "gamma": GAMMA,
        "t": T,
        "repeats": 1,
        "cpu": clock is time.process_time,
    }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        save_file(
            {f"{i}/{name}": one.delta().contiguous() for i, each in enumerate(adapters) for name, one in each.items()}, source
        )
        command = [python, str(Path(__file__).with_name("theirs.py")), str(source), str(target), json.dumps(settings)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"mergekit: {done.stderr[-800:]}")
        merged: dict[str, dict[str, torch.Tensor]] = {}
        for name, tensor in load_file(target).items():
            method, _, module = name.partition("/")
            merged.setdefault(method, {})[module] = tensor
        return json.loads(done.stdout.splitlines()[-1]), merged


def far(ours: Adapter, theirs: Mapping[str, torch.Tensor]) -> float:
    """The largest difference of an entry, as a share of the largest entry; entries beside a threshold (one in a thousand) do not count."""
    worst = 0.0
    for name, wanted in theirs.items():
        apart = (ours[name].delta() - wanted).abs().flatten().sort().values
        worst = max(worst, float(apart[int(0.999 * (len(apart) - 1))] / wanted.abs().max()))
    return worst


def check(python: str | None) -> int:
    """Prints how far the results are apart; the number of those that do not agree."""
    adapters = [adapter(i, Shape(1, 2, 48)) for i in range(4)]
    whole = {"space": "delta", "rank": 48}
    ones, some = [1.0] * 4, [0.4, 0.9, 0.2, 0.6]
    root = [weight**0.5 for weight in some]
    peft = Peft(adapters)
    rows = [
        ("PEFT cat", METHODS["task-arithmetic"](adapters, weights=some, rank=32), peft.merged("cat", some)),
        ("PEFT svd, rank 8", METHODS["task-arithmetic"](adapters, weights=some), peft.merged("svd", some, svd_rank=8)),
        ("PEFT linear (takes roots of weights)", METHODS["task-arithmetic"](adapters, weights=root, space="factors"),
         peft.merged("linear", some)),
        ("PEFT ties, factors, equal weights", METHODS["ties"](adapters, weights=ones, density=DENSITY, space="factors"),
         peft.merged("ties", ones, density=DENSITY)),
        ("PEFT ties_svd, equal weights", METHODS["ties"](adapters, weights=ones, density=DENSITY, **whole),
         peft.merged("ties_svd", ones, density=DENSITY, svd_rank=48)),
        ("PEFT magnitude_prune_svd", METHODS["breadcrumbs"](adapters, weights=some, density=DENSITY, gamma=0.0, **whole),
         peft.merged("magnitude_prune_svd", some, density=DENSITY, svd_rank=48)),
        ("PEFT dare_linear_svd, nothing dropped", METHODS["dare"](adapters, weights=some, density=1.0, seed=Seed.of(1), **whole),
         peft.merged("dare_linear_svd", some, density=1.0, svd_rank=48)),
    ]  # fmt: skip
    if python is not None:
        theirs = mergekit(python, adapters, some)[1]
        rows += [
            ("mergekit task_arithmetic", METHODS["task-arithmetic"](adapters, weights=some, rank=32), theirs["task-arithmetic"]),
            ("mergekit ties", METHODS["ties"](adapters, weights=some, density=DENSITY, **whole), theirs["ties"]),
            ("mergekit breadcrumbs", METHODS["breadcrumbs"](adapters, weights=some, density=DENSITY, gamma=GAMMA, **whole),
             theirs["breadcrumbs"]),
            ("mergekit slerp", METHODS["slerp"](adapters[:2], t=T, rank=16), theirs["slerp"]),
            ("mergekit model_stock", METHODS["model-stock"](adapters, rank=32), theirs["model-stock"]),
        ]  # fmt: skip
    broken = 0
    for name, ours, wanted in rows:
        apart = far(ours, wanted)
        broken += apart > TOLERANCE
        print(f"  {name:<40} {apart:.1e} of the largest entry{'' if apart <= TOLERANCE else '  DIFFERS'}")
    return broken


def line(name: str, seconds: float, note: str = "") -> None:
    print(f"  {name:<34} {seconds * 1e3:10.2f} ms  {note}", flush=True)


def verdict(kind: str, ratio: float) -> str:
    return f"bar {BARS[kind]:g}: {'met' if ratio >= BARS[kind] else 'MISSED'}"


def measure(shape: Shape, repeats: int, python: str | None, *, peers: bool, dense: bool) -> None:
    adapters = [adapter(i, shape) for i in range(EXPERTS)]
    weights = [1 / EXPERTS] * EXPERTS
    bytes_in = sum(map(size, adapters))
    source = torch.cat([one.vector for one in adapters])  # type: ignore[attr-defined]
    target = torch.empty_like(source)
    copy = timed(lambda: target.copy_(source), 15)
    flat = timed(lambda: METHODS["task-arithmetic"](adapters, weights=weights, space="factors"), 15)
    print(f"\n{shape.title}")
    line("memcpy", copy, f"{bytes_in / copy / 1e9:.1f} GB/s")
    line(
        "linear, factors",
        flat,
        f"{bytes_in / flat / 1e9:.1f} GB/s, {copy / flat:.2f} of memcpy; {verdict('memcpy', copy / flat)}",
    )
    product = timed(lambda: METHODS["task-arithmetic"](adapters, weights=weights), repeats)
    line(f"linear, product, to rank {RANK}", product)
    for name in ("ties", "dare", "dare-ties", "della", "breadcrumbs", "model-stock"):
        more: dict[str, Any] = {} if name == "model-stock" else {"weights": weights}
        more |= {"seed": Seed.of(1)} if name in SEEDED else {}
        line(f"{name}, product", timed(lambda name=name, more=more: METHODS[name](adapters, **more), repeats))  # type: ignore[misc]
        if dense and name in ("ties", "dare"):
            took = timed(lambda name=name, more=more: METHODS[name](adapters, **more, space="delta"), 1)  # type: ignore[misc]
            line(f"{name}, every entry (delta)", took)
    if peers:
        peft = Peft(adapters)
        theirs = timed(lambda: peft.merge("linear", weights), 3)
        line("PEFT linear", theirs, f"{theirs / flat:.0f} times ours; {verdict('PEFT', theirs / flat)}")
        theirs = timed(lambda: peft.merge("svd", weights, svd_rank=RANK), 1)
        line("PEFT svd", theirs, f"{theirs / product:.0f} times ours (linear, product)")
        if python is not None:
            for name, took in mergekit(python, adapters, weights)[0].items():
                line(f"mergekit {name}, full matrices", took, "no compression: it gives full matrices")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="the first two shapes only")
    parser.add_argument("--check", action="store_true", help="agreement only")
    parser.add_argument("--mergekit", metavar="PYTHON", help="the interpreter of an environment with mergekit")
    parser.add_argument("--cpu", action="store_true", help="processor time on one thread")
    options = parser.parse_args()
    if options.cpu:
        global clock
        torch.set_num_threads(1)
        clock = time.process_time
    print("agreement on the same tensors, full rank unless it says otherwise:")
    broken = check(options.mergekit)
    if options.check:
        sys.exit(1 if broken else 0)
    print(
        f"\ntorch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, experts of rank {RANK}"
    )
    measure(SMALL, 5, options.mergekit, peers=True, dense=True)
    measure(MIDDLE, 3, options.mergekit, peers=True, dense=False)
    if not options.small:
        measure(MODULE, 3, options.mergekit, peers=True, dense=True)
        measure(GEMMA, 1, None, peers=False, dense=False)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
