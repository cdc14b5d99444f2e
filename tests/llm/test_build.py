"""From a spec to a model: what is refused before any work, what is shared, what the preflight finds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from llmevo.core import ConfigError, Usage
from llmevo.llm import Connections, Model, ModelSpec, Price, Request, Sampling, Unreachable, connect, preflight
from llmevo.llm.prices import known_price, table
from llmevo.storage.budget import Budget
from llmevo.testing.clock import FakeClock
from llmevo.testing.server import Action, FaultyLLM
from tests.llm.helpers import KEY, ask, through


def shout(request: Request) -> str:
    """A scripted model for `scripted:module:name`."""
    return request.messages[-1].content.upper()


@pytest.mark.fault("C3")
@pytest.mark.parametrize(
    ("spec", "variable"),
    [
        (ModelSpec("gpt-4.1-mini"), "OPENAI_API_KEY"),
        (ModelSpec("openai/gpt-4.1-mini"), "OPENAI_API_KEY"),
        (ModelSpec("x", base_url="https://api.openai.com/v1"), "OPENAI_API_KEY"),
        (ModelSpec("x", base_url="http://h/v1", api_key_env="MY_KEY"), "MY_KEY"),
        (ModelSpec("litellm/anthropic/x", api_key_env="MY_KEY"), "MY_KEY"),
    ],
)
def test_a_missing_key_is_refused_before_any_work_and_the_variable_is_named(spec: ModelSpec, variable: str) -> None:
    with pytest.raises(ConfigError, match=f"the environment variable {variable} is not set") as refused:
        connect(spec, env={})
    assert refused.value.exit_code == 78


def test_a_local_server_needs_no_key() -> None:
    assert connect(ModelSpec("llama3", base_url="http://localhost:11434/v1"), env={}).key


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"attempts": 0}, {"in_flight": 0}, {"max_tokens": 0}, {"temperature": -1}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"model m: {next(iter(wrong))} must be at least"):
        ModelSpec("m", **wrong)
    with pytest.raises(ConfigError, match="price"):
        Price(-1, 2)


@pytest.mark.fault("L24")
def test_a_money_budget_needs_prices() -> None:
    models = Connections(budget=Budget(usd=1), env={"OPENAI_API_KEY": KEY})
    with pytest.raises(ConfigError, match=r"needs the price of unheard-of.*price: \{input"):
        models.connect("unheard-of")
    with pytest.raises(ConfigError, match="needs the price of gpt-4o"):
        models.connect(ModelSpec("gpt-4o", base_url="http://elsewhere/v1"))  # another seller
    models.connect("gpt-4o")
    models.connect(ModelSpec("unheard-of", price=Price(1, 2)))
    models.connect("scripted:tests.llm.test_build:shout")
    Connections(budget=Budget(calls=1), env={"OPENAI_API_KEY": KEY}).connect("unheard-of")


def test_the_price_table_is_dated_and_sane() -> None:
    assert str(table()["date"]) == "2025-06-30" and table()["source"]
    for name, price in table()["models"].items():
        assert 0 < price["input"] <= price["output"], name
    assert known_price("openai/gpt-4.1-mini") == known_price("gpt-4.1-mini") == Price(0.40, 1.60)
    assert known_price("gpt-4o-2024-05-13") is None  # another price than its family
    assert Price(0.40, 1.60).of(Usage(1, 1_000_000, 500_000)) == pytest.approx(1.2)


def test_the_upper_bound_holds_bytes_and_max_tokens() -> None:
    model = connect(ModelSpec("x", base_url="http://h/v1", max_tokens=100, price=Price(1, 10)))
    upper = model.upper(ask("ä" * 10, max_tokens=7))
    assert upper == Usage(1, 20 + 80, 100, pytest.approx((100 + 1000) / 1e6))


def test_sampling_in_the_spec_wins_over_the_request() -> None:
    with FaultyLLM() as server:
        through(server, lambda model: model(ask("Hi", temperature=0.1, max_tokens=9, top_p=0.5)), temperature=0.7, max_tokens=20)
        body = server.requests[0].body
        assert (body["temperature"], body["max_tokens"], body["top_p"]) == (0.7, 20, 0.5)
    assert ModelSpec("x").sampling(Sampling(max_tokens=3)) == Sampling(max_tokens=3)


def test_equal_specs_are_one_model_and_one_endpoint_has_one_gate() -> None:
    models = Connections(env={})
    a = models.connect(ModelSpec("a", base_url="http://h/v1"))
    assert models.connect(ModelSpec("a", base_url="http://h/v1")) is a
    models.connect(ModelSpec("b", base_url="http://h/v1", temperature=1.0))
    models.connect(ModelSpec("c", base_url="http://g/v1"))
    assert len(models._gates) == 2


def test_requests_in_flight_are_bounded_per_endpoint() -> None:
    async def use(model: Any) -> None:
        await asyncio.gather(*(model(ask(str(i))) for i in range(30)))

    with FaultyLLM(lambda seen: Action(delay=0.01)) as server:
        through(server, use, in_flight=4)
        assert server.most_inside == 4


def test_a_scripted_model_by_name() -> None:
    async def run() -> str:
        async with Connections() as models:
            return (await models.connect("scripted:tests.llm.test_build:shout")(ask("hi"))).text

    assert asyncio.run(run()) == "HI"
    for wrong in ("scripted:tests.llm.test_build:nobody", "scripted:no.such.module:x", "scripted:x"):
        with pytest.raises(ConfigError, match="is not to be found"):
            connect(wrong)


@pytest.mark.fault("L22", "L23", "X1")
@pytest.mark.parametrize(
    ("action", "kind", "words"),
    [
        (Action(status=401, body={"error": {"message": f"Incorrect API key provided: {KEY}"}}), ConfigError, "TEST_KEY"),
        (Action(status=404, body={"error": {"message": "no such model"}}), ConfigError, "It offers: one, two"),
        (Action(status=402), Unreachable, "billing"),
    ],
)
def test_the_preflight_finds_what_cannot_work_with_one_request(action: Action, kind: type[Exception], words: str) -> None:
    with FaultyLLM([action], models=["one", "two"]) as server:
        found, models = through(server, preflight)
        assert type(found) is kind and words in str(found) and KEY not in str(found)
        assert len(server.requests) == 1 and server.billed == []
        assert models.ledger.budget.spent == Usage()


def test_the_preflight_of_a_server_that_is_down_gives_up_in_time() -> None:
    server = FaultyLLM().start()
    server.stop()
    found, _ = through(server, preflight)
    assert isinstance(found, Unreachable)


@pytest.mark.parametrize("action", [Action(), Action(""), Action(refusal="no"), Action(status=400)])
def test_the_preflight_is_content_with_any_sign_of_life_and_is_booked(action: Action) -> None:
    with FaultyLLM([action, action]) as server:
        found, models = through(server, preflight)
        assert found is None
        assert models.ledger.budget.spent == Usage(*server.spent)


def test_the_preflight_of_a_local_model_costs_nothing() -> None:
    async def run() -> Model:
        model = connect("scripted:tests.llm.test_build:shout", clock=FakeClock())
        await preflight(model)
        return model

    assert asyncio.run(run()).ledger.budget.spent == Usage()


@pytest.mark.fault("X11")
def test_importing_the_package_loads_no_client_and_no_sdk() -> None:
    code = (
        "import sys, llmevo.llm; heavy = {'aiohttp', 'openai', 'litellm', 'tenacity', 'yaml', 'numpy', 'sqlite3'};"
        "found = heavy & set(sys.modules); assert not found, found;"
        "from llmevo.llm import Connections; found = {'openai', 'litellm'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
