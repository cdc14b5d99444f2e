"""The small language model in the package: no key, no download, no torch.

`EmbeddedModel.load().generate([Ask("...")])` answers many questions at once; `EmbeddedLLM()` is the same model behind the
contract of `llmevo.llm`. Importing this package loads no weights.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmevo.llm.embedded.adapter import EmbeddedLLM
    from llmevo.llm.embedded.runtime import WEIGHTS, Answer, Ask, EmbeddedModel, TooLong, weights_hash

_LAZY = {
    "WEIGHTS": "runtime", "Answer": "runtime", "Ask": "runtime", "EmbeddedLLM": "adapter", "EmbeddedModel": "runtime",
    "TooLong": "runtime", "weights_hash": "runtime",
}

__all__ = ["WEIGHTS", "Answer", "Ask", "EmbeddedLLM", "EmbeddedModel", "TooLong", "weights_hash"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
