"""From a few words to a model: endpoint, gate, booking, retry and record, put together in the one right order."""

from __future__ import annotations

import asyncio
import importlib
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmevo.core.clock import REAL_CLOCK, Clock
from llmevo.core.errors import ConfigError
from llmevo.core.fitness import Usage
from llmevo.core.secret import Secret
from llmevo.core.seed import Seed
from llmevo.llm.booked import Booked
from llmevo.llm.contract import LLM, Reply, Request
from llmevo.llm.fallback import chain_key, charged, instead
from llmevo.llm.greeting import HELLO
from llmevo.llm.http import OPENAI, HttpLLM, checked_url
from llmevo.llm.ledger import Ledger, Remembered
from llmevo.llm.limiter import Gate
from llmevo.llm.names import refuse_misspelt
from llmevo.llm.prices import NO_PRICE, known_price, table
from llmevo.llm.retry import Retry
from llmevo.llm.scripted import ScriptedLLM
from llmevo.llm.spec import ModelSpec
from llmevo.storage.answers import Answers
from llmevo.storage.budget import Budget
from llmevo.storage.database import Database
from llmevo.storage.opening import refuse_network

OPENAI_KEY = "OPENAI_API_KEY"


class Model:
    """A connected model: an `LLM` that keeps the paid-call promise. `upper` bounds what a call may cost."""

    def __init__(
        self, spec: ModelSpec, endpoint: LLM, booked: Booked, retry: Retry, ledger: Ledger, fallback: Model | None = None
    ) -> None:
        self.spec, self.endpoint, self.ledger, self.fallback = spec, endpoint, ledger, fallback
        self._booked, self._retry = booked, retry
        self._remembered = Remembered(retry, ledger)
        self._tunes = (spec.temperature, spec.top_p, spec.max_tokens) != (None, None, None)
        self.key = endpoint.key if fallback is None else chain_key(endpoint, fallback)

    @property
    def quotes_plainly(self) -> bool:
        """Whether it is shown quoted text without a fence around it: a model that was trained so and follows no order in it."""
        return all(getattr(model.endpoint, "quotes_plainly", False) for model in self.chain)

    @property
    def chain(self) -> tuple[Model, ...]:
        """This model and those that stand in for it, in turn."""
        return (self,) if self.fallback is None else (self, *self.fallback.chain)

    async def __call__(self, request: Request) -> Reply:
        if self.fallback is None:
            return await self._alone(request)
        return await instead(self._alone, self.fallback, request)

    async def afresh(self, request: Request) -> Reply:
        """An answer that is paid for even if one is recorded: reserved and booked like any other."""
        return await self._retry(self._tuned(request))

    def upper(self, request: Request) -> Usage:
        """What one attempt at a request costs at most."""
        return self._booked.upper(self._tuned(request))

    async def _alone(self, request: Request) -> Reply:
        """The answer of this model, without another one in its place."""
        tuned = self._tuned(request)
        reply = await self._remembered(tuned)
        larger = self.spec.max_tokens_if_cut
        if reply.finish != "length" or larger is None or larger <= tuned.sampling.max_tokens:
            return reply
        return await charged(self._remembered(replace(tuned, sampling=replace(tuned.sampling, max_tokens=larger))), reply.usage)

    def _tuned(self, request: Request) -> Request:
        return replace(request, sampling=self.spec.sampling(request.sampling)) if self._tunes else request


class Connections:
    """The models of one run: one ledger (answers, budget) and one gate per endpoint between them. An async context manager.

    `in_flight` bounds the requests in flight per endpoint. `database` None keeps the answers in memory. `cache` is a file of
    answers shared between runs. `env` stands for the process's environment.
    """

    def __init__(
        self,
        *,
        database: Database | None = None,
        budget: Budget | None = None,
        in_flight: int = 16,
        cache: Path | None = None,
        clock: Clock = REAL_CLOCK,
        seed: Seed | None = None,
        env: Mapping[str, str] | None = None,
        grace: float = 10.0,
    ) -> None:
        self.grace = grace
        """Seconds for which closing waits for what was sent."""
        if in_flight < 1:
            raise ConfigError(f"in_flight must be at least 1, not {in_flight}")
        self._own = [Database(None)] if database is None else []
        if cache is not None:
            refuse_network(cache.parent)
        shared = None if cache is None else Database(cache)
        self._own += [shared] if shared else []
        self.ledger = Ledger(Answers(database or self._own[0], shared), budget or Budget(clock=clock))
        self._in_flight, self._clock, self._env = in_flight, clock, env
        self._seed = seed or Seed.of(0)
        self._models: dict[str, Model] = {}
        self._gates: dict[str, Gate] = {}
        self._named: dict[str, int] = {}
        """The smallest `in_flight` that a model at an endpoint names."""

    def connect(self, spec: ModelSpec | str) -> Model:
        """The model of a spec, ready to be asked; the same one for equal specs. Opens no connection.

        Raises `ConfigError` when a key, a package or (under a money budget) a price is missing.
        """
        spec = ModelSpec(spec) if isinstance(spec, str) else spec
        if (known := self._models.get(repr(spec))) is not None:
            return known
        endpoint, local = self._endpoint(spec)
        price = spec.price or (NO_PRICE if local else known_price(spec.model) if _list_priced(spec) else None)
        if price is None and self.ledger.budget.usd is not None:
            raise ConfigError(
                f"a budget in usd needs the price of {spec.model}, which is not in the table of {table()['date']}: add "
                f"`price: {{input: ..., output: ...}}` (US dollars per million tokens; 0 for your own server), or choose a "
                f"budget in calls or tokens."
            )
        # A model in this process makes its own batches of what waits.
        gate = None if local and spec.in_flight is None else self._gate(spec, endpoint)
        booked = Booked(endpoint, self.ledger, gate=gate, price=price, local=local)
        seed = self._seed.fold("retry", endpoint.key).value
        retry = Retry(
            booked,
            attempts=spec.attempts,
            max_wait=spec.max_wait,
            give_up=spec.give_up,
            alive=None if local else HELLO,
            clock=self._clock,
            rng=random.Random(seed),
        )
        fallback = None if spec.fallback is None else self.connect(spec.fallback)
        model = self._models[repr(spec)] = Model(spec, endpoint, booked, retry, self.ledger, fallback)
        return model

    async def aclose(self) -> None:
        """Waits up to `grace` seconds for what was sent, closes sessions, and the database and cache that were opened
        here."""
        await self.ledger.drain(self.grace)
        for model in self._models.values():
            close = getattr(model.endpoint, "aclose", None)
            if close is not None:
                await close()
        for database in self._own:
            await asyncio.to_thread(database.close)

    async def __aenter__(self) -> Connections:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def _gate(self, spec: ModelSpec, endpoint: LLM) -> Gate:
        place = str(getattr(getattr(endpoint, "names", None), "endpoint", endpoint.key))
        gate = self._gates.get(place)
        if gate is None:
            probe = getattr(endpoint, "probe", None)
            gate = self._gates[place] = Gate(self._in_flight, clock=self._clock, probe=probe, patience=spec.max_wait)
        if spec.in_flight is not None:
            self._named[place] = min(spec.in_flight, self._named.get(place, spec.in_flight))
            gate.limit(self._named[place])
        return gate

    def _endpoint(self, spec: ModelSpec) -> tuple[LLM, bool]:
        """The bare endpoint, and whether it runs in this process, where nothing can be billed."""
        name = spec.model
        if name == "embedded":
            try:
                embedded = importlib.import_module("llmevo.llm.embedded")
            except ImportError as error:
                raise ConfigError(f"the embedded model is not part of this installation: {error}") from None
            made: LLM = embedded.EmbeddedLLM()
            return made, True
        if name.startswith("scripted:"):
            return _scripted(name.removeprefix("scripted:")), True
        seller, _, rest = name.partition("/")
        common: dict[str, Any] = {"timeout": spec.timeout, "extra": spec.extra, "seeded": spec.seed, "clock": self._clock}
        if seller in ("openai", "litellm") and rest:
            from llmevo.llm import sdk

            if seller == "openai":
                return sdk.OpenAISdk(rest, base_url=spec.base_url, secret=self._secret(spec), **common), False
            secret = self._key(spec, spec.api_key_env) if spec.api_key_env else None
            return sdk.LitellmSdk(rest, base_url=spec.base_url, secret=secret, **common), False
        if spec.base_url is None:
            refuse_misspelt(name)
        return HttpLLM(name, base_url=spec.base_url or OPENAI, secret=self._secret(spec), **common), False

    def _secret(self, spec: ModelSpec) -> Secret | None:
        if spec.api_key_env is not None:
            return self._key(spec, spec.api_key_env)
        if spec.base_url is None or urlsplit(checked_url(spec.base_url)).hostname == "api.openai.com":
            return self._key(spec, OPENAI_KEY)
        return None

    def _key(self, spec: ModelSpec, variable: str) -> Secret:
        try:
            return Secret.from_env(variable, self._env)
        except ConfigError as error:
            raise ConfigError(f"model {spec.model}: {error}") from None


def connect(spec: ModelSpec | str, **settings: Any) -> Model:
    """One model with a ledger of its own: `Connections(**settings).connect(spec)`."""
    return Connections(**settings).connect(spec)


def _list_priced(spec: ModelSpec) -> bool:
    """Whether the shipped table speaks of this seller."""
    return spec.base_url is None or checked_url(spec.base_url) == OPENAI


def _scripted(place: str) -> LLM:
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"scripted:{place} is not to be found: {error}. Write scripted:package.module:name") from None
    llm: LLM = found if hasattr(found, "key") and callable(found) else ScriptedLLM(found, key=f"scripted:{place}")
    return llm
