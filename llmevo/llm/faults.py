"""What can go wrong with one attempt at a call, and how an endpoint's words for it are read. Shared by every endpoint."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from llmevo.core.clock import REAL_CLOCK, Clock
from llmevo.core.errors import ConfigError
from llmevo.core.fitness import FREE, Usage
from llmevo.core.secret import redact
from llmevo.llm.contract import ContextTooLong, Refused, RequestRejected, Unreachable


class Transient(Unreachable):
    """An attempt that failed and may be repeated. The retry layer catches it; without one it pauses the run.

    `spent` is what the attempt cost: nothing for sure, or None when nobody knows (booked at the upper bound).
    """

    def __init__(self, message: str, *, spent: Usage | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.spent = spent
        self.retry_after = retry_after


class RateLimited(Transient):
    """429: not an error, but a wish to be asked later. Nothing was billed."""


class ServerFault(Transient):
    """The server failed (5xx). Unknown spend, except for 503 and 529, which refuse before working."""


class BadGateway(ServerFault):
    """Something answered that is not the model: an HTML page, cut or unreadable JSON. Unknown spend."""


class NoConnection(Transient):
    """No connection, or a lost one. A connection that was refused cost nothing; one that broke may have been billed."""


class TimedOut(Transient):
    """The deadline of one attempt passed. Unknown spend."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the messages call things: the model, its endpoint, and the variable that holds its key."""

    model: str
    endpoint: str
    key: str | None = None


_TOO_LONG = re.compile(
    r"context[_ ](?:length|window|size)|maximum context|max(?:imum)?[_ ]model[_ ]len|prompt is too long|input is too long"
    r"|too many (?:input )?tokens|exceeds? the (?:available|maximum|model'?s?) (?:context|number of tokens|input|token)"
    r"|input (?:token count|length)[^.]{0,40}exceed|reduce the length of|string_above_max_length|request too large for",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content[_ ](?:filter|policy|management)|responsibleai|safety (?:system|filter)|data_inspection_failed|moderation"
    r"|flagged|prohibited content|content exists risk|usage polic",
    re.IGNORECASE,
)
_BILLING = re.compile(
    r"insufficient[_ ](?:quota|balance|credits?|funds)|billing|exceeded your current quota|out of credits|credit balance"
    r"|payment required|arrearage",
    re.IGNORECASE,
)
_BAD_KEY = re.compile(r"invalid[_ ]api[_ ]key|api key not valid|incorrect api key|api_key_invalid", re.IGNORECASE)
_NO_MODEL = re.compile(r"model[_ ]not[_ ]found|model .{0,80}(?:does not exist|not found)|unknown model", re.IGNORECASE)
_TRY_AGAIN = re.compile(r"(?:try again|retry) in (?:(\d+)m)?([\d.]*\d)\s?(ms|s)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d[\d,]{2,}")


def clean(text: str, length: int = 300) -> str:
    """Foreign text made fit for a message: no secret, no control characters, one line, cut."""
    text = redact(text)
    text = "".join(c if c.isprintable() else " " for c in text[: 4 * length])
    return " ".join(text.split())[:length]


def retry_after(headers: Mapping[str, str], clock: Clock = REAL_CLOCK) -> float | None:
    """Seconds to wait, from `retry-after-ms`, or `retry-after` in seconds or as a date; None when absent or unreadable.

    `headers` must have lower-case names. A date is measured against the server's own `date` header, else against the wall
    clock.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        hour = parsedate_to_datetime(headers["retry-after"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return None
    try:
        now = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        now = clock.now()
    return max(0.0, hour - now)


def from_status(status: int, headers: Mapping[str, str], body: str, names: Names, clock: Clock = REAL_CLOCK) -> Exception:
    """The error that an HTTP status other than 2xx means. `headers` must have lower-case names."""
    said, codes = _error_of(body)
    where = f"{names.model} at {names.endpoint}: HTTP {status}"
    what = f"{where}: {clean(said)}" if said.strip() else where
    words = f"{codes} {said}"
    wait = retry_after(headers, clock)
    if 300 <= status < 400:
        target = clean(headers.get("location", "an unnamed place"))
        return ConfigError(f"{where} redirects to {target}. Keys are not sent after redirects: write that address as base_url.")
    if status == 429 and wait is None:
        wait = _said_wait(said)
    # A limit per minute is worded like an empty account by some; who says when to come again means the former.
    passing = "rate_limit" in codes or (wait is not None and "insufficient_quota" not in codes)
    if status == 402 or (status in (400, 403, 429) and _BILLING.search(words) and not passing):
        return Unreachable(f"{what}. The provider refuses for billing: settle it there, then continue the run.")
    if status == 429:
        return RateLimited(what, spent=FREE, retry_after=wait)
    if status in (408, 409, 425) or (status >= 500 and status not in (501, 505)):
        return ServerFault(what, spent=FREE if status in (409, 425, 503, 529) else None, retry_after=wait)
    if status in (400, 403, 422, 451) and _FILTERED.search(words):
        return Refused(f"{what} (content filter)")
    if status in (401, 403, 407) or (status == 400 and _BAD_KEY.search(words)):
        cure = f"check the key in {names.key}" if names.key else "name the variable that holds its key with `api_key_env`"
        return ConfigError(f"{what}. The server refuses the key: {cure}, and that it may use {names.model}.")
    if status in (404, 405) or (status == 400 and _NO_MODEL.search(words)):
        return ConfigError(f"{what}. Check the name of the model ({names.model}) and base_url ({names.endpoint}).")
    if status in (400, 413, 422) and _TOO_LONG.search(words):
        numbers = sorted((int(n.replace(",", "")) for n in _NUMBER.findall(said)), reverse=True)[:2]
        asked, limit = numbers if len(numbers) == 2 else (None, numbers[0] if numbers else None)
        return ContextTooLong(f"{what}. The question does not fit into the model's context.", limit, asked)
    return RequestRejected(what)


def _said_wait(said: str) -> float | None:
    """Seconds from "try again in 1m30.5s" or "retry in 20ms"; None when nothing of the kind is said."""
    found = _TRY_AGAIN.search(said)
    if not found:
        return None
    minutes, amount, unit = found.groups()
    try:
        return 60.0 * int(minutes or 0) + float(amount) * (1e-3 if unit.lower() == "ms" else 1.0)
    except ValueError:
        return None


def _error_of(body: str) -> tuple[str, str]:
    """The message and the codes of an error body in any of the usual shapes; else the body and nothing."""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return body[:2000], ""
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return body[:2000], ""
    error = found.get("error", found)
    if not isinstance(error, dict):
        return str(error), ""
    said = error.get("message") or error.get("detail") or error.get("msg") or body
    inner = error.get("innererror")
    codes = [error.get("code"), error.get("type"), error.get("status"), error.get("param"), inner]
    return str(said)[:2000], " ".join(str(code) for code in codes if code is not None)
