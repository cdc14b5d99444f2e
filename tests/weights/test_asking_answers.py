"""An answer has the tokens that the chat template would give it: the embedded model's begin with a blank."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from llmevo.llm.embedded.runtime import WEIGHTS  # noqa: E402
from llmevo.llm.embedded.tokenizer import Tokenizer  # noqa: E402
from llmevo.weights.asking import Asking  # noqa: E402


class Based:
    """A base model of which only the tokenizer is asked."""

    name = "embedded"
    tokenizer = transformers.AutoTokenizer.from_pretrained(WEIGHTS)


@pytest.mark.parametrize("text", ["good", "1", '"bad"', "Two words"])
def test_answers_are_tokenized_as_the_model_was_trained(text: str) -> None:
    own = Tokenizer.load(WEIGHTS / "tokenizer.json")
    asking = Asking(Based())  # type: ignore[arg-type]
    assert list(asking.answer(text)) == own.answer(text)
    assert asking.text(asking.answer(text)) == text
    without = Asking(Based(), chat=False)  # type: ignore[arg-type]
    assert list(without.answer(text)) == own.encode(text)
