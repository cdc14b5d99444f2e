"""The chat-completions format: a request as its JSON body, and a completion as a reply or a typed failure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from llmevo.core.errors import ConfigError
from llmevo.core.fitness import Usage
from llmevo.llm.contract import EmptyReply, Finish, Reply, Request
from llmevo.llm.faults import BadGateway, Names, clean

_FILTER_FINISH = frozenset({"content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii"})


def tokens_at_most(request: Request) -> tuple[int, int]:
    """Upper bounds on the tokens (in, out) of a call.

    In: a token is at least one byte of UTF-8, plus 16 for the frame of each message and 64 for the template around them all.
    Out: `max_tokens`.
    """
    size = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in request.messages)
    return size + 16 * len(request.messages) + 64, request.sampling.max_tokens


def cap_of(extra: Mapping[str, Any], usual: str) -> str:
    """The name of the field that bounds the answer; `max_tokens: null` among the extras asks for the newer name.

    Raises `ConfigError` for extras that would change what is asked or break the bound on what a call costs.
    """
    for name in ("model", "messages", "stream", "n", "best_of", "max_tokens", "max_completion_tokens"):
        value = extra.get(name)
        if value is not None and value is not False and (name, value) not in (("n", 1), ("best_of", 1)):
            cure = "set max_tokens of the model instead" if name.startswith("max_") else "it cannot be set here"
            raise ConfigError(f"extra: {name} = {extra[name]!r} would pass what is reserved for a call: {cure}")
    return "max_completion_tokens" if "max_tokens" in extra else usual


def body(model: str, request: Request, extra: Mapping[str, Any], *, cap: str, seeded: bool) -> dict[str, Any]:
    """The JSON body. `extra` wins over what is here; an extra of None removes the field. `cap` names the field of max_tokens.

    `seeded` derives the API's `seed` (31 bits) from the sample index.
    """
    sampling = request.sampling
    fields: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "temperature": sampling.temperature,
        cap: sampling.max_tokens,
    }
    if sampling.top_p is not None:
        fields["top_p"] = sampling.top_p
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    if seeded:
        digest = hashlib.blake2b(request.sample.encode("utf-8", "surrogatepass"), digest_size=4).digest()
        fields["seed"] = int.from_bytes(digest, "little") & 0x7FFFFFFF
    if extra:
        fields.update(extra)
        fields = {name: value for name, value in fields.items() if name not in extra or value is not None}
    return fields


def completion(raw: bytes | str, content_type: str, request: Request, names: Names) -> Reply:
    """The reply in the body of a 200. Raises `EmptyReply` (paid, useless) or `BadGateway` (not a completion, unknown
    spend)."""
    where = f"{names.model} at {names.endpoint}"
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    try:
        found = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        what = "cut or unreadable JSON" if "json" in content_type.lower() else f"{clean(content_type, 60) or 'untyped data'}"
        raise BadGateway(f"{where} answered 200 with {what} instead of a completion: {clean(text, 200)}") from None
    if not isinstance(found, dict):
        raise BadGateway(f"{where} answered 200 with JSON that is no completion: {clean(text, 200)}")
    choices = found.get("choices")
    if choices is None and found.get("error"):
        raise BadGateway(f"{where} answered 200 with an error: {clean(text, 200)}")
    usage, estimated = _usage(found.get("usage"), request)
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise EmptyReply(f"{where} gave a completion without choices", usage)
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content, refusal = _text(message.get("content")), message.get("refusal")
    finish = str(choice.get("finish_reason") or "stop").lower()
    if finish in _FILTER_FINISH:
        return Reply(content, usage, "filter", estimated)
    if finish == "refusal" or (isinstance(refusal, str) and refusal.strip()):
        return Reply(str(refusal or content), usage, "refusal", estimated)
    ended: Finish = "length" if finish in ("length", "max_tokens", "max_output_tokens") else "stop"
    if not content.strip():
        thought = message.get("reasoning_content") or message.get("reasoning")
        why = "only reasoning" if thought else "no text"
        cure = f" within max_tokens={request.sampling.max_tokens}: allow more" if ended == "length" else ""
        raise EmptyReply(f"{where} gave {why}{cure}", usage)
    return Reply(content, usage, ended, estimated)


def _text(content: Any) -> str:
    """The text of a content field: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _usage(found: Any, request: Request) -> tuple[Usage, bool]:
    """One call and its tokens; a number that is missing, negative or no number is replaced by its upper bound, and
    flagged."""
    found = found if isinstance(found, dict) else {}
    into, out = found.get("prompt_tokens"), found.get("completion_tokens")
    into_ok, out_ok = _count(into), _count(out)
    if into_ok and out_ok:
        return Usage(1, into, out), False
    most_in, most_out = tokens_at_most(request)
    return Usage(1, into if into_ok else most_in, out if out_ok else most_out), True


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
