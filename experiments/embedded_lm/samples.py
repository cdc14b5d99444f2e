"""Training samples of all kinds: tasks that prompts decide, operators, practice of copying.

Tasks come with hints: tags of the words that matter and, where a sign is asked, the sign. They are learnt beside the answer
by two small heads that are thrown away (`train.py`), so that the steps of a look-up are practised one by one.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from breeding import operator_sample
from instructions import LABEL_CODE, LABELS, PAIRS, Instruction, random_instruction, say
from language import (
    AGAIN,
    ASPECTS,
    BAD,
    FACT_NAMES,
    GOOD,
    HAPPY,
    NEVER,
    PRODUCTS,
    SAD,
    SIGNED,
    Review,
    fact_code,
    opinion_code,
    review,
)
from marks import mark, unmark
from words import LEXICON, NOUNS, any_word, gibberish, pseudo

TAGS = 8
"""Tags of a token: 0 nothing, 1/2 an asked opinion (good/bad), 3/4 another one, 5 the asked fact, 6/7 the label for good/bad."""


class Sample(NamedTuple):
    """A user text and the right answer, with hints: (begin, end, tag) of words in the text, and the sign that is asked."""

    user: str
    answer: str
    tags: tuple[tuple[int, int, int], ...] = ()
    sign: bool | None = None

WRAPS = (
    ("{p}\n\nReview: {x}\nAnswer:", 10), ("{p}\nReview: {x}\nAnswer:", 2), ("{p}\n\nReview: {x}", 1), ("{p}\nReview: {x}", 1),
    ("{p}\n\nInput: {x}\nAnswer:", 1), ("{p}\n\nText: {x}\nAnswer:", 1), ("{p}\n\n{x}", 1), ("{p} {x}", 1),
)


def wrap(rng: Random, prompt: str, text: str) -> str:
    """A prompt around an input, in the shipped way or a similar one."""
    form = rng.choices([w for w, _ in WRAPS], [n for _, n in WRAPS])[0]
    return form.format(p=prompt, x=text)


def about(ins: Instruction) -> str | None:
    """The aspect or fact that a review must hold for an instruction to make sense."""
    if ins.task is None:
        return "overall"
    return ins.task[1] if ins.task[0] != "mention" else None


def any_product(rng: Random) -> str:
    """A product, often one that nobody sells: what was bought is known by its place, not by its name."""
    r = rng.random()
    return rng.choice(PRODUCTS) if r < 0.3 else rng.choice(NOUNS) if r < 0.5 else pseudo(rng)


def hinted(text: str, answer: str, ins: Instruction, r: Review) -> Sample:
    """The sample of a marked text: marks become tags that depend on what is asked."""
    kind, arg = ins.task or ("sign", "overall")
    vague = ins.task is None and ins.labels is None
    tags: dict[int, int] = {LABEL_CODE: 6, LABEL_CODE + 1: 7}
    for name in SIGNED:
        asked = not vague and kind != "fact" and (name == arg or (kind == "count" and name in ASPECTS))
        tags[opinion_code(name, True)], tags[opinion_code(name, False)] = (1, 2) if asked else (3, 4)
    for name in FACT_NAMES:
        tags[fact_code(name)] = 5 if (kind == "fact" and name == arg) or (vague and name == "product") else 0
    user, spans = unmark(text)
    sign = None
    if ins.labels and kind in ("sign", "mention"):
        sign = arg in r.signs if kind == "mention" else r.signs.get(arg)
    return Sample(user, answer, tuple((b, e, tags[c]) for b, e, c in spans if tags[c]), sign)


def task_sample(rng: Random, generic: float = 0.2) -> Sample:
    """A review under an instruction, and the right answer."""
    ins = random_instruction(rng)
    r = review(rng, generic=generic, products=[any_product(rng)], must=about(ins), agree=0.5, short=rng.random() < 0.2)
    if ins.labels and rng.random() < 0.06:
        return _few_shot(rng, ins, r, generic)
    return hinted(wrap(rng, say(rng, ins, marks=True), r.marked), ins.answer(r), ins, r)


def _few_shot(rng: Random, ins: Instruction, r: Review, generic: float) -> Sample:
    shots = [review(rng, generic=generic, must=about(ins)) for _ in range(rng.randint(1, 2))]
    lines = "".join(f"\nReview: {s.text}\nAnswer: {ins.answer(s)}" for s in shots)
    text = f"{say(rng, ins, marks=True)}{lines}\n\nReview: {r.marked}\nAnswer:"
    return hinted(text, ins.answer(r), ins, r)


def multi_sample(rng: Random, generic: float = 0.6) -> Sample:
    """Several aspects at once: many look-ups for one text, so that binding is practised densely."""
    r = review(rng, generic=generic, agree=0.5)
    names = [n for n in r.signs if n in ASPECTS]
    rng.shuffle(names)
    names = names[: rng.randint(2, 4)]
    good, bad = rng.choice((("good", "bad"), ("positive", "negative"), ("yes", "no")))
    a, b = (good, bad) if rng.random() < 0.5 else (bad, good)
    asked = ", ".join(rng.choice(ASPECTS[n].nouns) for n in names)
    text = f"Judge the {asked}. {rng.choice(LABELS).format(a=a, b=b)}."
    if len(names) == 1:
        # the same question as a task's, so the same answer
        return Sample(wrap(rng, text, r.text), good if r.signs[names[0]] else bad)
    # each answer stands beside its question, so that one look-up at a time is practised
    answer = ", ".join(f"{w} {good if r.signs[n] else bad}" for w, n in zip(asked.split(", "), names, strict=True))
    return Sample(wrap(rng, text, r.text), answer)


def lexical_sample(rng: Random) -> Sample:
    """Single words and phrases with a label each: which words praise, and which label is the good one."""
    good, bad = rng.choice(PAIRS)
    a, b = (mark(good, 6), mark(bad, 7))[:: 1 if rng.random() < 0.5 else -1]
    items, signs = [], []
    for _ in range(rng.randint(1, 6)):
        liked = rng.random() < 0.5
        x = rng.choice(sorted(ASPECTS))
        r = rng.random()
        pool: tuple[str, ...] | list[str]
        if r < 0.6:
            pool = ASPECTS[x].good if liked else ASPECTS[x].bad
        elif r < 0.8:
            pool = HAPPY if liked else SAD
        elif r < 0.9:
            pool = GOOD if liked else BAD
        else:
            pool = AGAIN if liked else NEVER
        items.append(mark(rng.choice(pool).strip("."), 1 if liked else 2))
        signs.append(liked)
    user, tags = unmark(f"{rng.choice(LABELS).format(a=a, b=b)}.\n{', '.join(items)}")
    said = [good if liked else bad for liked in signs]
    if len(items) == 1:
        return Sample(user, said[0], tuple(tags), signs[0])
    return Sample(user, ", ".join(f"{unmark(i)[0]} {s}" for i, s in zip(items, said, strict=True)), tuple(tags))


def copy_sample(rng: Random) -> Sample:
    """Practice of copying: repeat, continue or find again what stands in the text."""
    form = rng.randrange(4)
    if form == 0:
        text = gibberish(rng, 4, 16)
        return Sample(f"Repeat: {text}", text)
    if form == 1:
        words = [any_word(rng, 0.3) for _ in range(rng.randint(8, 24))]
        i = rng.randint(0, len(words) - 4)
        return Sample(" ".join(words) + f"\nGo on after: {words[i]} {words[i + 1]}", " ".join(words[i + 2 : i + 8]))
    if form == 2:
        n = rng.randint(2, 7)
        keys = rng.sample(LEXICON, n)
        values = [rng.choice(LEXICON) for _ in keys]
        asked = rng.sample(range(n), rng.randint(1, n))
        table = ", ".join(f"{k} {v}" for k, v in zip(keys, values, strict=True))
        return Sample(f"{table}\n" + ", ".join(keys[i] for i in asked), ", ".join(values[i] for i in asked))
    a, b = gibberish(rng, 4, 10), gibberish(rng, 4, 10)
    if rng.random() < 0.5:
        return Sample(f"Instruction 1: {a}\nInstruction 2: {b}\nSay instruction 1", f"<prompt> {a}</prompt>")
    return Sample(f"Instruction 1: {a}\nInstruction 2: {b}\nSay instruction 2", f"<prompt> {b}</prompt>")


__all__ = ["TAGS", "Sample", "copy_sample", "multi_sample", "operator_sample", "task_sample", "wrap"]
