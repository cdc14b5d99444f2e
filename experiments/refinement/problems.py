"""Problems with exact fitness and no model in the check: a generator and a checker each, as fields that a proposer can change.

A problem of a seed is always the same one. What is made of real text reads it from the data folder (`LLMEVO_DATA`, or shared/data beside
the checkout); nothing is copied.
"""

from __future__ import annotations

import itertools
import os
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from llmevo.fitness.check import Verdict
from llmevo.fitness.overlap import sari

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("LLMEVO_DATA", HERE.parents[2] / "shared" / "data"))

Values = list[str]


@dataclass(frozen=True)
class Problem:
    """A question, its check, and what a scripted proposer has to know: the fields of an answer and how they are written and read."""

    name: str
    question: str
    check: Callable[[str], Verdict]
    domains: tuple[tuple[str, ...], ...]
    """The values of each field; who stands there twice is drawn twice as often in a sample."""
    write: Callable[[Sequence[str]], str]
    read: Callable[[str], Values | None]
    """The fields of the first answer in a text; None when there is none."""

    def sample(self, chance: random.Random) -> Values:
        """Every field at random."""
        return [chance.choice(domain) for domain in self.domains]

    def change(self, values: Values, i: int, chance: random.Random) -> str:
        """Another value for field i."""
        return chance.choice([value for value in self.domains[i] if value != values[i]])


def chance_of(name: str, seed: int) -> random.Random:
    return random.Random(f"{name} {seed}")


def listed(name: str, values: Sequence[str]) -> str:
    return f"{name} = [{', '.join(values)}]"


def listing(name: str, domains: Sequence[Sequence[str]]) -> Callable[[str], Values | None]:
    """The reader of `NAME = [..]`; None unless it has one known value for each field."""

    def read(text: str) -> Values | None:
        found = re.search(rf"{name}\s*=\s*\[([^\]]*)\]", text)
        values = [value.strip() for value in found[1].split(",")] if found else []
        right = len(values) == len(domains) and all(value in domain for value, domain in zip(values, domains, strict=True))
        return values if right else None

    return read


def fields(
    name: str, question: str, word: str, domains: Sequence[Sequence[str]], score: Callable[[Values], Verdict], solution: Values
) -> Problem:
    """A problem whose answers are `WORD = [..]`. What cannot be read scores 0 and is told the format."""
    each = tuple(tuple(domain) for domain in domains)
    read = listing(word, each)

    def check(answer: str) -> Verdict:
        values = read(answer)
        if values is None:
            return Verdict(0.0, 2.0, (f"there is no {listed(word, ['...'])} with {len(each)} allowed values",))
        return score(values)

    assert check(listed(word, solution)).violation == 0, "the hidden solution is valid"
    return Problem(name, f"{question}\nAnswer in the form {listed(word, [f'v{i}' for i in range(1, len(each) + 1)])}.", check, each,
                   lambda values: listed(word, values), read)  # fmt: skip


def modules(seed: int, k: int = 8, m: int = 5) -> Problem:
    """K-module: k fields with m values, a hidden target; the score is the share of fields that are right."""
    chance = chance_of(f"modules {k} {m}", seed)
    target = [str(chance.randrange(m)) for _ in range(k)]

    def score(values: Values) -> Verdict:
        share = sum(a == b for a, b in zip(values, target, strict=True)) / k
        return Verdict(share, 1 - share)

    return fields(f"modules-{k}x{m}", f"Find the hidden CONFIG of {k} values from 0 to {m - 1}.", "CONFIG",
                  [[str(v) for v in range(m)]] * k, score, target)  # fmt: skip


def traps(seed: int, blocks: int = 3) -> Problem:
    """Deceptive blocks of 3 bits: all right scores 3, none right 2, one right 1, two right 0: it leads away from the best."""
    chance = chance_of(f"traps {blocks}", seed)
    target = [str(chance.randrange(2)) for _ in range(3 * blocks)]

    def score(values: Values) -> Verdict:
        right = [a == b for a, b in zip(values, target, strict=True)]
        counts = [sum(right[i : i + 3]) for i in range(0, len(right), 3)]
        share = sum(3 if count == 3 else 2 - count for count in counts) / len(right)
        return Verdict(share, 1 - share)

    return fields(f"traps-{blocks}", f"Find the hidden CONFIG of {3 * blocks} bits.", "CONFIG", [["0", "1"]] * 3 * blocks, score, target)


Rule = tuple[str, Callable[[Values], bool]]


def ruled(rules: Sequence[Rule]) -> Callable[[Values], Verdict]:
    """The share of rules that are kept; the feedback names the others."""

    def score(values: Values) -> Verdict:
        broken = [words for words, holds in rules if not holds(values)]
        return Verdict(1 - len(broken) / len(rules), len(broken) / len(rules), tuple(broken))

    return score


DAYS, HOURS, ROOMS = ("Mon", "Tue", "Wed"), ("9", "10", "11", "13", "14", "15"), ("red", "green", "blue")
PEOPLE = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn")


def meetings(seed: int, count: int = 3) -> Problem:
    """Meeting planning: day, hour and room of three meetings, so that everybody is free, rooms are large enough and nothing collides."""
    chance = chance_of("meetings", seed)
    names = ("the standup", "the review", "the workshop")[:count]
    domains = [domain for _ in names for domain in (DAYS, HOURS, ROOMS)]
    guests = [sorted(chance.sample(PEOPLE, 3)) for _ in names]
    slots = chance.sample(list(itertools.product(DAYS, HOURS)), count)
    slots.sort(key=lambda slot: (DAYS.index(slot[0]), HOURS.index(slot[1])))
    solution = [value for slot in slots for value in (*slot, chance.choice(ROOMS))]
    closed = {(room, day): chance.random() < 0.4 for room in ROOMS for day in DAYS}
    for i in range(count):
        closed[solution[3 * i + 2], solution[3 * i]] = False
    busy = {
        person: {slot for slot in itertools.product(DAYS, HOURS) if slot not in slots and chance.random() < 0.55} for person in PEOPLE
    }
    rules: list[Rule] = []
    for i, name in enumerate(names):
        for person in guests[i]:
            rules.append((f"{person} is not free for {name}", lambda v, i=i, p=person: (v[3 * i], v[3 * i + 1]) not in busy[p]))
        rules.append((f"the room of {name} is closed on that day", lambda v, i=i: not closed[v[3 * i + 2], v[3 * i]]))
    for i, j in itertools.combinations(range(count), 2):
        rules.append((f"{names[i]} must be before {names[j]}", lambda v, i=i, j=j:
                      (DAYS.index(v[3 * i]), HOURS.index(v[3 * i + 1])) < (DAYS.index(v[3 * j]), HOURS.index(v[3 * j + 1]))))  # fmt: skip
    lines = [f"{name} with {', '.join(guests[i])}" for i, name in enumerate(names)]
    times = [f"{person} is busy: {', '.join(' '.join(slot) for slot in sorted(busy[person]))}." for person in PEOPLE]
    shut = ", ".join(f"{room} on {day}" for (room, day), is_shut in closed.items() if is_shut)
    question = (
        f"Plan, in this order of time: {'; '.join(lines)}. Days: {', '.join(DAYS)}. Hours: {', '.join(HOURS)}. Rooms: {', '.join(ROOMS)}; "
        f"closed: {shut or 'none'}. {' '.join(times)}\nGive day, hour and room of each."
    )
    return fields("meetings", question, "PLAN", domains, ruled(rules), solution)


CITIES = ("Bern", "Oslo", "Rome", "Lyon", "Riga", "Cork", "Bonn", "Nice")


def trip(seed: int, count: int = 7) -> Problem:
    """Trip planning: an order of the cities with a flight for each leg, and one city that has to be visited on a given day."""
    chance = chance_of("trip", seed)
    cities = list(CITIES[:count])
    solution = chance.sample(cities, count)
    flights = {frozenset(pair) for pair in itertools.pairwise(solution)}
    others = [frozenset(pair) for pair in itertools.combinations(cities, 2) if frozenset(pair) not in flights]
    flights |= set(chance.sample(others, count // 2))
    day = chance.randrange(count)
    rules: list[Rule] = [(f"{city} is not visited exactly once", lambda v, city=city: v.count(city) == 1) for city in cities]
    for i in range(count - 1):
        rules.append((f"there is no flight from stop {i + 1} to stop {i + 2}", lambda v, i=i: frozenset(v[i : i + 2]) in flights))
    rules.append((f"stop {day + 1} must be {solution[day]}", lambda v: v[day] == solution[day]))
    ways = ", ".join(sorted("-".join(sorted(pair)) for pair in flights))
    question = f"Visit each of {', '.join(cities)} once. Flights, both ways: {ways}. Stop {day + 1} must be {solution[day]}."
    return fields("trip", question, "TRIP", [cities] * count, ruled(rules), solution)


ATTRIBUTES = {
    "colour": ("red", "blue", "green", "white"),
    "pet": ("cat", "dog", "fish", "bird"),
    "drink": ("tea", "milk", "juice", "water"),
}


def grid(seed: int) -> Problem:
    """A logic grid: four houses with a colour, a pet and a drink each; clues that leave exactly one solution."""
    chance = chance_of("grid", seed)
    rows = list(ATTRIBUTES.values())
    solution = [value for row in rows for value in chance.sample(row, 4)]
    place = {value: i % 4 for i, value in enumerate(solution)}
    values = [value for row in rows for value in row]

    def at(v: Values, value: str) -> set[int]:
        return {i % 4 for i, one in enumerate(v) if one == value}

    def clue(a: str, b: str) -> Rule:
        gap = place[b] - place[a]
        if gap == 0:
            return f"{a} and {b} are in one house", lambda v: bool(at(v, a) & at(v, b))
        if abs(gap) == 1:
            return f"{a} and {b} are in neighbouring houses", lambda v: any(abs(i - j) == 1 for i in at(v, a) for j in at(v, b))
        return f"{a} is in house {place[a] + 1}", lambda v: place[a] in at(v, a)

    pairs = [pair for pair in itertools.combinations(values, 2) if ATTRIBUTES_OF[pair[0]] != ATTRIBUTES_OF[pair[1]]]
    chance.shuffle(pairs)
    left = [[value for order in orders for value in order] for orders in itertools.product(*map(itertools.permutations, rows))]
    clues: list[Rule] = []
    for pair in pairs:
        words, holds = clue(*pair)
        fewer = [v for v in left if holds(v)]
        if len(fewer) < len(left):
            clues.append((words, holds))
            left = fewer
        if len(left) == 1:
            break
    rules = [(f"wrong: {words}", holds) for words, holds in clues]
    rules += [(f"{value} is not there exactly once", lambda v, value=value: v.count(value) == 1) for value in values]
    question = "Four houses in a row have a colour, a pet and a drink each, all different. "
    question += ". ".join(words for words, _ in clues) + ".\nGive the colours of houses 1 to 4, then the pets, then the drinks, out of "
    question += "; ".join(", ".join(row) for row in rows) + "."
    return fields("grid", question, "GRID", [row for row in rows for _ in range(4)], ruled(rules), solution)


ATTRIBUTES_OF = {value: name for name, row in ATTRIBUTES.items() for value in row}


def kept(name: str, question: str, units: Sequence[str], score: Callable[[str], float], keep: int) -> Problem:
    """A text problem whose scripted answers keep some units of a source, in order; any other text may be given too."""

    def write(values: Sequence[str]) -> str:
        return " ".join(unit for unit, value in zip(units, values, strict=True) if value == "1") or units[0]

    def read(text: str) -> Values | None:
        place, values = 0, []
        for unit in units:
            here = text.startswith(unit, place) and text[place + len(unit) : place + len(unit) + 1] in ("", " ")
            place += (len(unit) + 1) * here
            values.append(str(int(here)))
        return values if "1" in values else None

    domain = ("1",) * keep + ("0",) * (4 - keep)
    return Problem(name, question, lambda answer: Verdict(score(answer), 1.0), (domain,) * len(units), write, read)


def lines(path: Path) -> list[str]:
    if not path.exists():
        raise SystemExit(f"{path} is not there: set LLMEVO_DATA to the folder that holds summarization/ and simplification/")
    return [" ".join(line.split()) for line in path.read_text(encoding="utf-8").splitlines()]


def summary(seed: int) -> Problem:
    """A summary of a SAMSum dialogue; the score is the mean of ROUGE-1, 2 and L against the reference."""
    from rouge_score.rouge_scorer import RougeScorer

    folder = DATA / "summarization" / "samsum"
    talks = zip(lines(folder / "valid.src"), lines(folder / "valid.tgt"), strict=True)
    usable = [(re.split(r" (?=[A-Z]\w{0,12}: )|(?<=[.!?]) (?=[A-Z])", talk), talk, gold) for talk, gold in talks]
    usable = [one for one in usable if 8 <= len(one[0]) <= 24]
    units, talk, gold = usable[chance_of("summary", seed).randrange(len(usable))]
    kinds = ["rouge1", "rouge2", "rougeL"]
    scorer = RougeScorer(kinds, use_stemmer=True)

    def score(answer: str) -> float:
        return sum(scorer.score(gold, answer)[kind].fmeasure for kind in kinds) / 3

    return kept("summary", f"Summarise this dialogue in one or two sentences, in the third person.\n{talk}", units, score, keep=1)


def simplification(seed: int) -> Problem:
    """A simplification of an ASSET sentence; the score is SARI against its ten references."""
    folder = DATA / "simplification" / "asset"
    sources = lines(folder / "test.src")
    references = [lines(folder / f"test.simp.{i}") for i in range(10)]
    usable = [i for i, source in enumerate(sources) if 12 <= len(source.split()) <= 30]
    i = usable[chance_of("simplification", seed).randrange(len(usable))]
    source, gold = sources[i], [reference[i] for reference in references]
    return kept("simplification", f"Say this more simply: {source}", source.split(), lambda answer: sari(source, answer, gold), keep=3)


def circles(seed: int, count: int = 26) -> Problem:
    """Circles in the unit square without overlap, the sum of radii as large as can be: exact arithmetic, tolerance 0. A demonstration.

    A numerical solver alone reaches 2.635983 for 26 circles.
    """
    side = next(i for i in itertools.count(1) if i * i >= count)
    rows = -(-count // side)

    def read(text: str) -> Values | None:
        found = re.search(r"CIRCLES\s*=\s*\[([^\]]*)\]", text)
        values = found[1].replace(";", " ").split() if found else []
        return values if len(values) == 3 * count and all(re.fullmatch(r"0?\.\d{1,12}", value) for value in values) else None

    def check(answer: str) -> Verdict:
        values = read(answer)
        if values is None:
            return Verdict(0.0, 1000.0, (f"there is no CIRCLES = [x y r; ...] with {count} circles of decimals below 1",))
        numbers = [Fraction(value) for value in values]
        found = [tuple(numbers[i : i + 3]) for i in range(0, len(numbers), 3)]
        outside = [i for i, (x, y, r) in enumerate(found) if min(x - r, y - r, 1 - x - r, 1 - y - r) < 0 or r <= 0]
        overlap = [
            (i, j) for (i, (x, y, r)), (j, (u, v, s)) in itertools.combinations(enumerate(found), 2)
            if (x - u) ** 2 + (y - v) ** 2 < (r + s) ** 2
        ]  # fmt: skip
        notes = [f"circle {i + 1} leaves the square" for i in outside] + [f"circles {i + 1} and {j + 1} overlap" for i, j in overlap]
        return Verdict(float(sum(numbers[2::3])), 1.0 + len(notes), tuple(notes[:5]))

    def write(values: Sequence[str]) -> str:
        return "CIRCLES = [" + "; ".join(" ".join(values[i : i + 3]) for i in range(0, len(values), 3)) + "]"

    question = f"Place {count} circles in the unit square without overlap so that the sum of their radii is as large as possible.\n"
    question += "Answer in the form CIRCLES = [x y r; x y r; ...] with decimals below 1."
    return Packing("circles", question, check, ((),) * (3 * count), write, read, side, rows)


@dataclass(frozen=True)
class Packing(Problem):
    """Circles: numbers instead of values from a list."""

    columns: int = 1
    rows: int = 1

    def sample(self, chance: random.Random) -> Values:
        values: Values = []
        for i in range(len(self.domains) // 3):
            column, row = i % self.columns, i // self.columns
            x = (column + 0.5) / self.columns + chance.uniform(-0.01, 0.01)
            y = (row + 0.5) / self.rows + chance.uniform(-0.01, 0.01)
            values += [f"{x:.6f}", f"{y:.6f}", f"{chance.uniform(0.4, 0.9) * 0.45 / max(self.columns, self.rows):.6f}"]
        return values

    def change(self, values: Values, i: int, chance: random.Random) -> str:
        value = float(values[i])
        moved = value * chance.uniform(0.9, 1.2) if i % 3 == 2 else value + chance.gauss(0, 0.02)
        return f"{min(max(moved, 0.000001), 0.999999):.6f}"


PROBLEMS: dict[str, Callable[[int], Problem]] = {
    "modules-4": lambda seed: modules(seed, 4),
    "modules-8": lambda seed: modules(seed, 8),
    "traps-1": lambda seed: traps(seed, 1),
    "traps-2": lambda seed: traps(seed, 2),
    "traps-3": lambda seed: traps(seed, 3),
    "traps-4": lambda seed: traps(seed, 4),
    "meetings": meetings,
    "trip": trip,
    "grid": grid,
    "summary": summary,
    "simplification": simplification,
    "circles": circles,
}
"""Name to a generator of the problem of a seed."""
