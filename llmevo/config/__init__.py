"""Run files: YAML to typed settings, settings and data to a search."""

from llmevo.config.assemble import KINDS, Search, assemble, budget_of
from llmevo.config.reading import check_config, read_config, resolved
from llmevo.config.schema import FREE_ON_RESUME, RunConfig
from llmevo.config.task import Task, load_task

__all__ = [
    "FREE_ON_RESUME", "KINDS", "RunConfig", "Search", "Task", "assemble", "budget_of", "check_config", "load_task", "read_config",
    "resolved",
]  # fmt: skip
