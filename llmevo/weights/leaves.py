"""Experts from PEFT folders: read, checked and folded, so that what is in memory is exactly what the folder means."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from llmevo.core import ConfigError
from llmevo.storage.seals import SEAL, differences, sealed
from llmevo.weights import tensors
from llmevo.weights.adapter import Adapter, LowRank, checked, content, ranks
from llmevo.weights.build import Builder
from llmevo.weights.flat import pack
from llmevo.weights.genome import AdapterGenome
from llmevo.weights.merge.space import shortened

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
FACTOR = re.compile(r"^(?P<module>.+)\.lora_(?P<role>[AB])(?:\.(?!weight$)[^.]+)?(?:\.weight)?$")
EXACT = {"LORA"}
REFUSED = {
    "use_dora": "DoRA scales columns by what they were in the base model",
    "modules_to_save": "it replaces whole modules",
    "trainable_token_indices": "it trains single tokens",
    "layer_replication": "it copies layers of the base model",
    "use_qalora": "it is made for a quantised base model",
    "target_parameters": "it changes parameters that are no linear layers",
    "alora_invocation_tokens": "it is active for a part of the input only",
    "arrow_config": "it routes between adapters",
    "eva_config": "",
    "loftq_config": "",
}
"""Settings of PEFT that are no plain low-rank change, and why; those without a reason matter for training only."""


@dataclass(frozen=True, slots=True)
class Expert:
    """An adapter with what its folder says of it."""

    name: str
    adapter: Adapter
    base: str
    """Name of the base model."""
    revision: str | None
    fan_in_fan_out: bool = False


@dataclass(frozen=True)
class Pool:
    """Experts that fit together: the same base model, the same modules."""

    experts: tuple[Expert, ...]
    base: str
    genomes: tuple[AdapterGenome, ...] = field(init=False)
    """Their leaves, in the same order."""

    def __post_init__(self) -> None:
        leaves = tuple(AdapterGenome.expert(one.name, content(one.adapter)) for one in self.experts)
        object.__setattr__(self, "genomes", leaves)

    @property
    def rank(self) -> int:
        """The largest rank among them."""
        return max(max(ranks(one.adapter)) for one in self.experts)

    @property
    def modules(self) -> tuple[str, ...]:
        """The layers that they change."""
        return tuple(sorted(self.experts[0].adapter))

    def builder(self, operators: Mapping[str, Any], **more: Any) -> Builder:
        """What builds recipes over these experts."""
        leaves = {leaf.settings["content"]: one.adapter for leaf, one in zip(self.genomes, self.experts, strict=True)}
        return Builder(leaves, operators, **more)


def load_pool(
    folders: Sequence[str | Path],
    *,
    base: str | None = None,
    rank: int | None = None,
    missing: Literal["reject", "zeros"] = "reject",
    not_finite: Literal["reject", "zero"] = "reject",
    least: int = 2,
) -> Pool:
    """The experts of PEFT folders. Raises `ConfigError` before anything is computed.

    `base` is the model they must have been trained on; without it all must name the same one. Different ranks need a target `rank`: larger
    ones are cut to it by an SVD, smaller ones stay. `missing="zeros"` lets an expert leave modules of the others unchanged.
    """
    if not folders:
        raise ConfigError("the pool of experts is empty: give `experts: [folder, ...]`, at least two PEFT folders")
    if len(folders) < least:
        raise ConfigError(f"{len(folders)} expert found; there is nothing to merge with fewer than {least}: add folders to `experts`")
    found = [load_expert(folder, not_finite=not_finite) for folder in folders]
    _one_base(found, base)
    names = _names(found)
    adapters = _same_modules([one.adapter for one in found], names, missing)
    widths = {name: ranks(adapter) for name, adapter in zip(names, adapters, strict=True)}
    if len({most for one in widths.values() for most in one}) > 1 and missing == "reject" and rank is None:
        listed = ", ".join(f"{name} {'/'.join(map(str, one))}" for name, one in widths.items())
        most = max(max(one) for one in widths.values())
        raise ConfigError(f"the experts have different ranks ({listed}): say which one children get, e.g. `rank: {most}`")
    if rank is not None:
        adapters = [{name: change if change.rank <= rank else shortened(change, rank) for name, change in one.items()} for one in adapters]
    experts = [
        Expert(name, pack(adapter), one.base, one.revision, one.fan_in_fan_out)
        for name, adapter, one in zip(names, adapters, found, strict=True)
    ]
    return Pool(tuple(experts), base or found[0].base)


def load_expert(folder: str | Path, *, not_finite: Literal["reject", "zero"] = "reject") -> Expert:
    """The expert of one PEFT folder (or of a hub name): alpha, rank patterns and rsLoRA folded into `up`.

    One that was exported here is compared with the hashes that were written then.
    """
    place = _folder(folder)
    config = _config(place)
    _plain(place, config)
    changes: dict[str, dict[str, torch.Tensor]] = {}
    read = tensors.read(place / WEIGHTS)
    if wrong := differences(place, sealed(place)):
        raise ConfigError(f"{place} is not what was exported: {'; '.join(wrong)}. Export it again; if the change was meant, remove {SEAL}")
    for name, tensor in read.items():
        found = FACTOR.match(name)
        if found is None:
            raise ConfigError(f"{place}: tensor {name!r} is no LoRA factor of a linear layer (DoRA, bias, embedding?): it is refused")
        if not torch.isfinite(tensor).all():
            if not_finite == "reject":
                raise ConfigError(f"{place}: tensor {name!r} holds NaN or infinity: train it again, or leave this expert out")
            tensor = torch.nan_to_num(tensor, 0.0, 0.0, 0.0)
        changes.setdefault(found["module"].removeprefix(PREFIX), {})[found["role"]] = tensor
    adapter: dict[str, LowRank] = {}
    for module, pair in changes.items():
        if set(pair) != {"A", "B"}:
            raise ConfigError(f"{place}: {module} has only one of its two factors (lora_{', lora_'.join(pair)}): the file is not complete")
        down, up = pair["A"], pair["B"]
        if down.dim() != 2 or up.dim() != 2 or down.shape[0] != up.shape[1]:
            raise ConfigError(f"{place}: the factors of {module} do not fit: B {tuple(up.shape)} times A {tuple(down.shape)}")
        adapter[module] = LowRank(down.contiguous(), (up * _scale(place, config, module, down.shape[0])).contiguous())
    return Expert(
        place.name, checked(adapter, str(place)), str(config["base_model_name_or_path"]), config.get("revision"),
        bool(config.get("fan_in_fan_out")),
    )  # fmt: skip


def _folder(folder: str | Path) -> Path:
    place = Path(folder).expanduser()
    if place.is_dir():
        return place
    name = str(folder)
    if place.suffix in (".bin", ".pt", ".pth", ".ckpt"):
        raise pickled(place)
    if place.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise ConfigError(f"{place}: there is no such folder; an expert is a PEFT folder with {CONFIG} and {WEIGHTS}")
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS, SEAL, "*.bin"], ignore_patterns=["*.bin"]))
    except Exception as error:  # that library raises many kinds; all of them mean that there is no such expert here
        raise ConfigError(
            f"{name}: there is no such folder, and the hub gives no expert of that name ({type(error).__name__}): check the name"
        ) from error


def _config(place: Path) -> dict[str, Any]:
    if not (place / WEIGHTS).is_file():
        foreign = next((path for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in sorted(place.glob(pattern))), None)
        if foreign is not None:
            raise pickled(foreign)
        raise ConfigError(f"{place}: there is no {WEIGHTS}; an expert is a folder as PEFT's save_pretrained writes it")
    try:
        config = json.loads((place / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{place}: there is no {CONFIG}, so neither the base model nor the scale of the factors is known") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{place / CONFIG} cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("base_model_name_or_path"), str):
        raise ConfigError(f"{place / CONFIG} names no base model (`base_model_name_or_path`)")
    return config


def pickled(path: Path) -> ConfigError:
    """The error of a file that would run code when it is opened."""
    return ConfigError(
        f"{path} is a pickle, which can run code when it is opened; only safetensors are read. Convert it where you trust it: load the "
        f"adapter with PEFT and call `save_pretrained(folder, safe_serialization=True)`."
    )


def _plain(place: Path, config: Mapping[str, Any]) -> None:
    """Refuses by name what is more than a low-rank change of linear layers."""
    kind = str(config.get("peft_type", "LORA")).removeprefix("PeftType.")
    if kind not in EXACT:
        raise ConfigError(f"{place}: it is a {kind} adapter; only LoRA adapters can be merged here")
    if str(config.get("bias", "none")) != "none" or config.get("lora_bias"):
        raise ConfigError(f"{place}: it trains biases (bias, lora_bias), which no low-rank merge holds: train it with bias='none'")
    for name, why in REFUSED.items():
        if config.get(name) and why:
            raise ConfigError(f"{place}: {name} is set; {why}, so it cannot be merged exactly: train a plain LoRA adapter")


def _scale(place: Path, config: Mapping[str, Any], module: str, rank: int) -> float:
    """What the product of the factors is multiplied with: alpha / rank, or alpha / sqrt(rank) for rsLoRA."""
    wanted = _pattern(config.get("rank_pattern"), module, config.get("r"))
    if wanted != rank:
        raise ConfigError(f"{place}: {module} has rank {rank}, its configuration says {wanted}: the scale would be wrong")
    alpha = _pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", 8))
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise ConfigError(f"{place}: lora_alpha of {module} is {alpha!r}, not a number")
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _pattern(patterns: Any, module: str, otherwise: Any) -> Any:
    """As PEFT looks it up: the first pattern that matches the end of the module's path."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return otherwise


def _one_base(found: Sequence[Expert], base: str | None) -> None:
    wanted = base or found[0].base
    for one in found:
        if not same_model(one.base, wanted):
            raise ConfigError(
                f"expert {one.name} was trained on {one.base}, and the base model here is {wanted}: an adapter fits the model that it was "
                f"trained on and no other; give experts of {wanted}"
            )
        if one.revision != found[0].revision:
            raise ConfigError(
                f"expert {one.name} was trained on revision {one.revision} of {one.base}, expert {found[0].name} on {found[0].revision}"
            )


def same_model(a: str, b: str) -> bool:
    """Whether two names mean one model: equal, or folders that end alike (a model that was moved)."""
    paths = [Path(name) for name in (a, b)]
    return a == b or (any(path.is_absolute() or path.is_dir() for path in paths) and paths[0].name == paths[1].name)


def _names(found: Sequence[Expert]) -> list[str]:
    """The folders' names, each once."""
    names: list[str] = []
    for one in found:
        same = sum(name.split("#")[0] == one.name for name in names)
        names.append(f"{one.name}#{same + 1}" if same else one.name)
    return names


def _same_modules(adapters: Sequence[Adapter], names: Sequence[str], missing: str) -> list[Adapter]:
    shapes: dict[str, tuple[int, int]] = {}
    wrong = []
    for name, adapter in zip(names, adapters, strict=True):
        for module, change in adapter.items():
            if shapes.setdefault(module, change.shape) != change.shape:
                wrong.append(f"  {module}: {change.shape} in {name}, {shapes[module]} before")
    if wrong:
        raise ConfigError("the experts change weights of different shapes:\n" + "\n".join(wrong))
    pairs = zip(names, adapters, strict=True)
    lacking = [f"{name}: {module}" for name, adapter in pairs for module in sorted(shapes.keys() - adapter.keys())]
    if lacking and missing == "reject":
        raise ConfigError(
            f"the experts change different modules; not changed by {lacking[0]}{f' and {len(lacking) - 1} more' if lacking[1:] else ''}. "
            f"`missing: zeros` takes such a module for unchanged"
        )

    def zeros(module: str) -> LowRank:
        out, into = shapes[module]
        return LowRank(torch.zeros(1, into), torch.zeros(out, 1))

    return [{module: adapter.get(module) or zeros(module) for module in sorted(shapes)} for adapter in adapters]
