"""The keys of a run file, typed. Unknown keys, wrong types and values out of range are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from llmevo.config.models import Amount, Count, Models, Section
from llmevo.config.scoring import AnyScorer


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
    made_by: str | None = None
    """The command that makes the file: what to do when it is not there."""

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
    portfolio: bool = False
    """Whether what a search has to beat is scored before it: the experts, the base, an average, a soup, gradient training, ..."""

    @model_validator(mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        """The folders may be given alone."""
        if isinstance(value, str):
            return {"folders": [value]}
        return {"folders": value} if isinstance(value, list) else value


Share = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)]


class ShotsConfig(Section):
    """Worked examples behind the prompt that evolve with it: added, dropped, swapped, put in another order."""

    pool: Count = 20
    """How many dev cases are set apart to draw examples from; prompts are not scored on them."""
    most: Count = 4
    """Examples behind one prompt."""
    rate: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The share of children that get other examples instead of another text."""


class RacingConfig(Section):
    """Births are scored block by block, and dropped as soon as they are surely behind; finalists are scored on fresh cases at the end."""

    block: Share = 0.125
    """Dev cases in a lap: a count, or a share of those that the search sees."""
    rule: Literal["behind", "capo", "truncation"] = "behind"
    """Who is dropped after a lap: who is surely behind the last of the places; by CAPO's rule; or all but the best 70 %."""
    alpha: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The error of the test: by default 0.05 over a whole race for `behind`, 0.2 a look for `capo`."""
    places: Count | None = None
    """How many may live on: who is surely behind that many others is dropped. By default the recipe's population."""
    fresh: Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Dev cases that the search never sees, for the crowning: a count, or a share; 0 crowns the best of the search."""
    finalists: Count = 3
    """How many of the best are scored on them."""


class TaskConfig(Section):
    """What the prompts are for: examples, how answers are scored, where the search begins."""

    cases: CasesConfig
    dev: Share = 0.5
    """Examples that select: a count, or a share."""
    test: Share | CasesConfig | None = None
    """Examples that are scored once at the end: a count, a share, a file of their own, or what `dev` leaves (default)."""
    select_on_test: bool = False
    """Whether cases of a split called `test` may select. Without it they are refused everywhere but in `test`."""
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
    slots: dict[str, str] = Field(default_factory=dict)
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
    within: dict[Literal["evaluations", "calls", "tokens"], Count] = Field(default_factory=dict)
    """Ends the search before more than this is spent, nominally; a budget pauses it instead."""
    barren: Count = 30
    """Births in a row of which none lived."""
    fail_on_error: bool | Share = False
    """How many genomes may fail to be evaluated before the run pauses: true allows none, a count so many, a share this part of
    all births; by default any number, and a failed one never wins."""


Part = Literal["prompt", "shots", "adapter"]


class RunConfig(Section):
    """A run file. The settings of the recipe stand beside these keys and are checked against the recipe's signature."""

    recipe: str
    seed: int = 0
    models: Models = Models()
    experts: ExpertsConfig | None = None
    """With experts, adapters of `models: {base: ...}` evolve instead of prompts."""
    genome: list[Part] | None = None
    """With experts: what evolves of the prompt, its examples and the adapter, in one genome; without this line the adapter alone."""
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
    racing: RacingConfig | None = None
    """`true` or `{}`: births race, block by block of the dev cases, and are dropped when they are surely behind."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The recipe's own settings, as checked; written beside the other keys."""

    @field_validator("racing", mode="before")
    @classmethod
    def _on(cls, value: Any) -> Any:
        """`true` stands for the usual settings, `false` for none."""
        return {True: {}, False: None}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _likelihood(self) -> RunConfig:
        if self.task.fitness == "likelihood" and self.task.encoder is None and self.experts is None:
            raise ValueError("`fitness: likelihood` needs `phenotype: encoded`, or experts whose targets are fixed")
        return self

    @model_validator(mode="after")
    def _parts(self) -> RunConfig:
        parts = self.genome
        if parts is not None and self.experts is None:
            raise ValueError("`genome` says what evolves beside experts; without them it is the prompt, and with `task.shots` its examples")
        if parts is not None and (not parts or len(set(parts)) < len(parts)):
            raise ValueError("`genome` names each part that evolves once, e.g. [prompt, adapter]")
        if self.experts is not None and (self.task.shots is not None) != ("shots" in (parts or ())):
            raise ValueError("beside experts `task.shots` and `genome: [..., shots]` go together")
        return self


FREE_ON_RESUME = ("budget", "in_flight", "cache", "stop", "steps")
"""Keys that may change when a run is continued; all others are frozen."""
