"""The lesson of the second leg: crossing texts that share words, of words that are spelt in pieces.

Real prompts about one task resemble one another, and many of their words are no single token. Where to go on is then not known by the
last token alone: a shared word is followed by one thing in the first parent and by another in the second, and a piece such as "tion"
stands in many words. So parents are made that borrow one another's words and spans, some of whose words are derived or made up, and
children whose change of parent cannot be mistaken for going on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from words import COMMON, LEXICON, any_word, capital, foreign_instruction, gibberish, pseudo

BOUNDARY = frozenset("and or as into of with from in for whether if to by is on what that based one the a".split())
"""Words that begin a clause or a part of one."""
_PREFIXES = "un re dis over pre sub inter non mis under out anti".split()
_SUFFIXES = (
    "ity ation er ers ing ness ive ment al ized ists ally ability ship less ward hood ism ure ance ent ary ular istic ify ifies ed s es ly"
).split()
_KNOWN = frozenset(w for w in {*LEXICON, *COMMON} if len(w) > 3) - BOUNDARY
_EDGES = ".,:;?!()[]\"'"


def hard_word(rng: Random) -> str:
    """A word that is mostly no single token: derived, with a capital, in capitals, or made up."""
    r = rng.random()
    base = rng.choice(LEXICON if rng.random() < 0.5 else COMMON)
    if r < 0.4:
        ending = rng.choice(_SUFFIXES)
        stem = base[:-1] if base[-1] in "ey" and ending[0] in "aeiou" else base
        return (rng.choice(_PREFIXES) if rng.random() < 0.3 else "") + stem + ending
    if r < 0.65:
        return base.capitalize()
    if r < 0.7:
        return base.upper()
    if r < 0.75:
        # a slip of the pen
        at = rng.randrange(len(base))
        return base[:at] + rng.choice("abcdefghiklmnoprstuw") + base[at + 1 :]
    made_up = pseudo(rng)
    return made_up.capitalize() if rng.random() < 0.3 else made_up


def _core(word: str) -> str:
    return word.strip(_EDGES)


def _known(words: Sequence[str]) -> list[str]:
    return sorted({c for w in words if (c := _core(w)).lower() in _KNOWN})


def _replaced(text: str, table: dict[str, str]) -> str:
    out = []
    for word in text.split(" "):
        core = _core(word)
        new = table.get(core.lower())
        out.append(word if new is None or not core else word.replace(core, capital(new) if core.istitle() else new, 1))
    return " ".join(out)


def texts(rng: Random, n: int) -> list[str]:
    """Some instructions about anything: mostly alike in words, mostly with words in pieces."""
    found = [foreign_instruction(rng) for _ in range(n)]
    if rng.random() < 0.25:
        spot = rng.randrange(n)
        found[spot] = f"{found[spot].rstrip('.')}. {capital(foreign_instruction(rng))}"
    if n > 1 and rng.random() < 0.7:
        first = found[0].split(" ")
        lent, rate = _known(first), rng.uniform(0.2, 0.8)
        for i in range(1, n):
            if lent:
                found[i] = _replaced(found[i], {w.lower(): rng.choice(lent) for w in _known(found[i].split(" ")) if rng.random() < rate})
            if rng.random() < 0.35 and len(first) > 5:
                # a span that both have: what stands before it or behind it tells them apart
                at, long = rng.randrange(len(first) - 3), rng.randint(2, 6)
                words = found[i].split(" ")
                to = rng.randrange(1, len(words) + 1)
                found[i] = " ".join([*words[:to], *first[at : at + long], *words[to + rng.randint(0, 3) :]])
    if rng.random() < 0.75:
        words = _known(" ".join(found).split(" "))
        rate = rng.uniform(0.1, 0.7)
        few = [hard_word(rng) for _ in range(rng.randint(2, 8))]
        # few different words in some samples: then a piece is followed by many things
        table = {w.lower(): rng.choice(few) if rng.random() < 0.3 else hard_word(rng) for w in words if rng.random() < rate}
        found = [_replaced(t, table) for t in found]
    return found


def begins(words: Sequence[str], i: int) -> bool:
    """Whether a clause or a part of one begins with a word."""
    return words[i].lower() in BOUNDARY or words[i - 1][-1:] in ".,:;?" or words[i][:1] in "(['\""


def cross(a: str, b: str) -> str:
    """The first clause of one text, then another from a later clause on, whose first word does not go on with the former.

    The place to leave is the first beginning of a clause after four words. The place to enter is the first one after four words whose
    word the former text does not have; failing that, one whose word and its next do not follow one another there, and is not what the
    former text would go on with.
    """
    x, y = a.split(" "), b.split(" ")
    i = next((k for k in range(4, min(8, len(x) - 1)) if begins(x, k)), min(6, len(x)))
    on = _core(x[i]).lower() if i < len(x) else ""
    had = [_core(w).lower() for w in x]
    pairs = set(pairwise(had))
    low = [_core(w).lower() for w in y]
    places = [k for k in range(4, len(y) - 3) if begins(y, k)] or [k for k in range(3, len(y) - 3)]
    places = [k for k in [*places, 0] if low[k] != on]
    j = next((k for k in places if low[k] not in had),
             next((k for k in places if k + 1 < len(y) and (low[k], low[k + 1]) not in pairs), 0))
    head, tail = " ".join(x[:i]), " ".join(y[j:])
    starts = j == 0 or y[j - 1][-1:] in ".?!"
    if starts and head[-1:] not in ".?!":
        # a sentence stays one, and its first word the same tokens
        head = head.rstrip(",:;") + "."
    return f"{head} {tail}"


def long_text(rng: Random) -> str:
    """A text for copying: an instruction, or random words with many in pieces."""
    if rng.random() < 0.6:
        return texts(rng, 1)[0]
    words = [hard_word(rng) if rng.random() < 0.5 else any_word(rng) for _ in range(rng.randint(4, 20))]
    few = rng.sample(words, min(len(words), 4))
    words = [rng.choice(few) if rng.random() < 0.15 else w for w in words]
    if rng.random() < 0.5:
        words = [w + rng.choice((",", ",", ".", "")) for w in words]
    return " ".join(words)


def copying(rng: Random) -> tuple[str, str]:
    """Practice: a whole text, one of two that are alike, or the rest of a text after some words."""
    r = rng.random()
    if r < 0.35:
        text = long_text(rng)
        return f"Repeat: {text}", text
    if r < 0.75:
        a, b = texts(rng, 2)
        k = rng.randint(1, 2)
        return f"Instruction 1: {a}\nInstruction 2: {b}\nSay instruction {k}", f"<prompt> {(a, b)[k - 1]}</prompt>"
    words = (long_text(rng) + " " + gibberish(rng, 6, 12)).split(" ")
    i = rng.randint(0, len(words) - 5)
    return " ".join(words) + f"\nGo on after: {words[i]} {words[i + 1]}", " ".join(words[i + 2 : i + 12])


__all__ = ["copying", "cross", "hard_word", "texts"]
