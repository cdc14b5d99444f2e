"""The numpy decoder: the same numbers as transformers, and a row's numbers do not depend on its company."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from llmevo.llm.embedded.runtime import WEIGHTS, Ask, EmbeddedModel, TooLong, _groups, weights_hash

CASES = [
    "Judge the delivery. Answer good or bad.",
    "Is the buyer happy? Use the labels yes and no. Use capital letters.",
    "Look at this.",
    "Count the good things in the text that follows, then " + "very " * 40 + "carefully answer with one number.",
]
TEXTS = [
    "I bought a red kettle. The delivery was late. The price is fair.",
    "I got this lamp for my sister. It is great 👍.",
    "Nothing works.",
    "I ordered a blue chair on Monday. The staff was rude. Its size is just right. I am happy. I recommend it.",
]


@pytest.fixture(scope="module")
def model() -> EmbeddedModel:
    return EmbeddedModel.load()


def asks(n: int, temperature: float = 0.0, max_tokens: int = 12) -> list[Ask]:
    rng = Random(3)
    out = []
    for i in range(n):
        prompt = f"{rng.choice(CASES)}\n\nReview: {' '.join(rng.sample(TEXTS, rng.randint(1, 4)))}\nAnswer:"
        out.append(Ask(prompt, max_tokens=max_tokens, temperature=temperature, top_p=0.95, seed=i))
    return out


def test_an_answer_is_the_same_alone_and_in_a_batch(model: EmbeddedModel) -> None:
    for temperature in (0.0, 1.0):
        many = asks(90, temperature)
        together = model.generate(many)
        assert [model.generate([a])[0] for a in many] == together
        order = list(range(len(many)))
        Random(1).shuffle(order)
        shuffled = model.generate([many[i] for i in order])
        assert [shuffled[order.index(i)] for i in range(len(many))] == together
        assert model.generate(many[:7]) == together[:7]


def rows_count_alike() -> bool:
    """Whether the BLAS at hand computes a row of a product without regard to the row's place; its kernels for AVX2 do not."""
    rng = np.random.default_rng(0)
    product = np.repeat(rng.normal(size=(1, 128)).astype(np.float32), 48, 0) @ rng.normal(size=(128, 384)).astype(np.float32)
    return bool((product == product[0]).all())


def test_scores_are_independent_of_company(model: EmbeddedModel) -> None:
    def same(a: np.ndarray, b: np.ndarray) -> bool:
        return np.array_equal(a, b) if rows_count_alike() else np.allclose(a, b, atol=1e-4)

    rng = np.random.default_rng(0)
    rows = [list(rng.integers(3, 2000, n)) for n in (3, 40, 64, 65, 130, 300)]
    together = model.decoder.read(model.decoder.cache(6, 400), rows)
    for i, row in enumerate(rows):
        assert same(model.decoder.read(model.decoder.cache(1, 320), [row])[0], together[i])
        prefix = model.decoder.cache(1, 320)
        model.decoder.read(prefix, [row[: len(row) // 2]])
        branch = model.decoder.branch(prefix, 3, 320)
        again = model.decoder.read(branch, [row[len(row) // 2 :]] * 3)
        assert same(again[2], together[i])


def test_steps_agree_with_reading_at_once(model: EmbeddedModel) -> None:
    rng = np.random.default_rng(1)
    row = list(rng.integers(3, 2000, 50))
    whole = model.decoder.read(model.decoder.cache(1, 64), [row], every=True)[0]
    cache = model.decoder.cache(1, 64)
    model.decoder.read(cache, [row[:20]])
    for i in range(20, 50):
        assert np.allclose(model.decoder.step(cache, np.array([row[i]]))[0], whole[i], atol=2e-4)


def test_seed_temperature_and_nucleus(model: EmbeddedModel) -> None:
    question = "Say something about this.\n\nReview: " + TEXTS[0]
    drawn = {model.generate([Ask(question, 12, 1.5, 1.0, seed)])[0].text for seed in range(20)}
    assert len(drawn) > 1
    greedy = model.generate([Ask(question, 12)])[0]
    assert model.generate([Ask(question, 12, 1.5, 1e-9, 5)])[0] == greedy


def test_ends(model: EmbeddedModel) -> None:
    question = "Make one better instruction from two.\nInstruction 1: " + CASES[0]
    cut = model.generate([Ask(question, max_tokens=2)])[0]
    assert (cut.finish, cut.tokens_out) == ("length", 2)
    whole = model.generate([Ask(question, max_tokens=40)])[0]
    stop = whole.text[2:4]
    stopped = model.generate([Ask(question, max_tokens=40, stop=(stop,))])[0]
    assert stopped.finish == "stop" and stopped.text == whole.text[: whole.text.index(stop)]
    with pytest.raises(TooLong):
        model.generate([Ask("word " * 3000)])
    assert model.generate([]) == []


def test_log_probabilities(model: EmbeddedModel) -> None:
    question = f"{CASES[0]}\n\nReview: {TEXTS[0]}\nAnswer:"
    answer = model.generate([Ask(question, max_tokens=20)])[0]
    options = [answer.text, "zebra", "good", "a much longer answer than that"]
    found = model.logprobs(question, options)
    assert max(found) < 0
    for o, p in zip(options, found, strict=True):
        assert model.logprobs(question, [o])[0] == pytest.approx(p, abs=1e-4)


def test_shared_prefixes_are_found(model: EmbeddedModel) -> None:
    rows = [[0, *range(100, 130), i, i] for i in range(5)] + [[0, *range(200, 240), i] for i in range(4)]
    found = [(sorted(g), shared) for g, shared in _groups(rows)]
    assert found == [([0, 1, 2, 3, 4], 31), ([5, 6, 7, 8], 41)]


def test_same_scores_as_transformers(model: EmbeddedModel) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    net = transformers.AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32).eval()
    for ask in asks(12):
        row = model.tokenizer.conversation(ask.prompt)
        with torch.no_grad():
            theirs = torch.log_softmax(net(torch.tensor([row])).logits[0].double(), -1).numpy()
        scores = model.decoder.read(model.decoder.cache(1, len(row)), [row], every=True)[0].astype(np.float64)
        ours = scores - np.log(np.exp(scores - scores.max(-1, keepdims=True)).sum(-1, keepdims=True)) - scores.max(
            -1, keepdims=True)
        assert np.abs(ours - theirs).max() < 1e-3


def test_the_shipped_file_is_small_and_hashed(tmp_path: Path) -> None:
    file = WEIGHTS / "model.safetensors"
    assert file.stat().st_size <= 8_000_000
    other = tmp_path / "w"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    other.write_bytes(data)
    assert weights_hash(other) != weights_hash() == EmbeddedModel.load().weights_hash()
