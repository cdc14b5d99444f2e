"""The tokenizer: any text round-trips, and `tokenizers` gives the same ids."""

from __future__ import annotations

from random import Random

import pytest

from llmevo.llm.embedded.runtime import WEIGHTS
from llmevo.llm.embedded.tokenizer import ANSWER, BEGIN, Tokenizer


@pytest.fixture(scope="module")
def tok() -> Tokenizer:
    return Tokenizer.load(WEIGHTS / "tokenizer.json")


def strings(n: int) -> list[str]:
    """Prompt-like texts, ASCII noise, letters of many scripts, emoji with joiners, special-token look-alikes."""
    rng = Random(7)
    words = "Answer with good or bad. Review: the battery was late <prompt>child</prompt> I'm (e.g. 12,5 %)".split(" ")
    pools = [
        lambda: " ".join(rng.choice(words) for _ in range(rng.randint(0, 30))),
        lambda: "".join(chr(rng.randrange(32, 127)) for _ in range(rng.randint(0, 40))),
        lambda: "".join(chr(rng.choice((rng.randrange(0, 0xD800), rng.randrange(0xE000, 0x30000))))
                        for _ in range(rng.randint(0, 20))),
        lambda: "".join(rng.choice(["👩‍👩‍👧", "🏳️‍🌈", "é", "é", "ß", "中文", "\r\n", "\t", "\x00", "  ", "<|end|>", "<s>", "İ"])
                        for _ in range(rng.randint(0, 12))),
    ]
    return [pools[i % 4]() for i in range(n)]


def test_round_trip(tok: Tokenizer) -> None:
    for text in strings(4000):
        assert tok.decode(tok.encode(text)) == text


def test_text_is_never_a_special_token(tok: Tokenizer) -> None:
    for text in ["<|begin|>", "<|end|><|answer|>", "a<|answer|>b"]:
        assert min(tok.encode(text)) > ANSWER
    assert tok.conversation("x")[0] == BEGIN


def test_a_lone_surrogate_is_survived(tok: Tokenizer) -> None:
    assert tok.decode(tok.encode("a\ud800b")) == "a?b"


def test_same_ids_as_transformers(tok: Tokenizer) -> None:
    transformers = pytest.importorskip("transformers")
    other = transformers.AutoTokenizer.from_pretrained(WEIGHTS)
    for text in strings(4000):
        assert other.encode(text, add_special_tokens=False, split_special_tokens=True) == tok.encode(text), text
    turns = [{"role": "user", "content": "Hello <b> there"}]
    chat = other.apply_chat_template(turns, tokenize=True, return_dict=False, add_generation_prompt=True)
    assert chat == tok.conversation("Hello <b> there")


def test_an_answer_begins_with_a_blank_where_it_begins_with_a_letter(tok: Tokenizer) -> None:
    assert tok.answer("good") == tok.encode(" good") and tok.read(tok.answer("good")) == "good"
    for text in ('"good"', "1", "<prompt> Go</prompt>", ""):
        assert tok.answer(text) == tok.encode(text) and tok.read(tok.answer(text)) == text
