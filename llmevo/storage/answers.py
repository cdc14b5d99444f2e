"""Answers and spending in a run file: an intent before each paid call, the answer and its cost in one transaction after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from llmevo.core.fitness import Usage
from llmevo.storage.database import Database
from llmevo.storage.spare import Row

Outcome = Literal["answer", "truncated", "refused", "failed", "unknown", "unbilled", "shared"]
"""How a call ended: with an answer to keep; cut at `max_tokens`; refused or filtered; paid but useless; nobody knows what was
billed (booked at its upper bound); certainly not billed; taken from the shared cache."""


KEPT = ("answer", "shared")
"""The outcomes that bring an answer which is given again."""

Rows = Sequence[Row]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered, how it ended, and what it cost nominally (one call, its tokens, its price)."""

    text: str
    finish: str
    usage: Usage


class Answers:
    """The recorded answers of a run, by key, in memory, and the rows that record further ones. Nothing is ever pruned.

    Rows of `intents` without a row in `settled` are calls that were in flight when a process died: they count at their upper
    bound. Optional `shared` is another file of answers, looked at when this run has none; what this run buys is added to it.
    """

    def __init__(self, database: Database, shared: Database | None = None) -> None:
        self.database, self._shared = database, shared
        self._known: dict[str, Answer] = {}
        self._once: dict[str, list[Answer]] = defaultdict(list)
        rows = [(*row[0].partition("#")[::2], row) for row in database.rows("answers")]
        for question, cut, row in sorted(rows, key=lambda each: int(each[1] or 0)):
            answer = Answer(row[2], row[3], Usage(*row[4:]))
            if cut:
                self._once[question].append(answer)
            else:
                self._known[question] = answer
        intents = database.rows("intents")
        settled = {row[0]: row for row in database.rows("settled")}
        # An intent that found no room on the disk may have left a settled row that did (in the spare file): its number is taken.
        self._next = 1 + max((*settled, *(row[0] for row in intents)), default=0)
        self.restored = Usage()
        """What earlier sittings of this run spent, with what they may have spent."""
        self.unknown = 0
        """How many calls of earlier sittings were in flight when they died."""
        for number, _, _, tokens_in, tokens_out, price in intents:
            row = settled.get(number)
            self.unknown += row is None
            self.restored += Usage(1, tokens_in, tokens_out, price) if row is None else Usage(*row[2:6])

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Answer | None:
        """The answer kept under a key.

        An answer that was truncated or refused is no answer to keep: it is given once to each sitting that repeats the call
        that paid for it, and then the question is asked again.
        """
        if self._once and (cut := self._once.get(key)):
            return cut.pop(0)
        return self._known.get(key)

    def lookup_shared(self, key: str) -> Future[Answer | None] | None:
        """The answer of the shared file, if there is such a file."""
        if self._shared is None:
            return None
        shared = self._shared
        future: Future[Answer | None] = Future()
        future.set_running_or_notify_cancel()  # who waits may be cancelled

        def found(rows: Future[list[tuple[Any, ...]]]) -> None:
            try:
                row = next(iter(shared.checked("answers", rows.result())), None)
                future.set_result(None if row is None else Answer(row[2], row[3], Usage(*row[4:])))
            except Exception as error:
                future.set_exception(error)

        shared.query("answers", "WHERE key = ?", (key,)).add_done_callback(found)
        return future

    def intend(self, key: str, model: str, upper: Usage) -> tuple[int, Rows]:
        """The number and the rows of a call that is about to be sent, with what it may cost at most. Send it when they are
        durable."""
        number = self._next
        self._next += 1
        return number, (("intents", (number, key, model, upper.tokens_in, upper.tokens_out, upper.price)),)

    def settle(
        self,
        number: int | None,
        key: str,
        model: str,
        outcome: Outcome,
        spent: Usage,
        *,
        note: str = "",
        answer: Answer | None = None,
    ) -> Rows:
        """The rows of what a call cost and brought, for one transaction. When they are durable, `learn` the answer and show it.

        `number` None: there was no intent because nothing could be billed (a local model, the shared cache).
        """
        rows: list[Row] = []
        if number is None:
            number = self._next
            self._next += 1
            rows.append(("intents", (number, key, model, spent.tokens_in, spent.tokens_out, spent.price)))
        rows.append(("settled", (number, outcome, spent.calls, spent.tokens_in, spent.tokens_out, spent.price, note)))
        if answer is not None:
            usage, kept = answer.usage, outcome in KEPT
            named = key if kept else f"{key}#{number}"
            row = (named, model, answer.text, answer.finish, usage.calls, usage.tokens_in, usage.tokens_out, usage.price)
            rows.append(("answers", row))
            if outcome == "answer" and self._shared is not None:
                self._shared.record(("answers", row))
        return rows

    def learn(self, key: str, outcome: Outcome, answer: Answer) -> None:
        """From now on the answer is given for its key, if it is one to keep. Only what is durable may be learned."""
        if outcome in KEPT:
            self._known.setdefault(key, answer)
