"""When to stop asking: functions of the progress. What is open is still completed and told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from llmevo.core import Pause
from llmevo.engine.progress import Progress

Stop = Callable[[Progress], str | None]
"""From the progress to the reason why nothing more should be asked, or None. What it raises pauses the run, or fails it."""


def matings(limit: int) -> Stop:
    """After `limit` planned matings, founders included."""
    return lambda now: f"all {limit} planned births were made" if now.asked >= limit else None


def evaluations(limit: int) -> Stop:
    """After `limit` evaluated genomes; duplicates are not counted. Open cohorts may add to it."""
    return lambda now: f"{limit} evaluations were made" if now.evaluations >= limit else None


def within(unit: Literal["evaluations", "calls", "tokens"], limit: int, births: int) -> Stop:
    """Before more than `limit` is spent: as soon as another step of so many `births`, each as dear as in the dearest step so far, would not
    fit.

    Nominal, so that what comes from a cache counts like what was paid. The first step is made in any case. Make a new one for each run.
    """
    spent, born, dearest = 0, 0, 0.0

    def stop(now: Progress) -> str | None:
        nonlocal spent, born, dearest
        usage = now.usage
        used = {"evaluations": now.evaluations, "calls": usage.calls, "tokens": usage.tokens_in + usage.tokens_out}[unit]
        if now.births > born:
            dearest = max(dearest, (used - spent) / (now.births - born))
            spent, born = used, now.births
        step = dearest * births
        return f"{used} of {limit} {unit} are spent, and the next step may cost {step:.0f}" if used + step > limit and used else None

    return stop


def target(value: float) -> Stop:
    """As soon as the best valid individual reaches a value."""

    def stop(now: Progress) -> str | None:
        best = now.best
        reached = best is not None and best.fitness.violation == 0 and best.fitness.value >= value
        return f"the best reached {value:g}" if reached else None

    return stop


def stagnation(births: int) -> Stop:
    """After this many births in a row that did not change the best."""
    return lambda now: f"no better one in {births} births" if now.since_best >= births else None


def barren(births: int) -> Stop:
    """After this many births in a row of which none lived: something is broken, and paying on would not mend it."""

    def stop(now: Progress) -> str | None:
        if now.barren < births:
            return None
        return f"none of the last {now.barren} births lived; last error: {now.last_error}"

    return stop


class TooManyFailed(Pause):
    """More evaluations failed than `fail_on_error` allows. The run can go on when the fitness is mended or the limit raised."""


def failures(limit: bool | int | float, of: int) -> Stop:
    """Raises `TooManyFailed` when more genomes failed to be evaluated than allowed: True allows none, a whole number so many, a
    number below 1 this share of `of`, False any number. Stillbirths are no failures of an evaluation.
    """
    most = of if limit is False else 0 if limit is True else math.floor(limit * of) if limit < 1 else int(limit)

    def stop(now: Progress) -> str | None:
        if limit is not False and now.failed > most:
            raise TooManyFailed(
                f"{now.failed} evaluations failed and fail_on_error allows {most}; last error: {now.last_failure}\n"
                f"Mend what scores and start a new run, or raise stop.fail_on_error and continue."
            )
        return None

    return stop
