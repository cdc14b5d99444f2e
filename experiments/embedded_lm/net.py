"""The trained twin of the embedded model: a Llama decoder in torch with a shared prefix.

Names of the parameters are those of `transformers.LlamaForCausalLM`, so that the state dict *is* the shipped file.
`forward(ids, prefix)` computes a common prefix once for all rows (training on long operator templates would otherwise
spend most of its time on the same text); gradients flow through it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """The size of a model; every field is a key of a Llama `config.json`."""

    vocab_size: int
    hidden_size: int = 128
    intermediate_size: int = 384
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    rope_theta: float = 100000.0
    rms_norm_eps: float = 1e-5
    max_position_embeddings: int = 2048

    def config(self) -> dict[str, object]:
        """The `config.json` that transformers reads."""
        return {
            **asdict(self),
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "num_key_value_heads": self.num_attention_heads,
            "head_dim": self.hidden_size // self.num_attention_heads,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
            "torch_dtype": "float16",
        }


class Norm(nn.Module):
    """RMS norm with a gain, as in Llama."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Attention(nn.Module):
    """Causal attention; `prefix` keys and values (batch 1) are seen by every row."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        h = s.hidden_size
        self.heads = s.num_attention_heads
        self.q_proj = nn.Linear(h, h, bias=False)
        self.k_proj = nn.Linear(h, h, bias=False)
        self.v_proj = nn.Linear(h, h, bias=False)
        self.o_proj = nn.Linear(h, h, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, past: tuple[Tensor, Tensor] | None, mask: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        b, t, h = x.shape
        q, k, v = (
            p(x).view(b, t, self.heads, -1).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        if past is not None:
            k = torch.cat((past[0].expand(b, -1, -1, -1), k), dim=2)
            v = torch.cat((past[1].expand(b, -1, -1, -1), v), dim=2)
        o = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.o_proj(o.transpose(1, 2).reshape(b, t, h)), (k, v)


class Mlp(nn.Module):
    """SwiGLU."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(s.hidden_size, s.intermediate_size, bias=False)
        self.up_proj = nn.Linear(s.hidden_size, s.intermediate_size, bias=False)
        self.down_proj = nn.Linear(s.intermediate_size, s.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """One pre-norm decoder layer."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(s)
        self.mlp = Mlp(s)
        self.input_layernorm = Norm(s.hidden_size, s.rms_norm_eps)
        self.post_attention_layernorm = Norm(s.hidden_size, s.rms_norm_eps)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, past: tuple[Tensor, Tensor] | None, mask: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        a, kv = self.self_attn(self.input_layernorm(x), cos, sin, past, mask)
        x = x + a
        return x + self.mlp(self.post_attention_layernorm(x)), kv


class Decoder(nn.Module):
    """Embedding, layers, final norm."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(s.vocab_size, s.hidden_size)
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.num_hidden_layers))
        self.norm = Norm(s.hidden_size, s.rms_norm_eps)


class Net(nn.Module):
    """A Llama language model; `state_dict()` has the names of `LlamaForCausalLM`."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        d = shape.hidden_size // shape.num_attention_heads
        inv = 1.0 / shape.rope_theta ** (torch.arange(0, d, 2).float() / d)
        angle = torch.outer(torch.arange(shape.max_position_embeddings).float(), inv)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        gen = torch.Generator().manual_seed(seed)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                std = 0.02 if "embed" in name else shape.hidden_size**-0.5 * 0.7
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    std = 0.0
                nn.init.normal_(p, std=std, generator=gen)
        self.ready_to_copy(gen)

    @torch.no_grad()
    def ready_to_copy(self, gen: torch.Generator, heads: int = 3, constant: float = 0.5, sharp: float = 5.6) -> None:
        """Starts with an induction circuit in place, so that copying need not be found by chance.

        Some heads of the first layer look at the token before and write a part of it into channels of their own; as many
        heads of the second layer look for the place whose predecessor is the present token and copy what stands there.
        Random weights find this circuit late (a plateau of millions of tokens on this model); training refines it.
        """
        s = self.shape
        d, h = s.hidden_size // s.num_attention_heads, s.hidden_size
        free = h - heads * d
        embedding = self.model.embed_tokens.weight
        embedding.mul_(2.5)
        embedding[:, 0] = constant
        embedding[:, free:] = 0
        basis = torch.linalg.qr(torch.randn(free - 1, free - 1, generator=gen))[0]
        reads = torch.zeros(free - 1, h)
        reads[:, 1:free] = basis
        reads = reads[torch.arange(heads * d) % (free - 1)].view(heads, d, h)
        angle = 1.0 / s.rope_theta ** (torch.arange(0, d, 2).float() / d)
        still = ((angle < 0.02).nonzero().flatten()[:, None] + torch.tensor([0, d // 2])).flatten()
        power = embedding.square().mean(-1).sqrt().mean().item()
        back, find = self.model.layers[0].self_attn, self.model.layers[1].self_attn
        for head in range(heads):
            rows, own = slice(head * d, (head + 1) * d), slice(free + head * d, free + (head + 1) * d)
            for proj, turn in ((back.q_proj, 0), (back.k_proj, 1)):
                proj.weight[rows] = 0
                proj.weight[rows, 0] = sharp * power / constant * torch.cat(((angle * turn).cos(), (angle * turn).sin()))
            back.v_proj.weight[rows] = reads[head]
            back.o_proj.weight[:, rows] = 0
            back.o_proj.weight[own, rows] = 0.15 * torch.eye(d)
            for proj in (find.q_proj, find.k_proj):
                proj.weight[rows] = 0
            find.q_proj.weight[head * d + still] = 2.4 * reads[head][still]
            find.k_proj.weight[head * d + still, free + head * d + still] = 2.4
            find.v_proj.weight[rows] = reads[head]
            find.o_proj.weight[:, rows] = 0.5 * reads[head].T

    def _run(
        self, ids: Tensor, past: list[tuple[Tensor, Tensor]] | None, start: int
    ) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        t = ids.shape[1]
        x = self.model.embed_tokens(ids)
        if torch.is_autocast_enabled(ids.device.type):
            x = x.to(torch.bfloat16)
        cos = self.cos[start : start + t].to(x.dtype)  # type: ignore[index]
        sin = self.sin[start : start + t].to(x.dtype)  # type: ignore[index]
        mask = None
        if past is not None:
            mask = torch.ones(t, start + t, dtype=torch.bool, device=ids.device).tril(start)
        kvs, states = [], []
        for i, layer in enumerate(self.model.layers):
            x, kv = layer(x, cos, sin, None if past is None else past[i], mask)
            kvs.append(kv)
            states.append(x)
        return states, kvs

    def states(self, ids: Tensor, prefix: Tensor | None = None) -> list[Tensor]:
        """The residual stream after each layer, each (rows, tokens, hidden); `prefix` is one row shared by all."""
        past, start = None, 0
        if prefix is not None:
            start = prefix.shape[0]
            _, past = self._run(prefix[None], None, 0)
        return self._run(ids, past, start)[0]

    def forward(self, ids: Tensor, prefix: Tensor | None = None) -> Tensor:
        """Hidden states after the final norm, (rows, tokens, hidden)."""
        out: Tensor = self.model.norm(self.states(ids, prefix)[-1])
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary from hidden states (tied embedding)."""
        return F.linear(hidden, self.model.embed_tokens.weight)


class Hints(nn.Module):
    """Two heads that read the middle of the network in training, and are not shipped.

    One tags tokens after the second layer (is this the opinion, the fact, the label that is asked for?), the other reads the asked
    sign before the last layer. They put the steps of a look-up where the depth for them is, instead of waiting for chance.
    """

    def __init__(self, shape: Shape, tags: int) -> None:
        super().__init__()
        self.size = shape.hidden_size
        self.tag = nn.Linear(self.size, tags)
        self.sign = nn.Linear(self.size, 2)
        self.tag_layer, self.sign_layer = shape.num_hidden_layers // 2 - 1, shape.num_hidden_layers - 2

    def _read(self, states: Tensor, places: Tensor) -> Tensor:
        return F.rms_norm(states.reshape(-1, self.size)[places].float(), (self.size,))

    def tags(self, states: list[Tensor], places: Tensor) -> Tensor:
        """Scores of the tags at flat places."""
        out: Tensor = self.tag(self._read(states[self.tag_layer], places))
        return out

    def signs(self, states: list[Tensor], places: Tensor) -> Tensor:
        """Scores of bad and good at flat places."""
        out: Tensor = self.sign(self._read(states[self.sign_layer], places))
        return out
