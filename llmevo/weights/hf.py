"""Base models from Hugging Face: a folder, or a name on the hub. No code of the model's authors is run unless asked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from llmevo.core.errors import ConfigError
from llmevo.core.resolve import need

Device = Literal["auto", "cpu", "cuda", "mps"] | str
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, eq=False)
class Base:
    """A frozen model that stays in memory, with its tokenizer. `key` names its content: name, numbers, number format."""

    name: str
    key: str
    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    device: str
    dtype: str


@dataclass(frozen=True)
class BaseSpec:
    """How a base is loaded; plain data, so that a worker process can load its own."""

    name: str
    kind: Literal["causal", "encoder"] = "causal"
    device: Device = "auto"
    dtype: Dtype = "auto"
    revision: str | None = None
    trust_remote_code: bool = False

    def load(self) -> Base:
        """The model in memory, in evaluation mode, without gradients. Raises `ConfigError` when it cannot be loaded."""
        torch = need("torch", "weights", f"the base model {self.name}")
        transformers = need("transformers", "weights", f"the base model {self.name}")
        device = device_named(self.device)
        dtype = dtype_for(device) if self.dtype == "auto" else self.dtype
        if dtype not in DTYPES:
            raise ConfigError(f"dtype: {dtype!r} is not known; write one of {', '.join(DTYPES)}, or auto")
        folder = Path(self.name).expanduser()
        where: dict[str, Any] = {"local_files_only": True} if folder.is_dir() else {"revision": self.revision}
        name = str(folder) if folder.is_dir() else self.name
        loader = transformers.AutoModelForCausalLM if self.kind == "causal" else transformers.AutoModel
        transformers.utils.logging.disable_progress_bar()
        try:
            trust = {"trust_remote_code": self.trust_remote_code}
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, **where, **trust)
            model = loader.from_pretrained(name, dtype=getattr(torch, dtype), use_safetensors=True, **where, **trust)
        except (OSError, ValueError, ImportError) as error:
            raise ConfigError(f"the base model {self.name} cannot be loaded: {error}") from error
        return base_of(model, tokenizer, name=folder.name if folder.is_dir() else self.name, device=device)


def base_of(model: Any, tokenizer: Any, *, name: str, device: Device = "cpu") -> Base:
    """A model that is already in memory as a base: frozen, in evaluation mode, moved to the device."""
    model.eval().requires_grad_(False)
    digest = hashlib.blake2b(digest_size=12)
    for path, tensor in sorted(model.state_dict().items()):
        digest.update(path.encode())
        digest.update(_bytes(tensor))
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    place = device_named(device)
    key = f"{name}@{digest.hexdigest()}:{dtype}:{place.partition(':')[0]}"
    return Base(name, key, model.to(place), tokenizer, place, dtype)


def device_named(device: Device) -> str:
    """The device itself for `auto`: CUDA, else MPS, else the CPU. Raises `ConfigError` for one that is not there."""
    torch = need("torch", "weights", "a base model")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, found in there.items() if found)
    if not there.get(device.partition(":")[0], False):
        raise ConfigError(f"device: {device!r} is not here; found: {', '.join(name for name, found in there.items() if found)}")
    return device


def dtype_for(device: str) -> Dtype:
    """What `auto` means: bfloat16 on CUDA, float32 elsewhere."""
    return "bfloat16" if device.startswith("cuda") else "float32"


def _bytes(tensor: Any) -> Any:
    import torch

    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
