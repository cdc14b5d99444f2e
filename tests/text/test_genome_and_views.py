"""Text genomes and what templates see of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.core import Fitness, Genome, Individual, StorageError
from llmevo.fitness import Failure
from llmevo.library.operator import Template
from llmevo.storage.blobs import MemoryBlobs
from llmevo.text import TextGenome, views
from llmevo.text.views import digits_for

BLOBS = MemoryBlobs()
PARTS = st.dictionaries(st.text(max_size=5), st.text(max_size=20), min_size=1, max_size=4)


def test_it_is_a_genome_with_one_part_by_default() -> None:
    genome = TextGenome("Do it.")
    assert isinstance(genome, Genome)
    assert dict(genome.parts) == {"prompt": "Do it."} and genome.text == "Do it." and genome.kind == "text"


@given(PARTS, PARTS)
def test_equal_content_equal_key(one: dict[str, str], two: dict[str, str]) -> None:
    a, b = TextGenome(one), TextGenome(two)
    same = list(one.items()) == list(two.items())
    assert (a.key == b.key) == same == (a == b)
    assert not same or hash(a) == hash(b)


@given(PARTS)
def test_it_comes_back_from_json_and_previews_on_one_inert_line(parts: dict[str, str]) -> None:
    genome = TextGenome(parts)
    record = json.loads(json.dumps(genome.dump(BLOBS)))
    again = TextGenome.load(record, BLOBS)
    assert again.key == genome.key and list(again.parts.items()) == list(parts.items())
    assert genome.preview().isprintable() and len(genome.preview()) <= 160


def test_order_and_names_of_parts_count() -> None:
    assert TextGenome({"a": "x", "b": "y"}).key != TextGenome({"b": "y", "a": "x"}).key
    assert TextGenome({"a": "x"}).key != TextGenome("x").key
    assert TextGenome({"a": "x", "b": ""}).key != TextGenome({"a": "x"}).key


@pytest.mark.parametrize("text", ["\x1b]52;c;x\x07", "\x1b[31mred", "a\rb", "a\nb", "\u202eright to left", "\ud800", "\u200b"])
def test_a_preview_obeys_no_terminal(text: str) -> None:
    shown = TextGenome(text).preview()
    assert shown.isprintable() and "\\" in shown


def test_a_preview_is_cut_and_names_the_parts() -> None:
    assert TextGenome("x" * 500).preview().endswith("…")
    assert TextGenome({"neg": "bad", "pos": "good"}).preview() == "neg: bad | pos: good"


def test_parts_are_replaced_in_place_and_the_old_genome_stays() -> None:
    genome = TextGenome({"neg": "bad", "pos": "good"})
    other = genome.with_part("neg", "awful")
    assert list(other.parts.items()) == [("neg", "awful"), ("pos", "good")]
    assert genome.part("neg") == "bad"
    assert list(genome.with_part("new", "x").parts) == ["neg", "pos", "new"]
    assert TextGenome("a").with_part(None, "b") == TextGenome("b")
    with pytest.raises(ValueError, match="not which; this genome has neg, pos"):
        _ = genome.text
    with pytest.raises(ValueError, match="no part 'x'"):
        genome.part("x")
    with pytest.raises(TypeError):
        genome.parts["neg"] = "changed"  # type: ignore[index]


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        TextGenome({})
    with pytest.raises(TypeError, match="int"):
        TextGenome({"a": 1})  # type: ignore[dict-item]
    for record in ({}, {"parts": 3}, {"parts": [["a"]]}, {"parts": [["a", 1]]}, {"parts": []}):
        with pytest.raises(StorageError):
            TextGenome.load(record, BLOBS)


def individual(text: str, value: float, *feedback: str) -> Individual[TextGenome]:
    return Individual(text, TextGenome(text), Fitness(value, feedback=feedback))


@given(st.lists(st.sampled_from([0.0, 0.5, 0.505, 0.5050001, 1 / 3, 2 / 3, 1e-9, 0.75, 1e6, -0.5]), min_size=1, max_size=6))
def test_different_scores_look_different_and_equal_ones_equal(values: list[float]) -> None:
    shown = [view.score for view in views([individual(str(i), value) for i, value in enumerate(values)])]
    for i, one in enumerate(values):
        for j, other in enumerate(values):
            assert (shown[i] == shown[j]) == (one == other)


def test_two_digits_suffice_mostly() -> None:
    assert [view.score for view in views([individual("a", 0.5), individual("b", 0.75)])] == ["0.50", "0.75"]
    assert [view.score for view in views([individual("a", 0.701), individual("b", 0.7049)])] == ["0.701", "0.705"]
    assert [view.score for view in views([individual("a", 0.5), individual("b", 0.50001)])] == ["0.50000", "0.50001"]
    assert digits_for([]) == 2


def test_failures_and_notes_are_told_apart() -> None:
    failure = Failure("c1", "in", "wrong", "right", "because")
    view = views([individual("a", 0.5, "a note", failure.dump())])[0]
    assert (view.feedback, view.failures) == (("a note",), (failure,))
    template = Template(
        "t",
        ("a",),
        False,
        (),
        "prompt",
        "{{ a }}|{{ a.score }}|{% for f in a.failures %}{{ f.input }}>{{ f.target }}{% endfor %}",
    )
    assert template.render(a=view) == "a|0.50|in>right"


def test_an_unscored_parent_is_said_to_be_so() -> None:
    one = Individual("x", TextGenome("t"), Fitness.failed("broken"))
    assert views([one, individual("b", 0.25)])[0].score == "unknown"
