"""Prompts for reviews, evolved with the small model of the package: it does the task and it writes the children.

    python experiments/evoprompt/reviews.py [--seeds 10] [--smoke]

Which recipe gets from vague or half-right prompts to a right one? Every method has the same number of evaluations. Dev cases differ from
seed to seed, test cases do not; no test product, wording of a review or seed occurs in the model's training. A row names the model by the
hash of its weights and its rule of choosing tokens. Runs of the present model whose rows are in results/reviews.jsonl are skipped, and
only its rows are in the tables, which are written into REVIEWS.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "embedded_lm")]

from generate import reviews  # noqa: E402
from instructions import Instruction  # noqa: E402
from tables import bits, interval, shown, verdict  # noqa: E402

from llmevo.config import KINDS  # noqa: E402
from llmevo.core import Context, Seed  # noqa: E402
from llmevo.engine import evolve, stop  # noqa: E402
from llmevo.fitness import Case, Evaluator  # noqa: E402
from llmevo.fitness.scorers import exact  # noqa: E402
from llmevo.library.prompts import load_prompts  # noqa: E402
from llmevo.llm.embedded import EmbeddedLLM  # noqa: E402
from llmevo.recipes import recipe  # noqa: E402
from llmevo.recipes.text import TextKit  # noqa: E402
from llmevo.storage.blobs import MemoryBlobs  # noqa: E402
from llmevo.storage.database import Database  # noqa: E402
from llmevo.storage.journal import Journal  # noqa: E402
from llmevo.text import Prompted  # noqa: E402

ASKED = {"delivery": "shipping", "service": "staff"}
"""The aspects that are asked for, with another noun for each."""
STARTS = {
    "vague": ["Look at this text.", "What do you think?", "Help me with this.", "Here is a review.", "Do the task.", "Please answer."],
    "half-right": [
        "What does the buyer say about the {noun}?", "Find the opinion about the {noun}.", "Reply good or bad.",
        "Judge the price. Use the labels bad and good.", "Is the buyer happy? Answer with yes or no.", "Use one word.",
    ],
}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "seeds": ("seeds", {}),
    "random": ("random", {"operator": "mutate"}),
    "(1+1)": ("one-plus-one", {}),
    "GA": ("evoprompt-ga", {"founders": "all"}),
    "DE": ("evoprompt-de", {"founders": "all", "batch": 6}),
}
DEV, TEST, EVALUATIONS, AT_ONCE = 24, 200, 40, 24

Run = tuple[str, str, str, int]


def cases(aspect: str, n: int, seed: int) -> tuple[Case, ...]:
    right = Instruction(("sign", aspect), ("good", "bad"))
    return tuple(Case(f"{aspect}-{seed}-{i}", r.text, right.answer(r)) for i, r in enumerate(reviews(n, seed, aspect)))


async def search(run: Run, llm: EmbeddedLLM, evaluations: int, test: tuple[Case, ...]) -> dict[str, Any]:
    """One run: its row of results, with a bit for every test case."""
    aspect, start, method, number = run
    root, dev = Seed.of(number), cases(aspect, DEV, 5000 + number)
    founders = [text.format(noun=ASKED[aspect]) for text in STARTS[start]]
    name, options = METHODS[method]
    phenotype = Prompted(llm, load_prompts("reviews").task)
    kit = TextKit(founders, llm, seed=root, cases=dev)
    plan = recipe(name)(kit, **options, **({} if method == "seeds" else {"population": len(founders), "steps": evaluations}))
    database = Database(None)
    try:
        outcome = await evolve(
            plan.strategy, Evaluator(phenotype, dev, exact()), Journal(database, MemoryBlobs(), KINDS), seed=root, batch=plan.batch,
            slots=plan.slots,
            stop=[stop.evaluations(evaluations - plan.batch + 1), stop.matings(min(plan.matings, 4 * evaluations)), stop.barren(100)],
        )
    finally:
        await asyncio.to_thread(database.close)
    assert outcome.best is not None, outcome.reason
    best = outcome.best.genome
    (held_out,) = await Evaluator(phenotype, test, exact(), failures=0)([best], [Context(root)])
    return {
        "model": llm.key, "task": aspect, "start": start, "method": method, "seed": number, "evaluations": outcome.progress.evaluations,
        "dev": outcome.best.fitness.value, "test": held_out.value, "prompt": best.preview(),
        "dev_right": "".join(str(int(one)) for one in outcome.best.fitness.cases.values()),
        "test_right": "".join(str(int(one)) for one in held_out.cases.values()),
    }


def rows_of(file: Path, model: str) -> list[dict[str, Any]]:
    """The rows of one model in a file of results; rows of other weights are another study."""
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [row for row in rows if row["model"] == model]


async def study(runs: list[Run], evaluations: int, results: Path, n_test: int) -> None:
    llm, gate, began = EmbeddedLLM(), asyncio.Semaphore(AT_ONCE), time.monotonic()
    tests = {aspect: cases(aspect, n_test, 4000) for aspect in ASKED}

    async def one(run: Run) -> None:
        async with gate:
            row = await search(run, llm, evaluations, tests[run[0]])
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{time.monotonic() - began:5.0f} s  {' '.join(map(str, run))}: dev {row['dev']:.3f} test {row['test']:.3f}  {row['prompt']}",
              flush=True)

    await asyncio.gather(*(one(run) for run in runs))


def tables(rows: list[dict[str, Any]]) -> str:
    """Markdown: scores with intervals over seeds and cases, and each method against (1+1) and random search."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["start"], row["task"], row["method"]), []).append(row)
    lines = ["| begins from | asked | method | seeds | evaluations | dev | test | against (1+1) | against random |", "|---" * 9 + "|"]
    for (start, task, method), some in sorted(groups.items(), key=lambda item: (item[0][:2], list(METHODS).index(item[0][2]))):
        used = sorted({row["evaluations"] for row in some})
        rivals = []
        for rival in ("(1+1)", "random"):
            theirs = groups.get((start, task, rival))
            rivals.append("" if rival == method or not theirs else verdict(interval(bits(some, "test"), bits(theirs, "test"))))
        dev, test = (shown(interval(bits(some, part))) for part in ("dev", "test"))
        count = f"{used[0]}" if len(used) == 1 else f"{used[0]}-{used[-1]}"
        lines.append(f"| {start} | {task} | {method} | {len(some)} | {count} | {dev} | {test} | {' | '.join(rivals)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "reviews.jsonl")
    parser.add_argument("--smoke", action="store_true", help="every method once, 18 evaluations; tables on the screen only")
    options = parser.parse_args()
    runs = [(task, start, method, seed) for seed in range(options.seeds) for task in ASKED for start in STARTS for method in METHODS]
    if options.smoke:
        runs = [run for run in runs if run[3] == 0 and run[:2] == ("delivery", "half-right")]
        options.evaluations, options.out = 18, HERE / ".cache" / "reviews-smoke.jsonl"
        options.out.parent.mkdir(exist_ok=True)
        options.out.unlink(missing_ok=True)
    model = EmbeddedLLM().key
    done = {(row["task"], row["start"], row["method"], row["seed"]) for row in rows_of(options.out, model)}
    asyncio.run(study([run for run in runs if run not in done], options.evaluations, options.out, 40 if options.smoke else TEST))
    text = f"Model `{model}`.\n\n{tables(rows_of(options.out, model))}"
    if options.smoke:
        print(text)
        return
    page = HERE / "REVIEWS.md"
    begin, end = "<!-- table: begin -->", "<!-- table: end -->"
    before, _, rest = page.read_text().partition(begin)
    page.write_text(f"{before}{begin}\n{text}{end}{rest.partition(end)[2]}")


if __name__ == "__main__":
    main()
