"""Training samples of all kinds as (user text, answer): tasks that prompts decide, operators, practice of copying."""

from __future__ import annotations

from random import Random

from breeding import operator_sample
from instructions import LABELS, PAIRS, Instruction, random_instruction, say
from language import AGAIN, ASPECTS, BAD, GOOD, HAPPY, NEVER, SAD, Review, review
from words import LEXICON, any_word, gibberish

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


def task_sample(rng: Random, generic: float = 0.2) -> tuple[str, str]:
    """A review under an instruction, and the right answer."""
    ins = random_instruction(rng)
    r = review(rng, generic=generic, must=about(ins), short=rng.random() < 0.55)
    if ins.labels and rng.random() < 0.06:
        return _few_shot(rng, ins, r, generic)
    return wrap(rng, say(rng, ins), r.text), ins.answer(r)


def _few_shot(rng: Random, ins: Instruction, r: Review, generic: float) -> tuple[str, str]:
    shots = [review(rng, generic=generic, must=about(ins)) for _ in range(rng.randint(1, 2))]
    lines = "".join(f"\nReview: {s.text}\nAnswer: {ins.answer(s)}" for s in shots)
    return f"{say(rng, ins)}{lines}\n\nReview: {r.text}\nAnswer:", ins.answer(r)


def multi_sample(rng: Random, generic: float = 0.6) -> tuple[str, str]:
    """Several aspects at once: many look-ups for one text, so that binding is practised densely."""
    r = review(rng, generic=generic, agree=0.5)
    names = [n for n in r.signs if n in ASPECTS]
    rng.shuffle(names)
    names = names[: rng.randint(1, 4)]
    good, bad = rng.choice((("good", "bad"), ("positive", "negative"), ("yes", "no")))
    a, b = (good, bad) if rng.random() < 0.5 else (bad, good)
    asked = ", ".join(rng.choice(ASPECTS[n].nouns) for n in names)
    text = f"Judge the {asked}. {rng.choice(LABELS).format(a=a, b=b)}."
    if len(names) == 1:
        # the same question as a task's, so the same answer
        return wrap(rng, text, r.text), good if r.signs[names[0]] else bad
    # each answer stands beside its question, so that one look-up at a time is practised
    return wrap(rng, text, r.text), ", ".join(f"{w} {good if r.signs[n] else bad}" for w, n in zip(asked.split(", "), names, strict=True))


def lexical_sample(rng: Random) -> tuple[str, str]:
    """Single words and phrases with a label each: which words praise, and which label is the good one."""
    good, bad = rng.choice(PAIRS)
    a, b = (good, bad) if rng.random() < 0.5 else (bad, good)
    items, signs = [], []
    single = rng.random() < 0.55
    for _ in range(1 if single else rng.randint(2, 6)):
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
        items.append(rng.choice(pool).strip("."))
        signs.append(good if liked else bad)
    ask = rng.choice(LABELS).format(a=a, b=b)
    if single:
        # from the bare word to a sentence under the usual wrapper, in small steps
        form = rng.randrange(4)
        noun = rng.choice(ASPECTS[x].nouns)
        line = items[0] if form == 0 or " I" in f" {items[0]}" else f"The {noun} is {items[0]}"
        line += "." if form >= 2 else ""
        return (wrap(rng, ask + ".", line) if form == 3 else f"{ask}.\n{line}"), signs[0]
    text = f"{ask}.\n{', '.join(items)}"
    return text, ", ".join(f"{i} {s}" for i, s in zip(items, signs, strict=True))


def copy_sample(rng: Random) -> tuple[str, str]:
    """Practice of copying: repeat, continue or find again what stands in the text."""
    form = rng.randrange(4)
    if form == 0:
        text = gibberish(rng, 4, 16)
        return f"Repeat: {text}", text
    if form == 1:
        words = [any_word(rng, 0.3) for _ in range(rng.randint(8, 24))]
        i = rng.randint(0, len(words) - 4)
        return " ".join(words) + f"\nGo on after: {words[i]} {words[i + 1]}", " ".join(words[i + 2 : i + 8])
    if form == 2:
        n = rng.randint(2, 7)
        keys = rng.sample(LEXICON, n)
        values = [rng.choice(LEXICON) for _ in keys]
        asked = rng.sample(range(n), rng.randint(1, n))
        table = ", ".join(f"{k} {v}" for k, v in zip(keys, values, strict=True))
        return f"{table}\n" + ", ".join(keys[i] for i in asked), ", ".join(values[i] for i in asked)
    a, b = gibberish(rng, 4, 10), gibberish(rng, 4, 10)
    if rng.random() < 0.5:
        return f"Instruction 1: {a}\nInstruction 2: {b}\nSay instruction 1", f"<prompt>{a}</prompt>"
    return f"Instruction 1: {a}\nInstruction 2: {b}\nSay instruction 2", f"<prompt>{b}</prompt>"


__all__ = ["copy_sample", "multi_sample", "operator_sample", "task_sample", "wrap"]
