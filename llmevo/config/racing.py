"""From the key `racing` of a run file to a search whose births race, and to cases for the crowning that it never sees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmevo.breeding import Behind, Capo, Truncate
from llmevo.breeding.racing import Rule
from llmevo.config.schema import RacingConfig, RunConfig
from llmevo.config.task import Task
from llmevo.core import ConfigError, Seed, Strategy
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


def raced(config: RunConfig, plan: Plan[Any], cases: Sequence[Case]) -> Plan[Any]:
    """The plan with births that race, if that is asked for. It ends by itself: laps are no births."""
    if config.racing is None:
        return plan
    return replace(plan, strategy=_racing(config.racing, config, plan, cases))


def _racing(racing: RacingConfig, config: RunConfig, plan: Plan[Any], cases: Sequence[Case]) -> Strategy[Any]:
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
