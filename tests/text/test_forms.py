from __future__ import annotations

from llmevo.text.forms import FORMS, shingles

PROSE = (
    "The council met on Monday and decided to repair the old bridge over the river before winter, because the engineers had found "
    "cracks in two of its pillars; the work will cost three million and take about five months, and the ferry will run every hour."
)


def alike(form: str, a: str, b: str) -> bool:
    return bool(set(FORMS[form](a)) & set(FORMS[form](b)))


def test_each_form_forgives_more_than_the_one_before() -> None:
    pairs = [("a  b", "a b"), ("[1, 2]", "[1,2]"), ("Yes, it is.", "yes it is"), (PROSE, PROSE.replace("Monday", "Tuesday"))]
    known = {form: [alike(form, *pair) for pair in pairs] for form in FORMS}
    assert known == {
        "same": [False, False, False, False],
        "spacing": [True, True, False, False],
        "words": [True, True, True, False],
        "shingles": [True, True, True, True],
    }


def test_what_differs_in_content_is_not_the_same() -> None:
    for form in ("same", "spacing", "words"):
        assert not alike(form, "CONFIG = [1, 2, 3]", "CONFIG = [1, 2, 4]")
    assert not alike("spacing", "[1, 23]", "[12, 3]") and not alike("words", "1 23", "12 3")
    assert not alike("shingles", PROSE, " ".join(reversed(PROSE.split())))
    for form in FORMS:
        assert FORMS[form]("") and FORMS[form]("\ud800 x"), "odd texts have a form too"


def test_bands_are_as_likely_as_they_say() -> None:
    """Pairs of similarity 0.8 share a band in 78 of 100 cases."""
    hits = 0
    for i in range(300):
        tokens = [f"w{i}x{j}" for j in range(83)]
        other = [*tokens[:74], *(f"v{i}x{j}" for j in range(9))]
        hits += bool(set(shingles(" ".join(tokens))) & set(shingles(" ".join(other))))
    assert 0.7 < hits / 300 < 0.86
