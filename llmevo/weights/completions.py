"""Programs as requests to a model that completes tokens: what to ask for a sample, and what its replies say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmevo.core.errors import ConfigError
from llmevo.weights.programs import Choice, Forced, Greedy, Ids, Program, Result


@dataclass(frozen=True)
class Ask:
    """One request: tokens in, at most so many out; `scored` asks for the log-probabilities of what is in the prompt."""

    prompt: Ids
    most: int = 1
    ends: Ids = ()
    scored: bool = False


@dataclass(frozen=True)
class Said:
    """What came back: the text, and per prompt token `{token: (log-probability, rank)}` of itself and of the most probable one."""

    text: str
    scores: Sequence[Mapping[int, tuple[float, int]]] = ()


def asks(program: Program, i: int) -> list[Ask]:
    """The requests of one sample. Raises `ConfigError` for a program that a text model cannot run."""
    if isinstance(program, Forced):
        return [Ask(program.prompts[i] + program.targets[i] + program.ends[:1], scored=True)]
    if isinstance(program, Choice):
        return [Ask(program.prompts[i] + label, scored=True) for label in program.labels]
    if isinstance(program, Greedy):
        return [Ask(program.prompts[i], program.most, program.ends)]
    raise ConfigError(f"vLLM cannot run {program.key}: use the Hugging Face back end")


def result(program: Program, i: int, said: Sequence[Said]) -> Result:
    """One sample's result, as a `Population` gives it (an open answer as text; of several ends the first is scored)."""
    if isinstance(program, Forced):
        behind = len(program.prompts[i])
        target = program.targets[i] + program.ends[:1]
        at = said[0].scores[behind : behind + len(target)]
        right = all(here[token][1] == 1 for here, token in zip(at, program.targets[i], strict=False))
        if right and program.ends:
            right = any(one in at[-1] and at[-1][one][1] == 1 for one in program.ends)
        return [float(right), sum(here[token][0] for here, token in zip(at, target, strict=True))]
    if isinstance(program, Choice):
        behind = len(program.prompts[i])
        return [
            sum(one.scores[behind + j][token][0] for j, token in enumerate(label))
            for one, label in zip(said, program.labels, strict=True)
        ]
    return said[0].text
