"""The keys of a run file, typed. Unknown keys, wrong types and values out of range are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of a run file: no unknown keys, no silent conversions (`yes` is no boolean, `1e-3` in quotes no number)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class PriceConfig(Section):
    """US dollars per million tokens."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]


class ModelConfig(Section):
    """A language model: `embedded`, a name at an OpenAI-compatible `base_url`, `openai/NAME` or `litellm/PROVIDER/NAME`."""

    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; never the key itself."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Count | None = None
    price: PriceConfig | None = None
    timeout: Amount = 120.0
    attempts: Count = 6
    max_wait: Amount = 600.0
    give_up: Count = 20
    """Questions in a row, of more than one genome, at which the server fails until the run pauses."""
    max_tokens_if_cut: Count | None = None
    """A larger bound with which an answer that was cut at `max_tokens` is asked for once more."""
    fallback: ModelConfig | None = None
    """Another model, which is asked what this one refuses."""
    in_flight: Count | None = None
    seed: bool = False
    extra: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        """The other model may be given by its name alone, too."""
        if isinstance(value, Mapping) and isinstance(value.get("fallback"), str):
            return {**value, "fallback": {"model": value["fallback"]}}
        return value


def _named(value: Any) -> Any:
    """A model that is given by its name alone, or several of them."""
    if isinstance(value, list):
        return [_named(one) for one in value]
    return {"model": value} if isinstance(value, str) else value


def _one_or_several(value: Any) -> str:
    return "list[ModelConfig]" if isinstance(value, list | tuple) else "ModelConfig"


OneOrSeveral = Annotated[
    Annotated[ModelConfig, Tag("ModelConfig")] | Annotated[list[ModelConfig], Tag("list[ModelConfig]"), Field(min_length=1)],
    Discriminator(_one_or_several),
]


class BaseConfig(Section):
    """The model whose adapters evolve: a folder, a name on the hub, or `embedded`."""

    model: str
    revision: str | None = None
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"


class Models(Section):
    """Who does the task, who writes the children, who judges. `operator: edits` needs no model: blind edits of words. `base` is the model
    whose adapters evolve."""

    task: ModelConfig | None = None
    operator: OneOrSeveral | None = None
    """One, or several among which a recipe with `choose: bandit` finds who gains most for its cost."""
    judge: ModelConfig | None = None
    base: BaseConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """A model may be given by its name alone."""
        if isinstance(value, Mapping):
            return {key: _named(one) for key, one in value.items()}
        return value

    @property
    def operators(self) -> tuple[ModelConfig, ...]:
        """Those who write children, the first one first."""
        several = self.operator if isinstance(self.operator, list) else [self.operator]
        return tuple(one for one in several if one is not None)


class CasesConfig(Section):
    """Where examples come from: a file (`path`), or a data set of the hub (`dataset`, `split`)."""

    path: str | None = None
    dataset: str | None = None
    name: str | None = None
    """The configuration of the hub's data set."""
    split: str = "train"
    columns: dict[Literal["input", "target", "id"], str] | None = None
    labels: list[str] | dict[str, str] | None = None
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = None
    limit: Count | None = None

    @model_validator(mode="after")
    def _one_source(self) -> CasesConfig:
        if (self.path is None) == (self.dataset is None):
            raise ValueError("give either path (a file) or dataset (a name on the hub)")
        return self


class ExpertsConfig(Section):
    """The adapters to begin with."""

    folders: list[str]
    """PEFT folders, or one folder that holds them."""
    rank: Count | None = None
    """Rank of the children, needed where the experts have different ones; larger experts are cut to it."""
    missing: Literal["reject", "zeros"] = "reject"
    """Whether an expert may leave modules unchanged that others change."""

    @model_validator(mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        """The folders may be given alone."""
        if isinstance(value, str):
            return {"folders": [value]}
        return {"folders": value} if isinstance(value, list) else value


Share = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)]


class IsolateConfig(Section):
    """How a function runs in worker processes. Free on resume: it decides how a score is computed, not which."""

    timeout: Amount = 60.0
    """Seconds for one call; then its process and all that it started are ended."""
    memory_mb: Amount | None = None
    """What calls may allocate beyond what importing the function took."""
    workers: Count = 1
    recycle: Count = 1000
    """Calls after which a worker is replaced."""
    recycle_mb: Amount | None = None
    """Memory gained since the import, over which a worker is replaced; by default half of `memory_mb`."""
    grace: Annotated[float, Field(ge=0)] = 5.0
    startup: Amount = 60.0
    env: list[str] = []
    """Environment variables that the function needs; it sees no keys unless they are named here."""


class ScorerConfig(Section):
    """A scorer function of yours: `module:name` beside the run file or installed."""

    function: Annotated[str, Field(pattern=":")]
    minimum: float = 0.0
    """The score of an answer that did not come."""
    isolate: IsolateConfig | None = None
    """`{}` for worker processes with the usual limits; without it the function runs in a thread of this process."""


CRITERIA = "the answer is right, complete, to the point and clear"


class JudgeConfig(Section):
    """A model as scorer: `models.judge` grades answers (`rubric`), or compares them with the target (`pairwise`)."""

    judge: str
    """A file of `prompts/judges/`, by name."""
    votes: Count = 3
    """Samples of the judge for each answer; a comparison asks each of them twice, with the sides swapped."""
    aggregate: Literal["median", "mean"] | None = None
    """By default the median of grades and the mean of comparisons."""
    criteria: str = CRITERIA
    """What counts, for the slot of that name."""
    slots: dict[str, str] = {}
    """Values for further slots of a judge of yours."""


class AnswerJudgeConfig(JudgeConfig):
    """A model as the check of one answer that is refined."""

    model: ModelConfig | None = None
    """Who judges; by default the model that answers, which is kind to answers of its own."""
    good: Annotated[float, Field(gt=0, le=1)] | None = None
    """From this score on (0 to 1) an answer is valid and ends the search."""
    references: list[str] = []
    """What answers are compared with."""
    panel: Count = 3
    """Without references: so many samples of the answering model, drawn before the search and the same to its end."""

    @model_validator(mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        """The model may be given by its name alone."""
        if isinstance(value, Mapping) and isinstance(value.get("model"), str):
            return {**value, "model": {"model": value["model"]}}
        return value


class SeveralConfig(Section):
    """Several scorers, each an objective, and how they become the one value by which a winner is named."""

    objectives: dict[str, str | ScorerConfig]
    """Name to a shipped scorer, `module:name`, or `{function: ...}`."""
    weights: dict[str, float] | None = None
    """A weighted sum; a negative weight is for what should be small."""
    lexicographic: list[str] | None = None
    """One after the other: the next decides where two are in the same step of the one before."""
    resolution: Annotated[float, Field(ge=1e-6)] = 0.01
    """The step of `lexicographic`."""

    @model_validator(mode="after")
    def _one_rule(self) -> SeveralConfig:
        if (self.weights is None) == (self.lexicographic is None):
            raise ValueError("say how the objectives become one value: either `weights: {...}` or `lexicographic: [...]`")
        return self


def _scorer_kind(value: Any) -> str:
    """Which kind of scorer is meant, so that only its own keys are spoken of in an error."""
    if isinstance(value, Section):
        return type(value).__name__
    if not isinstance(value, Mapping):
        return "str"
    kinds = {"judge": JudgeConfig, "objectives": SeveralConfig}
    return next((kind.__name__ for name, kind in kinds.items() if name in value), ScorerConfig.__name__)


AnyScorer = Annotated[
    Annotated[str, Tag("str")]
    | Annotated[ScorerConfig, Tag(ScorerConfig.__name__)]
    | Annotated[JudgeConfig, Tag(JudgeConfig.__name__)]
    | Annotated[SeveralConfig, Tag(SeveralConfig.__name__)],
    Discriminator(_scorer_kind),
]


class ShotsConfig(Section):
    """Worked examples behind the prompt that evolve with it: added, dropped, swapped, put in another order."""

    pool: Count = 20
    """How many dev cases are set apart to draw examples from; prompts are not scored on them."""
    most: Count = 4
    """Examples behind one prompt."""
    rate: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The share of children that get other examples instead of another text."""


class TaskConfig(Section):
    """What the prompts are for: examples, how answers are scored, where the search begins."""

    cases: CasesConfig
    dev: Share = 0.5
    """Examples that select: a count, or a share."""
    test: Share | CasesConfig | None = None
    """Examples that are scored once at the end: a count, a share, a file of their own, or what `dev` leaves (default)."""
    scorer: AnyScorer = "exact"
    """A shipped scorer, `module:name`, `{function: module:name, isolate: {...}}`, `{judge: rubric, ...}`, or
    `{objectives: {...}, weights: {...}}`."""
    prompt: str | None = None
    """A prompt folder: how a prompt wraps an input, and seeds."""
    seeds: list[str | dict[str, str]] | str | None = None
    """Prompts to begin with: a list, or a file with one a line. By default those of the prompt folder."""
    shots: ShotsConfig | None = None
    """`{}`: examples evolve with the prompt."""
    description: str | None = None
    """The task in words, for operators that write prompts from a description and examples."""
    slots: dict[str, str] = {}
    """Values for the further slots that operators declare, by name."""
    fitness: Literal["score", "likelihood"] = "score"
    """What selects: the mean score, or, with an encoder or with adapters, the smoother mean log-likelihood of the right answer, which
    over-fits few examples less. The test cases are scored by the scorer in any case."""
    phenotype: Literal["prompted", "encoded"] = "prompted"
    """`prompted`: the model answers each input. `encoded`: the nearest class description wins, by a sentence encoder."""
    encoder: str | None = None
    """Folder or hub name of the sentence encoder; `words` needs no model (hashed words, knows no synonyms)."""
    vocabulary: list[str] | None = None
    """Words that blind edits may insert; by default those of the seeds."""
    max_tokens: Count | None = None

    @model_validator(mode="after")
    def _encoder(self) -> TaskConfig:
        if (self.phenotype == "encoded") != (self.encoder is not None):
            raise ValueError("`phenotype: encoded` and `encoder: ...` go together")
        if self.shots is not None and self.encoder is not None:
            raise ValueError("`shots` are read by a model that answers; an encoder reads none")
        return self


class BudgetConfig(Section):
    """What a run may spend in all its sittings. `usd` needs prices."""

    calls: Count | None = None
    tokens: Count | None = None
    tokens_in: Count | None = None
    tokens_out: Count | None = None
    usd: Annotated[float, Field(ge=0)] | None = None
    evaluations: Count | None = None
    seconds: Amount | None = None


class StopConfig(Section):
    """When to stop before the steps are done."""

    target: float | None = None
    stagnation: Count | None = None
    """Births in a row that did not change the best."""
    evaluations: Count | None = None
    barren: Count = 30
    """Births in a row of which none lived."""
    fail_on_error: bool | Share = False
    """How many genomes may fail to be evaluated before the run pauses: true allows none, a count so many, a share this part of
    all births; by default any number, and a failed one never wins."""


class RunConfig(Section):
    """A run file. The settings of the recipe stand beside these keys and are checked against the recipe's signature."""

    recipe: str
    seed: int = 0
    models: Models = Models()
    experts: ExpertsConfig | None = None
    """With experts, adapters of `models: {base: ...}` evolve instead of prompts."""
    task: TaskConfig
    budget: BudgetConfig = BudgetConfig()
    stop: StopConfig = StopConfig()
    in_flight: Count = 16
    """Requests at the same time, per endpoint."""
    cache: str | None = None
    """A file of answers that is shared between runs."""
    confirm: Count | None = None
    """Under noise: how often a would-be best is scored again, on fresh answers, before it may be the best. Each confirmation is one
    of the planned births and costs so many evaluations."""
    settings: dict[str, Any] = {}
    """The recipe's own settings, as checked; written beside the other keys."""

    @model_validator(mode="after")
    def _likelihood(self) -> RunConfig:
        if self.task.fitness == "likelihood" and self.task.encoder is None and self.experts is None:
            raise ValueError("`fitness: likelihood` needs `phenotype: encoded`, or experts whose targets are fixed")
        return self


FREE_ON_RESUME = ("budget", "in_flight", "cache", "stop", "steps")
"""Keys that may change when a run is continued; all others are frozen."""
