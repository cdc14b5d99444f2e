"""Scorers: how good one answer to one case is. All shipped ones give 0 to 1; tables may print them times
100.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmevo.core.errors import ConfigError
from llmevo.core.resolve import nearest, need, resolve
from llmevo.fitness.contract import Case, Score, Scorer
from llmevo.fitness.functions import FunctionScorer
from llmevo.fitness.overlap import sari, token_f1

if TYPE_CHECKING:
    from llmevo.core.context import Context

NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?|[-+]?\.\d+")


@dataclass(frozen=True)
class Compared:
    """A scorer that compares the answer with each reference; the best counts. 0 when no answer came."""

    name: str
    compare: Callable[[str, str], float] = field(repr=False, compare=False)
    minimum = 0.0
    waits = False

    @property
    def key(self) -> str:
        return self.name

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        return Score(max(self.compare(answer, target) for target in case.targets))


def exact(*, ignore_case: bool = False) -> Compared:
    """1 when the answer is the target, apart from white space around it (and case, if so asked)."""
    if ignore_case:
        return Compared("exact(ignore_case)", lambda a, b: float(a.strip().casefold() == b.strip().casefold()))
    return Compared("exact", lambda a, b: float(a.strip() == b.strip()))


def contains() -> Compared:
    """1 when the target occurs in the answer, whatever the case."""
    return Compared("contains", lambda a, b: float(b.strip().casefold() in a.casefold()))


def f1() -> Compared:
    """F1 over shared words, as in the SQuAD evaluation."""
    return Compared("f1", token_f1)


@dataclass(frozen=True)
class FirstLabel:
    """1 when the first label that occurs in the answer as a whole word is the target. Of labels at the same
    place the longest counts.
    """

    labels: tuple[str, ...]
    minimum = 0.0
    waits = False

    def __post_init__(self) -> None:
        if len({label.casefold() for label in self.labels}) < 2:
            raise ConfigError(f"scorer first-label needs two labels or more, got {list(self.labels)}; give labels: [...]")

    @property
    def key(self) -> str:
        return f"first-label({','.join(self.labels)})"

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.labels, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        found = self._pattern.search(answer)
        if found is None:
            return Score(0.0, "the answer names none of the labels")
        return Score(float(any(found[0].casefold() == target.strip().casefold() for target in case.targets)))


@dataclass(frozen=True)
class Numeric:
    """1 when the last number of the answer is the last number of the target, within an absolute or relative
    tolerance.
    """

    tolerance: float = 1e-6
    relative: float = 0.0
    minimum = 0.0
    waits = False

    @property
    def key(self) -> str:
        return f"numeric(tolerance={self.tolerance:g},relative={self.relative:g})"

    def check_case(self, case: Case) -> None:
        """Raises `ConfigError` for a target that holds no number."""
        wrong = next((target for target in case.targets if last_number(target) is None), None)
        if wrong is not None:
            raise ConfigError(f"scorer numeric: the target of case {case.id} holds no number: {wrong[:40]!r}")

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        self.check_case(case)
        given = last_number(answer)
        if given is None:
            return Score(0.0, "the answer holds no number")
        for target in case.targets:
            right = last_number(target)
            if right is not None and math.isclose(given, right, rel_tol=self.relative, abs_tol=self.tolerance):
                return Score(1.0)
        return Score(0.0)


def last_number(text: str) -> float | None:
    """The last number that stands in a text; commas between groups of three are read as such."""
    found = NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


@dataclass(frozen=True)
class Regex:
    """1 when what the pattern finds last in the answer (its first group, if it has one) is the target.

    Without a pattern the target itself is the pattern, and 1 means that it is found.
    """

    pattern: str = ""
    minimum = 0.0
    waits = False

    def __post_init__(self) -> None:
        _compiled(self.pattern, "scorer regex")

    @property
    def key(self) -> str:
        return f"regex({self.pattern!r})"

    def check_case(self, case: Case) -> None:
        """Raises `ConfigError` for a target that is to be a pattern and is none."""
        for target in () if self.pattern else case.targets:
            _compiled(target, f"scorer regex, target of case {case.id}")

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        if not self.pattern:
            self.check_case(case)
            return Score(float(any(re.search(target, answer) for target in case.targets)))
        found = [match[1] if match.re.groups else match[0] for match in re.finditer(self.pattern, answer)]
        if not found:
            return Score(0.0, f"the answer does not match {self.pattern!r}")
        return Score(float(any((found[-1] or "").strip() == target.strip() for target in case.targets)))


def _compiled(pattern: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{where}: {pattern!r} is no regular expression: {error}") from error


@dataclass(frozen=True)
class Sari:
    """SARI of the answer as a simplification of the input, against all references. See `overlap.sari`."""

    minimum = 0.0
    waits = False
    key = "sari"

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        return Score(sari(case.input, answer, case.targets))


def rouge(*types: str) -> Compared:
    """ROUGE F-measure with stemming: the mean over the named types (all of rouge1, rouge2, rougeL when none
    is named).
    """
    wanted = list(types) or ["rouge1", "rouge2", "rougeL"]
    scorer = need("rouge_score.rouge_scorer", "metrics", "scorer rouge").RougeScorer(wanted, use_stemmer=True)

    def mean(answer: str, target: str) -> float:
        found = scorer.score(target, answer)
        return math.fsum(found[name].fmeasure for name in wanted) / len(wanted)

    return Compared("rouge" if not types else "+".join(types), mean)


@dataclass(frozen=True)
class Bleu:
    """Sentence BLEU against all references, by sacrebleu with effective order. Its mean is not the corpus
    BLEU of papers.
    """

    minimum = 0.0
    waits = False
    key = "bleu"

    def __post_init__(self) -> None:
        _ = self._bleu

    @cached_property
    def _bleu(self) -> Any:
        return need("sacrebleu.metrics.bleu", "metrics", "scorer bleu").BLEU(effective_order=True)

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        return Score(min(self._bleu.sentence_score(answer, list(case.targets)).score / 100, 1.0))


SHIPPED: dict[str, Callable[[Sequence[str]], Scorer]] = {
    "exact": lambda labels: exact(),
    "exact-ignore-case": lambda labels: exact(ignore_case=True),
    "first-label": lambda labels: FirstLabel(tuple(labels)),
    "numeric": lambda labels: Numeric(),
    "regex": lambda labels: Regex(),
    "contains": lambda labels: contains(),
    "f1": lambda labels: f1(),
    "rouge": lambda labels: rouge(),
    "rouge1": lambda labels: rouge("rouge1"),
    "rouge2": lambda labels: rouge("rouge2"),
    "rougeL": lambda labels: rouge("rougeL"),
    "bleu": lambda labels: Bleu(),
    "sari": lambda labels: Sari(),
}


def scorer_named(name: str, labels: Sequence[str] = (), near: Path | None = None) -> Scorer:
    """The shipped scorer of a name, or the user's: `package.module:name` of a scorer or of a function."""
    if ":" not in name:
        if name not in SHIPPED:
            raise ConfigError(f"there is no scorer {name!r}{nearest(name, SHIPPED)}; your own is package.module:name")
        return SHIPPED[name](labels)
    found = resolve(name, near)
    if callable(found) and not (hasattr(found, "minimum") and hasattr(found, "key")):
        return FunctionScorer(_takes_a_case(found, name))
    if not callable(found):
        raise ConfigError(f"scorer {name!r} is a {type(found).__name__}, which cannot be called; name a function")
    scorer: Scorer = found
    return scorer


def _takes_a_case(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function, unless its second parameter is named as if it were the target: then every score would be wrong."""
    try:
        names = list(inspect.signature(function).parameters)
    except ValueError:
        return function
    if len(names) > 1 and names[1] in MISTAKEN:
        raise ConfigError(f"scorer {name!r} is called with (answer, case); {names[1]!r} would be a Case: take `case`, read `case.target`")
    return function


MISTAKEN = ("target", "expected", "reference", "gold", "label", "truth")
