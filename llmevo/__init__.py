"""llmevo: one evolutionary engine for prompts, answers and model weights.

A tour of the package, from the top down:

* `optimize_prompt(cases, model=...)` evolves a prompt for your examples; `aoptimize_prompt` is its async twin.
* `refine(question, check, model=...)` refines one answer at inference time; `arefine` is its async twin.
* `compare(files, budget="calls=2000")` runs several run files at equal budgets and tells them apart; `acompare` is its async twin.
* `recipes` are named algorithms: each a function of about ten lines that composes what follows.
* `strategies` plan matings and are told births: `Founding`, `Genetic`, `Distribution`, `Islands`, `sequence`, `alternate`.
* `breeding` holds selections (who the parents are), successions (who lives on) and combinators of variations.
* `engine` runs a strategy: `evolve` is the loop, `Schedule` lets you own the loop, `replay` repeats a recorded run.
* `text` is one representation: `TextGenome`, operators that instruct a model, edits that need none, phenotypes.
* `fitness` scores: cases, scorers, the evaluator; a plain function will do (`FunctionFitness`).
* `llm` talks to models: any OpenAI-compatible endpoint, and a ledger that never pays for an answer twice.
* `storage` keeps the journal; `core` holds the words: `Genome`, `Individual`, `Mating`, `Fitness`, `View`, `Seed`.

Importing this package loads nothing heavy: names are looked up when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_LAZY = {
    "aoptimize_prompt": "face",
    "optimize_prompt": "face",
    "aevolve_adapters": "face",
    "evolve_adapters": "face",
    "train_experts": "face",
    "Result": "runs",
    "acompare": "comparing",
    "compare": "comparing",
    "arefine": "refining",
    "refine": "refining",
    "Refined": "refined",
    "Verdict": "fitness.check",
    "Case": "fitness",
    "Evaluator": "fitness",
    "FunctionFitness": "fitness",
    "Score": "fitness",
    "Context": "core",
    "Fitness": "core",
    "Genome": "core",
    "Individual": "core",
    "Mating": "core",
    "Seed": "core",
    "View": "core",
    "LlmevoError": "core",
    "ConfigError": "core",
    "Pause": "core",
    "VariationFailed": "core",
    "Schedule": "engine",
    "evolve": "engine",
    "replay": "engine",
    "stop": "engine",
    "Distribution": "strategies",
    "Founding": "strategies",
    "Genetic": "strategies",
    "Islands": "strategies",
    "alternate": "strategies",
    "sequence": "strategies",
    "TextGenome": "text",
    "ModelSpec": "llm",
}

if TYPE_CHECKING:
    from llmevo.comparing import acompare, compare
    from llmevo.core import (
        ConfigError,
        Context,
        Fitness,
        Genome,
        Individual,
        LlmevoError,
        Mating,
        Pause,
        Seed,
        VariationFailed,
        View,
    )
    from llmevo.engine import Schedule, evolve, replay, stop
    from llmevo.face import aevolve_adapters, aoptimize_prompt, evolve_adapters, optimize_prompt, train_experts
    from llmevo.fitness import Case, Evaluator, FunctionFitness, Score
    from llmevo.fitness.check import Verdict
    from llmevo.llm import ModelSpec
    from llmevo.refined import Refined
    from llmevo.refining import arefine, refine
    from llmevo.runs import Result
    from llmevo.strategies import Distribution, Founding, Genetic, Islands, alternate, sequence
    from llmevo.text import TextGenome

__all__ = [
    "Case", "ConfigError", "Context", "Distribution", "Evaluator", "Fitness", "Founding", "FunctionFitness", "Genetic", "Genome",
    "Individual", "Islands", "LlmevoError", "Mating", "ModelSpec", "Pause", "Refined", "Result", "Schedule", "Score", "Seed", "TextGenome",
    "VariationFailed", "Verdict", "View", "acompare", "aevolve_adapters", "alternate", "aoptimize_prompt", "arefine", "compare", "evolve",
    "evolve_adapters", "optimize_prompt", "refine", "replay", "sequence", "stop", "train_experts",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'llmevo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"llmevo.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
