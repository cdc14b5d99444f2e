"""One optimiser, run once against the server in this process: prints what it cost as a line of JSON.

    python clients.py NAME URL SETTINGS_JSON

Called by `run.py`: `aiohttp` and `llmevo` with this project's Python, `promptolution` and `gepa` with that of the others.
CPU is user and system time of this process, all threads, from the first step of the run to its end; imports are not counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEEDS = [f"Is this review good or bad? Think of {what}, then answer with one word." for what in (
    "the price", "the tone", "the noise", "the colour", "the wait", "the size", "the staff", "the box", "the smell", "the use"
)]  # fmt: skip


def reviews(count: int) -> list[tuple[str, str]]:
    """Reviews of about 200 characters, all different, and their labels."""
    rng = random.Random(0)
    things, says = ("lamp", "chair", "radio", "kettle", "desk"), ("late", "loud", "kind", "cheap", "broken", "lovely", "plain")
    rows = []
    for i in range(count):
        notes = " ".join(f"The {thing} was {rng.choice(says)}." for thing in rng.sample(things, 5))
        rows.append((f"Order {i}. {notes} {notes}", rng.choice(("good", "bad"))))
    return rows


def llmevo(url: str, given: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    from llmevo.config.schema import RunConfig
    from llmevo.config.task import Task
    from llmevo.fitness import Case, scorer_named
    from llmevo.library import TaskTemplate
    from llmevo.llm import http  # noqa: F401 (imported before the clock runs)
    from llmevo.runs import run

    model = {"model": "test", "base_url": url, "price": {"input": 0.4, "output": 1.6}, "seed": True}
    config = RunConfig.model_validate(
        {
            "recipe": "evoprompt-ga",
            "models": {"task": model, "operator": model},
            "task": {"cases": {"path": "in memory"}},
            "budget": {"usd": 100.0, "calls": 100_000},
            "in_flight": given["in_flight"],
            "settings": {"population": given["population"], "steps": given["steps"], "slots": given["slots"]},
        }
    )
    dev = tuple(Case(f"c{i}", text, label) for i, (text, label) in enumerate(reviews(given["cases"])))
    task = Task(dev, (), scorer_named("exact", ("good", "bad"), None), TaskTemplate(), tuple(SEEDS[: given["population"]]))
    cohorts: list[tuple[int, int]] = []
    hours: list[float] = []
    evaluated: set[str] = set()

    def told(one: Any) -> None:
        asked = sum(birth.birth_usage.calls for birth in one.births)
        new = {birth.genome.key for birth in one.births if hasattr(birth, "genome")} - evaluated
        evaluated.update(new)
        cohorts.append((asked, len(new)))
        hours.append(time.perf_counter())

    def go() -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=given["folder"]) as folder:
            result = asyncio.run(run(config, task, folder=Path(folder) / "run", on_cohort=told))
        assert result.pause is None, result.outcome.reason
        return {"cohorts": cohorts, "told": hours, "evaluations": result.outcome.progress.evaluations}

    return go


def aiohttp(url: str, given: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """As many requests of the same size without anything around them."""
    from aiohttp import ClientSession, TCPConnector

    rows = reviews(given["cases"])

    async def ask() -> None:
        waiting = iter(range(given["calls"]))
        async with ClientSession(connector=TCPConnector(limit=0)) as session:

            async def worker() -> None:
                for i in waiting:
                    text = f"{SEEDS[i // len(rows) % len(SEEDS)]} {i}\n{rows[i % len(rows)][0]}"
                    body = {"model": "test", "messages": [{"role": "user", "content": text}], "max_tokens": 256}
                    async with session.post(f"{url}/chat/completions", json=body) as response:
                        await response.json()

            await asyncio.gather(*(worker() for _ in range(given["in_flight"])))

    def go() -> dict[str, Any]:
        asyncio.run(ask())
        return {}

    return go


def promptolution(url: str, given: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    import pandas
    from promptolution.llms.api_llm import APILLM
    from promptolution.optimizers.evoprompt_ga import EvoPromptGA
    from promptolution.predictors.first_occurrence_predictor import FirstOccurrencePredictor
    from promptolution.tasks.classification_tasks import ClassificationTask

    rows = pandas.DataFrame(reviews(given["cases"]), columns=["x", "y"])
    kind = "Tell whether a review is good or bad."

    def go() -> dict[str, Any]:
        llm = APILLM(api_url=url, model_id="test", api_key="none", max_concurrent_calls=given["in_flight"], max_tokens=256)
        task = ClassificationTask(rows, task_description=kind, x_column="x", y_column="y", eval_strategy="full")
        predictor = FirstOccurrencePredictor(llm, ["good", "bad"])
        search = EvoPromptGA(predictor, task, meta_llm=llm, initial_prompts=SEEDS[: given["population"]])
        search.optimize(given["steps"])
        return {"evaluations": len(task.prompt_evaluated_blocks)}

    return go


def gepa(url: str, given: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    os.environ |= {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    import litellm
    from gepa import optimize
    from gepa.adapters.default_adapter.default_adapter import DefaultAdapter
    from gepa.lm import LM

    litellm.suppress_debug_info = True
    words: dict[str, Any] = {"api_base": url, "api_key": "none"}
    rows: Any = [{"input": text, "answer": label, "additional_context": {}} for text, label in reviews(given["cases"])]

    def go() -> dict[str, Any]:
        adapter = DefaultAdapter(
            "openai/test", max_litellm_workers=given["in_flight"], litellm_batch_completion_kwargs={**words, "max_tokens": 256}
        )
        found = optimize(
            {"system_prompt": SEEDS[0]}, rows, rows, adapter=adapter, reflection_lm=LM("openai/test", **words),
            max_metric_calls=given["metric_calls"], cache_evaluation=True, seed=0, display_progress_bar=False,
        )  # fmt: skip
        return {"evaluations": len(found.candidates)}

    return go


CLIENTS = {"aiohttp": aiohttp, "llmevo": llmevo, "promptolution": promptolution, "gepa": gepa}


def main() -> None:
    name, url, given = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    go = CLIENTS[name](url, given)
    cpu, began = time.process_time(), time.perf_counter()
    found = go()
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - began, "began": began}
    print("\n" + json.dumps({**found, **spent}), flush=True)
    os._exit(0)  # some leave threads behind that never end


if __name__ == "__main__":
    main()
