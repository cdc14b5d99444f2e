"""A small world of graded skills, and base models of 84,000 parameters that have learnt all of its skills in part.

A question is the letter of a skill and six digits; the answer is one digit. Every skill weighs some of the digits in its own way and
says in which tenth of all such sums this one falls. So a skill is learnt by degrees, and what was learnt for one digit helps with others.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llmevo.core import Seed
from llmevo.fitness import Case
from llmevo.library.prompts import TaskTemplate
from llmevo.weights.asking import Asking
from llmevo.weights.hf import Base, BaseSpec

SKILLS = "abcdefghijklmnop"
LABELS = tuple("0123456789")
PLACES = 6
END = "<end>"
WORDS = (END, *SKILLS, *LABELS)
STOP = 0.6
"""Accuracy at which a base is good enough: more would leave nothing to gain."""


@dataclass(frozen=True)
class World:
    """Sixteen skills, drawn from a seed. Everything else is drawn from seeds of its own."""

    seed: Seed

    @cached_property
    def weights(self) -> np.ndarray:
        """(skill, place): three places count, each by 1 or 2, up or down."""
        rng = self.seed.fold("weights").rng()
        found = np.zeros((len(SKILLS), PLACES))
        for row in found:
            row[rng.choice(PLACES, 3, replace=False)] = rng.choice([-2, -1, 1, 2], 3)
        return found

    @cached_property
    def edges(self) -> np.ndarray:
        """(skill, 9): where one tenth of the sums ends."""
        digits = self.seed.fold("edges").rng().integers(10, size=(20_000, PLACES))
        return np.quantile(digits @ self.weights.T + 1e-6, np.arange(1, 10) / 10, axis=0).T

    def draw(self, skills: Sequence[int], count: int, seed: Seed) -> tuple[np.ndarray, np.ndarray]:
        """Questions as (count, 1 + PLACES): skill, then digits; and their answers. Every skill as likely."""
        rng = seed.rng()
        chosen, digits = rng.choice(np.array(skills), count), rng.integers(10, size=(count, PLACES))
        sums = (digits * self.weights[chosen]).sum(axis=1)
        return np.column_stack([chosen, digits]), (sums[:, None] > self.edges[chosen]).sum(axis=1)

    def cases(self, skills: Sequence[int], count: int, seed: Seed, *, wrong: float = 0.0) -> list[Case]:
        """Different questions; a share `wrong` of the answers is drawn at random."""
        questions, answers = self.draw(skills, 2 * count, seed)
        rng = seed.fold("wrong").rng()
        noise = rng.random(len(answers)) < wrong
        answers = np.where(noise, rng.integers(10, size=len(answers)), answers)
        texts = [" ".join([SKILLS[row[0]], *map(str, row[1:])]) for row in questions.tolist()]
        found = dict(zip(texts, map(str, answers.tolist()), strict=True))
        return [Case(str(i), text, answer) for i, (text, answer) in enumerate(found.items())][:count]


def asking(base: Base) -> Asking:
    """The question as it stands: no words around it."""
    return Asking(base, task=TaskTemplate("{{ input }}"))


def tokenizer() -> Any:
    """A token per word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=END))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, pad_token=END)


def train_base(world: World, folder: Path, *, stop: float = STOP, most: int = 6000) -> float:
    """Trains a base until it reaches `stop` on fresh questions of all skills; its accuracy. Writes a folder that loads elsewhere."""
    from transformers import LlamaConfig, LlamaForCausalLM

    seed = world.seed.fold("base")
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        max_position_embeddings=32, tie_word_embeddings=True, bos_token_id=None, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed.value & (2**63 - 1))
        model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    everything = range(len(SKILLS))
    held = _tokens(*world.draw(everything, 2000, seed.fold("held")))
    found = 0.0
    for step in range(most):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 50)
        ids, answers = _tokens(*world.draw(everything, 128, seed.fold("batch", step)))
        logits = model(input_ids=torch.cat([ids, answers[:, None]], dim=1)).logits[:, -2:]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.stack([answers, 0 * answers], dim=1).flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49:
            with torch.no_grad():
                found = float((model(input_ids=held[0]).logits[:, -1].argmax(-1) == held[1]).float().mean())
            if found >= stop:
                break
    draft = folder.with_name(f".{folder.name}.draft")
    model.save_pretrained(draft)
    tokenizer().save_pretrained(draft)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return found


def load_base(folder: Path) -> Base:
    """The base of a folder, on the CPU."""
    return BaseSpec(str(folder), device="cpu", dtype="float32").load()


def _tokens(questions: np.ndarray, answers: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Token numbers of questions and of their answers."""
    first_digit = 1 + len(SKILLS)
    ids = questions + np.array([1] + [first_digit] * PLACES)
    return torch.from_numpy(ids), torch.from_numpy(answers + first_digit)
