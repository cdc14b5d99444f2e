"""The command line: thin functions over the Python face. Heavy parts are imported by the command that needs them.

`main` is the entry point. The commands are in `starting.py`, `comparing.py`, `refining.py` and `looking.py`; `signals.py` says what
Ctrl-C does, `ending.py` what the exit codes mean.
"""

from __future__ import annotations

from llmevo.cli import comparing, looking, refining, starting
from llmevo.cli.ending import main

__all__ = ["comparing", "looking", "main", "refining", "starting"]
