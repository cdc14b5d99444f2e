"""A standard PEFT folder of an adapter, announced only after it was loaded back and compared."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from llmevo.core import ConfigError, StorageError
from llmevo.core.crash import crash_point
from llmevo.storage.opening import sync
from llmevo.storage.seals import FRESH, seal
from llmevo.weights.adapter import Adapter, LowRank, checked
from llmevo.weights.leaves import CONFIG, PREFIX, WEIGHTS, load_expert

KINDS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    folder: Path
    overflows: int
    """Numbers that did not fit into the type and were clamped; 0 unless that was asked for."""


def export(
    adapter: Adapter,
    folder: Path,
    *,
    base: str,
    revision: str | None = None,
    dtype: str = "float32",
    clamp: bool = False,
    fan_in_fan_out: bool = False,
) -> Exported:
    """Writes a folder that PEFT loads: under a temporary name, synced, loaded back, compared, sealed with its hashes, renamed.

    Raises `ConfigError` if something stands there already or a number does not fit into `dtype` (`clamp` takes the largest that does).
    """
    adapter = checked(adapter)
    if folder.exists():
        raise ConfigError(f"{folder} exists: choose another name, or remove it")
    if dtype not in KINDS:
        raise ConfigError(f"an adapter is saved as {', '.join(KINDS)}, not as {dtype!r}")
    data: dict[str, torch.Tensor] = {}
    overflows = 0
    for module, one in adapter.items():
        for role, factor in (("A", one.down), ("B", one.up)):
            cast = factor.to(KINDS[dtype])
            lost = int((~torch.isfinite(cast)).sum())
            if lost:
                overflows += lost
                most = torch.finfo(KINDS[dtype]).max
                cast = factor.clamp(-most, most).to(KINDS[dtype])
            data[f"{PREFIX}{module}.lora_{role}.weight"] = cast.contiguous()
    if overflows and not clamp:
        raise ConfigError(f"{overflows} numbers of the adapter do not fit into {dtype}: save it as float32 or bfloat16, or clamp")
    fresh = folder.with_name(folder.name + FRESH)
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        (fresh / WEIGHTS).write_bytes(save(data, {"format": "pt"}))
        settings = _config(adapter, base, revision, fan_in_fan_out)
        (fresh / CONFIG).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        for name in (WEIGHTS, CONFIG):
            sync(fresh / name)
        seal(fresh, (WEIGHTS, CONFIG))
        sync(fresh)
        crash_point("adapter-written")
        _compare(fresh, adapter, dtype)
        os.rename(fresh, folder)
        crash_point("adapter-named")
        sync(folder.parent)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error}") from error
    return Exported(folder, overflows)


def _config(adapter: Adapter, base: str, revision: str | None, fan_in_fan_out: bool) -> dict[str, Any]:
    """Scale 1 everywhere: alpha is the rank."""
    widths = {module: one.rank for module, one in adapter.items()}
    usual = max(set(widths.values()), key=list(widths.values()).count)
    other = {_exactly(module): rank for module, rank in widths.items() if rank != usual}
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "revision": revision,
        "r": usual,
        "lora_alpha": usual,
        "rank_pattern": other,
        "alpha_pattern": other,
        "target_modules": sorted(adapter),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": fan_in_fan_out,
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
    }


def _exactly(module: str) -> str:
    """The module's path as the pattern that PEFT matches."""
    return module.replace(".", r"\.")


def _compare(folder: Path, adapter: Adapter, dtype: str) -> None:
    """Raises `StorageError` unless what was written reads back as what was meant."""
    again = load_expert(folder).adapter

    def cast(factor: torch.Tensor) -> torch.Tensor:
        most = torch.finfo(KINDS[dtype]).max
        return factor.clamp(-most, most).to(KINDS[dtype]).float()

    for module, one in adapter.items():
        other: LowRank | None = again.get(module)
        if other is None or not (torch.equal(cast(one.down), other.down) and torch.equal(cast(one.up), other.up)):
            raise StorageError(f"{folder}: {module} reads back as something else; the folder is not announced. Is the disk sound?")
