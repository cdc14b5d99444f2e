"""An operator file and a language model, together a variation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError, VariationFailed
from llmevo.core.genome import content_key
from llmevo.core.individual import Individual
from llmevo.core.variation import VariationBase
from llmevo.fitness.contract import Case
from llmevo.library.operator import Template
from llmevo.library.reader import Unread, read
from llmevo.llm.contract import LLM, CallFailed, ContextTooLong, Message, Request, Sampling
from llmevo.text.genome import TextGenome
from llmevo.text.quotes import Quotes
from llmevo.text.views import views

if TYPE_CHECKING:
    import numpy as np

TEMPERATURE = 0.5
MAX_TOKENS = 512


@dataclass(frozen=True)
class Draw:
    """A slot whose value is drawn anew for every birth: `count` different cases, as `input` and `target`."""

    cases: tuple[Case, ...]
    count: int

    def chosen(self, rng: np.random.Generator, most: int | None = None) -> list[Case]:
        """The drawn cases, in the order in which they were drawn; only the first ones with `most`."""
        order = rng.permutation(len(self.cases))[: self.count if most is None else min(most, self.count)]
        return [self.cases[i] for i in order]


class Instruct(VariationBase):
    """A variation that asks a language model to follow an operator's instruction; the child is what it puts into the answer tag.

    Parents are shown as the roles of the template; the child is the first parent with that part replaced, or a new genome when
    the operator takes none. `slots` are bound here; `part` is the part that is shown and replaced (None: the only one; for a
    founder its name, `prompt` by default). A question that is longer than the model's context is asked once more in a short form:
    one failure and one note of each parent, one drawn case, and of a role that takes any number the first half. An unreadable
    reply is shown to the model once more with what was missing in it; then, and on a refused or rejected call,
    `VariationFailed`. What comes from cases and from answers stands in a drawn fence (see `Quotes`), unless the model `quotes_plainly`.
    """

    def __init__(
        self,
        template: Template,
        llm: LLM,
        *,
        slots: Mapping[str, Any] | None = None,
        part: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.template, self.llm, self.part = template, llm, part
        self.slots = dict(slots or {})
        if set(self.slots) != set(template.slots):
            given, wanted = ", ".join(self.slots) or "none", ", ".join(template.slots) or "none"
            raise ConfigError(f"operator {template.name!r} has the slots: {wanted}; given: {given}")
        self.sampling = Sampling(
            _first(temperature, template.temperature, TEMPERATURE),
            _first(top_p, template.top_p, None),
            _first(max_tokens, template.max_tokens, MAX_TOKENS),
        )
        self._plainly = bool(getattr(llm, "quotes_plainly", False))
        slots_key = {name: _plain(value) for name, value in self.slots.items()}
        self._key = f"instruct({template.name},{content_key([template.key, llm.key, slots_key, part, asdict(self.sampling)])})"

    @property
    def key(self) -> str:
        """The operator's name, and a hash of its content, the model, the slots, the part and the sampling."""
        return self._key

    @property
    def arity(self) -> int | None:
        """As many parents as the template has roles."""
        return self.template.arity

    async def __call__(self, parents: Sequence[Individual[TextGenome]], context: Context) -> TextGenome:
        try:
            text = await self._answer(self._question(parents, context), context)
        except ContextTooLong as error:
            text = await self._shorter(parents, context, error)
        if not parents:
            return TextGenome({self.part or "prompt": text})
        return parents[0].genome.with_part(self.part, text)

    async def _shorter(self, parents: Sequence[Individual[TextGenome]], context: Context, error: ContextTooLong) -> str:
        """The child from the short form of the question, once."""
        question = self._question(parents, context, short=True)
        if question == self._question(parents, context):
            raise self._failed(error, "and it has no shorter form") from error
        try:
            return await self._answer(question, context)
        except ContextTooLong as again:
            raise self._failed(again, "also in its short form") from again

    def _failed(self, error: CallFailed, note: str = "") -> VariationFailed:
        numbers = f" ({error.asked or '?'} tokens asked, {error.limit or '?'} fit)" if isinstance(error, ContextTooLong) else ""
        return VariationFailed(f"{self.template.name}: {type(error).__name__}: {error}{numbers}{note and ', ' + note}")

    def _question(self, parents: Sequence[Individual[TextGenome]], context: Context, *, short: bool = False) -> str:
        roles, many = self.template.parents, self.template.many
        named = len(roles) - many
        if len(parents) < named or (len(parents) > named and not many):
            raise ConfigError(f"operator {self.template.name!r} takes {', '.join(roles)}: {len(parents)} parents given")
        shown = views(parents, self.part)
        if short:
            shown = [replace(one, failures=one.failures[:1], feedback=one.feedback[:1]) for one in shown]
            shown = shown[: named + (len(shown) - named + 1) // 2]
        examples = {
            name: slot.chosen(context.seed.fold("slot", name).rng(), 1 if short else None)
            for name, slot in self.slots.items()
            if isinstance(slot, Draw)
        }
        quotes = Quotes(shown, examples, self.template.answer, None if self._plainly else context.seed.fold("fence"))
        shown = quotes.shown
        values: dict[str, Any] = {**self.slots, **quotes.examples, **dict(zip(roles[:named], shown, strict=False))}
        if many:
            values[roles[-1]] = shown[named:]
        question = self.template.render(**values)
        for case in quotes.within(question):
            context.quote(case)
        return quotes.told(question)

    async def _answer(self, question: str, context: Context) -> str:
        messages = (Message("system", self.template.system),) if self.template.system else ()
        messages = (*messages, Message("user", question))
        reply = await self._ask(messages, context)
        found = read(reply, self.template.answer)
        if isinstance(found, str):
            return found
        again = (*messages, Message("assistant", reply), Message("user", repair(found, self.template.answer)))
        second = read(await self._ask(again, context), self.template.answer)
        if isinstance(second, str):
            return second
        raise VariationFailed(f"{self.template.name}: {second.reason} after one repair ({second.detail}); first: {found.reason}")

    async def _ask(self, messages: tuple[Message, ...], context: Context) -> str:
        try:
            reply = await self.llm(Request(messages, self.sampling, context.next_sample(), context.scope))
        except ContextTooLong as error:
            context.charge(error.usage)
            raise
        except CallFailed as error:
            context.charge(error.usage)
            raise self._failed(error) from error
        context.charge(reply.usage)
        if reply.finish in ("refusal", "filter"):
            raise VariationFailed(f"{self.template.name}: the model ended with {reply.finish!r}: {reply.text[:80]!r}")
        return reply.text


def repair(found: Unread, tag: str) -> str:
    """The short follow-up that says what was missing in a reply."""
    return f"Your reply cannot be used: {found.detail}. Write the result between <{tag}> and </{tag}>, and nothing after it."


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _plain(value: Any) -> Any:
    """A slot's value as JSON, for the key."""
    if isinstance(value, Draw):
        return ["draw", value.count, [[case.id, case.input, case.targets] for case in value.cases]]
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ConfigError(f"a slot is text, a number, a list or a mapping of them, or Draw(cases, count), not {type(value).__name__}")
