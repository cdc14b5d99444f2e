"""Merging speed beside what bounds it (memcpy) and beside PEFT, on the same tensors, in one process.

    python experiments/benchmarks/merge/run.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from llmevo.core import Seed
from llmevo.weights.adapter import Adapter, LowRank, size
from llmevo.weights.flat import pack
from llmevo.weights.merge import METHODS

EXPERTS, RANK = 10, 8
MODELS = {
    "0.94 MB adapters (width 128, 4 layers x 7)": (4, 7, 128, 128),
    "gemma-2-2b shapes (width 2,304, 26 layers x 7)": (26, 7, 2304, 2304),
}
SEEDED = {"dare", "dare-ties", "della"}


def adapter(number: int, layers: int, per_layer: int, into: int, out: int) -> Adapter:
    made = {}
    for layer in range(layers):
        for i in range(per_layer):
            name = f"layers.{layer}.linear{i}"
            rng = Seed.of(number).fold(name).rng()
            down, up = rng.standard_normal((RANK, into), dtype="float32"), rng.standard_normal((out, RANK), dtype="float32")
            made[name] = LowRank(torch.from_numpy(down), torch.from_numpy(up))
    return pack(made)


def timed(work: Callable[[], Any], repeats: int) -> float:
    """Median seconds, after one call to warm up."""
    work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def peft_merge(adapters: list[Adapter], weights: list[float], kind: str) -> Callable[[], Any]:
    import peft

    names = list(adapters[0])
    parts = {name.replace(".", "_"): torch.nn.Linear(*reversed(adapters[0][name].shape), bias=False) for name in names}
    config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(parts))
    model = peft.get_peft_model(torch.nn.ModuleDict(parts), config, "e0")
    for i in range(1, len(adapters)):
        model.add_adapter(f"e{i}", config)
    for name in names:
        layer = model.base_model.model[name.replace(".", "_")]
        for i, one in enumerate(adapters):
            layer.lora_A[f"e{i}"].weight.data = one[name].down
            layer.lora_B[f"e{i}"].weight.data = one[name].up
    more = {"svd_rank": RANK} if kind == "svd" else {}

    def merge() -> None:
        model.add_weighted_adapter([f"e{i}" for i in range(len(adapters))], weights, "merged", combination_type=kind, **more)
        model.delete_adapter("merged")

    return merge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="the first model only")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {EXPERTS} experts of rank {RANK}")
    weights = [1 / EXPERTS] * EXPERTS
    for title, shape in list(MODELS.items())[: 1 if options.small else 2]:
        large = shape[2] > 1000
        repeats = 1 if large else options.repeats
        adapters = [adapter(i, *shape) for i in range(EXPERTS)]
        bytes_in = sum(map(size, adapters))
        source = torch.cat([one.vector for one in adapters])  # type: ignore[attr-defined]
        target = torch.empty_like(source)
        copy = timed(lambda: target.copy_(source), options.repeats)  # noqa: B023
        flat = timed(lambda: METHODS["task-arithmetic"](adapters, weights=weights, space="factors"), options.repeats)  # noqa: B023
        print(f"\n{title}: {bytes_in / 1e6:.1f} MB in")
        print(f"  memcpy            {copy * 1e3:9.2f} ms  {bytes_in / copy / 1e9:6.1f} GB/s")
        print(f"  linear, factors   {flat * 1e3:9.2f} ms  {bytes_in / flat / 1e9:6.1f} GB/s  {copy / flat:.2f} of memcpy")
        product = timed(lambda: METHODS["task-arithmetic"](adapters, weights=weights), repeats)  # noqa: B023
        print(f"  linear, product   {product * 1e3:9.2f} ms, compressed to rank {RANK}, no full matrix")
        for name in ("ties", "dare", "dare-ties", "della", "breadcrumbs", "model-stock"):
            if large and name != "ties":
                continue
            more: dict[str, Any] = {} if name == "model-stock" else {"weights": weights}
            more |= {"seed": Seed.of(1)} if name in SEEDED else {}
            took = timed(lambda: METHODS[name](adapters, **more), repeats)  # noqa: B023
            print(f"  {name + ', product':<17} {took * 1e3:9.2f} ms")
        if not large:
            for kind, ours in (("linear", flat), ("svd", product)):
                theirs = timed(peft_merge(adapters, weights, kind), max(3, repeats // 3))
                print(f"  PEFT {kind:<12} {theirs * 1e3:9.2f} ms: {theirs / ours:.1f} times ours")


if __name__ == "__main__":
    main()
