"""From the key `racing` of a run file to a search whose births race, and to cases for the crowning that it never sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llmevo.breeding import Behind, Capo, Truncate
from llmevo.breeding.racing import Rule
from llmevo.config.schema import RacingConfig, RunConfig
from llmevo.config.task import Task
from llmevo.core import ConfigError, Seed
from llmevo.fitness import Case, Several, split
from llmevo.fitness.together import SeveralJudging
from llmevo.recipes import Plan
from llmevo.recipes.text import common_words
from llmevo.strategies import Racing

if TYPE_CHECKING:
    from collections.abc import Sequence


def set_apart(config: RunConfig, task: Task) -> tuple[Task, tuple[Case, ...]]:
    """The task without the cases for the crowning, and these. Nothing of the search sees them: no score, no example, no word."""
    if config.racing is None:
        return task, ()
    if isinstance(task.scorer, Several | SeveralJudging):
        raise ConfigError("racing compares by one score, and task.scorer has several objectives: leave one of the two out")
    fresh, cases = config.racing.fresh, task.dev
    count = round(fresh * len(cases)) if isinstance(fresh, float) else fresh
    if len(cases) - count < 4:
        raise ConfigError(
            f"racing: of {len(cases)} dev cases {count} are set apart for the crowning (racing.fresh), which leaves "
            f"{len(cases) - count} to race on; at least 4 are needed: give more dev cases, set fresh lower, or leave racing out"
        )
    if not count:
        return task, ()
    cut = split(cases, dev=len(cases) - count, test=count, seed=config.seed, where="racing.fresh")
    words = task.vocabulary
    if words == common_words([case.input for case in cases]):
        words = common_words([case.input for case in cut.dev])
    return replace(task, dev=cut.dev, vocabulary=words), cut.test


@dataclass(frozen=True, slots=True)
class Race:
    """How births race, for whoever counts what they cost."""

    laps: tuple[int, ...]
    """The cases of each lap."""
    places: int
    """So many are never dropped."""
    fresh: int
    """Cases that are set apart for the crowning."""
    finalists: int

    def dev(self, births: int) -> int:
        """How many scores births need on the cases of the race when nobody is dropped."""
        return births * sum(self.laps)

    def least(self, births: int) -> int:
        """The same when everybody but the best of the first cohort is dropped after one lap, or after two of a single case."""
        first = self._first
        stay = min(self.places, births)
        return births * sum(self.laps[:first]) + stay * sum(self.laps[first:])

    def laps_of(self, births: int) -> tuple[int, int]:
        """How many laps births run: at least, and at most."""
        stay = min(self.places, births)
        return births * self._first + stay * (len(self.laps) - self._first), births * len(self.laps)

    @property
    def crowning(self) -> int:
        """How many scores the finalists need on the fresh cases."""
        return self.fresh * self.finalists

    @property
    def _first(self) -> int:
        """After which lap a rule can tell."""
        return 1 if self.laps[0] > 1 else min(2, len(self.laps))


def raced(config: RunConfig, plan: Plan[Any], cases: Sequence[Case], fresh: int) -> tuple[Plan[Any], Race | None]:
    """The plan with births that race, if that is asked for, and how they do. It ends by itself: laps are no births."""
    if config.racing is None:
        return plan, None
    racing = _racing(config.racing, config, plan, cases)
    return replace(plan, strategy=racing), Race(racing.laps, racing.places, fresh, config.racing.finalists if fresh else 0)


def _racing(racing: RacingConfig, config: RunConfig, plan: Plan[Any], cases: Sequence[Case]) -> Racing[Any]:
    block = max(1, round(racing.block * len(cases))) if isinstance(racing.block, float) else racing.block
    population = config.settings.get("population")
    places = racing.places or (population if isinstance(population, int) else 1)
    ids = [case.id for case in cases]
    return Racing(
        plan.strategy, ids, seed=Seed.of(config.seed), block=block, places=places, rule=_rule(racing), births=plan.matings
    )


def _rule(racing: RacingConfig) -> Rule:
    if racing.rule == "truncation":
        if racing.alpha is not None:
            raise ConfigError("racing.alpha: truncation tests nothing; leave alpha out, or choose `rule: behind` or `rule: capo`")
        return Truncate()
    tests: dict[str, Any] = {"behind": Behind, "capo": Capo}
    made: Rule = tests[racing.rule]() if racing.alpha is None else tests[racing.rule](racing.alpha)
    return made
