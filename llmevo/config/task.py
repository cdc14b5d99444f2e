"""The data of a run: examples in two splits, founding prompts, the template around them. Loaded before anything is paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from llmevo.config.schema import CasesConfig, TaskConfig
from llmevo.config.scoring import AnyScorer, JudgeConfig, ScorerConfig, SeveralConfig
from llmevo.core import ConfigError
from llmevo.core.resolve import nearest
from llmevo.fitness import (
    Case,
    FunctionScorer,
    Judging,
    Lexicographic,
    Scorer,
    Several,
    Splits,
    WeightedSum,
    apart,
    checked,
    label_names,
    load_file,
    load_hub,
    not_test,
    scorer_named,
    split,
)
from llmevo.fitness.isolated import IsolatedScorer
from llmevo.fitness.objectives import Scalarisation
from llmevo.fitness.together import SeveralJudging
from llmevo.library import TaskTemplate, load_judge, load_prompts, load_seeds
from llmevo.recipes.text import common_words
from llmevo.text.shots import ShotEdits

MOST_LABELS = 20
"""More different targets than these are no classes."""


@dataclass(frozen=True, slots=True)
class Task:
    """What prompts are evolved for, in memory."""

    dev: tuple[Case, ...]
    """Selects."""
    test: tuple[Case, ...]
    """Scored once, at the end; a search never sees it."""
    scorer: Scorer | Judging | SeveralJudging
    """A judge gets its model when the search is assembled."""
    template: TaskTemplate = field(default_factory=TaskTemplate)
    seeds: tuple[str | Mapping[str, str], ...] = ()
    description: str | None = None
    encoder: str | None = None
    """The sentence encoder, when class descriptions evolve."""
    vocabulary: tuple[str, ...] = ()
    max_tokens: int | None = None
    slots: Mapping[str, str] = field(default_factory=dict)
    """Values for the further slots of operators."""
    near: Path | None = None
    """The folder of the run file: the user's modules, operators and prompts are looked for there."""
    shots: ShotEdits | None = None
    """How examples behind the prompt evolve, and from what they are drawn."""
    shot_rate: float = 0.0


def load_task(config: TaskConfig, *, seed: int, near: Path | None) -> Task:
    """The task of a configuration. Raises `ConfigError` that says what is missing or wrong, and where."""
    splits, pool = _set_apart(_splits(config, seed, near), config, seed)
    folder = load_prompts(config.prompt, near) if config.prompt else None
    if isinstance(config.seeds, str):
        seeds: Sequence[str | Mapping[str, str]] = load_seeds(_beside(config.seeds, near))
    else:
        seeds = config.seeds if config.seeds is not None else folder.seeds if folder else ()
    if config.encoder is not None:
        seeds = _descriptions(seeds, splits.labels)
    words = config.vocabulary if config.vocabulary is not None else common_words([case.input for case in splits.dev])
    return Task(
        splits.dev,
        splits.test,
        _scorer(config.scorer, splits.labels, near),
        replace(folder.task if folder else TaskTemplate(), labels=_labels(splits)),
        tuple(seeds),
        config.description,
        _encoder(config.encoder, near),
        tuple(words),
        config.max_tokens,
        config.slots,
        near,
        None if config.shots is None else ShotEdits(pool, config.shots.most),
        0.0 if config.shots is None else config.shots.rate,
    )


def _set_apart(splits: Splits, config: TaskConfig, seed: int) -> tuple[Splits, tuple[Case, ...]]:
    """The cases without those that examples are drawn from, and these: a prompt is not scored on what it may show the answer to."""
    if config.shots is None:
        return splits, ()
    if len(splits.dev) < config.shots.pool + 2:
        raise ConfigError(
            f"task.shots.pool: {config.shots.pool} of {len(splits.dev)} dev cases would be set apart, and at least 2 have to stay: "
            f"give more cases, or a smaller pool"
        )
    cut = split(splits.dev, dev=len(splits.dev) - config.shots.pool, test=config.shots.pool, seed=seed, where="task.shots")
    return replace(splits, dev=cut.dev), cut.test


def judging(config: JudgeConfig, near: Path | None) -> Judging:
    """The judge of a configuration, still without its model."""
    template = load_judge(config.judge, near)
    criteria = {"criteria": config.criteria} if "criteria" in template.slots else {}
    return Judging(template, {**criteria, **config.slots}, config.votes, config.aggregate)


def _scorer(config: AnyScorer, labels: Sequence[str], near: Path | None) -> Scorer | Judging | SeveralJudging:
    if isinstance(config, SeveralConfig):
        scorers = {name: _one_scorer(one, labels, near) for name, one in config.objectives.items()}
        rule: Scalarisation = _in_turn(config) if config.weights is None else WeightedSum(config.weights)
        plain = {name: one for name, one in scorers.items() if not isinstance(one, Judging)}
        return Several(plain, rule) if len(plain) == len(scorers) else SeveralJudging(scorers, rule)
    return _one_scorer(config, labels, near)


def _in_turn(config: SeveralConfig) -> Lexicographic:
    return Lexicographic(tuple(config.lexicographic or ()), config.resolution)


def _one_scorer(config: str | ScorerConfig | JudgeConfig, labels: Sequence[str], near: Path | None) -> Scorer | Judging:
    return judging(config, near) if isinstance(config, JudgeConfig) else _plain_scorer(config, labels, near)


def _plain_scorer(config: str | ScorerConfig, labels: Sequence[str], near: Path | None) -> Scorer:
    if isinstance(config, str):
        return scorer_named(config, labels, near)
    if config.isolate is not None:
        scorer = IsolatedScorer(config.function, minimum=config.minimum, near=near, **config.isolate.model_dump())
        _ = scorer.key  # imports it in a worker: what cannot work is said now
        return scorer
    found = scorer_named(config.function, labels, near)
    return replace(found, minimum=config.minimum) if isinstance(found, FunctionScorer) else found


def _labels(splits: Splits) -> tuple[str, ...]:
    """The classes that a task template may list: as named, or the targets themselves if they are few."""
    found = sorted({target for case in splits.dev for target in case.targets})
    return splits.labels or (tuple(found) if len(found) <= MOST_LABELS else ())


def _splits(config: TaskConfig, seed: int, near: Path | None) -> Splits:
    where = config.cases.path or config.cases.dataset or "the cases"
    for key, one in (("task.cases", config.cases), ("task.test", config.test)):
        if isinstance(one, CasesConfig) and one.path and one.split != CasesConfig.model_fields["split"].default:
            raise ConfigError(
                f"{key}: a file has no splits, `split` belongs to `dataset`: leave it out; test cases of their own go under `task.test`"
            )
    cases = load_cases(config.cases, near)
    labels = label_names(config.cases.labels) if config.cases.labels else ()
    if not config.select_on_test:
        not_test(cases, "task.cases", split=config.cases.split if config.cases.dataset else None, path=config.cases.path)
    if not isinstance(config.test, CasesConfig):
        return split(cases, dev=config.dev, test=config.test, seed=seed, labels=labels, where=where)
    # A test file of its own: `dev` then says how many of the other examples are used, by default all.
    chosen = checked(cases, where)
    if "dev" in config.model_fields_set:
        chosen = split(cases, dev=config.dev, seed=seed, where=where).dev
    held_out = checked(load_cases(config.test, near), config.test.path or config.test.dataset or "test")
    apart(chosen, held_out, where)
    return Splits(chosen, held_out, labels)


def load_cases(config: CasesConfig, near: Path | None) -> list[Case]:
    """The examples of a file beside the run file, or of a data set of the hub."""
    columns = {str(role): column for role, column in config.columns.items()} if config.columns else None
    if config.path is None:
        assert config.dataset is not None
        return load_hub(
            config.dataset,
            split=config.split,
            config=config.name,
            columns=columns,
            labels=config.labels,
            limit=config.limit,
        )
    place = _beside(config.path, near)
    if config.made_by and not place.is_file():
        raise ConfigError(f"{place}: there is no such file yet; make it with: {config.made_by}")
    if near is not None and not place.is_file() and not Path(config.path).is_absolute():
        beside = [one.name for one in place.parent.iterdir()] if place.parent.is_dir() else []
        raise ConfigError(
            f"{place}: there is no such file{nearest(place.name, beside)}\n"
            f"A path in a run file is relative to the folder of that file, or else to where you are."
        )
    cases = load_file(place, columns=columns, labels=config.labels, format=config.format)
    return cases[: config.limit]


def _beside(path: str, near: Path | None) -> Path:
    """A path beside the run file, or else as written, if only that exists."""
    place = Path(path).expanduser()
    if near is None or place.is_absolute():
        return place
    return place if place.exists() and not (near / place).exists() else near / place


def _encoder(name: str | None, near: Path | None) -> str | None:
    """A folder beside the run file, or else the name as written: a folder, or a model of the hub."""
    return str(_beside(name, near)) if name and _beside(name, near).is_dir() else name


def _descriptions(seeds: Sequence[str | Mapping[str, str]], labels: Sequence[str]) -> list[Mapping[str, str]]:
    """Class descriptions to begin with: those given, or the bare label names."""
    if not labels:
        raise ConfigError("class descriptions need the label names: give `task: {cases: {labels: [...]}}` in the order of their ids")
    for one in seeds:
        if isinstance(one, str) or set(one) != set(labels):
            raise ConfigError(f"with an encoder every seed maps each of the labels {', '.join(labels)} to a description, not {one!r}")
    named = [{label: one[label] for label in labels} for one in seeds if not isinstance(one, str)]
    return [*named] or [{label: label for label in labels}]
