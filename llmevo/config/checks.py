"""What decides on a refined answer: a check of the user's, a judge, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmevo.config.assemble import imported, spec_of
from llmevo.config.frozen import frozen_model
from llmevo.config.reading import check_section
from llmevo.config.scoring import AnswerJudgeConfig
from llmevo.config.task import judging
from llmevo.core import Birth, ConfigError, Individual, Seed, VariationFailed
from llmevo.core.resolve import nearest, resolve
from llmevo.fitness.check import Checked
from llmevo.fitness.judge import JudgedAnswer
from llmevo.fitness.together import JUDGE, MEASURES, AlsoJudged, Measured
from llmevo.llm.build import Connections
from llmevo.llm.spec import ModelSpec
from llmevo.recipes.answers import AnswerKit
from llmevo.text import TextGenome
from llmevo.text.reprompt import ANSWER

Function = Callable[..., Any]


class Checks:
    """What decides on an answer: the user's check, a judge, or both as objectives; where it lives in a grid; and what ends a search."""

    def __init__(
        self,
        check: Function | str | None,
        judge: str | Mapping[str, Any] | None,
        verify: Function | str | None,
        measures: Sequence[Function | str],
        model: ModelSpec,
        near: Path | None,
        stop_at_valid: bool = True,
    ) -> None:
        if check is None and judge is None:
            raise ConfigError("give a check (a function of an answer), a judge (e.g. `rubric`), or both")
        self._check, self._verify = _found(check, near), _found(verify, near)
        self._measures = tuple(_measure(one, near) for one in measures)
        self._stop_at_valid = stop_at_valid
        self._config: AnswerJudgeConfig | None = None
        self.frozen: dict[str, Any] = {} if stop_at_valid else {"stop_at_valid": False}
        self.spec = model
        """The model that judges."""
        if judge is not None:
            values = {"judge": judge} if isinstance(judge, str) else judge
            self._config = config = check_section(AnswerJudgeConfig, values, "judge")
            self._judging = judging(config, near)
            self.spec = model if config.model is None else imported(spec_of(config.model.model_dump()), near)
            said = {f"judge.{name}": value for name, value in config.model_dump(mode="json", exclude={"model"}).items()}
            self.frozen |= {**said, **frozen_model(self.spec, "judge.model")}

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
        check = self._check
        if self._config is not None:
            judge = self._judging.by(connections.connect(self.spec), seed)
            judged = JudgedAnswer(judge, question, references, good=self._config.good)
            check = judged if check is None else AlsoJudged(check, judged, self._config.weight)
        assert check is not None, "the constructor refuses neither"
        return Checked(Measured(check, self._measures) if self._measures else check, answer_of, self._verify)

    def enough(self, birth: Birth[TextGenome]) -> bool:
        """Whether a birth ends the search: a valid answer, which a judge beside the check has to find good, too."""
        if not (isinstance(birth, Individual) and valid(birth)) or not self._stop_at_valid:
            return False
        if self._check is None or self._config is None:
            return True
        return self._config.good is not None and birth.fitness.objectives[JUDGE] >= self._config.good


def valid(birth: Birth[TextGenome]) -> bool:
    """Whether a birth is an answer that the check calls valid."""
    return isinstance(birth, Individual) and birth.fitness.ok and birth.fitness.violation == 0


def answer_of(genome: TextGenome) -> str:
    """The part of a genome that is the answer."""
    return genome.part(ANSWER)


def _found(function: Function | str | None, near: Path | None) -> Function | None:
    found = resolve(function, near) if isinstance(function, str) else function
    if found is not None and not callable(found):
        raise ConfigError(f"{function!r} is a {type(found).__name__}; a check is a function of an answer")
    return found


def _measure(measure: Function | str, near: Path | None) -> Function:
    if isinstance(measure, str) and ":" not in measure:
        if measure not in MEASURES:
            raise ConfigError(f"there is no measure {measure!r}{nearest(measure, MEASURES)}; your own is module:name")
        return MEASURES[measure]
    found = _found(measure, near)
    assert found is not None
    return found
