"""Instructions as files: find them, check them, render them, read the replies."""

from llmevo.library.find import Found, find, listing
from llmevo.library.judge import JudgeTemplate, load_judge
from llmevo.library.operator import Template, load_operator
from llmevo.library.prompts import PromptFolder, TaskTemplate, load_prompts, load_seeds, load_task
from llmevo.library.reader import Unread, clean, is_refusal, read

__all__ = [
    "Found",
    "JudgeTemplate",
    "PromptFolder",
    "TaskTemplate",
    "Template",
    "Unread",
    "clean",
    "find",
    "is_refusal",
    "listing",
    "load_judge",
    "load_operator",
    "load_prompts",
    "load_seeds",
    "load_task",
    "read",
]
