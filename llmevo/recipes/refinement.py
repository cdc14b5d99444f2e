"""GA-LLM-Optimize (README of ga-llm) and its rivals: the genome is an answer that is refined at inference time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llmevo.breeding import (
    BestFirst,
    Known,
    Roles,
    always_replace,
    keep_all,
    ladder,
    per_cell,
    truncation,
    uniform,
)
from llmevo.core import ConfigError, G, Mixture, Succession, Variation
from llmevo.core.resolve import nearest
from llmevo.recipes.choosing import Choose, mixture, operators, variations
from llmevo.recipes.kit import AnswersKit, Kit, Plan
from llmevo.strategies import Founding, Genetic, sequence

Rate = Annotated[float, Field(ge=0)]
Operator = Literal["crossover", "prompt_mutation", "textual_mutation", "local_edits"]
OPERATORS: dict[Operator, str] = {
    "crossover": "semantic-crossover",
    "prompt_mutation": "prompt-mutation",
    "textual_mutation": "textual-mutation",
    "local_edits": "local-edits",
}


def ga_llm(
    kit: AnswersKit[G],
    *,
    population: int = 8,
    steps: int = 10,
    crossover: Rate = 0.2,
    prompt_mutation: Rate = 0.1,
    textual_mutation: Rate = 0.7,
    local_edits: Rate = 0.0,
    ablate: tuple[Operator, ...] = (),
    choose: Choose = "rates",
    patience: int = 24,
    keep: int = 32,
    duplicates: Literal["allow", "same", "spacing", "words", "shingles"] = "spacing",
    tries: int = 2,
    repair: bool = True,
    batch: int | None = None,
    slots: int = 1,
) -> Plan[G]:
    """GA-LLM: samples of the model; then semantic crossover, prompt mutation or textual mutation of the best that is not spent yet.

    The best is varied until it has had `patience` children (a stillbirth counts as four), then the next best; the best `keep` answers
    are remembered. `ablate` leaves operators out; the others keep their proportions. `choose: bandit` finds their rates, and those of
    the models where there are several, by what they gain for their cost. A child that repeats an answer (`duplicates` says how closely)
    is asked for again, `tries` times in all, and never checked. With `repair` a reply that cannot be read becomes a small change of the
    parent instead.
    """
    for name in ablate:
        if name not in OPERATORS:
            raise ConfigError(f"ablate: there is no operator {name!r}{nearest(name, OPERATORS)}")
    rates = {
        "crossover": crossover,
        "prompt_mutation": prompt_mutation,
        "textual_mutation": textual_mutation,
        "local_edits": local_edits,
    }
    used = [operator for operator in OPERATORS if operator not in ablate and rates[operator]]
    if not used:
        raise ConfigError("ga-llm: every operator is left out or has rate 0; keep at least one")
    mixed: Mixture[G] = mixture([(one, rates[operator]) for operator in used for one in _mended(kit, operator, repair)], choose)
    known = None if duplicates == "allow" else Known(kit.traces(duplicates), key=duplicates, tries=tries)
    search = Genetic(mixed, BestFirst(patience), truncation(keep), seed=kit.seed, known=known)
    return _from_samples(kit, search, population, steps, batch, slots, again=repair)


def _mended(kit: Kit[G], operator: Operator, repair: bool) -> list[Variation[G]]:
    """An operator with each model; where its reply cannot be read, one small change of the first parent by the same model."""
    found = variations(kit, OPERATORS[operator])
    if operator == "local_edits" or not repair:
        return found
    return [ladder(one, mend) for one, mend in zip(found, variations(kit, "local-repair"), strict=True)]


def revise(kit: Kit[G], *, population: int = 8, steps: int = 10, operator: str = "revise") -> Plan[G]:
    """Always-accept revision (Self-Refine, arXiv 2303.17651): one answer, revised by its feedback again and again.

    `population` only counts the budget: one sample and as many revisions as the other recipes have births after the first.
    """
    search = Genetic(kit.operator(operator), Roles(("self",)), always_replace(), seed=kit.seed)
    founding = Founding(kit.founders[:1], seed=kit.seed)
    return Plan(sequence(founding, search), 1, population * (steps + 1))


def evoscale(
    kit: Kit[G],
    *,
    population: int = 8,
    steps: int = 10,
    top: int = 3,
    operator: str | tuple[str, ...] = "from-best-answers",
    choose: Choose = "rates",
) -> Plan[G]:
    """EvoScale: every round writes `population` answers anew, each conditioned on the best `top` of all so far.

    Source: after Satori-SWE, arXiv 2505.23604.
    """
    if top < 1:
        raise ConfigError(f"evoscale: top: a child is conditioned on at least one answer, not {top}")
    roles = Roles(("self", *("random",) * (top - 1)))
    search = Genetic(operators(kit, operator, choose), roles, truncation(top), seed=kit.seed)
    return _from_samples(kit, search, population, steps, None, 1, truncation(top))


def map_elites(
    kit: Kit[G],
    *,
    population: int = 8,
    steps: int = 10,
    cell: tuple[float, ...] = (),
    operator: str | tuple[str, ...] = "textual-mutation",
    choose: Choose = "rates",
    batch: int | None = None,
    slots: int = 1,
) -> Plan[G]:
    """MAP-Elites (arXiv 1504.04909): the best answer of every cell of the measures lives on, parents are drawn evenly.

    The measures are the user's, e.g. length and style: functions of an answer (`measures` of a refinement), or those of the check's
    verdict. `cell` is the width of a cell along each of them (1 by default).
    """

    if not all(width > 0 for width in cell):
        raise ConfigError(f"map-elites: cell: the width of a cell is above 0, not {cell}")

    def place(measures: tuple[float, ...]) -> tuple[int, ...]:
        widths = cell or (1.0,) * len(measures)
        if len(widths) != len(measures):
            raise ConfigError(f"map-elites: there are {len(measures)} measures, and cell has {len(widths)} widths: give one for each")
        return tuple(int(measure // width) for measure, width in zip(measures, widths, strict=True))

    search = Genetic(operators(kit, operator, choose), uniform, per_cell(place), seed=kit.seed)
    return _from_samples(kit, search, population, steps, batch, slots)


def _from_samples(
    kit: Kit[G],
    search: Genetic[G],
    population: int,
    steps: int,
    batch: int | None,
    slots: int,
    succession: Succession[G] | None = None,
    again: bool = False,
) -> Plan[G]:
    """A search behind `population` samples; with `again` one that cannot be read is drawn once more."""
    drawn = [ladder(founder, founder) if again else founder for founder in kit.founders]
    samples = (drawn * population)[:population]
    founding = Founding(samples, seed=kit.seed, succession=succession or keep_all)
    return Plan(sequence(founding, search), batch or population, population * (steps + 1), slots)
