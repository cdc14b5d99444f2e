"""The keys of a run file that say how an answer is scored: by a function, by a judge, by several scorers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from llmevo.config.models import Amount, Count, ModelConfig, Section


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
    env: list[str] = Field(default_factory=list)
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
    slots: dict[str, str] = Field(default_factory=dict)
    """Values for further slots of a judge of yours."""


class AnswerJudgeConfig(JudgeConfig):
    """A model as the check of one answer that is refined."""

    model: ModelConfig | None = None
    """Who judges; by default the model that answers, which is kind to answers of its own."""
    good: Annotated[float, Field(gt=0, le=1)] | None = None
    """From this score on (0 to 1) an answer is valid and ends the search. Beside a check, which says what is valid, it ends the search."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Beside a check: what the judge's score counts in the value of an answer."""
    references: list[str] = Field(default_factory=list)
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


def _part_kind(value: Any) -> str:
    """Which kind of scorer an objective is."""
    kind = _scorer_kind(value)
    return ScorerConfig.__name__ if kind == SeveralConfig.__name__ else kind


OneScorer = Annotated[
    Annotated[str, Tag("str")]
    | Annotated[ScorerConfig, Tag(ScorerConfig.__name__)]
    | Annotated[JudgeConfig, Tag(JudgeConfig.__name__)],
    Discriminator(_part_kind),
]


class SeveralConfig(Section):
    """Several scorers, each an objective, and how they become the one value by which a winner is named."""

    objectives: dict[str, OneScorer]
    """Name to a shipped scorer, `module:name`, `{function: ...}`, or a judge (`{judge: rubric}`)."""
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
