"""The direct endpoint against a real socket: every way a provider can answer badly has one typed meaning."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.core import ConfigError, LlmevoError, Usage
from llmevo.llm import EmptyReply, HttpLLM, Refused, Reply, RequestRejected, Unreachable, wire
from llmevo.llm.faults import (
    BadGateway,
    ContextTooLong,
    Names,
    NoConnection,
    RateLimited,
    ServerFault,
    TimedOut,
    Transient,
    from_status,
)
from llmevo.llm.http import TooLarge
from llmevo.testing.server import Action, FaultyLLM, Seen
from tests.llm.helpers import KEY, ask, attempt


def answered(action: Action, **settings: object) -> Reply | Exception:
    with FaultyLLM([action]) as server:
        return attempt(server, **settings)


def error(message: str, **more: object) -> dict[str, object]:
    return {"error": {"message": message, **more}}


def test_a_reply_has_text_usage_and_finish() -> None:
    with FaultyLLM() as server:
        reply = attempt(server, ask("Hi", temperature=0.5, top_p=0.9, max_tokens=7, stop=("END",)))
        assert isinstance(reply, Reply)
        assert (reply.text, reply.finish, reply.estimated) == ("echo: Hi", "stop", False)
        assert reply.usage == Usage(*server.spent)
        seen = server.requests[0]
        assert seen.body == {
            "model": "test",
            "messages": [{"role": "user", "content": "Hi"}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 7,
            "stop": ["END"],
        }
        assert seen.headers["authorization"] == f"Bearer {KEY}"


def test_extra_fields_win_and_null_removes_one_and_a_seed_follows_the_sample() -> None:
    with FaultyLLM() as server:
        settings = {"extra": {"temperature": None, "reasoning_effort": "low"}, "seeded": True}
        for sample in ("a", "a", "b"):
            attempt(server, ask("Hi", sample=sample), **settings)
        bodies = [seen.body for seen in server.requests]
        assert "temperature" not in bodies[0] and bodies[0]["reasoning_effort"] == "low"
        assert bodies[0]["seed"] == bodies[1]["seed"] != bodies[2]["seed"]
        assert 0 <= bodies[0]["seed"] < 2**31


def test_the_bound_of_an_answer_cannot_be_undone_by_extras() -> None:
    for extra in ({"max_tokens": 9999}, {"n": 4}, {"stream": True}, {"max_completion_tokens": 5, "x": 1}, {"model": "other"}):
        with pytest.raises(ConfigError, match="would pass what is reserved"):
            HttpLLM("test", base_url="http://h/v1", extra=extra)
    with FaultyLLM() as server:
        attempt(server, ask(max_tokens=9), extra={"max_tokens": None})
        assert "max_tokens" not in server.requests[0].body and server.requests[0].body["max_completion_tokens"] == 9


@pytest.mark.fault("L7")
def test_a_hang_before_the_headers_ends_at_the_deadline_and_may_have_been_billed() -> None:
    found = answered(Action(delay=0.5), timeout=0.1)
    assert isinstance(found, TimedOut) and found.spent is None and "0.1 s" in str(found)


@pytest.mark.fault("L8")
def test_a_trickle_ends_at_the_deadline_of_the_whole_attempt() -> None:
    found = answered(Action(trickle=0.02), timeout=0.2)
    assert isinstance(found, TimedOut) and found.spent is None


@pytest.mark.fault("L9")
def test_a_reset_in_the_body_leaves_nothing_and_may_have_been_billed() -> None:
    found = answered(Action(cut=40))
    assert isinstance(found, NoConnection) and found.spent is None


@pytest.mark.fault("L10")
@pytest.mark.parametrize("choices", [[], None, "x", [None], [3]])
def test_no_choices_is_an_empty_reply_that_was_paid(choices: object) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    found = answered(Action(body={"choices": choices, "usage": usage}))
    assert isinstance(found, EmptyReply) and found.usage == Usage(1, 5, 2)


@pytest.mark.fault("L11")
@pytest.mark.parametrize(
    "message", [{"content": None}, {"content": ""}, {"content": " \n\t"}, {}, None, {"content": []}, {"content": 5}]
)
def test_no_content_is_an_empty_reply(message: object) -> None:
    assert isinstance(answered(Action(body={"choices": [{"message": message}]})), EmptyReply)


@pytest.mark.fault("L11")
def test_reasoning_without_an_answer_is_an_empty_reply_and_says_so() -> None:
    body = {"choices": [{"message": {"content": None, "reasoning_content": "Hmm"}, "finish_reason": "length"}]}
    found = answered(Action(body=body))
    assert isinstance(found, EmptyReply) and "only reasoning within max_tokens=512" in str(found)


@pytest.mark.fault("L12")
def test_a_cut_answer_is_marked() -> None:
    found = answered(Action("half an ans", finish="length"))
    assert isinstance(found, Reply) and found.finish == "length"


@pytest.mark.fault("L13")
def test_a_refusal_is_detected_by_its_field() -> None:
    found = answered(Action(refusal="I cannot help with that."))
    assert isinstance(found, Reply) and (found.finish, found.text) == ("refusal", "I cannot help with that.")


@pytest.mark.fault("L14")
def test_a_content_filter_is_known_as_a_flag() -> None:
    found = answered(Action("Once upon", finish="content_filter"))
    assert isinstance(found, Reply) and found.finish == "filter"


@pytest.mark.fault("L14")
@pytest.mark.parametrize(
    "body",
    [
        error("The response was filtered", code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}),
        error("Input data may contain inappropriate content.", code="data_inspection_failed"),
        error("Your request was rejected by our safety system."),
    ],
)
def test_a_content_filter_is_known_as_a_status(body: object) -> None:
    assert isinstance(answered(Action(status=400, body=body)), Refused)


@pytest.mark.fault("L17")
@pytest.mark.parametrize(
    "raw",
    [
        b'{"choices":[{"message":{"content":"\xff\xfe broken"}}]}',
        b'{"choices":[{"message":{"content":"\\ud800 lone"}}]}',
        b'{"choices":[{"message":{"content":"nul \\u0000 in it"}}]}',
        b'\xef\xbb\xbf{"choices":[{"message":{"content":"after a BOM"}}]}',
        '{"choices":[{"message":{"content":"bidi \u202e\u2066 control"}}]}'.encode(),
    ],
)
def test_strange_bytes_are_text_or_replaced(raw: bytes) -> None:
    found = answered(Action(body=raw))
    assert isinstance(found, Reply)
    json.dumps(found.text)


@pytest.mark.fault("L18")
def test_a_flood_is_cut_off_with_bounded_memory() -> None:
    flood = b"x" * (10 * 2**20)
    with FaultyLLM([Action(body=flood)]) as server:
        tracemalloc.start()
        found = attempt(server)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert isinstance(found, TooLarge) and found.usage.tokens_out == 512
    assert peak < 8 * 2**20


@pytest.mark.fault("L18")
def test_a_compressed_flood_is_not_unpacked() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    found = answered(Action(body=bomb, headers={"Content-Encoding": "gzip"}))
    assert isinstance(found, BadGateway)


@pytest.mark.fault("L19")
def test_a_gateway_page_is_transient_quoted_and_redacted() -> None:
    page = f"<html><body>Sign in. Your key {KEY} " + "is unknown " * 100
    found = answered(Action(body=page, headers={"Content-Type": "text/html"}))
    assert isinstance(found, BadGateway) and isinstance(found, Transient) and found.spent is None
    assert "<html>" in str(found) and "text/html" in str(found)
    assert KEY not in str(found) and "[TEST_KEY]" in str(found) and len(str(found)) < 400


@pytest.mark.fault("L20")
@pytest.mark.parametrize("raw", ['{"choices":[{"message":{"content":"ha', "", "[]", "null", '"text"', "[" * 100_000])
def test_cut_or_foreign_json_is_transient_and_unknown(raw: str) -> None:
    found = answered(Action(body=raw))
    assert isinstance(found, BadGateway) and found.spent is None


@pytest.mark.fault("L21")
@pytest.mark.parametrize(
    ("said", "asked", "limit"),
    [
        ("This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.", 9001, 8192),
        ("prompt is too long: 210,000 tokens > 200,000 maximum", 210_000, 200_000),
        ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", 1_200_000, 1_048_576),
        ("the request exceeds the available context size, try increasing it", None, None),
        ("Please reduce the length of the messages or completion.", None, None),
        ("Input length 5000 exceeds maximum model length 4096", 5000, 4096),
    ],
)
def test_a_context_that_is_too_long_is_told_with_its_numbers(said: str, asked: int | None, limit: int | None) -> None:
    found = answered(Action(status=400, body=error(said, code="context_length_exceeded")))
    assert isinstance(found, ContextTooLong) and (found.asked, found.limit) == (asked, limit)
    assert isinstance(answered(Action(status=400, body=error(said))), ContextTooLong)


@pytest.mark.fault("L22", "X1")
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_variable_and_never_the_key(status: int) -> None:
    found = answered(Action(status=status, body=error(f"Incorrect API key provided: {KEY}.")))
    assert isinstance(found, ConfigError) and found.exit_code == 78
    assert "TEST_KEY" in str(found) and KEY not in str(found)


@pytest.mark.fault("L23")
def test_an_unknown_model_is_named() -> None:
    found = answered(Action(status=404, body=error("The model `test` does not exist", code="model_not_found")))
    assert isinstance(found, ConfigError) and "(test)" in str(found)


@pytest.mark.fault("L24")
@pytest.mark.parametrize(
    ("usage", "into", "out", "estimated"),
    [
        (None, None, 512, True),
        ({"prompt_tokens": -3, "completion_tokens": 4}, None, 4, True),
        ({"prompt_tokens": 3, "completion_tokens": -1}, 3, 512, True),
        ({"prompt_tokens": "3", "completion_tokens": True}, None, 512, True),
        ({"prompt_tokens": 3, "completion_tokens": 4}, 3, 4, False),
        ([1, 2], None, 512, True),
    ],
)
def test_missing_usage_is_estimated_upward_and_flagged(usage: object, into: int | None, out: int, estimated: bool) -> None:
    found = answered(Action(usage=usage))
    assert isinstance(found, Reply) and found.estimated == estimated
    most = len("Hello?") + 16 + 64
    assert found.usage == Usage(1, most if into is None else into, out)


@pytest.mark.fault("L25", "X1")
def test_a_redirect_is_not_followed_and_the_key_stays_here() -> None:
    with FaultyLLM() as elsewhere:
        found = answered(Action(status=302, headers={"Location": f"{elsewhere.url}/chat/completions"}))
        assert elsewhere.requests == []
    assert isinstance(found, ConfigError) and elsewhere.url in str(found)


def test_a_closed_port_is_no_connection_and_cost_nothing() -> None:
    server = FaultyLLM().start()
    server.stop()
    found = attempt(server)
    assert isinstance(found, NoConnection) and found.spent == Usage()


@pytest.mark.fault("L4")
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, error("You exceeded your current quota, please check your plan and billing details.", code="insufficient_quota")),
        (402, error("Insufficient Balance")),
        (402, "Payment required"),
        (400, error("Your credit balance is too low to access the API.")),
    ],
)
def test_a_refusal_for_billing_pauses_and_is_not_transient(status: int, body: object) -> None:
    found = answered(Action(status=status, body=body))
    assert isinstance(found, Unreachable) and not isinstance(found, Transient)
    assert found.exit_code == 75 and "refuses for billing" in str(found)


@pytest.mark.fault("L1", "L4")
@pytest.mark.parametrize(
    ("more", "said", "wait"),
    [
        ({"code": "rate_limit_exceeded"}, "Rate limit reached. Please try again in 20s. Visit https://x/account/billing", 20.0),
        ({"code": "rate_limit_exceeded"}, "Please try again in 1m30.5s.", 90.5),
        ({"code": "rate_limit_exceeded"}, "Please try again in 6ms.", 0.006),
        ({"status": "RESOURCE_EXHAUSTED"}, "You exceeded your current quota, check your billing. Please retry in 34.07s.", 34.07),
        ({"code": "rate_limit_exceeded"}, "Add a payment method at https://x/billing to raise the limit.", None),
    ],
)
def test_a_limit_per_minute_is_not_taken_for_an_empty_account(more: dict[str, str], said: str, wait: float | None) -> None:
    found = answered(Action(status=429, body=error(said, **more)))
    assert isinstance(found, RateLimited) and found.retry_after == wait


@pytest.mark.parametrize(
    ("status", "kind", "unknown"),
    [
        (400, RequestRejected, None),
        (408, ServerFault, True),
        (409, ServerFault, False),
        (413, RequestRejected, None),
        (418, RequestRejected, None),
        (422, RequestRejected, None),
        (425, ServerFault, False),
        (429, RateLimited, False),
        (500, ServerFault, True),
        (501, RequestRejected, None),
        (502, ServerFault, True),
        (503, ServerFault, False),
        (504, ServerFault, True),
        (520, ServerFault, True),
        (529, ServerFault, False),
    ],
)
def test_every_status_has_one_meaning(status: int, kind: type[Exception], unknown: bool | None) -> None:
    found = answered(Action(status=status, body="{}"))
    assert type(found) is kind
    if isinstance(found, Transient):
        assert found.spent == (None if unknown else Usage())


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (500, ServerFault), (503, ServerFault), (400, RequestRejected)])
def test_a_failure_with_a_long_body_keeps_its_meaning(status: int, kind: type[Exception]) -> None:
    found = answered(Action(status=status, body=b"x" * 5000), max_response_bytes=1000)
    assert type(found) is kind


@pytest.mark.parametrize(
    "body", [b"\xff\xff", "[[]]", '{"error": null}', '{"error": "text"}', '{"detail": [1]}', "[" * 99_999, ""]
)
def test_a_malformed_error_body_is_still_an_error(body: object) -> None:
    assert isinstance(answered(Action(status=400, body=body)), RequestRejected)


def test_connections_are_kept_and_a_second_loop_opens_its_own() -> None:
    ports: set[str] = set()

    def note(seen: Seen) -> Action:
        ports.add(seen.headers["host"])
        return Action()

    with FaultyLLM(note) as server:
        llm = HttpLLM("test", base_url=server.url)

        async def twice() -> None:
            await llm(ask())
            await llm(ask())
            await llm.aclose()

        asyncio.run(twice())
        asyncio.run(twice())
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host/v1", "http://", "http://u:p@host/v1", "http://host/v1?api_key=abc", "http://[bad"]
)
def test_an_address_that_cannot_work_or_holds_a_key_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        HttpLLM("test", base_url=url)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices message content usage error code finish_reason refusal text prompt_tokens completion_tokens type".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON | st.binary(max_size=60))
def test_any_body_is_a_reply_or_a_typed_failure(found: object) -> None:
    raw = found if isinstance(found, bytes) else json.dumps(found).encode()
    names = Names("m", "http://h/v1")
    try:
        assert wire.completion(raw, "application/json", ask(), names).usage.calls == 1
    except (EmptyReply, BadGateway):
        pass
    for status in (302, 400, 401, 404, 429, 500):
        error = from_status(status, {}, raw.decode("utf-8", "replace"), names)
        assert isinstance(error, LlmevoError) and str(error).isprintable() and len(str(error)) < 800
