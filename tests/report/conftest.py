from __future__ import annotations

from tests.runs.conftest import place, server

__all__ = ["place", "server"]
