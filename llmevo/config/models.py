"""The keys of a run file that name models, and what every part of a run file has in common."""

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
