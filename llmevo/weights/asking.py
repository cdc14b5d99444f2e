"""How a case becomes tokens: the task's template, the model's chat template, the answer behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llmevo.core.errors import ConfigError
from llmevo.core.genome import content_key
from llmevo.fitness.contract import Case
from llmevo.library.prompts import TaskTemplate
from llmevo.weights.hf import Base
from llmevo.weights.programs import Choice, Forced, Greedy, Ids


@dataclass(frozen=True)
class Asking:
    """One prompt for all cases: with weights it is the model that changes, not the words.

    `chat` says whether the model's chat template is put around it; None: if it has one.
    """

    base: Base
    prompt: str = ""
    task: TaskTemplate = field(default_factory=TaskTemplate)
    chat: bool | None = None

    @property
    def key(self) -> str:
        """The words around an input."""
        return content_key([self.prompt, self.task.key, self.chat])

    def question(self, case: Case) -> Ids:
        """The tokens of a case's question, up to where the answer begins."""
        text = self.task.render(self.prompt, case.input, case.fields)
        tokenizer = self.base.tokenizer
        if self.chat and not getattr(tokenizer, "chat_template", None):
            raise ConfigError(f"the tokenizer of {self.base.name} has no chat template: set chat to false")
        if self._chats:
            turns = [{"role": "system", "content": self.task.system}] if self.task.system else []
            turns.append({"role": "user", "content": text})
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            return self._ids(text, special=False)
        return self._ids(f"{self.task.system}\n\n{text}" if self.task.system else text, special=True)

    def answer(self, text: str) -> Ids:
        """The tokens of an answer, without the one that ends it."""
        ids = self._ids(self._before(text) + text, special=False)
        if not ids:
            raise ConfigError(f"the target {text!r} has no tokens: a fixed target must say something")
        return ids

    @property
    def ends(self) -> Ids:
        """The tokens that end an answer of this model."""
        config = getattr(self.base.model, "generation_config", None)
        found = [getattr(config, "eos_token_id", None), self.base.model.config.eos_token_id, self.base.tokenizer.eos_token_id]
        flat = [one for each in found for one in (each if isinstance(each, list | tuple) else [each]) if one is not None]
        return tuple(sorted(set(flat)))

    def text(self, ids: Sequence[int] | str) -> str:
        """The words of an answer's tokens."""
        if isinstance(ids, str):
            return ids
        text = str(self.base.tokenizer.decode(list(ids), skip_special_tokens=True))
        bare = text.lstrip()
        return text.removeprefix(self._before(bare)) if bare else text

    def forced(self, cases: Sequence[Case]) -> Forced:
        """All targets of all cases, in order; a case with several has several samples."""
        pairs = [(self.question(case), self.answer(target)) for case in cases for target in case.targets]
        return Forced(tuple(prompt for prompt, _ in pairs), tuple(target for _, target in pairs), self.ends)

    def choice(self, cases: Sequence[Case], labels: Sequence[str]) -> Choice:
        """The labels as answers to every case."""
        return Choice(tuple(map(self.question, cases)), tuple(map(self.answer, labels)))

    def greedy(self, cases: Sequence[Case], most: int) -> Greedy:
        """Open answers of at most so many tokens."""
        return Greedy(tuple(map(self.question, cases)), most, self.ends)

    @property
    def _chats(self) -> bool:
        return self.chat is not False and bool(getattr(self.base.tokenizer, "chat_template", None))

    def _before(self, text: str) -> str:
        """What the chat template puts between the place where an answer begins and its words: a blank, with some models."""
        if not self._chats:
            return ""
        render, asked = self.base.tokenizer.apply_chat_template, [{"role": "user", "content": "?"}]
        begin = render(asked, tokenize=False, add_generation_prompt=True)
        whole = render([*asked, {"role": "assistant", "content": text}], tokenize=False)
        at = whole.find(text, len(begin)) if text and whole.startswith(begin) else -1
        return str(whole[len(begin) : at]) if at >= 0 else ""

    def _ids(self, text: str, *, special: bool) -> Ids:
        return tuple(self.base.tokenizer(text, add_special_tokens=special)["input_ids"])
