"""Builds the tokenizer from generated text: `python vocabulary.py` writes `tokenizer.json` beside the weights."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from random import Random

from samples import copy_sample, operator_sample, task_sample
from tokenizers import Regex as TokRegex
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from breeding import NAMES  # noqa: E402
from instructions import PAIRS  # noqa: E402
from language import AGAIN, ASPECTS, BAD, COLOURS, DAYS, GOOD, HAPPY, NEVER, PEOPLE, PRODUCTS, SAD  # noqa: E402
from words import COMMON, LEXICON, QUALITIES, THINGS, TOPICS, VERBS  # noqa: E402

from llmevo.llm.embedded.tokenizer import PATTERN  # noqa: E402

WEIGHTS = ROOT / "llmevo" / "llm" / "embedded" / "weights"
SPECIAL = ["<|begin|>", "<|end|>", "<|answer|>"]
CHAT = (
    "{{ '<|begin|>' }}{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|answer|>' }}"
    "{% if m['content'][:1].isascii() and m['content'][:1].isalpha() %}{{ ' ' }}{% endif %}{{ m['content'] + '<|end|>' }}"
    "{% else %}{{ m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|answer|>' }}{% endif %}"
)


def world() -> set[str]:
    """The words of reviews and labels. Each has to be one token: a look-up by several tokens is far harder to learn."""
    texts = [*GOOD, *BAD, *HAPPY, *SAD, *PRODUCTS, *COLOURS, *PEOPLE, *DAYS, *AGAIN, *NEVER, *(w for p in PAIRS for w in p)]
    for aspect in ASPECTS.values():
        texts += [*aspect.nouns, *aspect.good, *aspect.bad]
    return set(re.findall("[A-Za-z]+", " ".join(texts)))


def build(size: int = 4096, seed: int = 0) -> Tokenizer:
    """Byte-level BPE over the pieces of generated text, with damped counts so that rare words get tokens too."""
    rng = Random(seed)
    counts: Counter[str] = Counter()
    for i in range(12_000):
        pairs = [task_sample(rng), operator_sample(rng, NAMES[i % len(NAMES)]), copy_sample(rng)]
        for pair in pairs:
            for text in pair[:2]:
                counts.update(re.findall(PATTERN, text, re.DOTALL))
    for word in {*LEXICON, *COMMON}:
        counts[" " + word] += 300
    for word in {*VERBS, *TOPICS, *QUALITIES, *THINGS}:
        counts[word.capitalize()] += 150
        counts[word] += 60
    for word in sorted(world()):
        counts[" " + word] += 40_000
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(TokRegex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tok.train_from_iterator(
        (piece for piece, n in sorted(counts.items()) if n >= 3 for _ in range(int(n**0.5))), trainer
    )
    return tok


def write(folder: Path, tok: Tokenizer) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    tok.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[0], "eos_token": SPECIAL[1],
        "pad_token": SPECIAL[1], "chat_template": CHAT, "model_max_length": 2048,
        "clean_up_tokenization_spaces": False,
    }, indent=1) + "\n")


if __name__ == "__main__":
    write(WEIGHTS, build())
