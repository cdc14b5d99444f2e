"""Trains the embedded model: one seeded command, no data but what `samples.py` makes.

    python experiments/embedded_lm/train.py --hours 2                 # two CPU cores
    python experiments/embedded_lm/train.py --device cuda --hours 0.3 --scale 8
    python experiments/embedded_lm/train.py --smoke                   # about a minute: does it learn at all?

The rate is constant and falls to zero over the last part (`--decay`), so a run may be stopped early and continued from
its checkpoint with `--start`. Weights are written in half precision with the names of `LlamaForCausalLM`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from batches import WEIGHTS, Batch, Mix, Source, stream
from net import Hints, Net, Shape
from optimizer import optimizers
from probes import probe
from safetensors.torch import load_file, save_file
from samples import TAGS


def save(net: Net, folder: Path) -> None:
    """Writes `model.safetensors` (float16) and `config.json`, beside a copy of the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != WEIGHTS.resolve():
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(WEIGHTS / name, folder / name)
    state = {k: v.detach().cpu().to(torch.float16).contiguous() for k, v in net.state_dict().items()}
    save_file(state, folder / "model.safetensors.tmp", metadata={"format": "pt"})
    (folder / "model.safetensors.tmp").rename(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(net.shape.config(), indent=1) + "\n")


def load(folder: Path, seed: int = 0) -> Net:
    """The model in a folder written by `save`, in float32."""
    config = json.loads((folder / "config.json").read_text())
    net = Net(Shape(**{k: config[k] for k in Shape.__dataclass_fields__}), seed)
    net.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    return net


def loss_of(net: Net, hints: Hints, b: Batch, device: str, hint: float) -> tuple[torch.Tensor, dict[str, float]]:
    """Weighted cross-entropy on the answers of a batch, and `hint` times that of the hints; the parts as numbers."""

    def on(x: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(x, device=device)

    states = net.states(on(b.ids), None if b.prefix is None else on(b.prefix))
    hidden = net.model.norm(states[-1].reshape(-1, net.shape.hidden_size)[on(b.places)])
    each = F.cross_entropy(net.logits(hidden).float(), on(b.targets), reduction="none")
    loss = (each * on(b.weights)).sum()
    parts = {b.kind: loss.item()}
    if hint and b.tagged is not None and b.tags is not None:
        tag = F.cross_entropy(hints.tags(states, on(b.tagged)), on(b.tags))
        parts["tag"] = tag.item()
        loss = loss + hint * tag
    if hint and b.asked is not None and b.signs is not None:
        sign = F.cross_entropy(hints.signs(states, on(b.asked)), on(b.signs))
        parts["sign"] = sign.item()
        loss = loss + hint * sign
    return loss, parts


def main() -> None:
    """The command line; see the module's docstring."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, default=WEIGHTS)
    p.add_argument("--start", type=Path, help="continue from the weights in this folder")
    p.add_argument("--hours", type=float, default=2.0)
    p.add_argument("--steps", type=int, default=10**9, help="stop after so many steps (deterministic, unlike --hours)")
    p.add_argument("--warm-steps", type=int, default=1200,
                   help="at most so many first steps are copying practice alone; it ends when copying is solved")
    p.add_argument("--decay", type=float, default=0.25, help="last share of the run over which the rate falls to 0")
    p.add_argument("--device", default="cpu")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--scale", type=float, default=1.0, help="tokens of a step, relative to the CPU default")
    p.add_argument("--hidden", type=int, default=128)
    p.add_argument("--layers", type=int, default=4)
    p.add_argument("--heads", type=int, default=8)
    p.add_argument("--inner", type=int, default=384)
    p.add_argument("--muon-lr", type=float, default=0.02)
    p.add_argument("--adam-lr", type=float, default=0.004)
    p.add_argument("--generic", type=float, default=0.25)
    p.add_argument("--hint", type=float, default=3.0, help="weight of the hints; it falls to 0 over the last quarter")
    p.add_argument("--crossing", action="store_true", help="the lesson of the second leg: more copying, parents that are alike")
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--probe-every", type=int, default=200)
    p.add_argument("--smoke", action="store_true")
    a = p.parse_args()
    if a.smoke:
        a.hours, a.steps, a.warm_steps, a.probe_every = 1 / 60, 60, 20, 30
        a.out = Path("/tmp/embedded_lm_smoke") if a.out == WEIGHTS else a.out
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    mix = Mix(generic=a.generic)
    if a.crossing:
        mix = replace(mix, task=0.60, multi=0.05, lexical=0.05, copy=0.30, crossing=True)
    mix = replace(mix, plain_tokens=int(mix.plain_tokens * a.scale), operator_tokens=int(mix.operator_tokens * a.scale))
    source = Source(10**6 + a.seed, mix)
    net = load(a.start) if a.start else Net(
        Shape(len(source.tok), a.hidden, a.inner, a.layers, a.heads), a.seed)
    net = net.to(a.device)
    hints = Hints(net.shape, TAGS).to(a.device)
    opts = [*optimizers(net, a.muon_lr, a.adam_lr), torch.optim.Adam(hints.parameters(), lr=a.adam_lr)]
    print(f"{sum(x.numel() for x in net.parameters())/1e6:.2f} M parameters", flush=True)
    warm, stop_warm = stream(2 * a.seed, replace(mix, copying_only=True))
    main_steps, stop_main = stream(2 * a.seed + 1, mix)
    begin, tokens, mean, last = time.time(), 0, {}, time.time()
    step, warming = 0, a.warm_steps > 0
    while True:
        done = max((time.time() - begin) / 3600 / a.hours, step / a.steps)
        if done >= 1:
            break
        rate = min(1.0, (step + 1) / (15 if a.start else 50)) * min(1.0, (1 - done) / a.decay)
        for o in opts:
            for g in o.param_groups:
                g["lr"] = g.setdefault("base", g["lr"]) * rate
        for b in next(warm if warming else main_steps):
            with torch.autocast(a.device, torch.bfloat16, enabled=a.bf16):
                loss, parts = loss_of(net, hints, b, a.device, a.hint * min(1.0, 4 * (1 - done)))
            loss.backward()
            tokens += b.ids.size
            for kind, value in parts.items():
                mean[kind] = 0.95 * mean.get(kind, value) + 0.05 * value
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for o in opts:
            o.step()
            o.zero_grad(set_to_none=True)
        step += 1
        if step % 50 == 0:
            print(f"step {step} {time.time()-begin:.0f}s {tokens/1e6:.1f}M tok {tokens/(time.time()-begin):.0f}/s lr {rate:.2f} "
                  + " ".join(f"{k} {v:.3f}" for k, v in sorted(mean.items())), flush=True)
        if step % a.probe_every == 0 or (warming and step % 100 == 0):
            found = probe(net, source)
            print("  probe " + " ".join(f"{k} {v:.2f}" for k, v in found.items()), flush=True)
            if warming and (found["echo"] > 0.85 or step >= a.warm_steps):
                warming = False
                stop_warm()
        if time.time() - last > 120:
            save(net, a.out)
            last = time.time()
    stop_main()
    save(net, a.out)
    print("final " + json.dumps({"steps": step, "tokens": tokens, "seconds": round(time.time() - begin), **probe(net, source)}))


if __name__ == "__main__":
    main()
