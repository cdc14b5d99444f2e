"""How the process ends: every error as a message and an exit code."""

from __future__ import annotations

import signal
import sys

import typer

from llmevo.cli.app import app
from llmevo.cli.speaking import tell
from llmevo.core.errors import Interrupted, LlmevoError


def main() -> None:
    """The entry point. Exit codes: 0 done; 2 usage; 70 bug; 73 held; 74 disk; 75 paused; 78 configuration; 130 interrupted."""
    try:
        code = app(standalone_mode=False)
    except LlmevoError as error:
        tell(f"{'' if isinstance(error, Interrupted) else 'error: '}{error}")
        code = error.exit_code
        if isinstance(error, Interrupted):
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is recorded and closed: a late Ctrl-C is no other end
    except typer.Exit as leave:
        code = leave.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = Interrupted.exit_code
    except Exception as error:
        code = _unexpected(error)
    sys.exit(code if isinstance(code, int) else 0)


def _unexpected(error: Exception) -> int:
    show = getattr(error, "show", None)
    if callable(show) and hasattr(error, "exit_code"):
        show()
        return int(error.exit_code)
    import traceback

    tell(f"{traceback.format_exc()}This is a bug in llmevo; what was recorded is kept. Please report it with the lines above.")
    return LlmevoError.exit_code
