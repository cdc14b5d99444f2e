"""The Python face: every verb plain and async, over one implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmevo import runs
from llmevo.config import Task, check_config
from llmevo.core import ConfigError
from llmevo.core.blocking import blocking
from llmevo.core.resolve import need
from llmevo.engine import Told
from llmevo.fitness import Case, FunctionScorer, Scorer, checked, from_rows, not_test, scorer_named, split, split_of
from llmevo.fitness.cases import Splits, apart
from llmevo.library import TaskTemplate, load_prompts
from llmevo.recipes.text import common_words
from llmevo.runs import Result
from llmevo.text import TextGenome

if TYPE_CHECKING:
    from llmevo.weights.training import Trained

Examples = Sequence[Case] | Sequence[Mapping[str, Any]] | Sequence[tuple[str, str]]
Model = str | Mapping[str, Any]


async def aoptimize_prompt(
    cases: Examples,
    *,
    prompts: Sequence[str] = (),
    model: Model = "embedded",
    operator: Model | None = None,
    scorer: str | Scorer | Callable[..., Any] = "exact",
    test: Examples | float | int | None = None,
    dev: float | int = 0.5,
    select_on_test: bool = False,
    task: str | TaskTemplate | None = None,
    description: str | None = None,
    recipe: str = "evoprompt-ga",
    seed: int = 0,
    run: str | Path | None = None,
    budget: Mapping[str, float] | None = None,
    deadline: float | None = None,
    on_cohort: Callable[[Told[TextGenome]], None] | None = None,
    **settings: Any,
) -> Result:
    """Evolves a prompt for examples and a scorer; the winner is scored once on examples that the search never saw.

    `cases` are `Case`s, rows (mappings) or (input, target) pairs; they are split into `dev` and `test` unless `test` is given. Those of
    a split called `test` (a `datasets.Dataset` of that split, rows with `split: test`) are refused here unless `select_on_test`.
    `prompts` are the ones to begin with; without them the operator model writes some from the `description` and examples. `model`
    answers, `operator` writes children (by default the same); each is a name or a mapping with the keys of a run file's model.
    `task` is how a prompt wraps an input: a template, or the name of a prompt folder. `settings` are those of the recipe, e.g.
    `population=10, steps=10`. With `run` the run is a folder that can be continued; without it nothing is left behind. `deadline`
    is in seconds and is kept: calls in flight are given up. `budget` has the keys of a run file's budget; when either is spent,
    `Result.pause` is set and the best so far is there. Raises `ConfigError` for anything that cannot work, before anything is
    paid. Cancelling it stops new calls; what was recorded in a folder is not paid again.
    """
    if deadline is not None and not deadline > 0:
        raise ConfigError(f"deadline: give seconds greater than 0, not {deadline!r}")
    given = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    models = {"task": model, "operator": model if operator is None else operator}
    values = {
        "recipe": recipe,
        "seed": seed,
        "models": models,
        "task": {
            "cases": {"path": "(python)"},
            "scorer": scorer if isinstance(scorer, str) else "(python)",
            "select_on_test": select_on_test,
        },
        "budget": dict(budget or {}),
        **settings,
    }
    config = check_config(values, where="optimize_prompt")
    splits = _splits(cases, test, dev, seed, select_on_test)
    folder = load_prompts(task) if isinstance(task, str) else None
    prepared = Task(
        splits.dev,
        splits.test,
        _scorer(scorer, splits),
        folder.task if folder else task if isinstance(task, TaskTemplate) else TaskTemplate(),
        given or (folder.seeds if folder else ()),
        description,
        vocabulary=common_words([case.input for case in splits.dev]),
    )
    return await runs.run(config, prepared, folder=None if run is None else Path(run), on_cohort=on_cohort, deadline=deadline)


def optimize_prompt(cases: Examples, **options: Any) -> Result:
    """`aoptimize_prompt` for programs without an event loop: same options, same result."""
    return blocking("optimize_prompt", lambda: aoptimize_prompt(cases, **options))


async def aevolve_adapters(
    experts: Sequence[str | Path],
    cases: Examples,
    *,
    base: str,
    prompt: str = "",
    labels: Sequence[str] = (),
    scorer: str | Scorer | Callable[..., Any] = "exact",
    fitness: str = "score",
    test: Examples | float | int | None = None,
    dev: float | int = 0.5,
    select_on_test: bool = False,
    task: str | TaskTemplate | None = None,
    rank: int | None = None,
    device: str = "auto",
    recipe: str = "genome",
    seed: int = 0,
    run: str | Path | None = None,
    budget: Mapping[str, float] | None = None,
    deadline: float | None = None,
    on_cohort: Callable[[Told[Any]], None] | None = None,
    **settings: Any,
) -> Result:
    """Evolves LoRA experts (PEFT folders of one `base` model) into one for examples; `Result.export(folder)` writes the winner.

    With `labels` the most probable of them is the answer; else targets are fixed (`scorer="exact"`), or answers are decoded and scored.
    The other options are those of `aoptimize_prompt`. Raises `ConfigError` for what cannot work, before anything is computed.
    """
    values = {
        "recipe": recipe,
        "seed": seed,
        "models": {"base": {"model": base, "device": device}},
        "experts": {"folders": [str(one) for one in experts], "rank": rank},
        "task": {
            "cases": {"path": "(python)", **({"labels": list(labels)} if labels else {})},
            "scorer": scorer if isinstance(scorer, str) else "(python)",
            "fitness": fitness,
            "select_on_test": select_on_test,
        },
        "budget": dict(budget or {}),
        **settings,
    }
    config = check_config(values, where="evolve_adapters")
    splits = _splits(cases, test, dev, seed, select_on_test)
    folder = load_prompts(task) if isinstance(task, str) else None
    template = folder.task if folder else task if isinstance(task, TaskTemplate) else TaskTemplate()
    prepared = Task(splits.dev, splits.test, _scorer(scorer, splits), template, (prompt,) if prompt else ())
    return await runs.run(config, prepared, folder=None if run is None else Path(run), on_cohort=on_cohort, deadline=deadline)


def evolve_adapters(experts: Sequence[str | Path], cases: Examples, **options: Any) -> Result:
    """`aevolve_adapters` for programs without an event loop: same options, same result."""
    return blocking("evolve_adapters", lambda: aevolve_adapters(experts, cases, **options))


def train_experts(files: Sequence[str | Path], out: str | Path, *, model: str, **options: Any) -> Sequence[Trained]:
    """A pool of LoRA experts for `evolve_adapters`: a PEFT folder in `out` per file of cases, trained on `model`; see
    `llmevo.weights.training.train_experts` for the options.
    """
    need("torch", "weights", "training experts")
    from llmevo.weights import training

    return training.train_experts(files, out, model=model, **options)


def _splits(cases: Examples, test: Examples | float | int | None, dev: float | int, seed: int, select_on_test: bool) -> Splits:
    everything = _cases(cases, "cases")
    if not select_on_test:
        not_test(everything, "cases", split=split_of(cases))
    if test is None or isinstance(test, int | float):
        return split(everything, dev=dev, test=test, seed=seed)
    held_out = checked(_cases(test, "test"), "test")
    chosen = checked(everything)
    apart(chosen, held_out)
    return Splits(chosen, held_out)


def _cases(examples: Iterable[Any], where: str) -> list[Case]:
    rows = list(examples)
    if all(isinstance(row, Case) for row in rows):
        return rows
    pairs = [{"input": row[0], "target": row[1]} if isinstance(row, tuple) and len(row) == 2 else row for row in rows]
    for row in pairs:
        if not isinstance(row, Mapping):
            raise ConfigError(f"{where}: give Case objects, mappings or (input, target) pairs, not {type(row).__name__}")
    return from_rows(pairs, where=where)


def _scorer(scorer: str | Scorer | Callable[..., Any], splits: Splits) -> Scorer:
    if isinstance(scorer, str):
        labels = sorted({target for case in (*splits.dev, *splits.test) for target in case.targets})
        return scorer_named(scorer, labels if scorer == "first-label" else ())
    if hasattr(scorer, "minimum") and hasattr(scorer, "key"):
        return scorer
    return FunctionScorer(scorer)
