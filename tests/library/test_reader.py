"""The reader: 80 replies as models write them, and tag soup."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmevo.library.reader import Unread, clean, is_refusal, read

SORRY = "I'm sorry, but I can't help with that."

READ = [
    ("<prompt>Do it.</prompt>", "Do it."),
    ("  <prompt>\nDo it.\n</prompt>  ", "Do it."),
    ("Sure! <prompt>Do it.</prompt> Hope it helps.", "Do it."),
    ("<PROMPT>Do it.</PROMPT>", "Do it."),
    ("<Prompt>Do it.</prompt>", "Do it."),
    ("< prompt >Do it.</ prompt >", "Do it."),
    ('<prompt lang="en">Do it.</prompt>', "Do it."),
    ("<prompt>one</prompt> then <prompt>two</prompt>", "two"),
    ("1. <prompt>a</prompt>\n2. <prompt>b</prompt>\n3. <prompt>c</prompt>", "c"),
    ("I write it between <prompt> and </prompt>: <prompt>Do it.</prompt>", "Do it."),
    ("The tag <prompt> comes first. <prompt>Do it.</prompt>", "Do it."),
    ("<prompt><prompt>Do it.</prompt>", "Do it."),
    ("<prompt>Do it.</prompt></prompt>", "Do it."),
    ("</prompt><prompt>Do it.</prompt>", "Do it."),
    ("<prompt>Do it.</prompt> or rather <prompt>Do th", "Do it."),
    ("<prompt>Line one\nline two</prompt>", "Line one\nline two"),
    ("<prompt>Line one\r\nline two</prompt>", "Line one\nline two"),
    ("<prompt>Use {{ braces }} and {% tags %}.</prompt>", "Use {{ braces }} and {% tags %}."),
    ("<prompt>Compare a < b and b > c.</prompt>", "Compare a < b and b > c."),
    ("<prompt>Use <b>bold</b>.</prompt>", "Use <b>bold</b>."),
    ("<prompt>Use <answer>x</answer>.</prompt>", "Use <answer>x</answer>."),
    ("<prompts>no</prompts><prompt>Do it.</prompt>", "Do it."),
    ("```xml\n<prompt>Do it.</prompt>\n```", "Do it."),
    ("**<prompt>Do it.</prompt>**", "Do it."),
    ("<prompt>Sei höflich – immer.</prompt>", "Sei höflich – immer."),
    ("<prompt>判断这条评论的情感。</prompt>", "判断这条评论的情感。"),
    ("<prompt>Rate it 👍 or 👎</prompt>", "Rate it 👍 or 👎"),
    ("<prompt>a\x00b</prompt>", "ab"),
    ("<prompt>a\ud800b</prompt>", "a\ufffdb"),
    ("\ufeff<prompt>Do it.</prompt>", "Do it."),
    ("<prompt>\x1b[31mDo it.</prompt>", "[31mDo it."),
    ("<prompt>7</prompt>", "7"),
    ("<prompt>Say sorry if you can't help the customer.</prompt>", "Say sorry if you can't help the customer."),
    ("<prompt>I am sorry to hear that your parcel is late.</prompt>", "I am sorry to hear that your parcel is late."),
    ("<prompt>Unfortunately the battery is weak.</prompt>", "Unfortunately the battery is weak."),
    ("I'm sorry for the delay. <prompt>Do it.</prompt>", "Do it."),
    ("<prompt>I can see two themes; name both.</prompt>", "I can see two themes; name both."),
    ("<prompt>Write your answer here and nothing more than that.</prompt>", "Write your answer here and nothing more than that."),
    ("<prompt>and then what happens next?</prompt>", "and then what happens next?"),
    ("&lt;prompt&gt;x&lt;/prompt&gt; <prompt>Do it.</prompt>", "Do it."),
    ("<prompt\n>Do it.</prompt\n>", "Do it."),
    ("<think><prompt>draft</prompt></think><prompt>Do it.</prompt>", "Do it."),
]

UNREAD = [
    ("", "missing"),
    ("   \n", "missing"),
    ("Do it.", "missing"),
    ("[prompt]Do it.[/prompt]", "missing"),
    ("<promptDo it.</prompt", "missing"),
    ("<answer>Do it.</answer>", "missing"),
    ("prompt: Do it.", "missing"),
    ("&lt;prompt&gt;Do it.&lt;/prompt&gt;", "missing"),
    ("<prompt/>Do it.", "missing"),
    ("</prompt>", "missing"),
    ("</prompt>Do it.<prompt>", "unclosed"),
    ("<prompt>Do it.", "unclosed"),
    ("1. a 2. b 3. <prompt>Do", "unclosed"),
    ("<prompt>Do it.<prompt>", "unclosed"),
    ("<prompt>Do it.</promt>", "unclosed"),
    ("<prompt></prompt>", "empty"),
    ("<prompt>  \n </prompt>", "empty"),
    ("<prompt>...</prompt>", "empty"),
    ("<prompt>—</prompt>", "empty"),
    ("<prompt>\x00\x01</prompt>", "empty"),
    ("<prompt>Do it.</prompt> <prompt></prompt>", "empty"),
    ("<prompt>a <prompt>b</prompt> c</prompt>", "nested"),
    ("<prompt><prompt>Do it.</prompt></prompt>", "nested"),
    ("<prompt>x</prompt> <prompt>a <prompt>b</prompt></prompt>", "nested"),
    ("Write it between <prompt> and </prompt>.", "placeholder"),
    ("<prompt>your prompt here</prompt>", "placeholder"),
    ("<prompt>[new prompt]</prompt>", "placeholder"),
    ("<prompt>Final instruction</prompt>", "placeholder"),
    (SORRY, "refusal"),
    (f"<prompt>{SORRY}</prompt>", "refusal"),
    ("I cannot assist with this request.", "refusal"),
    ("As an AI language model, I cannot do that.", "refusal"),
    ("I apologize, but I'm not able to create that.", "refusal"),
    ("Sorry, I can’t comply with that.", "refusal"),
    ("I'm unable to help with that.", "refusal"),
    ("<prompt>I won't provide that.</prompt>", "refusal"),
    ("Unfortunately, I am not able to help with this.", "refusal"),
    ("**I'm sorry, but I cannot continue this.**", "refusal"),
]


def test_there_are_enough_golden_replies() -> None:
    assert len(READ) + len(UNREAD) >= 60


@pytest.mark.fault("L15")
@pytest.mark.parametrize(("reply", "child"), READ)
def test_the_child_is_the_last_complete_tag(reply: str, child: str) -> None:
    assert read(reply, "prompt") == child


@pytest.mark.fault("L15")
@pytest.mark.parametrize(("reply", "reason"), UNREAD)
def test_everything_else_is_a_typed_failure(reply: str, reason: str) -> None:
    found = read(reply, "prompt")
    assert isinstance(found, Unread), found
    assert found.reason == reason
    assert found.detail


SOUP = st.lists(
    st.sampled_from(
        ["<prompt>", "</prompt>", "<PROMPT >", "</ prompt>", "<", ">", "/", "prompt", "<prompt x", " ", "a", "Do it", "\n",
         "\x00", "\ud800", "<answer>", "</answer>", SORRY, "{{ a }}", "&lt;prompt&gt;"]
    )
    | st.text(max_size=4),
    max_size=25,
).map("".join)  # fmt: skip


@pytest.mark.fault("L15")
@given(SOUP)
@settings(max_examples=400, deadline=None)
def test_tag_soup_never_raises_and_never_becomes_the_genome_whole(reply: str) -> None:
    found = read(reply, "prompt")
    if isinstance(found, str):
        assert found and found == found.strip()
        assert found != reply
        assert found in clean(reply)
        assert read(f"<prompt>{found}</prompt>", "prompt") == found or "<" in found
    else:
        assert isinstance(found, Unread)


@given(st.text(max_size=40))
def test_a_clean_child_comes_back_as_it_was(child: str) -> None:
    wanted = clean(child).strip()
    found = read(f"x <prompt>{child}</prompt> y", "prompt")
    assert found == wanted or isinstance(found, Unread)


@pytest.mark.parametrize("soup", ["<" + " " * 200_000, "<prompt " * 40_000, "<prompt>" * 40_000, "</prompt>" * 40_000,
                                  "<prompt>" + "-" * 200_000 + "a</prompt>", "I can't " * 40_000])  # fmt: skip
def test_hostile_replies_are_read_in_linear_time(soup: str) -> None:
    start = time.perf_counter()
    read(soup, "prompt")
    assert time.perf_counter() - start < 2


def test_a_polite_sentence_is_no_refusal() -> None:
    assert not is_refusal("I'm sorry that the tray was broken; we will send a new one.")
    assert is_refusal("I'm very sorry, but I can't help with that")
