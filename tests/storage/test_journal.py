from __future__ import annotations

import asyncio
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmevo.breeding import keep_all, truncation, uniform
from llmevo.core import Fitness, Genome, Individual, ReplayDiffers, Seed, Stillborn, StorageError, Usage, plan
from llmevo.engine import replay, stop
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.storage.records import birth_from, birth_record
from llmevo.strategies import Founding, Genetic, sequence
from llmevo.testing.toy import Digits, Distance, Toy, fresh, mutate
from tests.helpers import SEED, journal, run

LIMIT = [stop.matings(24)]


def strategy(name: str = "mutate", seed: Seed = SEED) -> Any:
    founding = Founding([Toy(f"f{i}", fresh(), 0, fails=0.2) for i in range(6)], seed=seed)
    return sequence(founding, Genetic(Toy(name, mutate, 1), uniform, truncation(6), seed=seed))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    run(strategy(), path=tmp_path / "run.sqlite", stops=LIMIT)
    return tmp_path / "run.sqlite"


def change(path: Path, statement: str, *values: Any) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute(statement, values).rowcount > 0
    connection.commit()
    connection.close()


def test_a_resumed_run_conceives_nothing_that_was_told(recorded: Path) -> None:
    judge = Distance()
    outcome = run(strategy(), judge, path=recorded, stops=LIMIT)
    assert outcome.progress.births == outcome.progress.asked >= 24 and judge.log == []


@pytest.mark.parametrize(
    ("other", "slots"), [(strategy("changed"), 1), (strategy(seed=Seed.of(8)), 1), (strategy(), 2)], ids=["operator", "seed", "slots"]
)
def test_another_algorithm_is_noticed_at_the_first_birth(recorded: Path, other: Any, slots: int) -> None:
    with pytest.raises(ReplayDiffers, match=r"birth \d of cohort \d is planned differently than in the record.*new run folder"):
        run(other, path=recorded, stops=LIMIT, slots=slots)


def test_a_smaller_batch_is_noticed(recorded: Path) -> None:
    with pytest.raises(ReplayDiffers, match="birth 3 of cohort 0"):
        run(strategy(), path=recorded, stops=LIMIT, batch=3)


@pytest.mark.fault("S6")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE births SET record = replace(record, '\"value\":-', '\"value\":') WHERE j = 3",
        "UPDATE genomes SET record = replace(record, '[', '[1,')",
        "UPDATE cohorts SET matings = '[]' WHERE j = 2",
        "UPDATE told SET history = 'b2:00' WHERE j = 1",
        "UPDATE births SET hash = x'00' WHERE j = 1",
    ],
)
def test_a_changed_row_is_found(recorded: Path, statement: str) -> None:
    change(recorded, statement)
    with pytest.raises(StorageError, match="does not match its hash"):
        run(strategy(), path=recorded, stops=LIMIT)


@pytest.mark.fault("S6")
@pytest.mark.parametrize(
    ("table", "good"), [("births", "3"), ("genomes", "7"), ("cohorts", "3"), ("told", "3")], ids=["births", "genomes", "cohorts", "told"]
)
def test_rows_that_vanished_are_noticed_and_the_last_good_cohort_is_named(recorded: Path, table: str, good: str) -> None:
    change(recorded, f"DELETE FROM {table} {'' if table == 'genomes' else 'WHERE j >= 3'}")
    with pytest.raises(StorageError, match=rf"{table}: \d+ rows are there, \d+ were written.*The last good cohort is number {good};"):
        run(strategy(), path=recorded, stops=LIMIT)


@pytest.mark.fault("S6")
def test_a_birth_that_is_born_again_must_be_the_same(recorded: Path) -> None:
    change(recorded, "DELETE FROM births WHERE j = 3 AND i = 3")
    change(recorded, "UPDATE tally SET n = n - 1 WHERE name = 'births'")
    with pytest.raises(ReplayDiffers, match="cohort 3 was told differently than in the record"):
        run(strategy(), Distance(target=(0,) * 6), path=recorded, stops=LIMIT)


def test_a_missing_genome_and_an_unknown_kind_are_named(recorded: Path) -> None:
    no_kinds = Journal(Database(recorded), MemoryBlobs(), {})
    with pytest.raises(StorageError, match="genomes of kind 'toy-digits'"):
        replay(strategy(), no_kinds, batch=4)
    no_kinds.database.close()
    record = journal(recorded)
    change(recorded, "DELETE FROM genomes")
    with pytest.raises(StorageError, match=r"genome b2:.* is missing from"):
        replay(strategy(), record, batch=4)
    record.database.close()


def test_a_genome_that_reads_back_as_another_is_refused(recorded: Path) -> None:
    class Forgetful(Digits):
        @classmethod
        def load(cls, record: Any, blobs: Any) -> Any:
            return Digits((0,))

    record = Journal(Database(recorded), MemoryBlobs(), {Digits.kind: Forgetful})
    with pytest.raises(StorageError, match="reads back as"):
        replay(strategy(), record, batch=4)
    record.database.close()


def test_one_commit_per_cohort(tmp_path: Path) -> None:
    """The plan, the births and the tell of a cohort that is quick enough are one transaction."""
    jobs = 0

    class Counting(Database):
        def record(self, *rows: Any) -> Any:
            nonlocal jobs
            jobs += 1
            return super().record(*rows)

    from llmevo.engine import evolve

    record = Journal(Counting(tmp_path / "run.sqlite"), MemoryBlobs(), {Digits.kind: Digits})
    asyncio.run(evolve(strategy(), Distance(), record, seed=SEED, batch=4, stop=LIMIT))
    record.database.close()
    assert jobs <= record.recorded + 1


def test_births_are_durable_soon_although_an_earlier_cohort_is_slow(tmp_path: Path) -> None:
    async def go() -> list[Any]:
        record = journal(tmp_path / "run.sqlite")
        matings = [plan(Toy("f", fresh(), 0), (), SEED.fold(i), i) for i in range(2)]
        for j, mating in enumerate(matings):
            record.asked(j, [mating])
        record.born(1, {0: matings[1].birth(Digits((1,)), Fitness(1.0), Usage(), 1)})
        await asyncio.sleep(0.2)
        seen = sqlite3.connect(tmp_path / "run.sqlite").execute("SELECT j FROM births").fetchall()
        record.database.close()
        return seen

    assert asyncio.run(go()) == [(1,)]


TEXTS = [
    "\x00", "\ud800", "\u202eabc\u2066", "\ufeff", "a\r\nb", "{{x}}", "é\u0301", "\U0001f469\u200d\U0001f4bb", "'; DROP TABLE births; --",
    "x" * 300, "",
]  # fmt: skip
ANY_TEXT = st.text(st.characters(), max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
USAGES = st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.floats(0, 9))
FITNESSES = st.one_of(
    st.builds(Fitness.failed, ANY_TEXT, USAGES),
    st.builds(
        Fitness, NUMBERS, st.one_of(st.just(0.0), st.floats(0, 9), st.just(math.inf)), st.dictionaries(ANY_TEXT, NUMBERS, max_size=2),
        st.dictionaries(ANY_TEXT, NUMBERS, max_size=3), st.lists(NUMBERS, max_size=2).map(tuple),
        st.lists(ANY_TEXT, max_size=2).map(tuple), USAGES,
    ),
)  # fmt: skip
BIRTHS: Any = st.one_of(
    st.builds(
        Individual, ANY_TEXT, st.just(Digits((1, 2))), FITNESSES, st.lists(ANY_TEXT, max_size=2).map(tuple), ANY_TEXT, USAGES,
        st.integers(0, 9), st.integers(0, 9), st.integers(0, 9),
    ),
    st.builds(Stillborn, ANY_TEXT, ANY_TEXT, st.lists(ANY_TEXT, max_size=2).map(tuple), ANY_TEXT, USAGES),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(BIRTHS)
def test_every_birth_reads_back_equal(birth: Any) -> None:
    import json

    from llmevo.core import canonical

    genomes: dict[str, Genome] = {Digits((1, 2)).key: Digits((1, 2))}
    assert birth_from(json.loads(canonical(birth_record(birth))), genomes) == birth


class Text:
    """The smallest text genome."""

    kind = "text"

    def __init__(self, text: str) -> None:
        from llmevo.core import content_key

        self.text, self.key = text, content_key(["text", text])

    def preview(self) -> str:
        return ascii(self.text)

    def dump(self, blobs: Any) -> dict[str, Any]:
        return {"text": self.text}

    @classmethod
    def load(cls, record: Any, blobs: Any) -> Text:
        return cls(record["text"])


@pytest.mark.fault("L17", "C5")
def test_all_text_survives_the_file(tmp_path: Path) -> None:
    """NUL, lone surrogates, bidi controls, markup and SQL, in genomes, case ids, feedback and errors."""
    from dataclasses import dataclass

    from llmevo.engine import evolve

    @dataclass(frozen=True)
    class Say:
        text: str
        arity: Any = 0
        picks: bool = False
        reassess: bool = False

        @property
        def key(self) -> str:
            return f"say({self.text})"

        async def __call__(self, parents: Any, context: Any) -> Text:
            return Text(self.text)

    class Judge:
        whole_cohort = False

        async def __call__(self, genomes: Any, contexts: Any) -> list[Fitness]:
            if genomes[0].text == "\x00":
                raise ValueError("broken by \ud800 and \x00")
            return [Fitness(1.0, cases={text: 1.0 for text in TEXTS}, feedback=tuple(TEXTS)) for _ in genomes]

    def go(judge: Any) -> Any:
        record = Journal(Database(tmp_path / "run.sqlite"), MemoryBlobs(), {"text": Text})
        founding = Founding([Say(text) for text in TEXTS], seed=SEED, succession=keep_all)
        told: list[Any] = []
        try:
            outcome = asyncio.run(evolve(founding, judge, record, seed=SEED, batch=4, on_cohort=lambda x: told.extend(x.births)))
        finally:
            record.database.close()
        return outcome.history, [(birth.genome.text, birth.fitness) for birth in told]

    history, births = go(Judge())
    assert (history, births) == go(None), "read back without an evaluation"
    assert [text for text, _ in births] == TEXTS
    assert "broken by \ud800 and \x00" in births[0][1].error
    assert births[1][1].feedback == tuple(TEXTS) and births[1][1].cases == dict.fromkeys(TEXTS, 1.0)


@pytest.mark.fault("S11")
def test_a_newer_schema_is_refused(recorded: Path) -> None:
    change_version = sqlite3.connect(recorded)
    change_version.execute("PRAGMA user_version = 999")
    change_version.close()
    with pytest.raises(StorageError, match="schema 999"):
        journal(recorded)


@pytest.mark.fault("S5")
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_conceived(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError):
        run(strategy(), path=tmp_path / "file" / "run.sqlite", stops=LIMIT)
