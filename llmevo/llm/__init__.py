"""Language models: one contract, any endpoint, and an answer that is never paid for twice.

`Connections(...)` holds what the models of a run share; its `connect(ModelSpec(...))` gives an `LLM`. Importing this package
loads neither the network client nor any SDK.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from llmevo.llm.contract import (
    LLM,
    CallFailed,
    ContextTooLong,
    EmptyReply,
    Finish,
    Message,
    Refused,
    Reply,
    Request,
    RequestRejected,
    Role,
    Sampling,
    Unreachable,
)

if TYPE_CHECKING:
    from llmevo.llm.build import Connections, Model, connect
    from llmevo.llm.greeting import preflight
    from llmevo.llm.http import HttpLLM
    from llmevo.llm.prices import Price
    from llmevo.llm.scripted import ScriptedLLM, ScriptRanDry
    from llmevo.llm.spec import ModelSpec

_LAZY = {
    "Connections": "build",
    "HttpLLM": "http",
    "Model": "build",
    "ModelSpec": "spec",
    "Price": "prices",
    "ScriptRanDry": "scripted",
    "ScriptedLLM": "scripted",
    "connect": "build",
    "preflight": "greeting",
}

__all__ = [
    "LLM",
    "CallFailed",
    "Connections",
    "ContextTooLong",
    "EmptyReply",
    "Finish",
    "HttpLLM",
    "Message",
    "Model",
    "ModelSpec",
    "Price",
    "Refused",
    "Reply",
    "Request",
    "RequestRejected",
    "Role",
    "Sampling",
    "ScriptRanDry",
    "ScriptedLLM",
    "Unreachable",
    "connect",
    "preflight",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
