"""One draw of one pool: every method at the same number of evaluations on the same 200 validation samples."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pools import PLAIN, Regime, members, tuned
from world import LABELS, World, asking

from llmevo.breeding import ranked
from llmevo.core import Context, Individual, Seed
from llmevo.engine import evolve, stop
from llmevo.engine.loop import Told
from llmevo.recipes import planned
from llmevo.recipes.adapters import AdapterKit
from llmevo.report.summary import title
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.weights import ensemble
from llmevo.weights.answering import Answering, Resident
from llmevo.weights.genome import AdapterGenome
from llmevo.weights.hf import Base
from llmevo.weights.leaves import load_pool
from llmevo.weights.operators import OPERATORS
from llmevo.weights.phenotypes import Graded, Measure, among_labels
from llmevo.weights.population import Broken, Population

POPULATION = 10
VOTERS = (1, 3, 5, 7)
"""Sizes of an ensemble."""
RECIPES: Mapping[str, tuple[str, Mapping[str, Any], Measure]] = {
    "portfolio": ("portfolio", {}, "likelihood"),
    "random search": ("best-of-n", {"operator": "from-task"}, "likelihood"),
    "genome": ("genome", {}, "likelihood"),
    "genome-plus": ("genome-plus", {}, "likelihood"),
    "model-swarms": ("model-swarms", {}, "likelihood"),
    "lorahub": ("lorahub", {}, "likelihood"),
    "cma": ("cma", {}, "likelihood"),
    "eggroll": ("eggroll", {}, "likelihood"),
    "deep-ga": ("deep-ga", {}, "likelihood"),
    "m2n2": ("m2n2", {}, "likelihood"),
    "genome, as released": ("genome", {"as_released": True, "sigma": 0.001}, "exact"),
}
"""Name to recipe, settings, and what it maximises: the log-probability of the right answer, or accuracy as the authors do."""
GRADIENT = "gradient LoRA on the 200"


@dataclass(frozen=True)
class Sizes:
    """Samples of each part, evaluations of each search, and how long models are trained."""

    validation: int = 200
    confirmation: int = 200
    test: int = 2000
    others: int = 500
    evaluations: int = 110
    base_steps: int = 6000
    """Steps of training a base at most."""
    lesson: float = 1.0
    """Share of its cases that an expert is trained on."""


@dataclass
class Cell:
    """The parts of one draw, and the model that answers them."""

    base: Base
    world: World
    regime: Regime
    pool: Path
    draw: int
    sizes: Sizes
    folder: Path
    """Where the journals of unfinished searches lie."""
    parts: dict[str, Graded] = field(init=False)
    experts: tuple[AdapterGenome, ...] = field(init=False)
    gradient: AdapterGenome = field(init=False)

    def __post_init__(self) -> None:
        self.seed = self.world.seed.fold("draw", self.regime.name, self.draw)
        sizes = self.sizes
        every = iter(self.world.cases(self.regime.target, sizes.validation + sizes.confirmation + sizes.test, self.seed.fold("target")))
        rows = {part: list(islice(every, getattr(sizes, part))) for part in ("validation", "confirmation", "test")}
        rows["others"] = self.world.cases(self.regime.others, sizes.others, self.seed.fold("others"))
        place = self.folder / "gradient"
        tuned(self.base, rows["validation"], PLAIN, place, self.seed.fold("gradient"))
        pool = load_pool([*members(self.pool), place])
        self.experts, self.gradient = pool.genomes[:-1], pool.genomes[-1]
        self.population = Population(self.base)
        self.answering = Answering(Resident(self.population), pool.builder(OPERATORS))
        self.ask = asking(self.base)
        self.rows = rows
        self.parts = {part: self.graded(part) for part in rows}

    def graded(self, part: str, measure: Measure = "exact") -> Graded:
        """What scores adapters on a part."""
        return Graded(self.answering, lambda cases: among_labels(self.ask, cases, LABELS), self.rows[part], measure=measure)

    def right(self, part: str, genome: AdapterGenome) -> np.ndarray:
        """Per sample of a part whether the adapter is right."""
        [fitness] = asyncio.run(self.parts[part]([genome], [Context(Seed.of(0))]))
        assert fitness.ok, fitness.error
        return np.array([fitness.cases[case.id] for case in self.rows[part]])

    def answers(self, part: str, genomes: Sequence[AdapterGenome]) -> list[list[str]]:
        """[member][case]: the most probable label."""
        rows = asyncio.run(self.answering.rows(genomes, self.ask.choice(self.rows[part], LABELS)))
        assert not any(isinstance(row, Broken) for row in rows)
        return [[LABELS[int(np.argmax(one))] for one in row] for row in rows if not isinstance(row, Broken)]

    def vote(self, part: str, genomes: Sequence[AdapterGenome]) -> np.ndarray:
        """Per sample whether the vote of these adapters is right, best first."""
        cases = zip(*self.answers(part, genomes), strict=True)
        return np.array([float(ensemble.plurality(said) == case.target) for said, case in zip(cases, self.rows[part], strict=True)])

    def voters(self, genomes: Sequence[AdapterGenome]) -> Sequence[AdapterGenome]:
        """As many of the best as vote best on validation."""
        targets = [case.targets[0] for case in self.rows["validation"]]
        said = self.answers("validation", genomes)
        return genomes[: ensemble.chosen(said, lambda answer, i: float(answer == targets[i]), VOTERS)]


@dataclass(frozen=True)
class Found:
    """What a search has found."""

    births: Sequence[Individual[AdapterGenome]]
    """Everybody that lived, in order."""
    final: Sequence[Individual[AdapterGenome]]
    """The last population, best first, one of each genome."""
    best: AdapterGenome
    evaluations: int
    seconds: float


def search(cell: Cell, name: str) -> Found:
    """Runs a recipe through the engine, with a journal on disk: a search that was interrupted goes on."""
    recipe, settings, measure = RECIPES[name]
    kit = AdapterKit(cell.experts, seed=cell.seed.fold(name))
    plan = planned(recipe, kit, {"population": POPULATION, "steps": 1000, **settings})
    births: list[Individual[AdapterGenome]] = []

    def told(now: Told[AdapterGenome]) -> None:
        births.extend(birth for birth in now.births if isinstance(birth, Individual) and birth.fitness.ok)

    began = time.perf_counter()
    database = Database(cell.folder / f"{name}.sqlite")
    try:
        journal = Journal(database, MemoryBlobs(), {AdapterGenome.kind: AdapterGenome})
        limit = [stop.matings(cell.sizes.evaluations)]
        grade = cell.graded("validation", measure)
        outcome = asyncio.run(evolve(plan.strategy, grade, journal, seed=kit.seed, batch=plan.batch, stop=limit, on_cohort=told))
    finally:
        database.close()
    assert outcome.best is not None and outcome.pause is None, outcome.reason
    final = {one.genome.key: one for one in ranked(list(outcome.view.population))}
    return Found(
        births, list(final.values()), outcome.best.genome, outcome.progress.evaluations, time.perf_counter() - began
    )


def of_portfolio(found: Found, experts: int) -> dict[str, AdapterGenome]:
    """The entries of a portfolio by name, from its births in their order: experts, soups, strengths, base, average, random mixtures."""
    pool, rest = found.births[:experts], found.births[experts:]
    single = ranked(pool)[0]

    def titled(name: str) -> list[Individual[AdapterGenome]]:
        return [one for one in rest if title(one.variation) == name]

    soups, scaled, (base,), (average,) = map(titled, ("greedy soup", "expert, scaled", "base", "average"))

    def last_best(some: Sequence[Individual[AdapterGenome]]) -> AdapterGenome:
        return max(enumerate(some), key=lambda pair: (pair[1].fitness.value, pair[0]))[1].genome

    return {
        "base": base.genome,
        "best expert": single.genome,
        "best expert, scaled": ranked([single, *scaled])[0].genome,
        "average": average.genome,
        "greedy soup": last_best([single, *soups]),
    }


def run_cell(cell: Cell) -> dict[str, Any]:
    """A row: per method whether it is right on every test sample, and its other scores."""
    cell.folder.mkdir(parents=True, exist_ok=True)
    found = {name: search(cell, name) for name in RECIPES}
    entries = of_portfolio(found["portfolio"], len(cell.experts))
    entries |= {name: one.best for name, one in found.items()} | {GRADIENT: cell.gradient}
    began = time.perf_counter()
    row = {name: scored({part: cell.right(part, genome) for part in cell.parts}) for name, genome in entries.items()}
    experts = [one.genome for one in ranked(found["portfolio"].births[: len(cell.experts)])]
    evolved = [one.genome for one in found["genome-plus"].final]
    for name, some in (("vote of experts", experts), ("genome-plus, vote", evolved)):
        voting = cell.voters(some)
        row[name] = {**scored({part: cell.vote(part, voting) for part in cell.parts}), "voters": len(voting)}
    for name, one in found.items():
        row[name] |= {"evaluations": one.evaluations, "seconds": round(one.seconds, 2)}
    return {"methods": row, "scoring": round(time.perf_counter() - began, 1), "passes": cell.population.passes}


def scored(right: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Accuracy of each part; test sample by sample, packed."""
    means = {part: round(float(one.mean()), 5) for part, one in right.items()}
    return {**means, "right": np.packbits(right["test"].astype(bool)).tobytes().hex()}

