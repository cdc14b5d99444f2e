"""The record of answers and spending in a file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from llmevo.core import StorageError, Usage
from llmevo.storage.answers import Answer, Answers
from llmevo.storage.database import Database
from tests.storage.booking import intend, settle

UPPER = Usage(1, 100, 200, 0.5)
SPENT = Usage(1, 10, 20, 0.05)


def test_an_answer_and_its_cost_are_one_transaction(tmp_path: Path) -> None:
    database = Database(tmp_path / "run.sqlite")
    answers = Answers(database)
    number, written = intend(answers, "k", "m", UPPER)
    written.result()
    assert answers.get("k") is None
    settle(answers, number, "k", "m", "answer", SPENT, answer=Answer("hi", "stop", SPENT)).result()
    assert answers.get("k") == Answer("hi", "stop", SPENT)
    database.close()

    again = Database(tmp_path / "run.sqlite")
    answers = Answers(again)
    assert answers.get("k") == Answer("hi", "stop", SPENT) and len(answers) == 1
    assert answers.restored == SPENT and answers.unknown == 0
    assert intend(answers, "k2", "m", UPPER)[0] == number + 1
    again.close()


def test_a_second_answer_to_a_kept_key_changes_nothing() -> None:
    database = Database(None)
    answers = Answers(database)
    for text in ("first", "second"):
        settle(answers, None, "k", "m", "answer", SPENT, answer=Answer(text, "stop", SPENT)).result()
    assert answers.get("k") == Answer("first", "stop", SPENT)
    assert [row[2] for row in database.rows("answers")] == ["first"]
    database.close()


def test_what_is_no_answer_to_keep_is_served_once_first_and_in_order(tmp_path: Path) -> None:
    database = Database(tmp_path / "run.sqlite")
    answers = Answers(database)
    for i in range(12):
        settle(answers, None, "k", "m", "truncated", SPENT, answer=Answer(f"half {i}", "length", SPENT))
    settle(answers, None, "k", "m", "answer", SPENT, answer=Answer("whole", "stop", SPENT)).result()
    assert answers.get("k") == Answer("whole", "stop", SPENT)
    database.close()
    again = Database(tmp_path / "run.sqlite")
    answers = Answers(again)
    served = [answers.get("k") for _ in range(14)]
    assert [one.text for one in served if one] == [*(f"half {i}" for i in range(12)), "whole", "whole"]
    again.close()


@pytest.mark.fault("S6")
@pytest.mark.parametrize("table", ["answers", "intents", "settled"])
def test_a_changed_row_is_found_and_not_used(table: str, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    database = Database(path)
    answers = Answers(database)
    number, _ = intend(answers, "k", "m", UPPER)
    settle(answers, number, "k", "m", "answer", SPENT, answer=Answer("hi", "stop", SPENT)).result()
    database.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {table} SET tokens_in = tokens_in + 1")
    again = Database(path)
    with pytest.raises(StorageError, match=f"{table}: row .* does not match its hash"):
        Answers(again)
    again.close()


@pytest.mark.fault("S6")
@pytest.mark.parametrize("table", ["answers", "intents", "settled"])
def test_a_lost_row_is_noticed(table: str, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    database = Database(path)
    answers = Answers(database)
    for key in "abc":
        number, _ = intend(answers, key, "m", UPPER)
        settle(answers, number, key, "m", "answer", SPENT, answer=Answer("hi", "stop", SPENT)).result()
    database.close()
    with sqlite3.connect(path) as connection:
        name = "key" if table == "answers" else "id"
        connection.execute(f"DELETE FROM {table} WHERE {name} = (SELECT max({name}) FROM {table})")
    again = Database(path)
    with pytest.raises(StorageError, match=f"{table}: 2 rows are there, 3 were written"):
        Answers(again)
    again.close()


def test_a_shared_file_is_asked_by_key_and_given_what_is_bought(tmp_path: Path) -> None:
    cache = Database(tmp_path / "cache.sqlite")
    first, second = Answers(Database(None), cache), Answers(Database(None), cache)
    answer = Answer("hi", "stop", SPENT)
    assert Answers(Database(None)).lookup_shared("k") is None
    settle(first, None, "k", "m", "answer", SPENT, answer=answer).result()
    settle(first, None, "k2", "m", "truncated", SPENT, answer=answer).result()
    found = second.lookup_shared("k")
    missing = second.lookup_shared("k2")
    assert found is not None and found.result() == answer
    assert missing is not None and missing.result() is None
    cache.close()
