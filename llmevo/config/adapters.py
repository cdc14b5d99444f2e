"""From a configuration with experts to a search over adapters, and from its record to the winner's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmevo.config.assemble import Search, content, scorer_of, stops_of
from llmevo.config.models import BaseConfig
from llmevo.config.schema import ExpertsConfig, RunConfig
from llmevo.config.task import Task
from llmevo.core import ConfigError, Evaluate, Seed, canonical, content_key
from llmevo.core.resolve import need
from llmevo.fitness import Case, Evaluator, Scorer, label_names
from llmevo.llm.build import Connections, Model
from llmevo.recipes import REFINEMENTS, Plan, planned
from llmevo.recipes.adapters import AdapterKit
from llmevo.recipes.weights import after_portfolio
from llmevo.storage.seals import note_export
from llmevo.voting import Ballot

if TYPE_CHECKING:
    from llmevo.weights.answering import Answering
    from llmevo.weights.asking import Asking
    from llmevo.weights.genome import AdapterGenome
    from llmevo.weights.gradient import Gradient, Teacher
    from llmevo.weights.leaves import Pool
    from llmevo.weights.phenotypes import Adapted
    from llmevo.weights.population import Population

EXPERTS = "experts"
"""The name of the record that says where the experts of a run lie."""
LESSON = "lesson"
"""The name of the record of what a gradient is trained on, so that what came of it can be made again."""
EMBEDDED = "embedded"


@dataclass(frozen=True)
class Bench:
    """What a search over adapters stands on: the experts that were read, the base model in memory, and what its record keeps of both."""

    pool: Pool
    population: Population
    answering: Answering
    teacher: Teacher
    fingerprint: Mapping[str, str]
    notes: Mapping[str, str]

    def plans_at(self, path: Path | None) -> None:
        """Where it is written how cohorts go through the model, so that a later sitting of the run does it in the same way; None: nowhere.
        """
        from llmevo.weights.plans import Plans

        self.population.plans = Plans(path)


def bench_of(config: RunConfig, task: Task) -> Bench:
    """Reads the experts of a configuration, then loads its base model. Raises `ConfigError` for what cannot work."""
    assert config.experts is not None
    base = config.models.base
    if base is None:
        raise ConfigError("experts are given, and no base model: add `models: {base: NAME}`, the model that they were trained on")
    if config.recipe in REFINEMENTS:
        raise ConfigError(f"recipe {config.recipe} refines answers; for adapters choose e.g. `recipe: genome`")
    if task.encoder is not None:
        raise ConfigError("`phenotype: encoded` scores class descriptions, not adapters: leave it out")
    need("torch", "weights", "evolving adapters")
    folders = expert_folders(config.experts, task.near)
    pool = _pool(folders, base.model, config.experts)

    from llmevo.weights.answering import Answering, Resident
    from llmevo.weights.asking import Asking
    from llmevo.weights.gradient import OPERATOR, Teacher
    from llmevo.weights.operators import OPERATORS
    from llmevo.weights.training import lessons

    population = resident(base.model if base.model == EMBEDDED else _found(base.model, task.near), base)
    where = {
        "base": pool.base,
        "revision": pool.experts[0].revision,
        "folders": [str(folder.resolve()) if folder.is_dir() else str(folder) for folder in folders],
        "rank": config.experts.rank,
        "missing": config.experts.missing,
        "contents": [leaf.settings["content"] for leaf in pool.genomes],
    }
    asking = Asking(population.base, _prompt(task), task.template)
    teacher = Teacher(lambda: population.base, pool.modules, lambda: lessons(asking, task.dev))
    return Bench(
        pool,
        population,
        Answering(Resident(population), pool.builder({**OPERATORS, OPERATOR: teacher})),
        teacher,
        {"base": population.base.key, "experts": content_key([leaf.key for leaf in pool.genomes])},
        {EXPERTS: canonical(where)},
    )


def assemble_adapters(config: RunConfig, task: Task, fresh: Sequence[Case], connections: Connections) -> Search:
    """The search of a configuration with experts, of which the adapter alone evolves."""
    bench = bench_of(config, task)
    whole = () if config.racing else [case.id for case in task.dev]  # a race divides the cases itself
    kit = AdapterKit(bench.pool.genomes, seed=Seed.of(config.seed), near=task.near, gradient=_gradient(bench, task), cases=whole)
    plan: Plan[Any] = planned(config.recipe, kit, config.settings, task.near)
    if config.experts is not None and config.experts.portfolio:
        plan = after_portfolio(kit, plan)
    models: dict[str, Model] = {}
    scorer = scorer_of(config, task, connections, models, kit.seed)
    evaluator = Evaluators(config, task, scorer, bench, _prompt(task))
    return Search(
        plan,
        evaluator.of(task.dev),
        None,
        evaluator.of(task.test, selects=False) if task.test else None,
        evaluator.of(fresh) if fresh else None,
        stops_of(config, plan),
        kit.founders,
        models,
        (),
        {
            **bench.fingerprint,
            "scorer": scorer.key,
            "dev cases": content(task.dev),
            "test cases": content(task.test),
        },
        {**bench.notes, **({LESSON: bench.teacher.dump()} if kit.teaches else {})},
        plans_at=bench.plans_at,
        ballot=evaluator.ballot(plan.vote) if plan.vote > 1 else None,
    )


def _prompt(task: Task) -> str:
    """The words around every input."""
    return next((seed for seed in task.seeds if isinstance(seed, str)), "")


def _gradient(bench: Bench, task: Task) -> Gradient | None:
    """A founder that is trained on the dev cases; None when one of them says no right answer."""
    from llmevo.weights.gradient import Gradient

    if any(not case.targets[0].strip() for case in task.dev):
        return None
    return Gradient(bench.teacher.lesson, bench.pool.rank)


class Evaluators:
    """How adapters are scored under one prompt: directly where the right answer is fixed, else by the scorer on decoded answers.

    With `shows` answers are always given in words, so that what went wrong can be shown to those who write prompts.
    """

    def __init__(self, config: RunConfig, task: Task, scorer: Scorer, bench: Bench, prompt: str, *, shows: bool = False) -> None:
        from llmevo.weights.asking import Asking

        self.asking: Asking = Asking(bench.population.base, prompt, task.template)
        self.answering, self.task, self.scorer, self.shows = bench.answering, task, scorer, shows
        self.labels = label_names(config.task.cases.labels) if config.task.cases.labels else ()
        self.measure = config.task.fitness
        self.fixed = config.task.scorer == "exact"

    def of(self, cases: Sequence[Case], *, selects: bool = True) -> Evaluate[Any]:
        from llmevo.weights.phenotypes import Graded, among_labels, fixed_targets

        likely = selects and self.measure == "likelihood"
        if self.fixed and (likely or not self.shows):
            measure: Any = "likelihood" if likely else "exact"
            if self.labels:
                return Graded(self.answering, lambda some: among_labels(self.asking, some, self.labels), cases, measure=measure)
            return Graded(self.answering, lambda some: fixed_targets(self.asking, some), cases, measure=measure)
        if self.measure == "likelihood" and not self.fixed:
            raise ConfigError("`fitness: likelihood` needs fixed targets (`scorer: exact`), not a scorer of answers")
        return Evaluator(self._answers, tuple(cases), self.scorer)

    def ballot(self, most: int) -> Ballot:
        """How up to so many vote: by what they say, also where the search grades without a word."""
        return Ballot(self._answers, self.scorer, self.task.dev, self.task.test, most)

    @cached_property
    def _answers(self) -> Adapted:
        from llmevo.weights.phenotypes import Adapted

        return Adapted(self.answering, self.asking, labels=self.labels, most=self.task.max_tokens or 64)


@lru_cache(maxsize=1)
def resident(name: str, base: BaseConfig) -> Population:
    """The base model in memory; it stays for the next sitting of this process."""
    from llmevo.weights.hf import BaseSpec
    from llmevo.weights.population import Population
    from llmevo.weights.training import embedded_folder

    place = embedded_folder() if name == EMBEDDED else name
    return Population(BaseSpec(place, device=base.device, dtype=base.dtype, revision=base.revision).load())


def expert_folders(config: ExpertsConfig, near: Path | None) -> list[Path]:
    """The folders of the experts: those given, beside the run file; one that holds several stands for all of them."""
    found: list[Path] = []
    for name in config.folders:
        place = Path(_found(name, near))
        inner = sorted(path.parent for path in place.glob("*/adapter_config.json")) if place.is_dir() else []
        found += inner if inner and not (place / "adapter_config.json").is_file() else [place]
    return found


def _pool(folders: Sequence[Path], base: str | None, config: ExpertsConfig) -> Pool:
    from llmevo.weights.leaves import load_pool

    return load_pool(folders, base=base, rank=config.rank, missing=config.missing)


def _found(name: str, near: Path | None) -> str:
    """A path beside the run file, if there is one; else as written: a folder, or a name on the hub."""
    place = Path(name).expanduser()
    if near is not None and not place.is_absolute() and (near / place).exists():
        return str(near / place)
    return str(place) if place.exists() else name


def export_genome(genome: AdapterGenome, meta: Mapping[str, str], folder: Path, *, run: Path | None = None) -> Path:
    """Writes the adapter of a recorded genome as a PEFT folder. `meta` are the notes of its run, and `run` the folder that lists what
    came of it. Raises `ConfigError` when the experts have moved or changed: a recipe is only as good as its leaves.
    """
    if EXPERTS not in meta:
        raise ConfigError("this run holds no adapters: nothing to write as a folder")
    need("torch", "weights", "writing an adapter")
    from llmevo.weights.export import export
    from llmevo.weights.operators import OPERATORS

    notes = json.loads(meta[EXPERTS])
    config = ExpertsConfig(folders=notes["folders"], rank=notes["rank"], missing=notes["missing"])
    pool = _pool([Path(name) for name in notes["folders"]], None, config)
    for leaf, before, place in zip(pool.genomes, notes.get("contents", ()), notes["folders"], strict=False):
        if leaf.settings["content"] != before:
            raise ConfigError(f"the expert in {place} is not the one that this run began with: put that one back, or evolve anew")
    operators = dict(OPERATORS)
    if LESSON in meta:
        from llmevo.weights.gradient import OPERATOR, Teacher

        def base() -> Any:
            return resident(notes["base"], BaseConfig(model=notes["base"], revision=notes["revision"])).base

        operators[OPERATOR] = Teacher.load(meta[LESSON], base, pool.modules)
    adapter = pool.builder(operators).build(genome)
    fan = pool.experts[0].fan_in_fan_out
    if run is not None:
        note_export(run, folder, done=False)
    written = export(adapter, folder, base=notes["base"], revision=notes["revision"], fan_in_fan_out=fan).folder
    if run is not None:
        note_export(run, folder, done=True)
    return written


def export_voters(genomes: Sequence[AdapterGenome], meta: Mapping[str, str], folder: Path, *, run: Path | None = None) -> Path:
    """Writes the adapters that vote as PEFT folders `1`, `2`, ... in a folder, best first, each loaded back and compared."""
    if folder.exists():
        raise ConfigError(f"{folder} exists: choose another name, or remove it")
    for number, genome in enumerate(genomes, start=1):
        export_genome(genome, meta, folder / str(number), run=run)
    return folder
