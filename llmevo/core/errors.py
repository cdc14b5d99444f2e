"""Errors, each with the exit code that the command line returns for it.

A message says what is wrong, where, and the cure. `Pause` is the family of conditions under which nothing is lost: the run
stops untold and continues later from what was recorded.
"""

from __future__ import annotations

from typing import ClassVar


class LlmevoError(Exception):
    """Base of all errors that are raised on purpose. `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 70


class ConfigError(LlmevoError):
    """Configuration, data or credentials that cannot work; found before anything is paid."""

    exit_code = 78


class ReplayDiffers(ConfigError):
    """The algorithm asks for another mating than the recorded run did: code or settings have changed."""


class RunHeld(LlmevoError):
    """Another process holds this run folder."""

    exit_code = 73


class StorageError(LlmevoError):
    """The run folder cannot be written or read (disk full, no permission, damaged rows)."""

    exit_code = 74


class Pause(LlmevoError):
    """The run cannot go on now and can be continued later: transport, judge, billing, rate limit."""

    exit_code = 75


class BudgetExhausted(Pause):
    """The next call does not fit into the budget. Continue with a larger one; recorded answers are not paid again."""


class Interrupted(LlmevoError):
    """The user asked to stop (Ctrl-C, SIGTERM). The run can be continued."""

    exit_code = 130


class VariationFailed(LlmevoError):
    """A birth that did not happen: refusal, unreadable reply, no child. Recorded as a stillbirth, never as a copy of a parent."""


class InvalidFitness(LlmevoError):
    """A fitness function returned what is not a score; the message names what came and what was expected."""
