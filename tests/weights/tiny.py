"""A decoder of a few thousand random parameters, adapters for it, and a tokenizer of letters: all offline, in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from llmevo.core import Blobs, content_key  # noqa: E402
from llmevo.weights.adapter import Adapter, LowRank  # noqa: E402
from llmevo.weights.hf import Base, base_of  # noqa: E402

torch.set_num_threads(1)  # matrices as small as these only wait for a second thread

VOCABULARY = 64
MODULES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")


class Letters:
    """A tokenizer with a token per letter; 1 ends an answer."""

    eos_token_id = 1
    chat_template = None

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [2 + ord(letter) % (VOCABULARY - 2) for letter in text]}

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return "".join(chr(32 + (token - 2 - 32) % (VOCABULARY - 2)) for token in ids)


def base(seed: int = 0, scale: float = 8.0) -> Base:
    """A Llama of two layers whose answers differ from prompt to prompt."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=VOCABULARY, tie_word_embeddings=True, max_position_embeddings=256, eos_token_id=1, bos_token_id=0,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(scale)
    return base_of(model, Letters(), name="tiny")


def adapter(one: Base, seed: int, rank: int = 4, modules: tuple[str, ...] = MODULES, strength: float = 0.3) -> Adapter:
    """Random factors on the named modules of every layer."""
    draw = torch.Generator().manual_seed(seed)
    found: dict[str, LowRank] = {}
    for layer in range(2):
        for name in modules:
            path = f"model.layers.{layer}.{name}"
            linear = one.model.get_submodule(path)
            down = torch.randn(rank, linear.in_features, generator=draw) * strength
            found[path] = LowRank(down, torch.randn(linear.out_features, rank, generator=draw) * strength)
    return found


@dataclass(frozen=True)
class Seeded:
    """A genome that stands for the adapter of a seed."""

    seed: int
    kind: ClassVar[str] = "seeded"

    @property
    def key(self) -> str:
        return content_key(["seeded", self.seed])

    def preview(self) -> str:
        return str(self.seed)

    def dump(self, blobs: Blobs) -> dict[str, Any]:
        return {"seed": self.seed}

    @classmethod
    def load(cls, record: Any, blobs: Blobs) -> Seeded:
        return cls(record["seed"])


class Maker:
    """Builds the adapters of `Seeded`; counts them."""

    def __init__(self, one: Base) -> None:
        self.base, self.built = one, 0

    def build(self, genome: Seeded) -> Adapter:
        self.built += 1
        if genome.seed < 0:
            raise ArithmeticError("a negative seed")
        return adapter(self.base, genome.seed)


def ids(seed: int, count: int) -> tuple[int, ...]:
    """Random tokens, none of which ends an answer."""
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(2, VOCABULARY, (count,), generator=draw).tolist())
