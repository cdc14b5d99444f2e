"""The JSON records of what the tables show."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from llmevo.console.scores import scores_record
from llmevo.console.words import texts
from llmevo.core import Individual

if TYPE_CHECKING:
    from llmevo.library import Template
    from llmevo.refined import Refined
    from llmevo.report.summary import Summary
    from llmevo.runs import Result


def result_record(result: Result) -> dict[str, Any]:
    """A result as JSON."""
    now = result.outcome.progress
    return {
        "reason": result.outcome.reason,
        "paused": result.pause is not None,
        "best": individual_record(result.best),
        **scores_record(result.best, result.crowning, result.held_out),
        "vote": result.vote.record() if result.vote else None,
        "births": now.births - now.reassessed,
        "reassessed": now.reassessed,
        "stillborn": now.stillborn,
        "failed": now.failed,
        "evaluations": now.evaluations,
        "spent": dataclasses.asdict(result.spent),
        "answers_from_record": result.hits,
        "history": result.outcome.history,
        "run": str(result.folder) if result.folder else None,
    }


def refined_record(found: Refined) -> dict[str, Any]:
    """A refinement as JSON."""
    return {
        "answer": found.answer,
        "score": found.score,
        "valid": found.valid,
        "decided": found.decided,
        "verified": found.verified,
        "feedback": list(found.feedback),
        "reason": found.reason,
        "paused": found.pause is not None,
        "evaluations": found.evaluations,
        "spent": dataclasses.asdict(found.spent),
        "lineage": [individual_record(one) for one in found.lineage],
        "front": [individual_record(one) for one in found.front],
        "population": [individual_record(one) for one in found.population],
    }


def summary_record(summary: Summary) -> dict[str, Any]:
    """A summary as JSON."""
    record = {field.name: getattr(summary, field.name) for field in dataclasses.fields(summary)}
    record["steps"] = [dataclasses.asdict(step) for step in summary.steps]
    record |= scores_record(summary.best, summary.crowning, summary.held_out)
    record["crowning"] = dataclasses.asdict(summary.crowning) if summary.crowning else None
    record["spent"] = dataclasses.asdict(summary.spent)
    record["dropped"] = [{**dataclasses.asdict(one), "who": summary.previews.get(one.id)} for one in summary.dropped]
    del record["previews"], record["points"]
    record["makers"] = {name: {"living": count, "best": best} for name, (count, best) in summary.makers.items()}
    record["vote"] = summary.vote.record() if summary.vote else None
    for name in ("hall", "front"):
        record[name] = [individual_record(one) for one in getattr(summary, name)]
    return {**record, "folder": str(summary.folder), "best": individual_record(summary.best)}


def best_record(summary: Summary) -> dict[str, Any]:
    """The best one of a summary as JSON."""
    return {
        "best": individual_record(summary.best),
        "front": [individual_record(one) for one in summary.front],
        **scores_record(summary.best, summary.crowning, summary.held_out),
    }


def operator_record(template: Template) -> dict[str, Any]:
    """An operator as JSON."""
    record = {field.name: getattr(template, field.name) for field in dataclasses.fields(template)}
    return {**record, "path": str(template.path)}


def individual_record(one: Individual[Any] | None) -> dict[str, Any] | None:
    """An individual as JSON."""
    if one is None:
        return None
    fitness = one.fitness
    return {
        "id": one.id,
        "genome": one.genome.key,
        "parts": texts(one.genome),
        "value": fitness.value,
        "violation": fitness.violation,
        "objectives": dict(fitness.objectives),
        "measures": list(fitness.measures),
        "cases": len(fitness.cases),
        "parents": list(one.parents),
        "variation": one.variation,
        "step": one.step,
    }
