"""From a configuration to a search over several parts at once: a prompt, its examples and an adapter in one genome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmevo.breeding import Product
from llmevo.config.adapters import Evaluators, bench_of
from llmevo.config.assemble import Search, content, scorer_of, stops_of, text_kit, told_by, writers_of
from llmevo.config.schema import RunConfig
from llmevo.config.task import Task
from llmevo.core import ConfigError, Evaluate, Seed
from llmevo.fitness import Case
from llmevo.fitness.joint import Joint
from llmevo.llm.build import Connections, Model
from llmevo.recipes import ADAPTERS, Plan, planned
from llmevo.recipes.adapters import AdapterKit
from llmevo.recipes.products import ProductKit, ShotsKit
from llmevo.text.shots import PROMPT, SHOTS, with_shots

ADAPTER = "adapter"
"""The part that is weights; the others are texts."""


def prompt_of(genome: Product) -> str:
    """What the model is told: the prompt, with the examples of the genome behind it."""
    prompt = genome.taken(PROMPT).text
    return with_shots(prompt, genome.taken(SHOTS).text) if SHOTS in genome.names else str(prompt)


def assemble_joint(config: RunConfig, task: Task, fresh: Sequence[Case], connections: Connections) -> Search:
    """The search of a configuration with `genome`. Opens no connection; raises `ConfigError` for what cannot work."""
    assert config.genome is not None
    if config.recipe in ADAPTERS:
        raise ConfigError(
            f"recipe {config.recipe} is for adapters alone; where several parts evolve choose e.g. evoprompt-ga, evoprompt-de or "
            f"one-plus-one, or leave `genome` out"
        )
    if config.experts is not None and config.experts.portfolio:
        raise ConfigError("experts.portfolio scores adapters alone: leave it out, or leave `genome` out")
    if not all(isinstance(one, str) for one in task.seeds):
        raise ConfigError("beside an adapter every prompt to begin with is one text, not a mapping of parts")
    bench, seed, near = bench_of(config, task), Seed.of(config.seed), task.near
    writes = PROMPT in config.genome
    models: dict[str, Model] = writers_of(config, task, connections) if writes else {}
    texts = text_kit(task, models, seed, seeds=task.seeds if writes else (task.seeds or ("",)))
    kits: dict[str, Any] = {PROMPT: texts}
    if task.shots is not None:
        kits[SHOTS] = ShotsKit(task.shots, seed=seed, near=near)
    kits[ADAPTER] = AdapterKit(bench.pool.genomes, seed=seed, near=near, from_base=True)
    kit = ProductKit(kits, config.genome, seed=seed)
    plan: Plan[Any] = planned(config.recipe, kit, config.settings, near)
    scorer = scorer_of(config, task, connections, models, seed)

    def evaluate(cases: Sequence[Case], *, selects: bool = True) -> Evaluate[Any]:
        def under(prompt: str) -> Evaluate[Any]:
            return Evaluators(config, task, scorer, bench, prompt, shows=writes).of(cases, selects=selects)

        return Joint(prompt_of, lambda genome: genome.taken(ADAPTER), under)

    return Search(
        plan,
        evaluate(task.dev),
        None,
        evaluate(task.test, selects=False) if task.test else None,
        evaluate(fresh) if fresh else None,
        stops_of(config, plan),
        kit.founders,
        models,
        tuple(texts.instructions),
        {
            **bench.fingerprint,
            "scorer": scorer.key,
            "dev cases": content(task.dev),
            "test cases": content(task.test),
            **({} if task.shots is None else {"examples": task.shots.key}),
            **told_by(task, models),
        },
        bench.notes,
        plans_at=bench.plans_at,
    )


__all__ = ["assemble_joint", "prompt_of"]
