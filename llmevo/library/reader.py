"""The reader of replies: the child that stands in the answer tag, or a typed reason why there is none. It
never raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from llmevo.library.render import tag_pattern

Reason = Literal["missing", "unclosed", "empty", "nested", "placeholder", "refusal"]


@dataclass(frozen=True, slots=True)
class Unread:
    """Why a reply holds no child. `detail` says it in words that can be shown to the user and to the
    model.
    """

    reason: Reason
    detail: str


REFUSAL = re.compile(
    r"(?:(?:i['’]m|i am|we['’]re|we are)?\s*(?:very |so |really )?(?:sorry|afraid)[,.:;!]?\s*|"
    r"i apologi[sz]e[,.:;!]?\s*|my apologies[,.:;!]?\s*|unfortunately,?\s*)?(?:but\s+|that\s+)?"
    r"(?:as an? (?:ai|language model)\b|"
    r"(?:i['’]m|i am|we are|we['’]re|i|we)\s+"
    r"(?:can(?:['’]t|not| not)|could not|couldn['’]t|won['’]t|will not|must decline|decline|not able|unable|"
    r"not allowed|not comfortable|not going|do not feel|don['’]t feel)\b(?:\s+\w+){0,3}?\s*"
    r"(?:help|assist|comply|fulfil|provide|do that|do this|create|write|generate|produce|continue|answer|"
    r"engage|support|discuss|participate|to that|to this|with that|with this))",
    re.IGNORECASE,
)
JOINING = frozenset({"and", "or"})
"""What stands between two tags of a sentence that only mentions them."""
BLANK_BEGINS = frozenset({"your", "new", "final", "improved", "insert", "put", "write"})
BLANK_ENDS = frozenset({"prompt", "instruction", "answer", "description", "here"})
UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufeff]")


def clean(text: str) -> str:
    """The text as it may be stored and sent: line ends are newlines, control characters are gone, lone
    surrogates are U+FFFD.
    """
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    return UNWANTED.sub(lambda match: "\ufffd" if match[0] >= "\ud800" and match[0] <= "\udfff" else "", unified)


def read(reply: str, tag: str) -> str | Unread:
    """The content of the LAST complete `<tag>...</tag>` of a reply, cleaned and stripped, or why there is
    none.

    It is never the reply as a whole. An opening tag that is followed by another opening one was a mention; a
    pair that holds a complete pair is ambiguous and refused.
    """
    content = _last_pair(reply, tag)
    if isinstance(content, Unread):
        return content
    child = clean(content).strip()
    if not any(letter.isalnum() for letter in child):
        return Unread("empty", f"there is nothing between <{tag}> and </{tag}>")
    if _is_placeholder(child):
        return Unread("placeholder", f"between <{tag}> and </{tag}> stands only {child[:40]!r}")
    if is_refusal(child):
        return Unread("refusal", f"the reply is a refusal: {child[:80]!r}")
    return child


def is_refusal(text: str) -> bool:
    """Whether a text begins like a model that declines. Narrow on purpose: a polite answer may begin with an
    apology too.
    """
    return REFUSAL.match(text.lstrip(" \t\n\"'*_>#-")[:400]) is not None


def _is_placeholder(child: str) -> bool:
    words = re.findall(r"[^\W\d_]+", child[:60].lower())
    if len(child) > 60 or not 1 <= len(words) <= 5:
        return False
    return (len(words) == 1 and words[0] in JOINING) or (words[0] in BLANK_BEGINS and words[-1] in BLANK_ENDS)


def _last_pair(reply: str, tag: str) -> str | Unread:
    """What stands in the outermost complete pair that ends last."""
    opened: list[int] = []
    pairs: list[tuple[int, int, int, int]] = []
    for match in tag_pattern(tag).finditer(reply):
        if not match[1]:
            opened.append(len(pairs))
            pairs.append((match.start(), match.end(), -1, -1))
        elif opened:
            place = opened.pop()
            pairs[place] = (*pairs[place][:2], match.start(), match.end())
    complete = [pair for pair in pairs if pair[3] >= 0]
    if complete:
        begin, inner, end, _ = max(complete, key=lambda pair: pair[3])
        if any(begin < other[0] < end for other in complete):
            return Unread("nested", f"one <{tag}> stands inside another")
        return reply[inner:end]
    if is_refusal(reply):
        return Unread("refusal", f"the reply is a refusal: {clean(reply).strip()[:80]!r}")
    if pairs:
        return Unread("unclosed", f"<{tag}> is not closed by </{tag}>")
    return Unread("missing", f"there is no <{tag}>...</{tag}>")
