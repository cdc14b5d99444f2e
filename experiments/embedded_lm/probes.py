"""Quick measures during training, each on fresh samples: greedy exact match by one teacher-forced pass."""

from __future__ import annotations

from random import Random

import numpy as np
import torch
from batches import Source, pack
from breeding import ANSWERS_OF, NAMES
from instructions import Instruction, random_labels, say
from language import ASPECTS, HELD_OUT_PRODUCTS, review
from net import Net
from samples import copy_sample, multi_sample, operator_sample, wrap


def _signs(rng: Random, generic: float, held_out: bool = True) -> tuple[str, str]:
    labels, mapped = random_labels(rng)
    ins = Instruction(("sign", rng.choice(sorted(ASPECTS))), labels, mapped)
    r = review(rng, generic=generic, must=ins.task[1] if ins.task else None, products=HELD_OUT_PRODUCTS)
    return wrap(rng, say(rng, ins, held_out), r.text), ins.answer(r)


def _task(rng: Random, kind: str, arg: str, mapped: bool | None = None) -> tuple[str, str]:
    labels, m = random_labels(rng)
    ins = Instruction((kind, arg), None if kind in ("fact", "count") else labels, m)
    r = review(rng, must=arg, products=HELD_OUT_PRODUCTS)
    return wrap(rng, say(rng, ins, True), r.text), ins.answer(r)


PROBES = {
    "aspect": lambda rng: _signs(rng, 0.0),
    "bind": lambda rng: _signs(rng, 1.0),
    "overall": lambda rng: _task(rng, "sign", "overall"),
    "again": lambda rng: _task(rng, "sign", "again"),
    "product": lambda rng: _task(rng, "fact", "product"),
    "colour": lambda rng: _task(rng, "fact", "colour"),
    "person": lambda rng: _task(rng, "fact", "person"),
    "mention": lambda rng: _task(rng, "mention", rng.choice(sorted(ASPECTS))),
    "count": lambda rng: _task(rng, "count", ""),
    "multi": lambda rng: multi_sample(rng, 0.5),
    "copy": copy_sample,
}


@torch.no_grad()
def probe(net: Net, source: Source, seed: int = 99, rows: int = 128) -> dict[str, float]:
    """Exact match of each probe (token accuracy for `echo` and operators)."""
    rng = Random(seed)
    net.eval()
    out = {}
    kinds = {k: [source.row(f(rng)) for _ in range(rows)] for k, f in PROBES.items()}
    state = source.rng
    source.rng = rng
    kinds["echo"] = [source.echo() for _ in range(rows)]
    source.rng = state
    for name in (*NAMES, *ANSWERS_OF):
        kinds[name] = [source.row(operator_sample(rng, name, source.mix.crossing)) for _ in range(rows // 4)]
    for kind, pairs in kinds.items():
        b = pack(kind, pairs)
        device = net.model.norm.weight.device
        hidden = net(torch.as_tensor(b.ids, device=device)).reshape(-1, net.shape.hidden_size)
        guess = net.logits(hidden[torch.as_tensor(b.places, device=device)]).argmax(-1).cpu().numpy()
        right = guess == b.targets
        if kind in PROBES:
            ends = np.cumsum([len(row.answer) for row in pairs])
            out[kind] = float(np.mean([part.all() for part in np.split(right, ends[:-1])]))
        else:
            out[kind] = float(right.mean())
    net.train()
    return out
