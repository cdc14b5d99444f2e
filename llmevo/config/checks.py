"""What decides on a refined answer: a check of the user's, or a judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmevo.config.assemble import spec_of
from llmevo.config.frozen import frozen_model
from llmevo.config.reading import check_section
from llmevo.config.scoring import AnswerJudgeConfig
from llmevo.config.task import judging
from llmevo.core import ConfigError, Seed, VariationFailed
from llmevo.core.resolve import resolve
from llmevo.fitness.check import Checked
from llmevo.fitness.judge import JudgedAnswer
from llmevo.llm.build import Connections
from llmevo.llm.spec import ModelSpec
from llmevo.recipes.answers import AnswerKit
from llmevo.text import TextGenome
from llmevo.text.reprompt import ANSWER


class Checks:
    """What decides on an answer: the user's check, or a judge. Exactly one of them."""

    def __init__(
        self,
        check: Callable[..., Any] | str | None,
        judge: str | Mapping[str, Any] | None,
        verify: Callable[..., Any] | str | None,
        model: ModelSpec,
        near: Path | None,
    ) -> None:
        if (check is None) == (judge is None):
            raise ConfigError("give either a check (a function of an answer) or a judge (e.g. `rubric`), and not both")
        self._check = resolve(check, near) if isinstance(check, str) else check
        self._verify = resolve(verify, near) if isinstance(verify, str) else verify
        self._config: AnswerJudgeConfig | None = None
        self.frozen: dict[str, Any] = {}
        self.spec = model
        """The model that judges."""
        if judge is not None:
            values = {"judge": judge} if isinstance(judge, str) else judge
            self._config = config = check_section(AnswerJudgeConfig, values, "judge")
            self._judging = judging(config, near)
            self.spec = model if config.model is None else spec_of(config.model.model_dump())
            said = {f"judge.{name}": value for name, value in config.model_dump(mode="json", exclude={"model"}).items()}
            self.frozen = {**said, **frozen_model(self.spec, "judge.model")}

    async def references(self, kit: AnswerKit) -> tuple[str, ...]:
        """What answers are compared with to the end of the search: as given, or a panel of samples, recorded like any other answer."""
        if self._config is None or self._config.references or not self._judging.needs_reference:
            return () if self._config is None else tuple(self._config.references)
        try:
            return await kit.panel(self._config.panel)
        except VariationFailed as error:
            raise ConfigError(f"there is nothing to compare answers with: {error}; give `references`") from error

    def of(self, question: str, connections: Connections, seed: Seed, references: tuple[str, ...] = ()) -> Checked[TextGenome]:
        """The evaluation of answers."""
        if self._config is None:
            assert self._check is not None, "the constructor refuses neither"
            return Checked(self._check, answer_of, self._verify)
        judge = self._judging.by(connections.connect(self.spec), seed)
        return Checked(JudgedAnswer(judge, question, references, good=self._config.good), answer_of, self._verify)


def answer_of(genome: TextGenome) -> str:
    """The part of a genome that is the answer."""
    return genome.part(ANSWER)
