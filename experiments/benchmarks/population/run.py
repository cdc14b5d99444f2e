"""R: time for N adapters on M samples over N times (the base model on M samples), the same tokens, in one run.

python experiments/benchmarks/population/run.py [--rounds 5] [--smoke] [--only small-prefill]
python experiments/benchmarks/population/run.py --gpu [--rounds 5]

Every round times the base and all the ways beside each other; a ratio is taken within a round, and the median over the rounds is
printed. Outputs are compared with those of one adapter and one sample at a time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from llmevo.weights.adapter import LowRank
from llmevo.weights.hf import base_of
from llmevo.weights.population import Population
from llmevo.weights.programs import Forced, Greedy

BARS = {"merge": 1.10, "stack": 1.20, "decoding": 1.25}
GPU_BARS = {"merge": 1.03, "stack": 1.10, "decoding": 1.25}


@dataclass(frozen=True)
class Shape:
    name: str
    hidden: int
    inner: int
    layers: int
    heads: int
    adapters: int
    samples: int
    prompt: int
    answer: int
    decoding: bool
    vocabulary: int = 2048


SMALL = Shape("small-prefill", 256, 688, 4, 8, 10, 40, 48, 4, False)
MEDIUM = Shape("medium-prefill", 512, 1376, 6, 8, 10, 40, 48, 4, False)
SHAPES = [
    SMALL,
    replace(SMALL, name="small-decoding", samples=20, prompt=32, answer=24, decoding=True),
    MEDIUM,
    replace(MEDIUM, name="medium-decoding", samples=10, prompt=32, answer=16, decoding=True),
]
BILLION = Shape("1b-prefill", 2048, 5632, 22, 32, 10, 128, 240, 16, False, 32000)
GPU_SHAPES = [
    replace(BILLION, name=f"1b-{kind}-n{n}", adapters=n, decoding=kind == "decoding", answer=64 if kind == "decoding" else 16)
    for n in (10, 40)
    for kind in ("prefill", "decoding")
]


def make(shape: Shape, device: str, dtype: torch.dtype) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=shape.hidden, intermediate_size=shape.inner, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads, vocab_size=shape.vocabulary, tie_word_embeddings=True, max_position_embeddings=1024,
    )  # fmt: skip
    with torch.device(device):
        model = LlamaForCausalLM(config).to(dtype).eval()
    return model.requires_grad_(False)


def questions(shape: Shape) -> Forced | Greedy:
    """Prompts that share no beginning; decoding never ends early, so that everybody makes the same number of tokens."""
    draw = torch.Generator().manual_seed(1)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(2, shape.vocabulary, (count,), generator=draw).tolist())

    prompts = tuple(ids(shape.prompt) for _ in range(shape.samples))
    if shape.decoding:
        return Greedy(prompts, shape.answer, (-2,))
    return Forced(prompts, tuple(ids(shape.answer) for _ in prompts))


def draw_adapters(model: Any, count: int, rank: int = 8) -> list[dict[str, LowRank]]:
    """Random factors for every linear layer, at a strength that changes answers."""
    draw = torch.Generator().manual_seed(2)
    found = []
    for _ in range(count):
        one = {}
        for path, layer in model.named_modules():
            if isinstance(layer, nn.Linear) and "lm_head" not in path:
                down = torch.randn(rank, layer.in_features, generator=draw) / layer.in_features**0.5
                up = torch.randn(layer.out_features, rank, generator=draw) * 0.02
                one[path] = LowRank(down, up)
        found.append(one)
    return found


class Named:
    """A PEFT model whose rows belong to adapters by name."""

    def __init__(self, model: Any, names: list[str]) -> None:
        self.model, self.names, self.device, self.dtype = model, names, model.device, model.dtype

    def __call__(self, input_ids: torch.Tensor, **more: Any) -> Any:
        rows = len(input_ids) // len(self.names)
        return self.model(input_ids=input_ids, adapter_names=[name for name in self.names for _ in range(rows)], **more)


def peft_model(model: Any, adapters: list[dict[str, LowRank]]) -> tuple[Any, list[str]]:
    from peft import LoraConfig, get_peft_model

    names = [f"a{i}" for i in range(len(adapters))]
    config = LoraConfig(r=8, lora_alpha=8, target_modules="all-linear", lora_dropout=0.0)
    wrapped = get_peft_model(model, config, adapter_name=names[0])
    for name in names[1:]:
        wrapped.add_adapter(name, config)
    for path, layer in wrapped.base_model.model.named_modules():
        if hasattr(layer, "lora_A") and path in adapters[0]:
            for name, adapter in zip(names, adapters, strict=True):
                layer.lora_A[name].weight.data.copy_(adapter[path].down)
                layer.lora_B[name].weight.data.copy_(adapter[path].up)
    return wrapped.eval(), names


def measure(shape: Shape, rounds: int, device: str, dtype: torch.dtype, peft: bool) -> dict[str, Any]:
    program, n = questions(shape), shape.adapters
    length = program.lengths[0]
    plain = make(shape, device, dtype)
    adapters = draw_adapters(plain, n)
    resident = base_of(make(shape, device, dtype), None, name=shape.name, device=device)
    ways = {engine: Population(resident, engine=engine) for engine in ("merge", "stack")}
    chosen = Population(resident).plan(adapters, program)
    budget = chosen.tokens
    rows = max(1, budget // length)
    everything = list(range(shape.samples))

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def chunked(model: Any, copies: int, size: int) -> list[list[Any]]:
        found: list[list[Any]] = [[] for _ in range(copies)]
        for start in range(0, shape.samples, size):
            some = everything[start : start + size]
            for row, more in zip(found, program(model, None, some, copies), strict=True):
                row.extend(more)
        return found

    def base(size: int) -> Callable[[], Any]:
        return lambda: [chunked(plain, 1, size)[0] for _ in range(n)]

    sizes = sorted({min(rows, shape.samples), shape.samples, max(1, shape.samples // 2)})
    works: dict[str, Callable[[], Any]] = {f"base, {size} rows": base(size) for size in sizes}
    bases = list(works)
    for engine, population in ways.items():
        works[engine] = lambda population=population: population.run(adapters, program)
    if peft:
        wrapped, names = peft_model(make(shape, device, dtype), adapters)

        def one_by_one() -> list[list[Any]]:
            found = []
            for name in names:
                wrapped.set_adapter(name)
                found.append(chunked(wrapped, 1, min(rows, shape.samples))[0])
            return found

        works["PEFT one by one"] = one_by_one
        works["PEFT adapter_names"] = lambda: chunked(Named(wrapped, names), n, max(1, rows // n))
    seconds: dict[str, list[float]] = {name: [] for name in works}
    outputs: dict[str, Any] = {}
    memory: dict[str, float] = {}
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for name, work in works.items():
                if device == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                wait()
                began = time.perf_counter()
                outputs[name] = work()
                wait()
                if turn:
                    seconds[name].append(time.perf_counter() - began)
                if device == "cuda":
                    memory[name] = torch.cuda.max_memory_allocated() / 2**30
    exact = Population(resident, engine="merge")
    alone = [[exact.run([adapter], program, [i])[0][0] for i in everything[:8]] for adapter in adapters]
    best = min(bases, key=lambda name: median(seconds[name]))
    result: dict[str, Any] = {
        "shape": shape.name, "parameters": sum(p.numel() for p in plain.parameters()), "dtype": str(dtype), "device": device,
        "adapters": n, "samples": shape.samples, "tokens": length, "chosen": chosen.engine, "base": best,
        "base_ms": 1000 * median(seconds[best]) / n, "ways": {},
    }  # fmt: skip
    for name in works:
        ratios = [a / b for a, b in zip(seconds[name], seconds[best], strict=True)]
        entry: dict[str, Any] = {"R": median(ratios), "least": min(ratios), "most": max(ratios)}
        entry["bests"] = min(seconds[name]) / min(seconds[best])
        if name not in bases:
            entry["difference"] = difference([row[:8] for row in outputs[name]], alone)
        if memory:
            entry["GiB"] = memory[name]
        result["ways"][name] = entry
    return result


def difference(rows: list[list[Any]], alone: list[list[Any]]) -> float:
    """The largest difference of a log-probability per token (relative where it is large), or the share of other answers."""
    pairs = [(a, b) for row, other in zip(rows, alone, strict=True) for a, b in zip(row, other, strict=True)]
    if isinstance(pairs[0][0][0], float):
        return max(abs(x - y) / max(1.0, abs(y)) for a, b in pairs for x, y in zip(a, b, strict=True))
    return sum(a != b for a, b in pairs) / len(pairs)


def show(result: dict[str, Any], bars: dict[str, float]) -> None:
    kind = "decoding" if "decoding" in result["shape"] else None
    print(f"\n{result['shape']}: {result['parameters'] / 1e6:.1f} M parameters, {result['adapters']} adapters, {result['samples']} samples"
          f" x {result['tokens']} tokens, {result['dtype']}; base ({result['base']}) {result['base_ms']:.0f} ms; the cost model"
          f" chooses {result['chosen']}")  # fmt: skip
    for name, entry in result["ways"].items():
        bar = bars.get(kind or name) if name in ("merge", "stack") else None
        verdict = "" if bar is None else f"  bar {bar:.2f} {'met' if entry['R'] <= bar else 'MISSED'}"
        differs = f"  differs by {entry['difference']:.1e}" if "difference" in entry else ""
        more = f"  {entry['GiB']:.2f} GiB" if "GiB" in entry else ""
        spread = f"({entry['least']:.3f} to {entry['most']:.3f}; of the best times {entry['bests']:.3f})"
        print(f"  {name:20} R {entry['R']:.3f} {spread}{differs}{more}{verdict}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--only", default=None, help="a part of the name of a shape")
    parser.add_argument("--gpu", action="store_true", help="bfloat16, a model of 1 B random parameters, 10 and 40 adapters")
    parser.add_argument("--no-peft", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="tiny: that it runs")
    parser.add_argument("--out", type=Path, default=None, help="write the results as JSON")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    shapes = GPU_SHAPES if options.gpu else SHAPES
    if options.smoke:
        shapes = [replace(shape, hidden=32, inner=64, heads=4, adapters=3, samples=6, prompt=12) for shape in SHAPES[:2]]
    device, dtype = ("cuda", torch.bfloat16) if options.gpu else ("cpu", torch.float32)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {device}")
    results = []
    for shape in shapes:
        if options.only is None or options.only in shape.name:
            results.append(measure(shape, options.rounds, device, dtype, not options.no_peft))
            show(results[-1], GPU_BARS if options.gpu else BARS)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
