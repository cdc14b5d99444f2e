"""Models behind their own packages: the same meanings as the direct endpoint, and no retries of theirs."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from llmevo.core import ConfigError, Usage
from llmevo.core.secret import Secret
from llmevo.llm import Connections, EmptyReply, ModelSpec, Refused, Reply, RequestRejected, Unreachable
from llmevo.llm.faults import BadGateway, ContextTooLong, NoConnection, RateLimited, ServerFault, TimedOut, Transient
from llmevo.storage.database import Database
from llmevo.testing.clock import FakeClock
from llmevo.testing.server import Action, FaultyLLM, Seen
from tests.llm.helpers import KEY, ask


def needs(package: str) -> None:
    """Skips without the package, and does not import it: what the product sets before its import is part of the test."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"could not import {package!r}")


def attempt(kind: str, server: FaultyLLM, **settings: Any) -> Reply | Exception:
    from llmevo.llm.sdk import LitellmSdk, OpenAISdk

    needs(kind)
    secret = Secret("TEST_KEY", KEY)

    async def run() -> Reply | Exception:
        llm: Any
        if kind == "openai":
            llm = OpenAISdk("test", base_url=server.url, secret=secret, **settings)
        else:
            llm = LitellmSdk("openai/test", base_url=server.url, secret=secret, **settings)
        try:
            return await llm(ask())
        except Exception as error:
            return error
        finally:
            await llm.aclose()

    return asyncio.run(run())


def error(message: str, **more: object) -> dict[str, object]:
    return {"error": {"message": message, **more}}


CASES: list[tuple[Action, type[Any]]] = [
    (Action("ok"), Reply),
    (Action(status=429, headers={"Retry-After": "7"}, body=error("slow down")), RateLimited),
    (Action(status=429, body=error("You exceeded your current quota", code="insufficient_quota")), Unreachable),
    (Action(status=500, body=error("oops")), ServerFault),
    (Action(status=503, body=error("busy")), ServerFault),
    (Action(status=401, body=error(f"Incorrect API key provided: {KEY}")), ConfigError),
    (Action(status=404, body=error("The model does not exist", code="model_not_found")), ConfigError),
    (Action(status=400, body=error("maximum context length is 10 tokens", code="context_length_exceeded")), ContextTooLong),
    (Action(status=400, body=error("filtered", code="content_filter")), Refused),
    (Action(status=422, body=error("odd")), RequestRejected),
    (Action(""), EmptyReply),
]


@pytest.mark.parametrize("kind", ["openai", pytest.param("litellm", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("action", "meaning"), CASES)
def test_one_request_and_the_same_meaning(kind: str, action: Action, meaning: type[Any]) -> None:
    with FaultyLLM([action]) as server:
        found = attempt(kind, server)
        assert isinstance(found, meaning), repr(found)
        assert len(server.requests) == 1
        assert KEY not in str(found)
        if isinstance(found, RateLimited):
            assert found.retry_after == 7 and found.spent == Usage()
        elif not isinstance(found, Transient):
            assert not isinstance(found, Unreachable) or "billing" in str(found)
        if isinstance(found, Reply):
            assert found.usage == Usage(*server.spent)


@pytest.mark.parametrize("kind", ["openai", pytest.param("litellm", marks=pytest.mark.slow)])
def test_a_cut_answer_and_a_filtered_one_are_marked(kind: str) -> None:
    for finish, meaning in (("length", "length"), ("content_filter", "filter")):
        with FaultyLLM([Action("half", finish=finish)]) as server:
            found = attempt(kind, server)
            assert isinstance(found, Reply) and found.finish == meaning


def test_a_page_of_a_gateway_is_not_taken_for_an_answer() -> None:
    with FaultyLLM([Action(body="<html>Sign in</html>", headers={"Content-Type": "text/html"})]) as server:
        assert isinstance(attempt("openai", server), BadGateway)


@pytest.mark.parametrize("kind", ["openai", pytest.param("litellm", marks=pytest.mark.slow)])
def test_deadline_and_lost_connections(kind: str) -> None:
    with FaultyLLM([Action(delay=0.6)]) as server:
        assert isinstance(attempt(kind, server, timeout=0.2), TimedOut)
    found = attempt(kind, server)
    assert isinstance(found, NoConnection) and len(server.requests) == 1


@pytest.mark.slow
def test_litellm_is_told_to_stay_quiet_before_it_is_imported() -> None:
    with FaultyLLM() as server:
        attempt("litellm", server)
    assert os.environ["LITELLM_MODE"] == "PRODUCTION" and os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"


@pytest.mark.fault("L5", "X1")
@pytest.mark.parametrize("kind", ["openai/test", pytest.param("litellm/openai/test", marks=pytest.mark.slow)])
@pytest.mark.parametrize("attempts", [1, 3])
def test_only_our_own_layer_repeats_and_the_record_agrees_with_the_server(kind: str, attempts: int, tmp_path: Path) -> None:
    needs(kind.partition("/")[0])

    def script(seen: Seen) -> Action:
        return Action("fine") if seen.prompt in ("fine", "Hi") else Action(status=500, body=error(f"your key is {KEY}"))

    async def run() -> tuple[Any, Any]:
        models = Connections(database=database, clock=FakeClock(), env={"TEST_KEY": KEY})
        async with models:
            model = models.connect(ModelSpec(kind, base_url=server.url, api_key_env="TEST_KEY", attempts=attempts))
            reply = await model(ask("fine"))
            again = await model(ask("fine"))
            with pytest.raises(RequestRejected) as failed:
                await model(ask("bad", max_tokens=7))
            assert again == reply and KEY not in str(failed.value)
            return reply, models.ledger.budget.spent

    with FaultyLLM(script) as server:
        database = Database(tmp_path / "run.sqlite")
        try:
            reply, spent = asyncio.run(run())
            assert [row[1] for row in database.rows("settled")] == ["answer", *["unknown"] * attempts, "answer"]
        finally:
            database.close()
        asked = [seen.prompt for seen in server.requests]
        assert asked == ["fine", *["bad"] * attempts, "Hi"], "the package repeats nothing by itself"
        first = server.billed[0]
        assert reply.usage == Usage(1, first["tokens_in"], first["tokens_out"]) and spent.calls == 2 + attempts
        assert spent.tokens_out == server.spent[2] + 7 * attempts, "what nobody knows costs its upper bound"
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_missing_package_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmevo.llm.sdk import OpenAISdk

    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigError, match=r"pip install 'llmevo\[openai\]'"):
        OpenAISdk("x")
