"""Births as JSON records, and back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from llmevo.core import Birth, Fitness, Genome, Individual, Stillborn, Usage

H = TypeVar("H", bound=Genome)


def birth_record(birth: Birth[Any]) -> dict[str, Any]:
    """The record of a birth; its genome is named by key only."""
    record: dict[str, Any] = {
        "id": birth.id,
        "parents": list(birth.parents),
        "variation": birth.variation,
        "usage": _usage_record(birth.birth_usage),
        "seat": birth.seat,
        "deme": birth.deme,
        "step": birth.step,
    }
    if birth.quoted:
        record["quoted"] = list(birth.quoted)
    if isinstance(birth, Stillborn):
        return {**record, "error": birth.error}
    fitness = birth.fitness
    record["genome"] = birth.genome.key
    record["fitness"] = {
        "value": fitness.value if fitness.ok else None,
        "violation": _finite(fitness.violation),
        "objectives": dict(fitness.objectives),
        "cases": dict(fitness.cases),
        "measures": list(fitness.measures),
        "feedback": list(fitness.feedback),
        "usage": _usage_record(fitness.usage),
        "error": fitness.error,
    }
    return record


def birth_from(record: Mapping[str, Any], genomes: Mapping[str, H]) -> Birth[H]:
    """The birth of a record. `genomes` holds the genomes by key."""
    shared: dict[str, Any] = {
        "id": record["id"],
        "parents": tuple(record["parents"]),
        "variation": record["variation"],
        "birth_usage": Usage(**record["usage"]),
        "seat": record["seat"],
        "deme": record["deme"],
        "step": record["step"],
        "quoted": tuple(record.get("quoted", ())),
    }
    if "error" in record:
        return Stillborn(error=record["error"], **shared)
    stored = record["fitness"]
    fitness = Fitness(
        -math.inf if stored["value"] is None else stored["value"],
        math.inf if stored["violation"] is None else stored["violation"],
        stored["objectives"],
        stored["cases"],
        tuple(stored["measures"]),
        tuple(stored["feedback"]),
        Usage(**stored["usage"]),
        stored["error"],
    )
    return Individual(genome=genomes[record["genome"]], fitness=fitness, **shared)


def evaluations_in(records: Iterable[Mapping[str, Any]]) -> int:
    """How many evaluations the records of births hold, in their order: one per genome, and one for each time that it was reassessed.

    Genomes that race go through the same laps in the same order, so that of equal ones each lap counts once, as it was evaluated once.
    """
    times: Counter[str] = Counter()
    found: set[tuple[str, int]] = set()
    for record in records:
        if "genome" in record:
            times[record["id"]] += 1
            found.add((record["genome"], times[record["id"]]))
    return len(found)


def told_record(birth: Birth[Any]) -> list[Any]:
    """What the history hash covers of a birth: genome, value, case scores; not costs and not words."""
    if isinstance(birth, Stillborn):
        return [birth.id, None]
    fitness = birth.fitness
    value = fitness.value if fitness.ok else None
    return [birth.id, birth.genome.key, value, _finite(fitness.violation), dict(fitness.cases)]


def told_again(record: Mapping[str, Any]) -> list[Any]:
    """The same of a birth's record."""
    if "error" in record:
        return [record["id"], None]
    fitness = record["fitness"]
    return [record["id"], record["genome"], fitness["value"], fitness["violation"], fitness["cases"]]


def _usage_record(usage: Usage) -> dict[str, Any]:
    return {
        "calls": usage.calls,
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "price": usage.price,
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
