"""A canary key through success and every kind of failure: it is in no message, no traceback, no log and no file."""

from __future__ import annotations

import io
import logging
import traceback
from pathlib import Path

import pytest

from llmevo.storage.database import Database
from llmevo.testing.server import Action, FaultyLLM, Seen
from tests.llm.helpers import KEY, ask, through

ECHO = f"your key is {KEY}, sent as Bearer {KEY}"
ACTIONS = [
    Action(ECHO),
    Action(ECHO, finish="length"),
    Action(ECHO, finish="content_filter"),
    Action(refusal=ECHO),
    Action(body=f"<html>{ECHO}"),
    Action(body=f'{{"choices": "{ECHO}'),
    Action(body={"error": ECHO}),
    Action(body={"choices": [], "note": ECHO}),
    Action(ECHO, cut=40),
    Action(status=302, headers={"Location": f"http://elsewhere/?key={KEY}"}),
    *(
        Action(status=s, body={"error": {"message": ECHO, "code": KEY}})
        for s in (400, 401, 402, 403, 404, 413, 422, 429, 500, 503)
    ),
    Action(status=400, body={"error": {"message": f"maximum context length is 10 {ECHO}"}}),
    Action(status=400, body=ECHO),
    Action(status=429, headers={"Retry-After": KEY}, body=ECHO),
]


@pytest.mark.fault("X1")
@pytest.mark.parametrize("action", ACTIONS)
def test_the_key_is_nowhere(action: Action, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def script(seen: Seen) -> Action:
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        return action

    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    database = Database(tmp_path / "run.sqlite")
    try:
        with FaultyLLM(script) as server:
            found, _ = through(server, lambda model: model(ask()), database=database, attempts=2)
    finally:
        database.close()
        logging.getLogger().removeHandler(handler)
    shown = "".join(traceback.format_exception(found)) if isinstance(found, Exception) else repr(found)
    out, err = capfd.readouterr()
    for text in (shown, log.getvalue(), out, err):
        assert KEY not in text
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()
