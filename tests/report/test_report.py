"""Summaries against journals that were written by hand; a doctor who finds every flipped byte; folders that mean harm."""

from __future__ import annotations

import json
import re
import sqlite3
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmevo.config import KINDS
from llmevo.core import (
    ConfigError,
    Fitness,
    Individual,
    LlmevoError,
    Seed,
    Stillborn,
    StorageError,
    Usage,
    canonical,
    content_key,
)
from llmevo.report.doctor import TABLES, Checkup, examine
from llmevo.report.figure import TOP, figure
from llmevo.report.page import page
from llmevo.report.statistics import Interval, bootstrap, interval, wilson
from llmevo.report.summary import summarise
from llmevo.storage.blobs import FolderBlobs
from llmevo.storage.database import Database, row_hash
from llmevo.storage.journal import START
from llmevo.storage.records import birth_record, told_record
from llmevo.testing.server import FaultyLLM
from llmevo.text import TextGenome
from tests.cli.helpers import say
from tests.runs.helpers import values_for, write_run

Birth = Individual[Any] | Stillborn


def born(name: str, value: float | None, *, text: str = "", cases: int = 1, error: str = "broken", **more: Any) -> Individual[Any]:
    fitness = Fitness.failed(error) if value is None else Fitness(value, cases={str(i): value for i in range(cases)}, **more)
    return Individual(name, TextGenome(text or f"text of {name}"), fitness, variation="op")


def lost(name: str) -> Stillborn:
    return Stillborn(name, "nothing came", variation="op")


def write(folder: Path, cohorts: Sequence[Sequence[Birth]], *, told: int | None = None, **meta: Any) -> Path:
    """A run folder with these cohorts, all told unless `told` says how many."""
    folder.mkdir(exist_ok=True)
    history = START
    with closing(Database(folder / "run.sqlite")) as database:
        for name, value in meta.items():
            database.insert("meta", [(name.replace("_", " "), canonical(value))])
        for j, births in enumerate(cohorts):
            database.insert("cohorts", [(j, canonical([birth.id for birth in births]))])
            for i, birth in enumerate(births):
                if isinstance(birth, Individual):
                    genome = birth.genome
                    database.insert("genomes", [(genome.key, genome.kind, canonical(genome.dump(FolderBlobs(folder / "blobs"))))])
                database.insert("births", [(j, i, canonical(birth_record(birth)))])
            if told is None or j < told:
                history = content_key([history, [told_record(birth) for birth in births]])
                database.insert("told", [(j, history)])
    return folder


class TestSummary:
    def test_numbers_of_a_run(self, tmp_path: Path) -> None:
        first, second = born("a", 0.2), born("b", 0.6)
        folder = write(
            tmp_path / "run",
            [[first, second, lost("c")], [born("d", 0.5), born("e", None)], [lost("f"), lost("g")], [born("h", 0.9), born("i", 0.1)]],
            frozen={"recipe": "mine", "seed": 4},
            test_of_h={"mean": 0.7, "low": 0.5, "high": 0.8, "n": 9},
        )
        found = summarise(folder, KINDS)
        assert [(one.births, one.living, one.best, one.median, one.best_so_far) for one in found.steps] == [
            (3, 2, 0.6, pytest.approx(0.4), 0.6),
            (2, 1, 0.5, 0.5, 0.6),
            (2, 0, None, None, 0.6),
            (2, 2, 0.9, 0.5, 0.9),
        ]
        assert found.best is not None and found.best.id == "h" and found.best.genome.text == "text of h"
        assert found.births == 9 and found.stillborn == {"op": (3, 9)} and found.evaluations == 6
        assert found.held_out == Interval(0.7, 0.5, 0.8, 9) and found.tests == 1 and found.frozen["recipe"] == "mine"

    def test_the_best_is_valid_first_and_ties_go_to_the_older(self, tmp_path: Path) -> None:
        cohorts = [[born("a", 0.5)], [born("b", 0.9, violation=1.0)], [born("c", 0.5)], [born("d", None)]]
        best = summarise(write(tmp_path / "run", cohorts), KINDS).best
        assert best is not None and best.id == "a"

    def test_a_reassessed_one_may_fall_and_another_is_best_again(self, tmp_path: Path) -> None:
        lucky, steady = born("a", 0.9), born("b", 0.7)
        found = summarise(write(tmp_path / "run", [[lucky, steady], [born("a", 0.4, cases=3)], [born("c", 0.6)]]), KINDS)
        assert [one.best_so_far for one in found.steps] == [0.9, 0.7, 0.7]
        assert found.best is not None and found.best.id == "b" and found.evaluations == 4
        (line,) = ElementTree.fromstring(figure(found)).iter("{http://www.w3.org/2000/svg}polyline")
        assert min(float(point.split(",")[1]) for point in line.attrib["points"].split()) == TOP, "0.9 is in the figure, too"

    def test_a_duplicate_is_no_evaluation(self, tmp_path: Path) -> None:
        cohorts = [[born("a", 0.3, text="same"), born("b", 0.3, text="same")], [born("c", 0.3, text="same")]]
        assert summarise(write(tmp_path / "run", cohorts), KINDS).evaluations == 1

    def test_a_figure_and_a_page_of_a_run(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        evil = "<script>alert(1)</script>"
        short, best = born("a", 0.2, cases=1), born("b", 0.6, cases=3, text=evil)
        dropped = {"step": 1, "lap": 1, "why": "0.400 behind place 1 (p = 0.01)"}
        meta = {"frozen": {"recipe": evil, "seed": 4, "racing.rule": "behind"}, "dropped:_a": dropped}
        held = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 9}
        folder = write(tmp_path / "run", [[short, lost("c"), born("b", 0.1)], [best], [born("d", 0.5, cases=3)]], **meta, test_of_b=held)
        found = summarise(folder, KINDS)
        assert found.points == ((1, 0.2, False), (3, 0.6, True), (4, 0.5, True)) and [one.born for one in found.steps] == [3, 3, 4]
        for name, tag in (("figure.svg", "svg"), ("page.html", "html")):
            assert say(capsys, "report", folder, "-o", tmp_path / name).code == 0
            text = (tmp_path / name).read_text()
            assert "<script>" not in text and "&lt;script&gt;" in text and tag in text
        assert ElementTree.parse(tmp_path / "figure.svg").getroot().tag.endswith("svg")
        text = (tmp_path / "page.html").read_text()
        assert text.count("<circle") == 3 and "behind place 1" in text and "4 births, 1 stillborn, 4 evaluations" in text
        assert "NAME.html" in say(capsys, "report", folder, "-o", tmp_path / "x.txt").err
        write(tmp_path / "empty", [[lost("a")]])
        assert say(capsys, "report", tmp_path / "empty", "-o", tmp_path / "y.html").code == 0
        assert "Nobody lived" in (tmp_path / "y.html").read_text()

    @pytest.mark.fault("X2")
    def test_a_page_and_a_figure_show_what_is_hostile_and_do_not_obey_it(self, tmp_path: Path) -> None:
        evil = "</script><script>alert(1)</script><a href='javascript:alert(1)' onclick=\"x\">\u202eflip\x1b[31m"
        dropped = {"step": 1, "lap": 1, "why": evil}
        meta = {"frozen": {"recipe": evil, "seed": 4, "racing.rule": evil}, "dropped:_a": dropped}
        some = Individual("b", TextGenome(evil), Fitness(0.6, cases={"0": 0.6, "1": 0.6}), variation=evil)
        (tmp_path / "<b onclick=x>\u202e").mkdir()
        found = summarise(write(tmp_path / "<b onclick=x>\u202e" / "run", [[born("a", 0.2, text=evil), some]], **meta), KINDS)
        for text in (page(found), figure(found)):
            assert "flip" in text and not {"\u202e", "\x1b"} & set(text)
            tags = re.findall(r"<(\w+)([^>]*)>", text)
            assert not {name for name, _ in tags} & {"script", "a", "b", "img", "link", "iframe"}
            assert not [more for _, more in tags if re.search(r"\bon\w+=|javascript:|(src|href)=", more)]
        assert page(found).index("default-src 'none'") < page(found).index("<title>")

    def test_what_is_not_told_does_not_count(self, tmp_path: Path) -> None:
        found = summarise(write(tmp_path / "run", [[born("a", 0.3)], [born("b", 0.9)]], told=1), KINDS)
        assert found.best is not None and found.best.id == "a" and found.births == 1 and len(found.steps) == 1

    def test_nothing_yet(self, tmp_path: Path) -> None:
        found = summarise(write(tmp_path / "run", []), KINDS)
        assert found.best is None and found.steps == () and found.history is None and found.spent == Usage() and found.held_out is None

    def test_two_winners_were_tested(self, tmp_path: Path) -> None:
        one = {"mean": 0.1, "low": 0.1, "high": 0.1, "n": 1}
        found = summarise(write(tmp_path / "run", [[born("a", 0.3)]], test_of_a=one, test_of_b=one), KINDS)
        assert found.tests == 2 and found.held_out is not None

    def test_spending_counts_what_may_have_been_billed(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "run", [[born("a", 0.3)]])
        with closing(Database(folder / "run.sqlite")) as database:
            database.record(("intents", (1, "k1", "m", 100, 50, 0.5)), ("settled", (1, "answer", 1, 10, 5, 0.05, "")))
            database.record(("intents", (2, "k2", "m", 100, 50, 0.5)), ("settled", (2, "unbilled", 0, 0, 0, 0.0, "")))
            database.record(("intents", (3, "k3", "m", 100, 50, 0.5)))
        found = summarise(folder, KINDS)
        assert found.spent == Usage(2, 110, 55, 0.55) and found.unknown == 1
        assert examine(folder).notes == ("1 calls were in flight when a process ended; they are booked at their upper bound",)

    def test_a_folder_without_a_run(self, tmp_path: Path) -> None:
        for ask in (lambda: summarise(tmp_path, KINDS), lambda: examine(tmp_path)):
            with pytest.raises(ConfigError, match="holds no run"):
                ask()


class TestWilson:
    def test_it_is_the_known_one_and_never_without_width(self) -> None:
        found = wilson([1.0] * 9 + [0.0])  # published: 0.596 to 0.982
        assert (found.mean, found.n) == (0.9, 10)
        assert found.low == pytest.approx(0.5958, abs=1e-4) and found.high == pytest.approx(0.9821, abs=1e-4)
        sure = wilson([1.0] * 300)
        assert sure.high == 1.0 and sure.low == pytest.approx(300 / (300 + 1.959964**2))
        with pytest.raises(ValueError, match="at least one score"):
            wilson([])

    def test_right_and_wrong_get_it_and_other_scores_the_bootstrap(self) -> None:
        assert interval([1.0, 0.0, 1.0], Seed.of(0)) == wilson([1.0, 0.0, 1.0])
        assert interval([0.2, 0.9, 0.5], Seed.of(0)) == bootstrap([0.2, 0.9, 0.5], Seed.of(0))


class TestInterval:
    def test_it_covers_the_mean_and_repeats(self) -> None:
        scores = [1.0] * 30 + [0.0] * 20
        found = bootstrap(scores, Seed.of(1))
        assert found == bootstrap(scores, Seed.of(1)) != bootstrap(scores, Seed.of(2))
        assert found.mean == 0.6 and found.low < 0.6 < found.high and found.n == 50
        spread = 1.96 * np.sqrt(0.6 * 0.4 / 50)
        assert found.low == pytest.approx(0.6 - spread, abs=0.03) and found.high == pytest.approx(0.6 + spread, abs=0.03)

    def test_the_ends(self) -> None:
        assert bootstrap([0.5], Seed.of(0)) == Interval(0.5, 0.5, 0.5, 1)
        assert bootstrap([1.0] * 9, Seed.of(0)) == Interval(1.0, 1.0, 1.0, 9)
        with pytest.raises(ValueError, match="at least one score"):
            bootstrap([], Seed.of(0))

    def test_it_covers_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(3)
        hits = 0
        for i in range(200):
            found = bootstrap((rng.random(60) < 0.7).astype(float).tolist(), Seed.of(i), 500)
            hits += found.low <= 0.7 <= found.high
        assert 180 <= hits <= 199


@pytest.fixture
def ran(server: FaultyLLM, place: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    file = write_run(place / "here", values_for(server.url))
    assert say(capsys, "run", file, "--run", place / "run").code == 0
    return place / "run"


def tamper(folder: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / "run.sqlite")) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0


COLUMNS = {
    "meta": "value",
    "cohorts": "matings",
    "genomes": "record",
    "births": "record",
    "told": "history",
    "answers": "text",
    "intents": "tokens_in",
    "settled": "tokens_out",
    "seconds": "elapsed",
}


class TestDoctor:
    def test_a_healthy_run(self, ran: Path) -> None:
        before = {path: path.read_bytes() for path in ran.rglob("*") if path.is_file() and path.suffix == ".yaml"}
        found = examine(ran)
        assert found.problems == () and found.notes == () and found.told > 2 and found.rows > 100
        assert all(path.read_bytes() == data for path, data in before.items())

    @pytest.mark.fault("S6")
    @pytest.mark.parametrize("table", TABLES)
    def test_a_changed_row_in_any_table_is_found_and_not_used(self, ran: Path, table: str, capsys: pytest.CaptureFixture[str]) -> None:
        column = COLUMNS[table]
        with closing(sqlite3.connect(ran / "run.sqlite")) as connection:
            before = connection.execute(f"SELECT {column} FROM {table} LIMIT 1").fetchone()[0]
        after = before + 1 if isinstance(before, int | float) else before[:-1] + chr(ord(before[-1]) ^ 1)
        tamper(ran, f"UPDATE {table} SET {column} = ? WHERE {column} = ?", after, before)
        found = examine(ran)
        assert any(problem.startswith(f"{table}: row ") for problem in found.problems)
        said = say(capsys, "doctor", ran)
        assert said.code == 74 and f"PROBLEM: {table}: row" in said.out
        if table not in ("meta",):
            again = say(capsys, "run", ran.parent / "here" / "run.yaml", "--run", ran)
            assert again.code == 74 and "does not match its hash" in again.err

    @pytest.mark.fault("S6")
    def test_a_rewritten_row_with_a_right_hash_breaks_the_history(self, ran: Path) -> None:
        with closing(sqlite3.connect(ran / "run.sqlite")) as connection:
            j, i, text = connection.execute("SELECT j, i, record FROM births WHERE j = 1").fetchone()
        record = json.loads(text)
        record["fitness"]["value"] = 1.0
        changed = canonical(record)
        tamper(ran, "UPDATE births SET record = ?, hash = ? WHERE j = ? AND i = ?", changed, row_hash("births", (j, i, changed)), j, i)
        found = examine(ran)
        assert found.told == 1 and any("cohort 1: what was told does not match its births" in one for one in found.problems)

    @pytest.mark.fault("S6")
    def test_flipped_bytes_anywhere_are_found_or_harmless(self, ran: Path) -> None:
        path = ran / "run.sqlite"
        whole = path.read_bytes()
        healthy = contents(path)
        rng = np.random.default_rng(0)
        found = 0
        for offset in rng.integers(len(whole), size=60).tolist():
            path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 0x20]) + whole[offset + 1 :])
            try:
                problems: Sequence[str] = examine(ran).problems
            except LlmevoError as error:
                problems = [str(error)]
            if not problems:
                assert contents(path) == healthy, offset
            found += bool(problems)
            for side in ("-wal", "-shm"):
                Path(f"{path}{side}").unlink(missing_ok=True)
        assert found > 10

    @pytest.mark.parametrize(
        ("statement", "expected"),
        [
            ("DELETE FROM genomes WHERE key IN (SELECT key FROM genomes LIMIT 1)", "is named by a birth and missing"),
            ("DELETE FROM births WHERE j = 1 AND i = 0", "cohort 1: what was told does not match its births"),
            ("DELETE FROM told WHERE j = 1", "what was told does not match"),
            ("DELETE FROM cohorts WHERE j = 0", "what was told does not match"),
        ],
    )
    def test_missing_rows(self, ran: Path, statement: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
        tamper(ran, statement)
        assert any(expected in problem for problem in examine(ran).problems)
        assert say(capsys, "show", ran).code in (0, 74)

    def test_leftovers_are_notes(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "run", [[born("a", 0.3)], [born("b", 0.4)]], told=1)
        (folder / "run.new").write_text("half")
        with closing(Database(folder / "run.sqlite")) as database:
            database.record(("intents", (1, "k1", "m", 100, 50, 0.5))).result()
        found = examine(folder)
        assert found.problems == () and found.told == 1
        notes = "\n".join(found.notes)
        assert "run.new: left over" in notes and "cohort 1 is open; the run continues with it" in notes
        assert "1 calls were in flight" in notes

    @pytest.mark.fault("W11")
    def test_blobs(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "run", [[born("a", 0.3)]])
        blobs = FolderBlobs(folder / "blobs")
        key, other = blobs.put(b"tensor"), blobs.put(b"another")
        with closing(Database(folder / "run.sqlite")) as database:
            database.insert("genomes", [("k1", "adapter", canonical({"tensors": [key, {"deep": other}], "note": f"not {key}"}))]).result()
        assert examine(folder).problems == ()
        (folder / "blobs" / key[3:]).write_bytes(b"tensoR")
        (folder / "blobs" / other[3:]).unlink()
        problems = "\n".join(examine(folder).problems)
        assert "does not match its hash" in problems and f"blob {other} is named by genome k1 and missing" in problems

    def test_no_database_at_all(self, tmp_path: Path) -> None:
        (tmp_path / "run.sqlite").write_bytes(b"this is no database, but long enough to be one" * 100)
        with pytest.raises(StorageError):
            examine(tmp_path)


def contents(path: Path) -> list[Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        return [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES]


@pytest.mark.fault("X7")
class TestHostileFolders:
    """A folder from somebody else can be looked at: nothing in it is run, and nothing in it brings the program down."""

    def forged(self, folder: Path, table: str, row: tuple[Any, ...]) -> None:
        with closing(Database(folder / "run.sqlite")) as database:
            database.insert(table, [row]).result()

    def readings(self, folder: Path) -> list[Callable[[], Any]]:
        return [lambda: summarise(folder, KINDS), lambda: examine(folder)]

    def test_a_kind_is_never_code(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        marker = tmp_path / "marker"
        folder = write(tmp_path / "run", [[born("a", 0.3)]])
        code = f"open({str(marker)!r}, 'w').write('x')"
        (folder / "evil.py").write_text(f"{code}\nclass Evil:\n    load = print\n")
        (folder / "run.yaml").write_text(f"recipe: evil:Evil\na: !!python/object/apply:builtins.exec [{json.dumps(code)}]\n")
        (folder / "blobs").mkdir(exist_ok=True)
        (folder / "blobs" / "pickle").write_bytes(b"cbuiltins\nexec\n(S" + repr(code).encode() + b"\ntR.")
        for kind in ("evil:Evil", "builtins.exec", "../evil", ""):
            self.forged(folder, "genomes", (f"k{kind}", kind, canonical({"parts": code})))
        genome = born("b", 1.0)
        record = {**birth_record(genome), "genome": "kevil:Evil"}
        self.forged(folder, "cohorts", (1, canonical(["b"])))
        self.forged(folder, "births", (1, 0, canonical(record)))
        self.forged(folder, "told", (1, "b2:x"))
        for command in ("show", "best", "doctor"):
            said = say(capsys, command, folder)
            assert said.code == 74, (command, said)
        assert not marker.exists()

    @pytest.mark.parametrize(
        ("table", "row"),
        [
            ("births", (0, 1, "[]")),
            ("births", (0, 1, "null")),
            ("births", (0, 1, "{}")),
            ("births", (0, 1, '{"fitness": 3, "genome": "x"}')),
            ("births", (0, 1, "not json")),
            ("births", (0, 1, "[" * 100_000)),
            ("cohorts", (5, "{broken")),
            ("genomes", ("x", "text", '{"parts": 3}')),
            ("genomes", ("x", "text", "7")),
            ("meta", ("frozen", "not json")),
            ("meta", ("frozen", "[]")),
            ("meta", ("test of a", '{"mean": "x", "evil": 1}')),
            ("told", (7, "b2:never")),
        ],
    )
    def test_forged_rows_are_errors_of_storage(
        self, tmp_path: Path, table: str, row: tuple[Any, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = write(tmp_path / "run", [[born("a", 0.3)]])
        self.forged(folder, table, row)
        for command in ("show", "best", "doctor"):
            said = say(capsys, command, folder)
            assert said.code in (0, 74), (command, said.err)
            assert "Traceback" not in said.err
        found: Checkup = examine(folder)
        assert found.problems or table in ("meta", "genomes")

    def test_forged_texts_are_inert(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        escape = "\x1b]52;c;aGk=\x07\x9b31m"
        one = Individual("a" + escape, TextGenome(f"x{escape}"), Fitness(0.5), variation=f"op{escape}")
        folder = write(
            tmp_path / "run", [[one, Stillborn("b", "x", variation=f"op2{escape}")]], frozen={"recipe": escape, "seed": escape}
        )
        for arguments in (("show", folder), ("best", folder), ("doctor", folder), ("show", folder, "--json")):
            said = say(capsys, *arguments)
            assert said.code in (0, 74) and not any(letter in said.out + said.err for letter in "\x1b\x07\x9b")

    def test_a_run_of_its_own_is_not_continued_from_it(self, tmp_path: Path, server: FaultyLLM, capsys: pytest.CaptureFixture[str]) -> None:
        folder = write(tmp_path / "run", [[born("a", 1.0)]], frozen={"recipe": "mine"})
        file = write_run(tmp_path / "here", values_for(server.url))
        said = say(capsys, "run", file, "--run", folder)
        assert said.code == 78 and "holds another run" in said.err and server.requests == []
