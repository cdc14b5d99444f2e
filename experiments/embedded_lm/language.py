"""The small world that reviews speak about: products, aspects, people, and the words for liking and disliking them.

Every aspect has words of its own ("prompt" and "late" are said of a delivery only), so that a prompt which names an
aspect can be obeyed by looking for those words; `generic` words ("great", "awful") say nothing about the aspect and
need binding to the noun beside them. Their share is a parameter, because binding is what so small a model learns last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random

from marks import mark, plain

PRODUCTS = (
    "kettle lamp phone watch chair bag coat camera radio desk heater blender toaster bottle tent bike jacket speaker "
    "laptop tablet mixer razor fan clock pan knife sofa pillow blanket drill ladder mirror wallet umbrella helmet "
    "keyboard mouse printer monitor charger pen notebook guitar drum scale torch shirt scarf shoe hat"
).split()
HELD_OUT_PRODUCTS = "stove carpet piano vacuum curtain bench flute saddle".split()
COLOURS = "red blue green black white grey brown yellow pink orange purple silver".split()
PEOPLE = "mother father sister brother son daughter wife husband friend neighbour boss aunt uncle cousin".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
SHOPS = "market store mall website catalogue fair outlet".split()

GOOD = "great good excellent lovely wonderful fine superb nice perfect amazing".split()
BAD = "awful bad terrible poor horrible dreadful weak disappointing useless lousy".split()


@dataclass(frozen=True)
class Aspect:
    """One side of a product: the nouns that name it and the words that praise or blame it alone."""

    name: str
    nouns: tuple[str, ...]
    good: tuple[str, ...]
    bad: tuple[str, ...]


def _aspect(name: str, nouns: str, good: str, bad: str) -> Aspect:
    return Aspect(name, *(tuple(w.strip() for w in part.split(",")) for part in (nouns, good, bad)))


ASPECTS = {
    a.name: a
    for a in (
        _aspect("price", "price, cost", "cheap, fair, a bargain, low", "expensive, steep, a rip-off, high"),
        _aspect("delivery", "delivery, shipping", "fast, quick, prompt, early", "late, slow, delayed, overdue"),
        _aspect("service", "service, staff", "friendly, helpful, polite, kind", "rude, unhelpful, grumpy, unfriendly"),
        _aspect("material", "material, fabric", "sturdy, solid, strong, tough", "flimsy, fragile, brittle, thin"),
        _aspect("battery", "battery, power", "long-lasting, lasting, tireless", "short-lived, dead, empty"),
        _aspect("sound", "sound, noise", "quiet, clear, silent, calm", "noisy, loud, tinny, shrill"),
        _aspect("design", "design, look", "beautiful, pretty, elegant, stylish", "ugly, dull, plain, clumsy"),
        _aspect("manual", "manual, guide", "simple, easy, short and clear", "confusing, hard, unclear, wordy"),
        _aspect("size", "size, fit", "roomy, spacious, just right, ample", "cramped, tiny, too small, tight"),
        _aspect("smell", "smell, scent", "fresh, sweet, pleasant, mild", "nasty, musty, stinking, foul"),
    )
}
HAPPY = ("happy", "pleased", "delighted", "satisfied", "glad I bought it", "content")
SAD = ("disappointed", "unhappy", "let down", "annoyed", "sorry I bought it", "frustrated")
AGAIN = ("I would buy it again.", "I recommend it.", "Go and get one.", "I will tell my friends to get one.",
         "You should buy it too.")
NEVER = ("I would not buy it again.", "I cannot recommend it.", "Stay away from it.", "I will send it back.",
         "Do not buy it.")


SIGNED = (*sorted(ASPECTS), "overall", "again")
FACT_NAMES = ("product", "colour", "person", "day")


def opinion_code(name: str, liked: bool) -> int:
    """The mark of an opinion about an aspect (or "overall", "again")."""
    return 2 * SIGNED.index(name) + liked


def fact_code(name: str) -> int:
    """The mark of a fact."""
    return 2 * len(SIGNED) + FACT_NAMES.index(name)


@dataclass(frozen=True)
class Review:
    """A text and the truth about it: `signs` maps an aspect (also "overall", "again") to liked or not."""

    marked: str
    """The text with marks around opinions and facts (`marks.py`)."""
    product: str
    facts: dict[str, str]
    signs: dict[str, bool]

    @cached_property
    def text(self) -> str:
        """What a reader sees."""
        return plain(self.marked)


def _aspect_sentence(rng: Random, aspect: Aspect, liked: bool, generic: float) -> str:
    noun = rng.choice(aspect.nouns)
    if rng.random() < generic:
        word = rng.choice(GOOD if liked else BAD)
    else:
        word = rng.choice(aspect.good if liked else aspect.bad)
    strong = rng.random() < 0.25 and not word.startswith(("a ", "just", "too"))
    word = mark(word, opinion_code(aspect.name, liked))
    if strong:
        word = rng.choice(("very ", "really ", "so ", "quite ")) + word
    form = rng.randrange(5)
    if form == 0:
        return f"I find the {noun} {word}."
    if form == 1:
        return f"The {noun} was {word}."
    if form == 2:
        return f"Its {noun} is {word}."
    if form == 3:
        return f"The {noun}: {word}."
    return f"The {noun} is {word}."


def review(
    rng: Random, *, generic: float = 0.2, products: list[str] = PRODUCTS, must: str | None = None, agree: float = 0.65,
    short: bool = False,
) -> Review:
    """A random review; `must` names an aspect that it shall mention, `agree` how often signs follow the mood.

    A short one says only what `must` asks for (or one aspect), for training.
    """
    mood = rng.random() < 0.5
    signs: dict[str, bool] = {}
    facts: dict[str, str] = {}
    product = rng.choice(products)
    names = rng.sample(sorted(ASPECTS), 1 if short else rng.randint(2, 3))
    if must in ASPECTS and must not in names:
        names[0] = must
    rng.shuffle(names)
    body: list[str] = []
    for name in names:
        signs[name] = mood if rng.random() < agree else not mood
        body.append(_aspect_sentence(rng, ASPECTS[name], signs[name], generic))
    colour = rng.choice(COLOURS) if rng.random() < 0.7 or must == "colour" else None
    person = rng.choice(PEOPLE) if rng.random() < 0.35 or must == "person" else None
    day = rng.choice(DAYS) if rng.random() < 0.3 or must == "day" else None
    article = "an" if (colour or product)[0] in "aeiou" else "a"
    item = mark(product, fact_code("product"))
    if colour:
        item = f"{mark(colour, fact_code('colour'))} {item}"
    verb = rng.choice(("bought", "got", "ordered"))
    head = f"I {verb} {article if rng.random() < 0.6 else 'this'} {item}"
    if person:
        head += f" for my {mark(person, fact_code('person'))}"
        facts["person"] = person
    if day:
        head += f" on {mark(day, fact_code('day'))}"
        facts["day"] = day
    if colour:
        facts["colour"] = colour
    facts["product"] = product
    tail: list[str] = []
    if (rng.random() < 0.7 and not short) or must == "overall":
        signs["overall"] = mood
        word = rng.choice(HAPPY if mood else SAD)
        sure = "bought" in word
        word = mark(word, opinion_code("overall", mood))
        tail.append(f"I am {word}." if sure else rng.choice((f"All in all I am {word}.", f"I am {word}.", f"Overall I feel {word}.")))
    if (rng.random() < 0.35 and not short) or must == "again":
        signs["again"] = mood if rng.random() < 0.7 else not mood
        tail.append(mark(rng.choice(AGAIN if signs["again"] else NEVER), opinion_code("again", signs["again"])))
    if short and (must in ASPECTS or must in ("overall", "again")):
        text = " ".join(body if must in ASPECTS else tail)
        return Review(text, product, facts, signs)
    if rng.random() < 0.3:
        parts = [*tail, *body]
        rng.shuffle(parts)
    else:
        parts = [*body, *tail]
    return Review(" ".join([head + ".", *parts]), product, facts, signs)
