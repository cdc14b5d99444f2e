"""Children for training: what a good answer to each shipped operator looks like, for parents of any kind.

A parent about reviews is known by its clauses, so its child is made clause by clause, with one of them said in other
words. A parent about anything else is only a text: its child is a span of one parent followed by a span of the other,
with synonyms; that is what "cross them, then mutate" can mean to a model that does not know the subject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import jinja2
from crossing import cross, texts
from instructions import (
    FORMS,
    OPENINGS,
    Instruction,
    clauses,
    join,
    join_sentences,
    label_clause,
    random_instruction,
    random_labels,
    random_task,
    say,
    task_clause,
)
from language import HELD_OUT_PRODUCTS, review
from words import any_word, capital, foreign_instruction, gibberish, reword

OPERATORS = Path(__file__).resolve().parents[2] / "operators"
_BOUNDARY = frozenset("and or as into of with from in for whether if to by is on what that based one the a".split())


@dataclass
class Parent:
    """A prompt with, if it speaks of reviews, its meaning and clauses."""

    text: str
    meaning: Instruction | None = None
    parts: dict[str, str] | None = None


@dataclass
class View:
    """What a template sees of a parent."""

    text: str
    score: str = "0.5"
    failures: Sequence[Mapping[str, str]] = ()
    feedback: Sequence[str] = ()

    def __str__(self) -> str:
        return self.text


def templates() -> dict[str, str]:
    """The shipped templates by name, without their front matter."""
    return {p.stem: p.read_text("utf-8").split("---\n", 2)[2] for p in sorted(OPERATORS.glob("*.md"))}


def fixed_prefix(template: str) -> str:
    """The text of a template before its first variable, without trailing blanks."""
    return template[: min(i for i in (template.find("{{"), template.find("{%")) if i >= 0)].rstrip(" ")


def review_parent(rng: Random, ins: Instruction | None = None) -> Parent:
    """A parent that speaks of reviews."""
    ins = ins or random_instruction(rng)
    if ins.task is None and ins.labels is None:
        return Parent(say(rng, ins), ins, None)
    parts = clauses(rng, ins, inline=False)
    return Parent(join(rng, parts), ins, parts)


def foreign_parent(rng: Random) -> Parent:
    """A parent that speaks of anything else."""
    return Parent(foreign_instruction(rng))


def _resay(rng: Random, role: str, ins: Instruction) -> str | None:
    if role == "task" and ins.task:
        return task_clause(rng, ins.task)
    if role == "labels" and ins.labels:
        return label_clause(rng, ins)
    if role == "form" and ins.form != "none":
        return rng.choice(FORMS[ins.form])
    if role == "opening":
        return rng.choice(OPENINGS)
    return None


def mix(rng: Random, pool: Sequence[tuple[Parent, float]], rewrites: float = 0.5) -> str:
    """A child of parents about reviews: each clause from one of those who have it, some said anew."""
    keep = {"task": 1.0, "labels": 0.97, "form": 0.6, "opening": 0.4}
    for _ in range(8):
        parts: dict[str, str] = {}
        for role, chance in keep.items():
            having = [(p, w) for p, w in pool if p.parts and role in p.parts]
            if not having or rng.random() > chance:
                continue
            giver = rng.choices([p for p, _ in having], [w for _, w in having])[0]
            assert giver.parts and giver.meaning
            text = giver.parts[role]
            # always one part in other words: a child that repeats a parent teaches nothing
            if role == "task" or rng.random() < rewrites / 2:
                said = {p.parts.get(role) for p, _ in pool if p.parts}
                for _ in range(4):
                    text = _resay(rng, role, giver.meaning) or text
                    if text not in said:
                        break
            parts[role] = text
        if not parts:
            break
        child = join(rng, parts)
        if all(child != p.text for p, _ in pool):
            return child
        rewrites = 1.5
    return splice(rng, pool[0][0].text, pool[-1][0].text)


def _cut(words: Sequence[str], first: int = 4, last: int = 8) -> int:
    """Where a clause begins: the first such place after so many words, or else the last place that is looked at."""
    for i in range(first, min(last, len(words) - 1)):
        if words[i].lower() in _BOUNDARY or words[i - 1][-1:] in ".,:;?" or words[i][:1] in "(['\"":
            return i
    return min(last - 2, len(words) - 1)


def splice(rng: Random, a: str, b: str) -> str:
    """The first clause of one text, then another text from its second clause on.

    The cut can be foreseen. A cut anywhere has a small chance at every word, and a model that has learnt small chances copies one parent
    to its end, the more so at a temperature below 1.
    """
    x, y = a.split(" "), b.split(" ")
    i = _cut(x) if len(x) > 5 else len(x)
    j = _cut(y) if len(y) > 7 else 0
    head, tail = " ".join(x[:i]), " ".join(y[j:])
    if i == len(x) and j == 0:
        child = join_sentences(rng, [head, tail])
    elif head[-1:] in ".?!":
        child = f"{head} {capital(tail)}"
    else:
        child = f"{head} {tail[0].lower() + tail[1:] if tail[:2].istitle() else tail}"
    return capital(child)


LEADS = ("Please", "In this task,", "Here,", "Now,")
CLOSINGS = ("Give the answer only.", "Be brief.", "Check your answer.", "No explanation.")


def _led(rng: Random, text: str) -> str:
    lead = rng.choice([lead for lead in LEADS if not text.startswith(lead)])
    return f"{lead} {text[0].lower() + text[1:] if text[1:2].islower() else text}"


def _paraphrase_foreign(rng: Random, text: str) -> str:
    new = reword(rng, text, 0.9, least=1)
    # what makes it new has to be said at once: see splice
    return _led(rng, new) if new == text or rng.random() < 0.75 else new


def _mutate_foreign(rng: Random, text: str) -> str:
    new = reword(rng, text, 0.5)
    new = _led(rng, new) if new == text or rng.random() < 0.75 else new
    return join_sentences(rng, [new, rng.choice(CLOSINGS).rstrip(".")]) if rng.random() < 0.5 else new


def _failures(rng: Random, wrong: Instruction, right: Instruction) -> list[dict[str, str]]:
    out: list[dict[str, str]] = []
    must = right.task[1] if right.task else None
    for _ in range(12):
        r = review(rng, must=must)
        if right.answer(r) != wrong.answer(r):
            out.append({"input": r.text, "answer": wrong.answer(r), "target": right.answer(r)})
        if len(out) == 3:
            break
    return out[: rng.choices((1, 2, 3), (1, 3, 4))[0]]


def _mutate_review(rng: Random) -> tuple[View, str]:
    labels, _ = random_labels(rng)
    right = Instruction(random_task(rng), labels)
    if right.task and right.task[0] in ("fact", "count"):
        right = replace(right, labels=None)
    elif right.labels is None:
        right = replace(right, labels=("good", "bad"))
    r = rng.random()
    if r < 0.25:
        wrong = Instruction(None, None)
    elif r < 0.5:
        wrong = Instruction(right.task, None)
    elif r < 0.7:
        wrong = Instruction(random_task(rng), right.labels)
    else:
        wrong = Instruction(right.task, random_labels(rng)[0])
    if rng.random() < 0.2:
        wrong = replace(wrong, form=rng.choice(("upper", "stop", "quotes", "plain")))
    parent = review_parent(rng, wrong)
    failures = _failures(rng, wrong, right) if rng.random() < 0.85 else []
    seen = {f["target"] for f in failures}
    child = Instruction(wrong.task, wrong.labels)
    if right.labels and len(seen) == 2:
        child = replace(child, labels=right.labels)
    elif not seen and wrong.labels is None:
        child = replace(child, labels=random_labels(rng)[0])
    if child.task is None or (wrong.labels == right.labels and wrong.labels) or rng.random() < 0.2:
        if seen and right.labels is None and rng.random() < 0.7:
            child = replace(child, task=right.task, labels=None)
        else:
            child = replace(child, task=random_task(rng) if rng.random() < 0.6 else ("sign", "overall"))
            if child.task and child.task[0] in ("fact", "count"):
                child = replace(child, labels=None)
    parts = dict(parent.parts or {})
    fresh = clauses(rng, child)
    for role in ("task", "labels"):
        if role in fresh and (role not in parts or getattr(child, role) != getattr(wrong, role) or rng.random() < 0.3):
            parts[role] = fresh[role]
    if "form" in parts and rng.random() < 0.5:
        del parts["form"]
    text = join(rng, parts) if parts else say(rng, child)
    if text == parent.text:
        text = join(rng, clauses(rng, child))
    feedback = [rng.choice(("the answer should be one of the labels", "wrong label", "too long", "not what was asked"))
                ] if rng.random() < 0.15 else []
    return View(parent.text, _score(rng), failures, feedback), text


def _score(rng: Random) -> str:
    return str(round(rng.random(), rng.choice((1, 2, 2, 3, 4))))


def _from_task(rng: Random) -> tuple[dict[str, object], str]:
    if rng.random() < 0.25:
        topic = foreign_instruction(rng)
        examples = [{"input": gibberish(rng, 4, 10), "target": any_word(rng)} for _ in range(rng.randint(1, 3))]
        return {"task": topic.rstrip(".").lower(), "examples": examples}, _paraphrase_foreign(rng, topic)
    ins = Instruction(random_task(rng), random_labels(rng)[0])
    assert ins.task
    if ins.task[0] in ("fact", "count"):
        ins = replace(ins, labels=None)
    elif ins.labels is None:
        ins = replace(ins, labels=("good", "bad"))
    reviews = [review(rng, must=ins.task[1]) for _ in range(rng.randint(1, 3))]
    examples = [{"input": r.text, "target": ins.answer(r)} for r in reviews]
    if ins.labels and len({e["target"] for e in examples}) < 2:
        return _from_task(rng)
    name = task_clause(rng, ins.task).rstrip("?.")
    return {"task": name[0].lower() + name[1:], "examples": examples}, join(rng, clauses(rng, ins))


_ENV = jinja2.Environment(undefined=jinja2.StrictUndefined)
WEIGHTS_OF = {"evoprompt-ga": 7, "evoprompt-de": 4, "evoprompt-de-plain": 3, "paraphrase": 3, "mutate": 4, "from-task": 2,
              "swarm": 2, "from-best": 2}
"""The operators whose answer is a prompt, with their shares in training; those that write free answers are not learnt."""
NAMES = tuple(WEIGHTS_OF)
ROLES = {
    "evoprompt-ga": ("a", "b"),
    "evoprompt-de": ("target", "a", "b", "best"),
    "evoprompt-de-plain": ("target", "a", "b"),
    "swarm": ("current", "previous", "own_best", "best", "worst"),
}
ANSWERS_OF = {"answer": 1, "semantic-crossover": 2, "textual-mutation": 2, "revise": 1}
"""The operators whose answer is an answer, with their shares: learnt for lists of digits only (`_list_sample`)."""
_COMPILED = {name: _ENV.from_string(text) for name, text in templates().items() if name in WEIGHTS_OF | ANSWERS_OF}


def _parents(rng: Random, n: int, crossing: bool = False) -> list[Parent]:
    r = rng.random()
    if crossing:
        if r < 0.3:
            return [review_parent(rng) for _ in range(n)]
        found = [Parent(text) for text in texts(rng, n)]
        return found if r < 0.95 else [p if rng.random() < 0.5 else review_parent(rng) for p in found]
    if r < 0.4:
        return [review_parent(rng) for _ in range(n)]
    if r < 0.95:
        return [foreign_parent(rng) for _ in range(n)]
    return [review_parent(rng) if rng.random() < 0.5 else foreign_parent(rng) for _ in range(n)]


def _list_sample(rng: Random, name: str) -> tuple[str, str]:
    """A template about a hidden list of digits: a child takes each field from a parent and changes about one or two."""
    k, m = rng.randint(2, 9), rng.randint(2, 9)
    word = "CONFIG" if rng.random() < 0.7 else any_word(rng).upper()
    what = f"{k} bits" if m == 2 and rng.random() < 0.5 else f"{k} values from 0 to {m - 1}"
    question = f"Find the hidden {word} of {what}.\nAnswer in the form {word} = [{', '.join(f'v{i}' for i in range(1, k + 1))}]."

    def written(values: Sequence[int]) -> str:
        return f"{word} = [{', '.join(map(str, values))}]"

    parents = [[rng.randrange(m) for _ in range(k)] for _ in range(3)]
    if rng.random() < 0.5:
        # late in a search the parents are alike
        parents[1] = [rng.randrange(m) if rng.random() < 0.3 else v for v in parents[0]]
    if rng.random() < 0.5:
        parents[2] = list(parents[rng.randrange(2)])
    child = list(parents[0])
    if name == "semantic-crossover":
        child = [rng.choice((a, b)) for a, b in zip(*parents[:2], strict=True)]
    if name != "answer":
        # more than one in the mean: a temperature below 1 takes a part of the changes back
        spots = [i for i in range(k) if rng.random() < min(0.5, 2 / k)] or [rng.randrange(k)]
        for i in spots:
            child[i] = rng.choice([v for v in range(m) if v != child[i]])
    values = {x: View(written(p), _score(rng)) for x, p in zip("abc", parents, strict=True)}
    return _COMPILED[name].render(question=question, **values).strip(), f"<answer>{written(child)}</answer>"


def operator_sample(rng: Random, name: str, crossing: bool = False) -> tuple[str, str]:
    """A rendered template and a good reply to it; `crossing` is the lesson of the second leg (`crossing.py`)."""
    if name in ANSWERS_OF:
        return _list_sample(rng, name)

    def crossed(a: str, b: str) -> str:
        return cross(a, b) if crossing else splice(rng, a, b)

    values: Mapping[str, object]
    if name == "mutate":
        if rng.random() < 0.65:
            view, child = _mutate_review(rng)
        else:
            p = Parent(texts(rng, 1)[0]) if crossing else foreign_parent(rng)
            wrong = [{"input": gibberish(rng, 4, 12), "answer": any_word(rng), "target": any_word(rng)}
                     for _ in range(rng.randint(0, 2))]
            view, child = View(p.text, _score(rng), wrong), _mutate_foreign(rng, p.text)
        values = {"a": view}
    elif name == "from-task":
        values, child = _from_task(rng)
    elif name == "paraphrase":
        p = _parents(rng, 1, crossing)[0]
        if p.parts and p.meaning:
            child = mix(rng, [(p, 1.0)], rewrites=1.4)
        else:
            child = _paraphrase_foreign(rng, p.text)
        values = {"a": View(p.text)}
    elif name == "from-best":
        ps = _parents(rng, rng.randint(2, 5), crossing)
        if all(p.parts for p in ps):
            child = mix(rng, [(p, 1.0) for p in ps], rewrites=0.8)
        else:
            child = crossed(*(p.text for p in rng.sample(ps, 2)))
        topic = "classify product reviews" if ps[0].meaning else foreign_instruction(rng).rstrip(".").lower()
        values = {"task": topic, "best": [View(p.text, _score(rng)) for p in ps]}
    else:
        roles = ROLES[name]
        ps = _parents(rng, len(roles), crossing)
        weights = {"a": 0.5, "b": 0.5, "target": 1.0, "best": 1.2, "current": 0.8, "own_best": 0.8, "previous": 0.1,
                   "worst": 0.02}
        if all(p.parts for p in ps) or (any(p.parts for p in ps) and all(p.meaning for p in ps)):
            child = mix(rng, [(p, weights[r]) for r, p in zip(roles, ps, strict=True)])
        elif name == "evoprompt-ga":
            child = crossed(ps[0].text, ps[1].text)
        else:
            mains = [p for r, p in zip(roles, ps, strict=True) if r in ("target", "best")]
            main = rng.choice(mains)
            other = rng.choice([p for r, p in zip(roles, ps, strict=True) if p is not main and r not in ("previous", "worst")])
            child = crossed(main.text, other.text)
        values = {r: View(p.text, _score(rng)) for r, p in zip(roles, ps, strict=True)}
    text = _COMPILED[name].render(values).strip()
    # the blank makes a first word the same token as in the parent
    return text, f"<prompt> {child}</prompt>"


__all__ = ["ANSWERS_OF", "HELD_OUT_PRODUCTS", "NAMES", "View", "fixed_prefix", "operator_sample", "splice", "templates"]
