"""Instructions as files: find them, check them, render them, read the replies."""

from llmevo.library.find import Found, find, listing
from llmevo.library.operator import Template, load_operator
from llmevo.library.prompts import PromptFolder, TaskTemplate, load_prompts, load_seeds, load_task
from llmevo.library.reader import Unread, clean, is_refusal, read

__all__ = [
    "Found",
    "PromptFolder",
    "TaskTemplate",
    "Template",
    "Unread",
    "clean",
    "find",
    "is_refusal",
    "listing",
    "load_operator",
    "load_prompts",
    "load_seeds",
    "load_task",
    "read",
]
