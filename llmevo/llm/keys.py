"""Keys for those who ask nothing."""

from __future__ import annotations

from typing import Any


class AnyKey(dict[str, str]):
    """An environment for a plan or a replay, which asks no model and therefore needs no key: every variable is set."""

    def get(self, name: str, default: Any = None) -> Any:
        return "unused"

    def __getitem__(self, name: str) -> str:
        return "unused"

    def __contains__(self, name: object) -> bool:
        return True
