"""mergekit's rules on tensors from a file, for an environment that has mergekit: `run.py --mergekit PYTHON` calls this.

    PYTHON theirs.py IN.safetensors OUT.safetensors SETTINGS

IN holds full matrices `NUMBER/MODULE`, the differences from a base (which is all zeros here). OUT gets `METHOD/MODULE`. The last
line of the standard output is JSON: the seconds of each method. SETTINGS are JSON, too: weights, density, gamma, t, repeats, cpu.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from types import SimpleNamespace
from typing import Any

import torch
from mergekit.merge_methods.generalized_task_arithmetic import ConsensusMethod, GeneralizedTaskArithmeticMerge
from mergekit.merge_methods.model_stock import model_stock_merge_method
from mergekit.merge_methods.slerp import slerp
from mergekit.sparsify import SparsificationMethod
from safetensors.torch import load_file, save_file

SETTINGS: dict[str, Any] = json.loads(sys.argv[3])


def arithmetic(trim: Any, elect: Any, normalize: bool) -> Any:
    method = GeneralizedTaskArithmeticMerge(
        consensus_method=elect, sparsification_method=trim, default_normalize=normalize, default_rescale=False, method_name="any",
        method_pretty_name=None, method_reference_url=None,
    )  # fmt: skip

    def merge(deltas: list[torch.Tensor]) -> torch.Tensor:
        ids = range(len(deltas))
        more = {"gamma": dict.fromkeys(ids, SETTINGS["gamma"])} if trim == SparsificationMethod.magnitude_outliers else {}
        merged: torch.Tensor = method.merge_group(
            group(deltas), int8_mask=False, normalize=normalize, rescale=False, weight=dict(zip(ids, SETTINGS["weights"], strict=True)),
            density=dict.fromkeys(ids, SETTINGS["density"]), **{"lambda": 1.0}, **more,
        )  # fmt: skip
        return merged

    return merge


def group(deltas: list[torch.Tensor]) -> Any:
    entries = [SimpleNamespace(id=i, tensor=delta) for i, delta in enumerate(deltas)]
    return SimpleNamespace(base=SimpleNamespace(tensor=torch.zeros_like(deltas[0])), non_base=entries)


def between(deltas: list[torch.Tensor]) -> torch.Tensor:
    return slerp(torch.tensor([SETTINGS["t"]]), deltas[0][None], deltas[1][None])[0]


def stock(deltas: list[torch.Tensor]) -> torch.Tensor:
    merged: torch.Tensor = model_stock_merge_method.merge_group(group(deltas), filter_wise=False)
    return merged


RULES = {
    "task-arithmetic": arithmetic(None, None, False),
    "ties": arithmetic(SparsificationMethod.magnitude, ConsensusMethod.sum, True),
    "breadcrumbs": arithmetic(SparsificationMethod.magnitude_outliers, None, False),
    "slerp": between,
    "model-stock": stock,
}


def main() -> None:
    source, target = sys.argv[1:3]
    clock = time.process_time if SETTINGS["cpu"] else time.perf_counter
    if SETTINGS["cpu"]:
        torch.set_num_threads(1)
    modules: dict[str, dict[int, torch.Tensor]] = {}
    for name, delta in load_file(source).items():
        number, _, module = name.partition("/")
        modules.setdefault(module, {})[int(number)] = delta
    stacks = {module: [found[i] for i in sorted(found)] for module, found in modules.items()}
    out, seconds = {}, {}
    for name, rule in RULES.items():
        times = []
        for _ in range(SETTINGS["repeats"]):
            begin = clock()
            merged = {module: rule(deltas) for module, deltas in stacks.items()}
            times.append(clock() - begin)
        seconds[name] = statistics.median(times)
        out |= {f"{name}/{module}": tensor.contiguous() for module, tensor in merged.items()}
    save_file(out, target)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
