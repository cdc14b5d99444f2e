"""From a configuration and its data to a search that can run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from llmevo.breeding import Product
from llmevo.config.racing import Race, raced, set_apart
from llmevo.config.schema import RunConfig
from llmevo.config.task import Task
from llmevo.core import ConfigError, Evaluate, Genome, Seed, Variation, content_key
from llmevo.core.resolve import resolve
from llmevo.engine import Stop, stop
from llmevo.fitness import Case, Evaluator, Judging, Phenotype, Repeated, Scorer
from llmevo.fitness.together import SeveralJudging
from llmevo.library import Template
from llmevo.llm import ModelSpec, Price
from llmevo.llm.build import Connections, Model
from llmevo.recipes import ADAPTERS, Plan, planned
from llmevo.recipes.text import TextKit
from llmevo.storage.budget import Budget
from llmevo.strategies import Confirmed
from llmevo.text import Encoded, Likelihood, Prompted, TextGenome, sentence_encoder
from llmevo.text.bag import bag_of_words
from llmevo.voting import Ballot
from llmevo.weights.genome import AdapterGenome

KINDS: Mapping[str, type[Genome]] = {one.kind: one for one in (TextGenome, AdapterGenome, Product)}
"""The genomes that run files may hold, by kind."""

EDITS = "edits"
"""The name that stands for blind edits in the place of an operator model."""

SCRIPTED = "scripted:"
WORDS = "words"
"""The name of the encoder that needs no model: hashed words."""


@dataclass(frozen=True, slots=True)
class Search:
    """Everything that `evolve` needs, and what the report wants to know."""

    plan: Plan[Any]
    evaluate: Evaluate[Any]
    """Selects, on the dev cases."""
    phenotype: Phenotype[Any] | None
    """None where nothing is answered in words."""
    held_out: Evaluate[Any] | None
    """The scorer on the test cases."""
    fresh: Evaluate[Any] | None
    """With racing: the measure that selects, on the cases of the crowning, which the search never sees."""
    stops: tuple[Stop, ...]
    founders: Sequence[Variation[Any]]
    models: Mapping[str, Model]
    """By role: task, operator (further ones: operator 2, ...), judge."""
    instructions: Sequence[Template]
    """The operators that the operator model follows."""
    fingerprint: Mapping[str, str]
    """Keys of what decides the run besides the configuration: data, scorer, models."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What the record keeps besides, so that the winner can be written down later: name to text."""
    plans_at: Callable[[Path | None], None] | None = None
    """With a base model in memory: tells where it is written how cohorts go through it."""
    ballot: Ballot | None = None
    """How the best vote at the end, with a recipe that lets them."""
    race: Race | None = None
    """With racing: how births race, and how the winner is crowned."""


def text_kit(task: Task, models: Mapping[str, Model], seed: Seed, **more: Any) -> TextKit:
    """The kit of a task's prompts, with the operator models among `models`. `more` are further settings of the kit, or others in place."""
    settings: dict[str, Any] = {
        "seeds": task.seeds, "cases": task.dev, "description": task.description, "vocabulary": task.vocabulary, "slots": task.slots,
        "near": task.near, "more": [model for role, model in models.items() if role.startswith("operator ")],
    }  # fmt: skip
    return TextKit(llm=models.get("operator"), seed=seed, **{**settings, **more})


def assemble(config: RunConfig, task: Task, connections: Connections) -> Search:
    """The search of a configuration. Opens no connection; raises `ConfigError` for a missing key, model, operator or setting."""
    task, fresh = set_apart(config, task)
    if config.genome is not None:
        from llmevo.config.joint import assemble_joint

        return _guarded(assemble_joint(config, task, fresh, connections), config, task, fresh)
    if config.experts is not None:
        from llmevo.config.adapters import assemble_adapters

        return _guarded(assemble_adapters(config, task, fresh, connections), config, task, fresh)
    if config.models.base is not None or config.recipe in ADAPTERS:
        raise ConfigError(
            f"{'recipe ' + config.recipe if config.recipe in ADAPTERS else 'models.base'} is for adapters, and no experts are given: add "
            f"`experts: [folder, ...]`, at least two PEFT folders (`llmevo train-experts` makes some)"
        )
    models: dict[str, Model] = {}
    if task.encoder is None:
        models["task"] = connected(connections, config.models.task or next(iter(config.models.operators), None), "task", task.near)
    models |= writers_of(config, task, connections)
    seed = Seed.of(config.seed)
    scorer = scorer_of(config, task, connections, models, seed)
    kit = text_kit(task, models, seed, shots=task.shots, shot_rate=task.shot_rate)
    plan: Plan[TextGenome] = planned(config.recipe, kit, config.settings, task.near)

    def evaluator(cases: tuple[Case, ...]) -> Evaluator[TextGenome]:
        if task.encoder is not None:
            return Evaluator(Encoded(_encoder(task.encoder), key=config.task.encoder or task.encoder), cases, scorer)
        return Evaluator(Prompted(models["task"], task.template, max_tokens=task.max_tokens), cases, scorer)

    def selecting(cases: tuple[Case, ...]) -> Evaluate[TextGenome]:
        plain = evaluator(cases)
        if config.task.fitness == "likelihood" and isinstance(plain.phenotype, Encoded):
            return Likelihood(plain.phenotype, cases)
        return plain

    dev = evaluator(task.dev)
    search = Search(
        plan,
        selecting(task.dev),
        dev.phenotype,
        evaluator(task.test) if task.test else None,
        selecting(fresh) if fresh else None,
        stops_of(config, plan),
        kit.founders,
        models,
        tuple(kit.instructions),
        {
            "answers": dev.phenotype.key,
            "scorer": scorer.key,
            "dev cases": content(task.dev),
            "test cases": content(task.test),
            **({} if task.shots is None else {"examples": task.shots.key}),
            **told_by(task, models),
        },
    )
    return _guarded(search, config, task, fresh)


def writers_of(config: RunConfig, task: Task, connections: Connections) -> dict[str, Model]:
    """The models that write children, by role; none where blind edits stand in their place."""
    writers = config.models.operators or (config.models.task,)
    if all(writer is not None and writer.model == EDITS for writer in writers):
        return {}
    roles = ["operator", *(f"operator {i}" for i in range(2, len(writers) + 1))]
    return {role: connected(connections, one, "operator", task.near) for role, one in zip(roles, writers, strict=True)}


def _guarded(search: Search, config: RunConfig, task: Task, fresh: Sequence[Case]) -> Search:
    """The search in which a would-be best is scored again, and in which births race, if that is asked for."""
    plan, evaluate = search.plan, search.evaluate
    if config.confirm is not None:
        confirmed = Confirmed(plan.strategy, config.confirm, seed=Seed.of(config.seed))
        plan, evaluate = replace(plan, strategy=confirmed), Repeated(evaluate)
    prints = {**search.fingerprint, "fresh cases": content(fresh)} if fresh else search.fingerprint
    plan, race = raced(config, plan, task.dev, len(fresh))
    return replace(search, plan=plan, evaluate=evaluate, fingerprint=prints, race=race)


def scorer_of(config: RunConfig, task: Task, connections: Connections, models: dict[str, Model], seed: Seed) -> Scorer:
    """The scorer of a task; a judge gets its model, also where it is one of several scorers."""
    if not isinstance(task.scorer, Judging | SeveralJudging):
        if config.models.judge is not None:
            raise ConfigError("models.judge: nobody is judged; add `task: {scorer: {judge: rubric}}`, or leave the model out")
        return task.scorer
    models["judge"] = connected(connections, config.models.judge, "judge", task.near)
    return task.scorer.by(models["judge"], seed)


def told_by(task: Task, models: Mapping[str, Model]) -> dict[str, str]:
    """Keys of the prompts to begin with and of those who write their children."""
    writers = [model.key for role, model in models.items() if role.startswith("operator")]
    seeds = [dict(one) if isinstance(one, Mapping) else one for one in task.seeds]
    return {"seeds": content_key(seeds), "operator model": " and ".join(writers) or EDITS}


def content(cases: Sequence[Case]) -> str:
    """A key of what the cases say."""
    return content_key([[case.id, case.input, case.target, dict(case.fields)] for case in cases])


def budget_of(config: RunConfig) -> Budget:
    """The budget of calls of a configuration, with nothing spent."""
    return Budget(**config.budget.model_dump(exclude={"evaluations"}))


def evaluations_of(config: RunConfig) -> Budget:
    """The budget of evaluations, with nothing spent. It is another one, because an evaluation waits for the calls that it makes:
    in one line with them it would wait for itself.
    """
    return Budget(evaluations=config.budget.evaluations, seconds=config.budget.seconds)


def stops_of(config: RunConfig, plan: Plan[Any]) -> tuple[Stop, ...]:
    """When the run ends."""
    # A failure is spoken of before a run counts as done.
    stops = [stop.failures(config.stop.fail_on_error, plan.matings)]
    if config.racing is None:  # a race counts its births itself: matings are laps, too
        stops.append(stop.matings(plan.matings))
    stops.append(stop.barren(config.stop.barren))
    if config.stop.target is not None:
        stops.append(stop.target(config.stop.target))
    if config.stop.stagnation is not None:
        stops.append(stop.stagnation(config.stop.stagnation))
    stops += [stop.within(unit, limit, plan.batch * plan.slots) for unit, limit in config.stop.within.items()]
    if config.stop.evaluations is not None:
        stops.append(stop.evaluations(config.stop.evaluations))
    return tuple(stops)


def connected(connections: Connections, model: Any, role: str, near: Path | None) -> Model:
    """The model of a role. A `ConfigError` says which key of the run file it is about."""
    spec = _spec(model, role, near)
    try:
        return connections.connect(spec)
    except ConfigError as error:
        raise ConfigError(f"models.{role}: {error}") from None


def _spec(model: Any, role: str, near: Path | None) -> ModelSpec:
    if model is None or model.model == EDITS:
        raise ConfigError(
            f"which model is the {role} model? Add e.g. `models: {{{role}: embedded}}`, or a name with its `base_url`; "
            f"docs/models.md shows every kind"
        )
    return imported(spec_of(model.model_dump()), near)


def imported(spec: ModelSpec, near: Path | None) -> ModelSpec:
    """The same spec; the functions of scripted models are imported, from beside the run file (or the current folder), too."""
    one: ModelSpec | None = spec
    while one is not None:
        if one.model.startswith(SCRIPTED):
            resolve(one.model.removeprefix(SCRIPTED), near)
        one = one.fallback
    return spec


def spec_of(values: dict[str, Any]) -> ModelSpec:
    """The spec of a model from the checked values of its section."""
    price, other = values.pop("price"), values.pop("fallback")
    if other is not None and other["model"] == EDITS:
        raise ConfigError("fallback: blind edits cannot answer what a model refuses; name another model")
    return ModelSpec(
        **values, price=None if price is None else Price(**price), fallback=None if other is None else spec_of(other)
    )


@cache
def _encoder(name: str) -> Any:
    return bag_of_words if name == WORDS else sentence_encoder(name)
