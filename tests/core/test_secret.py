"""Keys: shown by name only, and taken out of every text."""

from __future__ import annotations

import base64
import copy
import gc
import io
import json
import logging
import pickle
from urllib.parse import quote

import pytest

from llmevo.core import ConfigError
from llmevo.core.secret import RedactingFilter, Secret, redact

VALUE = "canary/+key=1234567890"


@pytest.mark.fault("X1")
def test_a_secret_shows_its_name_only() -> None:
    secret = Secret("MY_KEY", VALUE)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret]), repr({"k": secret})]
    assert all("MY_KEY" in one and VALUE not in one for one in shown)
    assert not hasattr(secret, "__dict__") and secret.reveal() == VALUE


@pytest.mark.fault("X1")
def test_a_secret_cannot_be_written() -> None:
    secret = Secret("MY_KEY", VALUE)
    for write in (pickle.dumps, json.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            write(secret)


@pytest.mark.fault("X1")
@pytest.mark.parametrize(
    "form", [VALUE, quote(VALUE, safe=""), base64.b64encode(VALUE.encode()).decode(), json.dumps(VALUE), f"Bearer {VALUE}"]
)
def test_living_secrets_are_taken_out_of_text_in_every_form(form: str) -> None:
    secret = Secret("MY_KEY", VALUE)
    text = redact(f"before {form} after")
    assert secret.reveal() not in text and "[MY_KEY]" in text and text.startswith("before ") and text.endswith(" after")


@pytest.mark.parametrize("key", ["sk-proj-abcdefghijklmnop1234", "hf_abcdefghijklmnopqrst", "gsk_abcdefghijklmnop"])
def test_what_looks_like_a_key_is_taken_out_too(key: str) -> None:
    assert key not in redact(f"bad key {key}.")


def test_short_values_do_not_black_out_words() -> None:
    secret = Secret("MY_KEY", "none")
    assert redact("none of it") == "none of it" and secret.name == "MY_KEY"


@pytest.mark.fault("X1")
def test_a_log_with_the_filter_holds_no_secret() -> None:
    secret, out = Secret("MY_KEY", VALUE), io.StringIO()
    logger = logging.Logger("test")
    handler = logging.StreamHandler(out)
    handler.addFilter(RedactingFilter())
    logger.addHandler(handler)
    try:
        raise ValueError(f"in a traceback: {secret.reveal()}")
    except ValueError:
        logger.exception("as an argument: %s", secret.reveal())
    assert VALUE not in out.getvalue() and out.getvalue().count("[MY_KEY]") >= 2


@pytest.mark.fault("C3")
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_variable_is_named(value: str | None) -> None:
    with pytest.raises(ConfigError, match="the environment variable MY_KEY is not set"):
        Secret.from_env("MY_KEY", {} if value is None else {"MY_KEY": value})


@pytest.mark.parametrize("value", ["two words12", "line\nbreak12", "schlüssel12"])
def test_a_value_that_is_no_key_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Secret.from_env("MY_KEY", {"MY_KEY": value})
    assert value not in str(refused.value)
    assert Secret.from_env("MY_KEY", {"MY_KEY": " fine1234\n"}).reveal() == "fine1234"


def test_a_value_stays_hidden_when_nobody_holds_its_secret_any_more() -> None:
    Secret("GONE_KEY", "gone-canary-5521")
    gc.collect()
    assert redact("a late message with gone-canary-5521") == "a late message with [GONE_KEY]"
    Secret("GONE_KEY", "gone-canary-5521")
    assert redact("gone-canary-5521") == "[GONE_KEY]"
