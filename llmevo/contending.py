"""Who may be compared: run files of one task, held equal in one unit of budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from llmevo.config import RunConfig, Task, load_task, read_config
from llmevo.config.assemble import content
from llmevo.config.schema import CasesConfig
from llmevo.core import ConfigError
from llmevo.core.resolve import nearest

Unit = Literal["evaluations", "calls", "tokens", "seconds"]
UNITS: tuple[Unit, ...] = get_args(Unit)
MATINGS = 20_000
"""Births that a recipe plans at most; the budget ends it sooner."""


@dataclass(frozen=True)
class Contender:
    """One run file."""

    name: str
    config: RunConfig
    task: Task
    file: Path


def limited(config: RunConfig, seed: int, unit: Unit, amount: float) -> RunConfig:
    """The configuration of one run: its seed, the common budget, and steps enough to use it."""
    settings = dict(config.settings)
    if "steps" in settings:
        most = min(MATINGS, 2 * int(amount)) if unit != "seconds" else MATINGS
        settings["steps"] = -(-most // int(settings.get("population", 1)))
    update: dict[str, Any] = {"seed": seed, "settings": settings}
    if unit == "seconds":
        update["budget"] = config.budget.model_copy(update={"seconds": amount})
    else:
        update["budget"] = config.budget.model_copy(update={unit: None})
        stop: dict[str, Any] = {"within": {**config.stop.within, unit: int(amount)}}
        if unit == "evaluations":
            stop["evaluations"] = None  # the common budget says it
        update["stop"] = config.stop.model_copy(update=stop)
    return config.model_copy(update=update)


def contender_of(file: Path, sets: Sequence[str]) -> Contender:
    """A run file, with the settings `sets` in place of its own, and its task. Raises `ConfigError`."""
    config = read_config(file, sets)
    return Contender(file.stem, config, load_task(config.task, seed=config.seed, near=file.parent), file)


def common_budget(given: str | Mapping[str, float] | None, contenders: Sequence[Contender]) -> tuple[Unit, float]:
    """The unit and the amount: as given, or what the files say, if they say the same."""
    if isinstance(given, str):
        name, _, text = given.partition("=")
        try:
            given = {name: float(text)}
        except ValueError:
            raise ConfigError(f"budget {given!r}: write unit=number, e.g. evaluations=200; units: {', '.join(UNITS)}") from None
    if given is None:
        said = [{unit: getattr(one.config.budget, unit) for unit in UNITS} for one in contenders]
        given = {unit: amount for unit, amount in said[0].items() if amount is not None}
        if len(given) != 1:
            what = f"the files limit {' and '.join(given)}" if given else "the files do not say"
            raise ConfigError(f"equal in what? {what}: give one budget, e.g. --budget evaluations=200; units: {', '.join(UNITS)}")
    if len(given) != 1:
        raise ConfigError(f"one budget is held equal, not {len(given)}; units: {', '.join(UNITS)}")
    unit, amount = next(iter(given.items()))
    if unit not in UNITS:
        raise ConfigError(f"budget: {unit!r} is no unit of a comparison{nearest(unit, UNITS)}")
    if not amount > 0 or (unit != "seconds" and amount != int(amount)):
        raise ConfigError(f"budget: {unit} must be a positive {'number' if unit == 'seconds' else 'whole number'}, not {amount:g}")
    for one in contenders:
        own = getattr(one.config.budget, unit)
        if own is not None and own != amount:
            raise ConfigError(f"{one.file}: its budget is {unit}: {own:g}, and {amount:g} is compared: make them equal, or leave it out")
        within = one.config.stop.model_dump()["within"].get(unit, amount)
        if within != amount:
            raise ConfigError(
                f"{one.file}: stop.within.{unit} is {within:g}, and {amount:g} is compared, which would take its place: make them equal, "
                f"or leave it out"
            )
    return next(known for known in UNITS if known == unit), float(amount)


def comparable(contenders: Sequence[Contender], unit: Unit) -> None:
    """Refuses what would not be a comparison, with the cure."""
    names = [one.name for one in contenders]
    if len(contenders) < 2:
        raise ConfigError(f"{len(contenders)} run file given: a comparison needs at least two")
    if len(set(names)) < len(names):
        twice = ", ".join(str(one.file) for one in contenders if names.count(one.name) > 1)
        raise ConfigError(f"two run files have the same name ({twice}): rename one; it stands in the tables")
    for one in contenders:
        if not one.task.test:
            raise ConfigError(f"{one.file}: there are no test cases; keep some apart, e.g. `task: {{test: 0.5}}`, or name a file of them")
    racing = [one.name for one in contenders if one.config.racing is not None]
    if unit == "evaluations" and 0 < len(racing) < len(names):
        raise ConfigError(
            f"{', '.join(racing)}: a race counts every lap as an evaluation, and the others count whole ones: compare by calls or "
            f"tokens, e.g. --budget calls=2000, or let all files race"
        )
    first = contenders[0]
    for one in contenders[1:]:
        for what, cure in (
            ("test cases", "give all files the same `task.cases`, `dev`, `test` and `seed`"),
            ("examples to learn from", "give all files the same `task.cases`, `dev` and `seed`"),
            ("scorer", "give all files the same `task.scorer`"),
        ):
            if said_by(first, what) != said_by(one, what):
                raise ConfigError(
                    f"{first.file} and {one.file} do not have the same {what}:\n"
                    + "".join(f"  {each.file}: {_words(each, what)}\n" for each in (first, one))
                    + f"Cure: {cure}"
                )
        for section in ("budget", "stop"):
            common = {unit} if section == "budget" else set()  # that one is held equal for them
            mine, theirs = (getattr(each.config, section).model_dump(exclude=common) for each in (first, one))
            differ = sorted(name for name in mine if mine[name] != theirs[name])
            if differ:
                raise ConfigError(
                    f"{first.file} and {one.file} differ in {section}.{f', {section}.'.join(differ)}: make them equal, or leave them out"
                )


def said_by(one: Contender, what: str) -> Any:
    """What has to be the same. Cases that are set apart to draw examples from are there to learn from, too."""
    if what == "test cases":
        return content(one.task.test)
    if what == "scorer":
        return one.config.model_dump(mode="json")["task"]["scorer"], getattr(one.task.scorer, "key", "")
    known = [*one.task.dev, *(one.task.shots.pool if one.task.shots else ())]
    return content(sorted(known, key=lambda case: case.id))


def _words(one: Contender, what: str) -> str:
    """What a file says of that, for whoever has to make files equal."""
    task = one.config.task
    if what == "scorer":
        return task.scorer if isinstance(task.scorer, str) else str(one.config.model_dump(mode="json")["task"]["scorer"])
    own = task.test if what == "test cases" and isinstance(task.test, CasesConfig) else None
    origin = own or task.cases
    count = len(one.task.test) if what == "test cases" else len(one.task.dev) + (len(one.task.shots.pool) if one.task.shots else 0)
    part = "" if own else f", drawn with seed {one.config.seed}"
    return f"{count} of {origin.path or origin.dataset}{part}"


__all__ = ["UNITS", "Contender", "Unit", "common_budget", "comparable", "contender_of", "limited", "said_by"]
