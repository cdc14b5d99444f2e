"""Measures every bar of the embedded model on held-out reviews, wordings and seeds, and prints the table of the model card.

    python experiments/embedded_lm/evaluate.py [--model FOLDER] [--json FILE] [--quick]

Runs on the shipped numpy runtime. The comparison with torch is left out where transformers is not installed, the
arbitrary prompts where `shared/data` is not at hand.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from random import Random

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from breeding import NAMES, ROLES, operator_sample, templates  # noqa: E402
from generate import reviews  # noqa: E402
from instructions import VAGUE, Instruction, random_labels, say  # noqa: E402
from language import ASPECTS, Review  # noqa: E402
from probes import PROBES  # noqa: E402

from llmevo.llm.embedded import Ask, EmbeddedModel  # noqa: E402

DATA = Path(os.environ.get("LLMEVO_DATA", ROOT.parent / "shared" / "data")) / "classification"
BARS = {
    "best hand-written prompt, mean of tasks": ">= 0.95", "best vague prompt": "<= 0.60",
    "deviation over 200 random prompts": ">= 0.12", "replies that parse": ">= 0.98",
    "children unlike all parents": ">= 0.80", "foreign: spans of both parents": ">= 0.50", "foreign: not empty": "= 1.00",
    "inputs a second": ">= 600", "torch: same arg-max": "= 1.000", "torch: log-probability differs by": "<= 0.001",
}
HAND = {
    ("sign", "delivery"): ["Judge the delivery. Answer with good or bad.", "What does the buyer say about the delivery? "
                           "Use the labels good and bad.", "Is the buyer pleased with the shipping? Reply good or bad."],
    ("sign", "service"): ["Judge the service. Answer with good or bad.", "Rate the staff. Choose from bad and good.",
                          "How is the service? Write good if it is good and bad if it is bad."],
    ("sign", "overall"): ["Decide whether the buyer is happy. Answer good or bad.",
                          "Classify the sentiment of the review as good or bad.", "Judge the overall opinion. Labels: good, bad."],
    ("sign", "again"): ["Would the buyer buy it again? Answer good or bad.",
                        "Does the writer recommend the product? Use the labels good and bad."],
    ("fact", "product"): ["Name the product.", "What was bought?", "Extract the product."],
    ("fact", "colour"): ["Name the colour.", "What colour is the product?", "Extract the colour."],
}


def wrapped(prompt: str, text: str) -> str:
    """A question as `prompts/reviews/task.md` puts it."""
    return f"{prompt}\n\nReview: {text}\nAnswer:"


def accuracy(model: EmbeddedModel, prompt: str, rs: list[Review], right: Instruction) -> float:
    """The share of right answers of a prompt."""
    answers = model.generate([Ask(wrapped(prompt, r.text), 12) for r in rs])
    return sum(a.text.strip() == right.answer(r) for a, r in zip(answers, rs, strict=True)) / len(rs)


def tasks(model: EmbeddedModel, n: int) -> dict[str, float]:
    """Best hand-written prompt of each task, vague prompts, random prompts."""
    out: dict[str, float] = {}
    best = []
    for (kind, arg), prompts in HAND.items():
        right = Instruction((kind, arg), None if kind == "fact" else ("good", "bad"))
        rs = reviews(n, 101, arg)
        scores = [accuracy(model, p, rs, right) for p in prompts]
        best.append(max(scores))
        out[f"  {arg}: best of {len(prompts)} hand-written"] = max(scores)
    out["best hand-written prompt, mean of tasks"] = statistics.mean(best)
    right = Instruction(("sign", "delivery"), ("good", "bad"))
    rs = reviews(max(n // 4, 20), 102)
    out["best vague prompt"] = max(accuracy(model, p, rs, right) for p in VAGUE)
    rng = Random(103)
    scores = []
    for _ in range(200):
        labels = ("good", "bad") if rng.random() < 0.6 else random_labels(rng)[0]
        arg = "delivery" if rng.random() < 0.4 else rng.choice([*sorted(ASPECTS), "overall", "again"])
        ins = Instruction(("sign", arg) if rng.random() < 0.85 else None, labels if rng.random() < 0.75 else None,
                          False, rng.choice(("none", "none", "none", "plain", "upper")))
        scores.append(accuracy(model, say(rng, ins, held_out=True), rs, right))
    out["deviation over 200 random prompts"] = statistics.pstdev(scores)
    out["  mean over 200 random prompts"] = statistics.mean(scores)
    rng = Random(104)
    for name, make in PROBES.items():
        pairs = [make(rng)[:2] for _ in range(n)]
        answers = model.generate([Ask(u, 60) for u, _ in pairs])
        out[f"  probe {name}"] = sum(a.text == t for a, (_, t) in zip(answers, pairs, strict=True)) / n
    return out


def child_of(reply: str) -> str | None:
    """The prompt in the last complete tag of a reply."""
    end = reply.rfind("</prompt>")
    start = reply.rfind("<prompt>", 0, end)
    return reply[start + 8 : end].strip() if 0 <= start < end else None


def operators(model: EmbeddedModel, n: int) -> dict[str, float]:
    """Replies to the shipped operators for parents of all kinds: do they parse, are they new?"""
    out: dict[str, float] = {}
    parsed, fresh = [], []
    for name in NAMES:
        rng = Random(f"operators {name}")
        pairs = [operator_sample(rng, name) for _ in range(n)]
        replies = model.generate([Ask(u, 120, 0.5, 0.95, i) for i, (u, _) in enumerate(pairs)])
        children = [child_of(r.text) for r in replies]
        ok = [c for c in children if c]
        # a parent stands in the template on a line of its own, after its name
        new = [c for c, (u, _) in zip(children, pairs, strict=True)
               if c and not any(line.endswith(": " + c) for line in u.splitlines())]
        parsed.append(len(ok) / n)
        fresh.append(len(new) / n)
        out[f"  {name}: parse"] = len(ok) / n
        out[f"  {name}: new"] = len(new) / n
    out["replies that parse"] = statistics.mean(parsed)
    out["children unlike all parents"] = statistics.mean(fresh)
    return out


def spans(text: str, k: int = 3) -> set[tuple[str, ...]]:
    """All spans of k words, without punctuation and case."""
    words = [w.strip(".,:;?!()[]\"'").lower() for w in text.split()]
    return {tuple(words[i : i + k]) for i in range(len(words) - k + 1)}


def foreign(model: EmbeddedModel, n: int, show: int = 6) -> dict[str, float]:
    """Crossover of arbitrary English prompts: does a child hold a span of three words of each parent?"""
    if not DATA.is_dir():
        return {}
    prompts = sorted({x.strip() for f in sorted(DATA.glob("*/prompts.txt")) for x in f.read_text("utf-8").splitlines() if x.strip()})
    rng, body = Random(105), templates()
    out = {}
    for name in ("evoprompt-ga", "evoprompt-de"):
        import jinja2
        template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(body[name])
        groups = [rng.sample(prompts, len(ROLES[name])) for _ in range(n)]
        replies = model.generate([
            Ask(template.render(dict(zip(ROLES[name], g, strict=True))).strip(), 160, 0.5, 0.95, i) for i, g in enumerate(groups)])
        both = nonempty = 0
        for i, (g, r) in enumerate(zip(groups, replies, strict=True)):
            c = child_of(r.text)
            nonempty += bool(c)
            held = sum(bool(spans(c or "") & spans(p)) for p in g)
            both += held >= 2 and c not in g
            if i < show and name == "evoprompt-ga":
                print("\n".join([*(f"  {p}" for p in g), f"    -> {c or r.text}"]), file=sys.stderr)
        prefix = "foreign" if name == "evoprompt-ga" else "  foreign, evoprompt-de"
        out[f"{prefix}: spans of both parents"] = both / n
        out[f"{prefix}: not empty"] = nonempty / n
    return out


def speed(model: EmbeddedModel) -> dict[str, float]:
    """Classified inputs a second when they share a prompt; the best of three."""
    asks = [Ask(wrapped(HAND[("sign", "delivery")][0], r.text), 12) for r in reviews(600, 106)]
    model.generate(asks[:64])
    took = []
    for _ in range(3):
        begin = time.perf_counter()
        model.generate(asks)
        took.append(time.perf_counter() - begin)
    return {"inputs a second": len(asks) / min(took)}


def against_torch(model: EmbeddedModel, folder: Path, n: int) -> dict[str, float]:
    """Next-token scores of the numpy runtime and of transformers on the same float16 weights, both in float32."""
    try:
        import torch
        from transformers import AutoModelForCausalLM
    except ImportError:
        return {}
    net = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rng = Random(107)
    rows = [model.tokenizer.conversation(PROBES["aspect"](rng)[0]) for _ in range(n)]
    same, worst = 0, 0.0
    for row in rows:
        with torch.no_grad():
            theirs = torch.log_softmax(net(torch.tensor([row])).logits[0, -1].double(), -1).numpy()
        scores = model.decoder.read(model.decoder.cache(1, len(row)), [row])[0].astype(np.float64)
        ours = scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())
        same += int(ours.argmax() == theirs.argmax())
        worst = max(worst, float(np.abs(ours - theirs).max()))
    return {"torch: same arg-max": same / n, "torch: log-probability differs by": worst}


def main() -> None:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=Path)
    p.add_argument("--json", type=Path)
    p.add_argument("--quick", action="store_true", help="fewer samples")
    p.add_argument("--only", nargs="*", default=["tasks", "operators", "foreign", "speed", "torch"])
    a = p.parse_args()
    model = EmbeddedModel.load(a.model)
    folder = a.model or ROOT / "llmevo" / "llm" / "embedded" / "weights"
    n = 40 if a.quick else 200
    found: dict[str, float] = {}
    print(f"weights {model.weights_hash()}\n\n| Measure | Found | Bar |\n|---|---|---|", flush=True)
    for name, measure in {
        "foreign": lambda: foreign(model, n), "operators": lambda: operators(model, n), "speed": lambda: speed(model),
        "torch": lambda: against_torch(model, folder, 100 if a.quick else 1000), "tasks": lambda: tasks(model, n),
    }.items():
        if name in a.only:
            part = measure()
            found |= part
            # as they come: a measurement that is cut short on a busy machine is not lost
            for k, v in part.items():
                print(f"| {k.strip()} | {v:.4g} | {BARS.get(k, '')} |", flush=True)
    if a.json:
        a.json.write_text(json.dumps({"weights": model.weights_hash(), **{k.strip(): v for k, v in found.items()}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
