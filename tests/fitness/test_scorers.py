"""Scorers: against published values, oracles and hand-computed examples."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.core import ConfigError, Context, InvalidFitness, Seed
from llmevo.fitness import Case, FunctionScorer, Score, scorer_named
from llmevo.fitness.overlap import sari, token_f1, tokens_13a
from llmevo.fitness.scorers import SHIPPED, Numeric, Regex, last_number, rouge

CONTEXT = Context(Seed.of(0))
ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parents[3] / "shared" / "data"


def score(scorer: Any, answer: str, *targets: str, input: str = "") -> float:
    case = Case("c", input, targets if len(targets) > 1 else targets[0])
    return asyncio.run(scorer(answer, case, CONTEXT)).value


LABELS = ["negative", "positive", "very positive"]
TABLE = [
    ("exact", "positive", ["positive"], 1),
    ("exact", " positive\n", ["positive"], 1),
    ("exact", "Positive", ["positive"], 0),
    ("exact", "positive.", ["positive"], 0),
    ("exact", "b", ["a", "b"], 1),
    ("exact-ignore-case", "POSITIVE", ["positive"], 1),
    ("first-label", "I think it is Positive, not negative.", ["positive"], 1),
    ("first-label", "Not negative but positive", ["positive"], 0),
    ("first-label", "very positive", ["positive"], 0),
    ("first-label", "very positive", ["very positive"], 1),
    ("first-label", "nonpositive", ["positive"], 0),
    ("first-label", "**positive**", ["positive"], 1),
    ("first-label", "neutral", ["positive"], 0),
    ("numeric", "The answer is 1,234.5", ["1234.5"], 1),
    ("numeric", "3 apples and 4 pears make 7.", ["#### 7"], 1),
    ("numeric", "-7", ["7"], 0),
    ("numeric", "no number", ["7"], 0),
    ("numeric", "7.0000000001", ["7"], 1),
    ("numeric", "7.1", ["7"], 0),
    ("numeric", "1e3", ["1000"], 1),
    ("regex", "id: A-17", ["[A-Z]-\\d+"], 1),
    ("regex", "id: a17", ["[A-Z]-\\d+"], 0),
    ("contains", "It was in PARIS.", ["Paris"], 1),
    ("contains", "It was in London.", ["Paris"], 0),
    ("f1", "the cat sat", ["a cat sat down"], 0.8),
    ("f1", "", ["x"], 0),
]


@pytest.mark.parametrize(("name", "answer", "targets", "wanted"), TABLE)
def test_the_shipped_scorers_by_example(name: str, answer: str, targets: list[str], wanted: float) -> None:
    assert score(scorer_named(name, LABELS), answer, *targets) == pytest.approx(wanted)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_scorer_says_its_minimum_and_its_key_and_stays_in_bounds(name: str) -> None:
    scorer = scorer_named(name, LABELS)
    assert scorer.minimum == 0 and scorer.key
    right = {"numeric": "7", "first-label": "positive"}.get(name, "the film is very positive")
    for answer in ("", "x", right, "positive negative " * 20, "\x00\ud800 {{ a }}", "7" * 400):
        assert 0 <= score(scorer, answer, right, right + ("0" if name == "numeric" else "s"), input="positive it was") <= 1
    assert score(scorer, right, right, right, input="positive it was not") == pytest.approx(1)


def test_of_labels_at_one_place_the_longest_counts() -> None:
    scorer = scorer_named("first-label", ["good", "good enough"])
    assert score(scorer, "Good enough for me", "good enough") == 1
    assert score(scorer, "Good for me", "good") == 1


def test_unknown_scorers_get_the_nearest() -> None:
    with pytest.raises(ConfigError, match="there is no scorer 'exakt'; did you mean 'exact'"):
        scorer_named("exakt")
    with pytest.raises(ConfigError, match="two labels or more"):
        scorer_named("first-label", ["one"])
    with pytest.raises(ConfigError, match="is no regular expression"):
        Regex("(")


def test_extraction_by_regex_takes_the_last_and_the_group() -> None:
    scorer = Regex(r"answer: (\w+)")
    assert score(scorer, "answer: a ... answer: b", "b") == 1
    assert score(scorer, "answer: a ... answer: b", "a") == 0
    assert score(Regex(r"(x)|y"), "y", "x") == 0


def test_numbers_and_tolerance() -> None:
    assert [last_number(text) for text in ("1,234", "a 3 b -4.5", ".5", "none", "12,34")] == [1234, -4.5, 0.5, None, 34]
    assert score(Numeric(tolerance=0.5), "7.4", "7") == 1
    assert score(Numeric(tolerance=0, relative=0.1), "109", "100") == 1
    with pytest.raises(ConfigError, match="target of case c holds no number"):
        score(Numeric(), "7", "seven")


SOURCE = "About 95 species are currently accepted ."
REFERENCES = ["About 95 species are currently known .", "About 95 species are now accepted .", "95 species are now accepted ."]
PUBLISHED = [
    ("About 95 you now get in .", 0.2682782411698074, 0.26953601953601954),
    ("About 95 species are now agreed .", 0.5889995423074248, None),
    ("About 95 species are currently agreed .", 0.5071608864657479, None),
]


@pytest.mark.parametrize(("answer", "original", "corrected"), PUBLISHED)
def test_sari_gives_the_published_values(answer: str, original: float, corrected: float | None) -> None:
    """The three examples of the authors' script, and the one of the metric card of the corrected implementation."""
    assert sari(SOURCE, answer, REFERENCES, original=True) == pytest.approx(original, abs=1e-12)
    if corrected is not None:
        assert sari(SOURCE, answer, REFERENCES) == pytest.approx(corrected, abs=1e-12)


def test_sari_with_one_reference_as_published() -> None:
    assert sari(SOURCE, "About 95 you now get in .", REFERENCES[:1]) == pytest.approx(0.21805555555555557, abs=1e-12)


def test_sari_by_hand() -> None:
    """`a b` to `a c` with the reference `a c`: all is right. Unchanged: kept `a` of `a b` (F1 of 1/2 and 1), added none of
    `c`.
    """
    assert sari("a b", "a c", ["a c"]) == 1
    one_word = (2 * 0.5 * 1 / 1.5 + 1 + 0) / 3
    two_words = (0 + 1 + 0) / 3
    assert sari("a b", "a b", ["a c"]) == pytest.approx((one_word + two_words + 1 + 1) / 4)


def test_sari_prefers_the_right_operation() -> None:
    source, right = "the committee reached a unanimous verdict", ["the group made a decision that all agreed on"]
    good, same, bad = "the group made a unanimous decision", source, "verdict unanimous banana"
    assert sari(source, good, right) > sari(source, same, right)
    assert sari(source, good, right) > sari(source, bad, right)


@given(st.text("ab .", max_size=12), st.text("ab .", max_size=12), st.lists(st.text("ab .", max_size=12), min_size=1, max_size=3))
def test_sari_is_bounded_and_blind_to_the_order_of_references(source: str, answer: str, references: list[str]) -> None:
    value = sari(source, answer, references)
    assert 0 <= value <= 1 + 1e-12
    assert value == pytest.approx(sari(source, answer, references[::-1]))


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the real data")
def test_our_tokens_are_those_of_sacrebleu() -> None:
    oracle = pytest.importorskip("sacrebleu.tokenizers.tokenizer_13a").Tokenizer13a()
    for line in (DATA / "simplification" / "asset" / "test.src").read_text(encoding="utf-8").splitlines():
        assert tokens_13a(line) == oracle(line.lower()).split()


def test_our_tokens_by_example() -> None:
    assert tokens_13a("It's 1,234.5 U.S. dollars-worth (really)!") == [
        "it's",
        "1,234.5",
        "u",
        ".",
        "s",
        ".",
        "dollars-worth",
        "(",
        "really",
        ")",
        "!",
    ]


def test_rouge_and_bleu_against_their_packages() -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    sacrebleu = pytest.importorskip("sacrebleu")
    answer, target = "the cats were sitting on the mat", "a cat sat on the mat today"
    types = ["rouge1", "rouge2", "rougeL"]
    oracle = rouge_scorer.RougeScorer(types, use_stemmer=True).score(target, answer)
    assert score(rouge(), answer, target) == pytest.approx(sum(oracle[one].fmeasure for one in types) / 3)
    assert score(scorer_named("rougeL"), answer, target) == pytest.approx(oracle["rougeL"].fmeasure)
    assert score(rouge(), answer, "nothing alike", target) == score(rouge(), answer, target)
    bleu = sacrebleu.sentence_bleu(answer, [target]).score / 100
    assert score(scorer_named("bleu"), answer, target) == pytest.approx(bleu)


def test_f1_counts_multiplicity() -> None:
    assert token_f1("very very good", "very good good") == pytest.approx(2 / 3)
    assert token_f1("the", "a") == 1


def by_length(answer: str, case: Case) -> float:
    return float(len(answer))


async def by_context(answer: str, case: Case, context: Context) -> tuple[float, str]:
    return 0.5, f"{case.id} {context.scope}"


class Judge:
    minimum = -1.0
    key = "judge"

    async def __call__(self, answer: str, case: Case, context: Context) -> Score:
        return Score(0.25, "meh")


def test_user_functions_sync_async_and_whole_scorers() -> None:
    assert score(FunctionScorer(by_length), "four", "x") == 4
    found = asyncio.run(FunctionScorer(by_context, minimum=-1)("a", Case("c", ""), CONTEXT))
    assert found == Score(0.5, "c ")
    named = scorer_named(f"{__name__}:by_length") if ":" not in __name__ else None
    if named is not None:
        assert isinstance(named, FunctionScorer)
        assert named.key.startswith(f"function({__name__}:by_length#")
    assert FunctionScorer(by_length).key != FunctionScorer(by_context).key


def test_a_users_module_beside_the_run_file(tmp_path: Path) -> None:
    (tmp_path / "my_unique_task.py").write_text(
        "def check(answer, case):\n    return answer == case.target\n\nclass J:\n    minimum = -1.0\n    key = 'j'\n"
        "    async def __call__(self, answer, case, context):\n        return 0\n\njudge = J()\nnumber = 3\n"
    )
    assert score(scorer_named("my_unique_task:check", near=tmp_path), "a", "a") == 1
    assert scorer_named("my_unique_task:judge", near=tmp_path).minimum == -1
    with pytest.raises(ConfigError, match="has no 'chek'; did you mean 'check'"):
        scorer_named("my_unique_task:chek", near=tmp_path)
    with pytest.raises(ConfigError, match="cannot be called"):
        scorer_named("my_unique_task:number", near=tmp_path)
    with pytest.raises(ConfigError, match="no module 'no_such_module_here'"):
        scorer_named("no_such_module_here:check", near=tmp_path)
    (tmp_path / "my_broken_task.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match="importing my_broken_task raised ZeroDivisionError"):
        scorer_named("my_broken_task:check", near=tmp_path)


@pytest.mark.parametrize("value", [None, "0.5", math.nan, math.inf, {"f1": 1.0}, [1, 2], (1, 2), object()])
def test_a_users_function_that_returns_no_score_is_named(value: Any) -> None:
    def returns(answer: str, case: Case) -> Any:
        return value

    with pytest.raises(InvalidFitness):
        score(FunctionScorer(returns), "a", "b")


@pytest.mark.parametrize(("name", "module"), [("rouge", "rouge_score.rouge_scorer"), ("bleu", "sacrebleu.metrics.bleu")])
def test_a_missing_extra_is_named_before_anything_is_scored(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"scorer {name} needs .*pip install 'llmevo\[metrics\]'"):
        scorer_named(name)


def test_nothing_heavy_is_imported_with_the_modules() -> None:
    code = (
        "import sys, llmevo.text, llmevo.fitness, llmevo.library;"
        "print([name for name in ('torch', 'transformers', 'datasets', 'pyarrow', 'rouge_score', 'sacrebleu') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.strip() == "[]"
