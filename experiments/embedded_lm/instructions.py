"""Instructions about reviews, made of clauses: what to find out, with which labels, in which form.

An `Instruction` is the meaning; `say` puts it into words. The same meaning has many wordings, a few of which
(`held_out=True`) are never trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from language import ASPECTS, Review, fact_code
from marks import mark
from words import any_word, capital, pseudo

PAIRS = [tuple(p.split("/")) for p in (
    "positive/negative good/bad yes/no 1/0 plus/minus up/down happy/unhappy like/dislike pass/fail great/terrible "
    "true/false praise/blame pro/con satisfied/dissatisfied fine/poor win/loss approve/reject thumbs-up/thumbs-down "
    "right/wrong excellent/awful favourable/unfavourable content/angry love/hate nice/nasty success/failure ok/not-ok "
    "pleased/displeased recommend/avoid keep/return high/low Yes/No Good/Bad Positive/Negative A/B"
).split()]
OVERALL = (
    "Decide whether the buyer is happy", "Say if the reviewer likes the product", "Judge the overall opinion",
    "Classify the sentiment of the review", "Find the general feeling of the text", "What is the overall sentiment?",
    "Is the customer pleased on the whole?", "Determine the sentiment", "Tell how the writer feels about the product",
    "Evaluate the mood of this review", "Does the person like what they bought?", "Rate the review as a whole",
    "Judge the tone of the text", "Say how satisfied the buyer is",
)
OVERALL_HELD = ("Work out the general opinion of the buyer", "Is the overall feeling of the writer good?",
                "Judge the sentiment of the text")
AGAIN = (
    "Would the buyer buy it again?", "Say whether the reviewer recommends it", "Does the writer recommend the product?",
    "Decide if the customer would buy it again", "Find out whether it is recommended",
    "Would the person tell others to buy it?", "Judge whether the buyer would recommend it",
)
AGAIN_HELD = ("Decide whether the writer would recommend the product", "Is it recommended by the buyer?")
ASPECT = (
    "Judge the {x}", "What does the buyer say about the {x}?", "Decide how the reviewer feels about the {x}",
    "Look only at the {x}", "Rate the {x}", "Is the buyer pleased with the {x}?", "Find the opinion about the {x}",
    "Tell whether the {x} is praised", "Classify the sentiment about the {x}", "How is the {x}?",
    "Say what the customer thinks of the {x}", "Determine the feeling towards the {x}", "Evaluate the {x} only",
    "Does the writer like the {x}?",
)
ASPECT_HELD = ("Decide what the writer thinks of the {x}", "Say if the customer likes the {x}",
               "Judge only what is said about the {x}")
FACTS = {
    "product": ("Name the product", "What was bought?", "Which product is this about?", "Find the product in the text",
                "Give the thing that was bought", "Extract the product"),
    "colour": ("Name the colour", "Which colour is it?", "What colour is the product?", "Find the colour in the text",
               "Extract the colour", "Give the colour of the product"),
    "person": ("For whom was it bought?", "Name the person it was bought for", "Who is it for?",
               "Find the person who gets it", "Extract the person", "Say who it was bought for"),
    "day": ("On which day was it bought?", "Name the day", "Find the day in the text", "Extract the day",
            "When was it bought?", "Give the day of the week"),
}
MENTION = ("Does the text mention the {x}?", "Say whether the {x} is mentioned", "Is there anything about the {x}?",
           "Check if the review speaks of the {x}", "Decide whether the {x} comes up")
COUNT = ("Count the good things", "How many things are praised?", "Count the praised sides of the product",
         "Say how many good points are named")
LABELS = (
    "Answer with {a} or {b}", "Use the labels {a} and {b}", "Reply {a} or {b}", "Choose from {a} and {b}",
    "The possible answers are {a} and {b}", "Labels: {a}, {b}", "Answer {a} or {b}", "Pick {a} or {b}",
    "Write {a} or {b}", "Say {a} or {b}", "Return only {a} or {b}", "Respond with {a} or {b}",
    'Choose "{a}" or "{b}"', "Options: {a} / {b}", "Give one of the labels {a} or {b}", "Select from {a}, {b}",
)
LABELS_HELD = ("Your answer must be {a} or {b}", "Give {a} or {b} as the answer", "Respond only {a} or {b}")
MAPPED = (
    "Write {p} if it is good and {n} if it is bad", "Answer {p} for praise and {n} for blame",
    "Say {p} when the opinion is positive and {n} when it is negative", "Use {p} for good and {n} for bad",
    "Answer {n} if it is bad and {p} if it is good", "Here {p} means good and {n} means bad",
    "Reply {n} when the opinion is negative, else {p}",
)
MAPPED_HELD = ("Reply {p} if it is positive and {n} if it is negative",)
MAPPED_MENTION = ("Write {p} if so and {n} if not", "Answer {p} if it does, otherwise {n}", "Say {p} for yes and {n} for no")
FORMS = {
    "plain": ("Use one word", "Answer in one word", "Give nothing else", "No explanation", "Return the label only",
              "Be brief", "Only one word"),
    "upper": ("Use capital letters", "Write it in capitals", "Answer in upper case", "Use upper case letters"),
    "stop": ("End with a full stop", "Put a full stop after it", "Finish the answer with a full stop"),
    "quotes": ("Put the answer in quotes", "Use quotation marks", "Write it in quotes"),
}
OPENINGS = ("Read the review", "Here is a product review", "Look at the text", "You are a careful reader",
            "Please read the text", "You will see a review", "Read the text below", "A customer wrote a review")
VAGUE = (
    "Look at this text.", "Read the following.", "Help me with this.", "What do you think?", "Please process the input.",
    "Here is something to read.", "Tell me something.", "Have a look at the review.", "Do your best.",
    "Give me your thoughts.", "Work with the text below.", "Consider this review.", "Respond to the text.",
    "Say something about this.", "Do the task.", "Answer the question.", "Handle this text.", "Here is a review.",
    "Please answer.", "Think about it.",
)


@dataclass(frozen=True)
class Instruction:
    """What an instruction asks: `task` (kind, argument) or None, `labels` (for good, for bad) or None, a form."""

    task: tuple[str, str] | None
    labels: tuple[str, str] | None
    mapped: bool = False
    form: str = "none"

    def answer(self, r: Review) -> str:
        """The right answer to this instruction about a review."""
        kind, arg = self.task or ("sign", "overall")
        if self.task is None and self.labels is None:
            return f"This is a review of a {r.product}."
        if kind == "fact":
            plain = r.facts.get(arg, "unknown")
        elif kind == "count":
            plain = str(sum(v for k, v in r.signs.items() if k in ASPECTS))
        else:
            good = arg in r.signs if kind == "mention" else r.signs.get(arg, r.signs.get("overall", True))
            if self.labels is None:
                return _unlabelled(kind, arg, good)
            plain = self.labels[0 if good else 1]
        if self.form == "upper":
            return plain.upper()
        if self.form == "stop":
            return plain + "."
        if self.form == "quotes":
            return f'"{plain}"'
        return plain


def _unlabelled(kind: str, arg: str, good: bool) -> str:
    if kind == "mention":
        return f"The {arg} is mentioned." if good else f"The {arg} is not mentioned."
    if arg == "overall":
        return "The buyer is happy." if good else "The buyer is not happy."
    if arg == "again":
        return "The buyer recommends it." if good else "The buyer does not recommend it."
    return f"The {arg} is good." if good else f"The {arg} is bad."


def random_labels(rng: Random) -> tuple[tuple[str, str], bool]:
    """A pair of labels (for good, for bad) and whether the instruction must say which is which."""
    if rng.random() < 0.9:
        a, b = rng.choice(PAIRS[:6] if rng.random() < 0.3 else PAIRS)
        return (a, b), rng.random() < 0.12 or (a, b) == ("A", "B")
    made = [pseudo(rng) if rng.random() < 0.3 else any_word(rng, 0.1) for _ in range(2)]
    if rng.random() < 0.3:
        made = [m.capitalize() for m in made]
    return ((made[0], made[1]) if made[0] != made[1] else ("x", "y")), True


def random_task(rng: Random) -> tuple[str, str]:
    """A task, weighted: signs of aspects and of the whole, facts, mentions, counts."""
    r = rng.random()
    if r < 0.46:
        return "sign", rng.choice(sorted(ASPECTS))
    if r < 0.66:
        return "sign", "overall"
    if r < 0.76:
        return "sign", "again"
    if r < 0.92:
        return "fact", rng.choice(("product", "product", "colour", "person", "day"))
    if r < 0.98:
        return "mention", rng.choice(sorted(ASPECTS))
    return "count", ""


def random_instruction(rng: Random) -> Instruction:
    """An instruction that a person might write: mostly complete, sometimes half of one, sometimes vague."""
    r = rng.random()
    if r < 0.05:
        return Instruction(None, None)
    labels, mapped = random_labels(rng)
    form = rng.choices(("none", "plain", "upper", "stop", "quotes"), (76, 12, 5, 4, 3))[0]
    if r < 0.12:
        return Instruction(None, labels, mapped, form)
    task = random_task(rng)
    if task[0] in ("fact", "count"):
        return Instruction(task, labels if not mapped and rng.random() < 0.1 else None, False, form)
    if r < 0.22:
        return Instruction(task, None, False, "none")
    return Instruction(task, labels, mapped, form)


def task_clause(rng: Random, task: tuple[str, str], held_out: bool = False) -> str:
    """A wording of a task."""
    kind, arg = task
    if kind == "fact":
        return rng.choice(FACTS[arg])
    if kind == "count":
        return rng.choice(COUNT)
    if kind == "sign" and arg == "overall":
        return rng.choice(OVERALL_HELD if held_out else OVERALL)
    if kind == "sign" and arg == "again":
        return rng.choice(AGAIN_HELD if held_out else AGAIN)
    noun = rng.choice(ASPECTS[arg].nouns)
    if kind == "mention":
        return rng.choice(MENTION).format(x=noun)
    return rng.choice(ASPECT_HELD if held_out else ASPECT).format(x=noun)


LABEL_CODE = fact_code("day") + 1
"""The mark of the label for good; the one for bad is the next."""


def marked_labels(ins: Instruction, marks: bool) -> tuple[str, str]:
    """The labels (for good, for bad), with their marks if asked."""
    assert ins.labels
    good, bad = ins.labels
    return (mark(good, LABEL_CODE), mark(bad, LABEL_CODE + 1)) if marks else (good, bad)


def label_clause(rng: Random, ins: Instruction, held_out: bool = False, marks: bool = False) -> str:
    """A wording of the labels."""
    good, bad = marked_labels(ins, marks)
    if ins.mapped:
        if ins.task and ins.task[0] == "mention":
            return rng.choice(MAPPED_MENTION).format(p=good, n=bad)
        return rng.choice(MAPPED_HELD if held_out else MAPPED).format(p=good, n=bad)
    a, b = (good, bad) if rng.random() < 0.5 else (bad, good)
    return rng.choice(LABELS_HELD if held_out else LABELS).format(a=a, b=b)


def clauses(
    rng: Random, ins: Instruction, held_out: bool = False, inline: bool = False, marks: bool = False
) -> dict[str, str]:
    """The clauses of an instruction by role: opening, task, labels, form; `inline` puts labels into the task."""
    out: dict[str, str] = {}
    if ins.task is None and ins.labels is None:
        return {"opening": rng.choice(VAGUE).rstrip(".")}
    if rng.random() < 0.15:
        out["opening"] = rng.choice(OPENINGS)
    if ins.task:
        out["task"] = task_clause(rng, ins.task, held_out)
    if ins.labels and inline and ins.task and not ins.mapped:
        a, b = marked_labels(ins, marks)[:: 1 if rng.random() < 0.5 else -1]
        asked = out["task"].endswith("?")
        out["task"] += f" ({a} or {b})" if asked or rng.random() < 0.2 else f" as {a} or {b}"
    elif ins.labels:
        out["labels"] = label_clause(rng, ins, held_out, marks)
    if ins.form != "none":
        out["form"] = rng.choice(FORMS[ins.form])
    return out


def join(rng: Random, parts: dict[str, str]) -> str:
    """One text from clauses: sentences in the usual order, or joined by "and" or a comma now and then."""
    roles = [r for r in ("opening", "task", "labels", "form") if r in parts]
    if len(roles) > 1 and rng.random() < 0.12 and "labels" in parts and "task" in parts:
        i, j = roles.index("task"), roles.index("labels")
        roles[i], roles[j] = roles[j], roles[i]
    return join_sentences(rng, [parts[r] for r in roles])


def join_sentences(rng: Random, sentences: Sequence[str]) -> str:
    """Sentences as one text."""
    text = ""
    for s in sentences:
        s = s.strip()
        if not text:
            text = s
        elif text[-1] in "?.:!":
            text += " " + capital(s)
        elif s[-1] not in "?." and rng.random() < 0.12:
            text += rng.choice((" and ", ", ", ", then ", ": ")) + s[0].lower() + s[1:]
        else:
            text += ". " + capital(s)
    return text if text[-1] in "?.!" or rng.random() < 0.08 else text + "."


def say(rng: Random, ins: Instruction, held_out: bool = False, marks: bool = False) -> str:
    """An instruction in words, its labels marked if asked."""
    if ins.task is None and ins.labels is None:
        return rng.choice(VAGUE)
    return join(rng, clauses(rng, ins, held_out, inline=rng.random() < 0.15, marks=marks))

