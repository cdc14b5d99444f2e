"""Cases: what is read, how it is split, and what is refused with the count found."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.core import ConfigError
from llmevo.fitness import Case, apart, checked, from_rows, load_aligned, load_file, load_hub, new_case, split
from llmevo.fitness.files import from_dataset

DATA = Path(__file__).parents[3] / "shared" / "data"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def pairs(cases: list[Case]) -> list[tuple[str, object]]:
    return [(case.input, case.target) for case in cases]


ROWS = [("good film", "1"), ("bad, very bad", "0"), ('"quoted" it is', "1")]
FILES = {
    "c.csv": 'text,label\ngood film,1\n"bad, very bad",0\n"""quoted"" it is",1\n',
    "bom.csv": '\ufefftext,label\ngood film,1\n"bad, very bad",0\n"""quoted"" it is",1\n',
    "crlf.csv": 'text,label\r\ngood film,1\r\n"bad, very bad",0\r\n"""quoted"" it is",1\r\n',
    "t.tsv": 'text\tlabel\ngood film\t1\nbad, very bad\t0\n"quoted" it is\t1\n',
    "headless.tsv": 'good film\t1\nbad, very bad\t0\n"quoted" it is\t1\n',
    "dev.txt": 'good film\t1\nbad, very bad\t0\n"quoted" it is\t1',
    "l.jsonl": "\n".join(json.dumps({"text": text, "label": int(label)}) for text, label in ROWS) + "\n\n",
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_cases_with_the_same_ids(tmp_path: Path, name: str) -> None:
    cases = load_file(write(tmp_path / name, FILES[name]))
    assert pairs(cases) == ROWS
    assert [case.id for case in cases] == [new_case(*row).id for row in ROWS]


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    parquet.write_table(pa.table({"text": [a for a, _ in ROWS], "label": [int(b) for _, b in ROWS]}), tmp_path / "x.parquet")
    assert pairs(load_file(tmp_path / "x.parquet")) == ROWS
    write(tmp_path / "bad.parquet", "no")
    with pytest.raises(ConfigError, match=r"bad\.parquet: not a readable Parquet"):
        load_file(tmp_path / "bad.parquet")


def test_datasets_with_their_label_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    found = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 1]}, features=features)
    assert pairs(from_dataset(found)) == [("a", "neg"), ("b", "pos"), ("c", "pos")]
    assert pairs(from_dataset(found, limit=2, labels=["N", "P"])) == [("a", "N"), ("b", "P")]


@pytest.mark.slow
def test_a_data_set_through_the_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    write(tmp_path / "set" / "train.csv", FILES["c.csv"])
    assert pairs(load_hub(str(tmp_path / "set"), split="train")) == ROWS
    with pytest.raises(ConfigError, match=r"split 'tset'.* cannot be loaded: .*Should be one of"):
        load_hub(str(tmp_path / "set"), split="tset")


def test_without_the_extra_its_name_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"data set 'owner/name' needs 'datasets' .*pip install 'llmevo\[datasets\]'"):
        load_hub("owner/name", split="train")
    with pytest.raises(ConfigError, match=r"pip install 'llmevo\[datasets\]'"):
        load_file(write(tmp_path / "x.parquet", ""))


def test_columns_labels_ids_and_further_fields() -> None:
    rows = [{"q": "1+1", "a": "2", "nr": 7, "lang": "en"}, {"q": "2+2", "a": "4", "nr": 8, "lang": "de"}]
    cases = from_rows(rows, columns={"input": "q", "target": "a", "id": "nr"})
    assert [(case.id, case.input, case.target, dict(case.fields)) for case in cases] == [
        ("7", "1+1", "2", {"lang": "en"}),
        ("8", "2+2", "4", {"lang": "de"}),
    ]
    named = from_rows([{"text": "x", "label": 0}, {"text": "y", "label": "pos"}], labels=["neg", "pos"])
    assert [case.target for case in named] == ["neg", "pos"]
    named = from_rows([{"text": "x", "label": "n"}, {"text": "y", "label": "p"}], labels={"n": "neg", "p": "pos"})
    assert [case.target for case in named] == ["neg", "pos"]
    assert from_rows([{"text": "x", "label": ["a", "b"]}])[0].targets == ("a", "b")
    assert from_rows([{"text": "x"}])[0].target == ""


def test_repeated_examples_get_numbers_but_repeated_ids_are_refused() -> None:
    twice = from_rows([{"text": "x", "label": "0"}, {"text": "x", "label": "0"}, {"text": "y", "label": "1"}])
    assert twice[1].id == f"{twice[0].id}#2"
    checked(twice)
    same = from_rows([{"text": "x", "label": "0", "id": "1"}, {"text": "y", "label": "1", "id": "1"}])
    with pytest.raises(ConfigError, match=r"1 of 2 ids are not unique \(1\)"):
        checked(same)


REFUSED = [
    ("none.csv", None, r"none\.csv: there is no such file"),
    ("empty.csv", "", r"empty\.csv: no case found"),
    ("head.csv", "text,label\n", r"head\.csv: no case found"),
    ("empty.jsonl", "\n\n", r"empty\.jsonl: no case found"),
    ("bad.jsonl", '{"text": "a"}\nnot json\n', r"bad\.jsonl:2: not JSON"),
    ("list.jsonl", "[1]\n", r"list\.jsonl:1: must be one JSON object"),
    ("gap.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n', r"row 2: 'label' is missing"),
    ("ragged.csv", "text,label\na,1\nb\n", r"ragged\.csv, row 2: 1 fields, expected 2"),
    ("odd.csv", "foo,bar\na,1\n", r"which of the columns foo, bar is the input"),
    ("what.xlsx", "x", r"what format is '\.xlsx'"),
]


@pytest.mark.fault("C4")
@pytest.mark.parametrize(("name", "content", "message"), REFUSED, ids=[one[0] for one in REFUSED])
def test_a_bad_file_is_refused_with_what_was_found(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(ConfigError, match=message):
        load_file(tmp_path / name)


def test_a_file_that_is_not_utf8_and_a_near_miss(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"text,label\ncaf\xe9,1\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_file(tmp_path / "latin.csv")
    with pytest.raises(ConfigError, match=r"did you mean 'latin\.csv'"):
        load_file(tmp_path / "latni.csv")


def test_wrong_columns_and_labels_name_the_nearest() -> None:
    rows = [{"text": "x", "label": "0"}]
    with pytest.raises(ConfigError, match="no column 'txt'; did you mean 'text'"):
        from_rows(rows, columns={"input": "txt"})
    with pytest.raises(ConfigError, match="'inputs' is no role; did you mean 'input'"):
        from_rows(rows, columns={"inputs": "text"})
    with pytest.raises(ConfigError, match=r"unknown label '0'; known: 1=pos"):
        from_rows(rows, labels={"1": "pos"})


def cases(n: int, classes: int = 2) -> list[Case]:
    return [new_case(f"text {i}", str(i % classes)) for i in range(n)]


@pytest.mark.fault("C4")
@pytest.mark.parametrize(
    ("some", "message"),
    [([], "no case found; at least 2"), (cases(1), "1 case found"), (cases(5, 1), r"all 5 cases .* \(1 class found\)")],
)
def test_sets_on_which_nothing_can_evolve_are_refused(some: list[Case], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split(some)


def test_tasks_without_targets_are_no_single_class() -> None:
    assert len(checked([new_case("a"), new_case("b")])) == 2


@pytest.mark.fault("C4")
def test_overlap_is_refused_with_its_count() -> None:
    some = cases(10)
    with pytest.raises(ConfigError, match="3 of 5 test cases are also in dev"):
        apart(some[:5], some[2:7])
    with pytest.raises(ConfigError, match="1 of 1"):
        apart([new_case("same text", "0")], [new_case("same text ", "1")])


def test_splits_are_seeded_disjoint_and_of_the_size_asked() -> None:
    some = cases(40)
    one, again, other = (
        split(some, dev=10, test=20, seed=1),
        split(some, dev=10, test=20, seed=1),
        split(some, dev=10, test=20, seed=2),
    )
    assert one == again != other
    assert (len(one.dev), len(one.test)) == (10, 20)
    assert not {case.id for case in one.dev} & {case.id for case in one.test}
    assert len(split(some, dev=0.25).test) == 30
    with pytest.raises(ConfigError, match="30 dev and 20 test cases wanted, 40 found"):
        split(some, dev=30, test=20)
    for bad in (1.5, -1, True):
        with pytest.raises(ConfigError, match="give a count"):
            split(some, dev=bad)


@given(st.lists(st.integers(0, 6), min_size=12, max_size=40), st.integers(0, 5))
def test_repeated_inputs_never_stand_on_both_sides(numbers: list[int], seed: int) -> None:
    some = from_rows([{"text": f"t{number}", "label": str(i % 2)} for i, number in enumerate(numbers)])
    try:
        parts = split(some, dev=0.5, seed=seed)
    except ConfigError:
        return
    assert not {case.input for case in parts.dev} & {case.input for case in parts.test}


def test_aligned_files(tmp_path: Path) -> None:
    source, one, two = (write(tmp_path / name, text) for name, text in (("s", "a\nb\n"), ("1", "A\nB\n"), ("2", "AA\nBB")))
    assert [(case.input, case.targets) for case in load_aligned(source, [one, two])] == [("a", ("A", "AA")), ("b", ("B", "BB"))]
    assert load_aligned(source, [one])[0].target == "A"
    with pytest.raises(ConfigError, match=r"1 lines, but .* has 2"):
        load_aligned(source, [write(tmp_path / "3", "A\n")])


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the real data")
def test_real_data_load_and_do_not_overlap() -> None:
    for name in ("agnews", "mr", "sst-5"):
        dev, test = load_file(DATA / "classification" / name / "dev.txt"), load_file(DATA / "classification" / name / "test.txt")
        assert (len(checked(dev)), len(checked(test))) == (200, 500)
        apart(dev, test)
    folder = DATA / "simplification" / "asset"
    asset = load_aligned(folder / "test.src", sorted(folder.glob("test.simp.*")))
    assert len(asset) == 359 and all(len(case.targets) == 10 for case in asset)
