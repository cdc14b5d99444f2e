"""Every mistake in a run file is refused with what, where and the cure, before anything else happens."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmevo.config import check_config, read_config, resolved
from llmevo.config.models import Section
from llmevo.config.reading import load_yaml
from llmevo.config.schema import RunConfig
from llmevo.core import ConfigError

GOOD = """\
recipe: evoprompt-ga
seed: 1
population: 4
steps: 2
models:
  task: {model: small, base_url: "http://localhost:1/v1", temperature: 0.5}
  operator: edits
task:
  cases: {path: cases.jsonl}
  dev: 5
  scorer: exact
budget: {calls: 10}
stop:
  barren: 5
"""


def refusal(tmp_path: Path, text: str, *overrides: str) -> str:
    file = tmp_path / "run.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_config(file, overrides)
    assert caught.value.exit_code == 78
    return str(caught.value)


def test_the_file_of_these_tests_is_good(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(GOOD)
    config = read_config(tmp_path / "run.yaml")
    assert config.settings["population"] == 4 and config.settings["selection"] == "roulette"
    assert config.models.operator is not None and config.models.operator.model == "edits"


MISTAKES = {
    "top key": ("seed: 1", "sead: 1", "line 2", "sead: unknown key", "'seed'"),
    "setting": ("population: 4", "popluation: 4", "line 3", "popluation: unknown key", "'population'"),
    "model key": ("temperature: 0.5", "temprature: 0.5", "line 6", "models.task.temprature: unknown key", "'temperature'"),
    "task key": ("scorer: exact", "scorrer: exact", "line 11", "task.scorrer: unknown key", "'scorer'"),
    "scorer key": ("scorer: exact", "scorer: {function: 'a:b', isolat: {}}", "line 11", "task.scorer.isolat: unknown key", "'isolate'"),
    "isolate key": ("exact", "{function: 'a:b', isolate: {timout: 1}}", "line 11", "task.scorer.isolate.timout: unknown", "'timeout'"),
    "scorer type": ("scorer: exact", "scorer: 3", "line 11", "task.scorer: input should be a valid string", "not 3"),
    "cases key": ("{path: cases.jsonl}", "{path: c.jsonl, colums: {}}", "line 9", "task.cases.colums: unknown key", "'columns'"),
    "budget key": ("{calls: 10}", "{call: 10}", "line 12", "budget.call: unknown key", "'calls'"),
    "stop key": ("barren: 5", "baren: 5", "line 14", "stop.baren: unknown key", "'barren'"),
    "model role": ("  operator: edits", "  operater: edits", "line 7", "models.operater: unknown key", "'operator'"),
    "seed type": ("seed: 1", "seed: one", "line 2", "seed", "'one'"),
    "seed bool": ("seed: 1", "seed: true", "line 2", "seed", "True"),
    "float setting": ("population: 4", "population: 4.5", "line 3", "population", "4.5"),
    "text number": ("temperature: 0.5", "temperature: 5e-1", "line 6", "'5e-1'", "write 0.5"),
    "quoted number": ("temperature: 0.5", 'temperature: "0.5"', "line 6", "'0.5'", "write 0.5"),
    "quoted count": ("{calls: 10}", '{calls: "10"}', "line 12", "budget.calls", "'10'"),
    "yes": ("temperature: 0.5", "seed: yes", "line 6", "models.task.seed", "write true or false"),
    "on": ("temperature: 0.5", "seed: on", "line 6", "models.task.seed", "write true or false"),
    "one": ("temperature: 0.5", "seed: 1", "line 6", "models.task.seed", "not 1"),
    "too hot": ("temperature: 0.5", "temperature: 2.5", "line 6", "less than or equal to 2", "2.5"),
    "negative": ("{calls: 10}", "{calls: -1}", "line 12", "budget.calls", "-1"),
    "zero budget": ("{calls: 10}", "{calls: 0}", "line 12", "greater than or equal to 1", "not 0"),
    "infinite": ("{calls: 10}", "{seconds: .inf}", "line 12", "finite", "inf"),
    "not a number": ("barren: 5", "target: .nan", "line 14", "finite", "nan"),
    "zero steps": ("steps: 2", "steps: 0", "line 4", "steps: 0 is out of range", "at least 1"),
    "zero population": ("population: 4", "population: 0", "line 3", "population: 0 is out of range", "at least 1"),
    "zero batch": ("seed: 1", "batch: 0", "line 2", "batch: 0 is out of range", "at least 1"),
    "choice": ("seed: 1", "selection: lottery", "line 2", "selection", "'roulette'"),
    "share": ("dev: 5", "dev: 1.5", "line 10", "task.dev", "1.5"),
    "recipe": ("evoprompt-ga", "evoprompt-gb", "line 1", "no recipe 'evoprompt-gb'", "'evoprompt-ga'"),
    "no recipe": ("recipe: evoprompt-ga\n", "", "run.yaml", "which recipe?", "`recipe: evoprompt-ga`"),
    "no cases": ("  cases: {path: cases.jsonl}\n", "", "task", "task.cases: this key is missing", ""),
    "both sources": ("{path: cases.jsonl}", "{path: a, dataset: b}", "line 9", "either path", "or dataset"),
    "no source": ("{path: cases.jsonl}", "{limit: 3}", "line 9", "either path", "or dataset"),
    "no encoder": ("dev: 5", "phenotype: encoded", "line 8", "encoder", "go together"),
    "encoder alone": ("dev: 5", "encoder: some/where", "line 8", "phenotype: encoded", "go together"),
    "settings key": ("population: 4", "settings: {population: 4}", "line 3", "settings: unknown key", "stand beside"),
    "twice": ("seed: 1", "seed: 1\nseed: 2", "line 3", "'seed' stands here twice", ""),
    "twice inside": ("{calls: 10}", "{calls: 10, calls: 20}", "line 12", "'calls' stands here twice", ""),
    "a list": (GOOD, "- recipe: evoprompt-ga", "run.yaml", "mapping", "`recipe: evoprompt-ga`"),
    "nothing": (GOOD, "", "run.yaml", "mapping", "`recipe: evoprompt-ga`"),
    "broken": ("seed: 1", "seed: [1", "line", "not valid YAML", ""),
    "tag": ("seed: 1", "seed: !!python/object/apply:os.system [true]", "line 2", "not valid YAML", "python/object"),
    "section": ("stop:\n  barren: 5", "stop: never", "line 13", "stop", "'never'"),
}  # fmt: skip


@pytest.mark.fault("C1")
@pytest.mark.fault("C2")
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_line_and_its_cure(tmp_path: Path, name: str) -> None:
    old, new, *expected = MISTAKES[name]
    assert old in GOOD
    message = refusal(tmp_path, GOOD.replace(old, new, 1))
    assert str(tmp_path / "run.yaml") in message
    for words in expected:
        assert words in message, message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD.replace("seed: 1", "sead: 1").replace("scorer: exact", "scorrer: 1").replace("steps: 2", "steps: x"))
    assert len(message.splitlines()) == 3 and all(word in message for word in ("sead", "scorrer", "steps"))


@pytest.mark.fault("C2")
def test_yes_and_no_stay_words_where_words_are_meant(tmp_path: Path) -> None:
    text = GOOD.replace("{path: cases.jsonl}", "{path: cases.jsonl, labels: [yes, no, on, off]}")
    (tmp_path / "run.yaml").write_text(text)
    config = read_config(tmp_path / "run.yaml")
    assert config.task.cases.labels == ["yes", "no", "on", "off"]
    assert yaml.safe_load(yaml.safe_dump(resolved(config)))["task"]["cases"]["labels"] == ["yes", "no", "on", "off"]


@pytest.mark.fault("C7")
def test_bombs_and_foreign_objects_are_refused_quickly(tmp_path: Path) -> None:
    wide = "a: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    narrow = "a: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 16))
    texts = {
        "wide bomb": (wide, "aliases"),
        "narrow bomb": (narrow, "more than 100,000 values"),
        "endless": ("a: &a [*a]", "more than 100,000 values"),
        "deep": ("a: " + "[" * 50_000, "nested more than 50 deep"),
        "object": ("a: !!python/object/new:os.system [echo]", "not valid YAML"),
        "binary name": ("a: !!python/name:os.system", "not valid YAML"),
    }
    for name, (text, expected) in texts.items():
        began = time.monotonic()
        message = refusal(tmp_path, text)
        assert expected in message, (name, message)
        assert time.monotonic() - began < 5


def test_aliases_in_moderation_are_welcome(tmp_path: Path) -> None:
    text = GOOD.replace("models:\n  task: {model", "models:\n  task: &m {model").replace("operator: edits", "operator: *m")
    (tmp_path / "run.yaml").write_text(text)
    config = read_config(tmp_path / "run.yaml")
    assert config.models.operator == config.models.task


@pytest.mark.fault("C7")
def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    assert "at most 1,000,000 bytes" in refusal(tmp_path, "#" * 50_000_000)


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "reviews.yaml").write_text(GOOD)
    with pytest.raises(ConfigError, match=r"no such run file; did you mean 'reviews\.yaml'\?"):
        read_config(tmp_path / "review.yaml")
    with pytest.raises(ConfigError, match="no such run file"):
        read_config(tmp_path / "nowhere" / "run.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"recipe: \xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "run.yaml")


class TestOverrides:
    def read(self, tmp_path: Path, *overrides: str, text: str = GOOD) -> RunConfig:
        (tmp_path / "run.yaml").write_text(text)
        return read_config(tmp_path / "run.yaml", overrides)

    def test_values_are_yaml_at_any_depth(self, tmp_path: Path) -> None:
        config = self.read(tmp_path, "population=7", "task.cases.limit=9", "budget.usd=1.5", "task.seeds=[a, b]", "stop.target=0.9")
        assert config.settings["population"] == 7 and config.task.cases.limit == 9 and config.budget.usd == 1.5
        assert config.task.seeds == ["a", "b"] and config.stop.target == 0.9
        assert config.budget.calls == 10

    def test_a_model_by_name_keeps_its_name(self, tmp_path: Path) -> None:
        text = GOOD.replace("operator: edits", "operator: embedded")
        config = self.read(tmp_path, "models.operator.temperature=0.7", text=text)
        assert config.models.operator is not None
        assert (config.models.operator.model, config.models.operator.temperature) == ("embedded", 0.7)

    def test_a_section_that_is_empty_or_absent_is_made(self, tmp_path: Path) -> None:
        config = self.read(tmp_path, "budget.calls=3", "stop.barren=9", text=GOOD.replace("budget: {calls: 10}", "budget:"))
        assert config.budget.calls == 3 and config.stop.barren == 9

    @pytest.mark.parametrize(
        ("override", "expected"),
        [
            ("population", "write key=value"),
            ("=3", "write key=value"),
            ("population=[", "not valid YAML"),
            ("seed.deep=3", "'seed' holds 1"),
            ("poplation=3", "did you mean 'population'"),
            ("seed=!!python/name:os.system", "not valid YAML"),
            ("population=x", "population"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, override: str, expected: str) -> None:
        message = refusal(tmp_path, GOOD, override)
        assert expected in message
        assert "line 2" not in message and "line 3" not in message, "the mistake is not in the file"


def test_resolved_settings_are_a_run_file_again(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(GOOD)
    config = read_config(tmp_path / "run.yaml")
    plain = resolved(config)
    assert check_config(plain) == config and resolved(check_config(plain)) == plain
    again, lines = load_yaml(yaml.safe_dump(plain, sort_keys=False), "again")
    assert check_config(again) == config and lines[("models", "task", "model")] > 0


RICH: dict[str, Any] = {
    "recipe": "evoprompt-de",
    "donor": "none",
    "models": {"task": {"model": "m", "price": {"input": 1, "output": 2.5}, "extra": {"top_k": 5, "stop": None}, "seed": True}},
    "task": {
        "cases": {"dataset": "a/b", "name": "c", "columns": {"input": "text"}, "labels": {"0": "no", "1": "yes"}},
        "test": {"path": "t.csv", "format": "csv"},
        "dev": 0.25,
        "seeds": [{"a": "x", "b": "y"}],
        "phenotype": "encoded",
        "encoder": "e",
        "vocabulary": ["ä", "\u202e"],
    },
    "budget": {"usd": 0, "seconds": 3},
    "stop": {"target": 0.5},
    "cache": "shared.sqlite",
}


def test_a_rich_configuration_survives_its_own_file() -> None:
    config = check_config(RICH)
    text = yaml.safe_dump(resolved(config), sort_keys=False, allow_unicode=True)
    assert check_config(load_yaml(text, "again")[0]) == config


def every_field(model: type[Section], seen: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, one in model.model_fields.items():
        inner = [kind for kind in (one.annotation, *getattr(one.annotation, "__args__", ())) if isinstance(kind, type)]
        sections = [kind for kind in inner if issubclass(kind, Section) and kind is not model]
        found += [(*seen, name)] if not sections else every_field(sections[0], (*seen, name))
    return found


def test_the_documentation_of_models_names_every_key_of_a_model() -> None:
    page = Path(__file__).parents[2] / "docs" / "models.md"
    text = page.read_text(encoding="utf-8")
    keys = {place[2] for place in every_field(RunConfig) if place[:2] == ("models", "task")}
    assert keys >= {"model", "base_url", "api_key_env", "price"}
    assert not [key for key in keys if f"`{key}" not in text and f"{key}:" not in text]


class TestOwnRecipes:
    def check(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, **more: Any) -> RunConfig:
        name = f"own_recipe_{abs(hash(code))}"
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return check_config({"recipe": f"{name}:search", "task": {"cases": {"path": "x"}}, **more}, near=tmp_path)

    def test_its_signature_is_its_schema(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        code = "def search(kit, *, steps: int = 3, rate: float = 0.5, free=None, needed: str): ..."
        config = self.check(tmp_path, monkeypatch, code, needed="x", rate=1)
        assert config.settings == {"steps": 3, "rate": 1.0, "free": None, "needed": "x"}
        with pytest.raises(ConfigError, match="needed: this key is missing"):
            self.check(tmp_path, monkeypatch, code)
        with pytest.raises(ConfigError, match="steps: 0 is out of range"):
            self.check(tmp_path, monkeypatch, code, needed="x", steps=0)

    def test_what_cannot_be_a_recipe_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for code, expected in (
            ("search = 3", "is a int"),
            ("def find(kit): ...", "did you mean|known"),
            ("def search(kit, *, a: Missing = 1): ...", "Missing"),
            ("raise RuntimeError('no')", "raised RuntimeError"),
        ):
            code = code if code != "def search(kit, *, a: Missing = 1): ..." else f"from __future__ import annotations\n{code}"
            with pytest.raises(ConfigError, match=expected):
                self.check(tmp_path, monkeypatch, code)
        with pytest.raises(ConfigError, match="no module 'nowhere'"):
            check_config({"recipe": "nowhere:search", "task": {"cases": {"path": "x"}}}, near=tmp_path)
