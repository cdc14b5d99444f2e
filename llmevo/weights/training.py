"""Gradient training of LoRA adapters with PEFT: experts from the user's data, standard folders that load elsewhere."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmevo.core.errors import ConfigError
from llmevo.core.resolve import need
from llmevo.core.seed import Seed
from llmevo.fitness.contract import Case
from llmevo.fitness.files import load_file
from llmevo.weights.asking import Asking
from llmevo.weights.hf import Base, BaseSpec
from llmevo.weights.programs import Ids


@dataclass(frozen=True)
class Training:
    """How experts are trained. `shared_down` freezes one random inner factor for all of them: merging their outer factors is
    then exact."""

    rank: int = 8
    alpha: float = 16.0
    epochs: int = 3
    batch: int = 16
    rate: float = 1e-3
    shared_down: bool = False
    modules: str | tuple[str, ...] = "all-linear"
    layers: tuple[int, ...] | None = None
    """Numbers of the layers that are adapted; None: all."""

    def __post_init__(self) -> None:
        for name in ("rank", "epochs", "batch", "alpha", "rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: must be positive, not {getattr(self, name)!r}")


Loss = Callable[[Any, Sequence[int]], Any]
"""The mean loss of a model on the samples of these numbers, as a tensor."""


@contextmanager
def expert(base: Base, training: Training, seed: Seed, shared: Seed | None = None) -> Iterator[Any]:
    """A PEFT model around the base with a fresh adapter; the base is as it was afterwards. With `shared_down` the inner factors
    come from the `shared` seed of the pool."""
    torch = need("torch", "weights", "training")
    peft = need("peft", "weights", "training")
    more: dict[str, Any] = {} if training.layers is None else {"layers_to_transform": list(training.layers)}
    modules = training.modules if isinstance(training.modules, str) else list(training.modules)
    config = peft.LoraConfig(r=training.rank, lora_alpha=training.alpha, lora_dropout=0.0, target_modules=modules, **more)
    with torch.random.fork_rng(devices=[]):
        start = shared if training.shared_down and shared is not None else seed
        torch.manual_seed(start.fold("factors").value & (2**63 - 1))
        model = peft.get_peft_model(base.model, config)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_B" in name or ("lora_A" in name and not training.shared_down))
    try:
        yield model
    finally:
        model.unload()
        base.model.requires_grad_(False)


def fit(model: Any, loss: Loss, samples: int, training: Training, seed: Seed) -> list[float]:
    """Trains what requires a gradient by AdamW with a linearly falling rate; the mean loss of each epoch."""
    import torch

    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(free, lr=training.rate, weight_decay=0.0)
    steps = training.epochs * -(-samples // training.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    losses = []
    for epoch in range(training.epochs):
        order = seed.fold("epoch", epoch).rng().permutation(samples).tolist()
        total = 0.0
        for start in range(0, samples, training.batch):
            some = order[start : start + training.batch]
            value = loss(model, some)
            optimizer.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(free, 1.0)
            optimizer.step()
            schedule.step()
            total += float(value.detach()) * len(some)
        losses.append(total / samples)
        if not math.isfinite(losses[-1]) or not all(bool(torch.isfinite(parameter).all()) for parameter in free):
            raise ConfigError(f"training diverged in epoch {epoch + 1} (loss {losses[-1]:g}): lower the rate ({training.rate:g})")
    return losses


def save(model: Any, folder: Path, base_name: str) -> None:
    """Writes the adapter as a PEFT folder (safetensors): under another name first, so that it appears complete or not at all."""
    draft = folder.with_name(f".{folder.name}.draft-{os.getpid()}")
    for config in model.peft_config.values():
        config.base_model_name_or_path = base_name
        config.inference_mode = True
    model.save_pretrained(str(draft), safe_serialization=True, save_embedding_layers=False)
    for path in draft.iterdir():
        with path.open("rb") as written:
            os.fsync(written.fileno())
    draft.rename(folder)


def answers_loss(asking: Asking, cases: Sequence[Case]) -> Loss:
    """The loss of a causal model on the answers of cases (the first target of each) and on ending them."""
    return pairs_loss(lessons(asking, cases))


def lessons(asking: Asking, cases: Sequence[Case]) -> list[tuple[Ids, Ids]]:
    """The tokens of each case's question, and of its first target with what ends it."""
    return [(asking.question(case), (*asking.answer(case.targets[0]), *asking.ends[:1])) for case in cases]


def pairs_loss(pairs: Sequence[tuple[Ids, Ids]]) -> Loss:
    """The loss of a causal model on the second of each pair behind the first."""
    import torch

    def loss(model: Any, some: Sequence[int]) -> Any:
        rows = [pairs[i][0] + pairs[i][1] for i in some]
        width = max(map(len, rows))
        ids = torch.tensor([row + (0,) * (width - len(row)) for row in rows])
        wanted = torch.full_like(ids, -100)
        for at, row, i in zip(wanted, rows, some, strict=True):
            begin = len(pairs[i][0])
            at[begin : len(row)] = torch.tensor(row[begin:])
        device = next(model.parameters()).device
        logits = model(input_ids=ids.to(device)).logits[:, :-1].float()
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted[:, 1:].flatten().to(device))

    return loss


def train_expert(
    base: Base,
    cases: Sequence[Case],
    folder: Path,
    training: Training,
    seed: Seed,
    *,
    prompt: str = "",
    shared: Seed | None = None,
    name: str | None = None,
) -> list[float]:
    """One expert of a causal base on cases, as a PEFT folder; the mean loss of each epoch. `name` is what the folder says its base
    is. Raises `ConfigError` when the folder is there already."""
    if folder.exists():
        raise ConfigError(f"{folder}: is there already; name another output folder")
    loss = answers_loss(Asking(base, prompt), cases)
    with expert(base, training, seed, shared) as model:
        losses = fit(model, loss, len(cases), training, seed)
        save(model, folder, name or base.name)
    return losses


@dataclass(frozen=True)
class Trained:
    """One expert of a pool."""

    folder: Path
    cases: int
    losses: tuple[float, ...]
    """The mean loss of each epoch."""


def train_experts(
    files: Sequence[str | Path],
    out: str | Path,
    *,
    model: str,
    slices: int = 1,
    seed: int = 0,
    prompt: str = "",
    device: str = "auto",
    training: Training | None = None,
    on_expert: Callable[[Trained], None] | None = None,
) -> list[Trained]:
    """A pool of experts: one PEFT folder in `out` per file of cases, or per slice of each file.

    `model` is a folder or a name on the hub; `embedded` is the small model of this package. The same files and seed give the same
    experts on the same machine. An expert whose folder is there already is not trained again, so that a pool can be continued.
    Raises `ConfigError` for files, targets or settings that cannot work, before anything is trained.
    """
    training = training or Training()
    if slices < 1:
        raise ConfigError(f"slices: give 1 or more, not {slices}")
    pool: dict[str, list[Case]] = {}
    for path in map(Path, files):
        cases = load_file(path)
        without = next((case for case in cases if not case.targets[0].strip()), None)
        if without is not None:
            raise ConfigError(f"{path}: case {without.id} has no target: an expert learns from answers")
        if len(cases) < slices:
            raise ConfigError(f"{path}: {len(cases)} cases cannot be cut into {slices} slices; ask for fewer")
        order = Seed.of(seed).fold("slices").rng().permutation(len(cases)).tolist()
        for k in range(slices):
            name = path.stem if slices == 1 else f"{path.stem}-{k}"
            if name in pool:
                raise ConfigError(f"{path}: two files are called {path.stem}; an expert is named after its file: rename one")
            pool[name] = [cases[i] for i in order[k::slices]]
    if not pool:
        raise ConfigError("no file of cases was given: name at least one (CSV, TSV, JSONL or Parquet)")
    need("peft", "weights", "training experts")
    base = BaseSpec(embedded_folder() if model == "embedded" else model, device=device, dtype="float32").load()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number, (name, cases) in enumerate(pool.items()):
        place, losses = folder / name, tuple[float, ...]()
        if not place.exists():
            own = Seed.of(seed).fold("expert", number)
            losses = tuple(train_expert(base, cases, place, training, own, prompt=prompt, shared=Seed.of(seed), name=model))
        found.append(Trained(place, len(cases), losses))
        if on_expert is not None:
            on_expert(found[-1])
    return found


def embedded_folder() -> str:
    """The folder of the model that comes with the package."""
    from llmevo.llm import embedded

    return str(Path(embedded.__file__).parent / "weights")
