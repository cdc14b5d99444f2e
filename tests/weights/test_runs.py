"""A run file for adapters, from the experts' folders to the winner's: on the model that ships with the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from llmevo import exporting, runs  # noqa: E402
from llmevo.config import KINDS, check_config, load_task, read_config  # noqa: E402
from llmevo.core import ConfigError, Seed  # noqa: E402
from llmevo.face import evolve_adapters  # noqa: E402
from llmevo.report.doctor import examine  # noqa: E402
from llmevo.weights.adapter import LowRank, content  # noqa: E402
from llmevo.weights.export import export  # noqa: E402
from llmevo.weights.leaves import CONFIG, WEIGHTS, load_expert  # noqa: E402

MODULES = {f"model.layers.{layer}.self_attn.{name}": (128, 128) for layer in (0, 3) for name in ("q_proj", "v_proj")}


def expert(place: Path, number: int, rank: int = 2, base: str = "embedded") -> Path:
    made = {}
    for name, (out, into) in MODULES.items():
        rng = Seed.of(number).fold(name).rng()
        down, up = rng.normal(size=(rank, into)) / into**0.5, rng.normal(size=(out, rank)) * 0.3
        made[name] = LowRank(torch.from_numpy(down.astype("float32")), torch.from_numpy(up.astype("float32")))
    return export(made, place, base=base).folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with four experts, twenty cases and a run file."""
    for i in range(4):
        expert(tmp_path / "pool" / f"e{i}", i)
    words = ("kettle", "lamp", "phone", "watch", "chair")
    rows = [
        {"input": f"The {word} {i} is {'great' if good else 'awful'}.", "target": "good" if good else "bad"}
        for i, word in enumerate(words * 2)
        for good in (True, False)
    ]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write(tmp_path)
    return tmp_path


def settings(**more: Any) -> dict[str, Any]:
    return {
        "recipe": "genome", "population": 4, "steps": 2, "models": {"base": "embedded"}, "experts": "pool",
        "task": {"cases": {"path": "cases.jsonl", "labels": ["good", "bad"]}, "seeds": ["Is it good?"], "dev": 12, "fitness": "likelihood"},
        **more,
    }  # fmt: skip


def write(place: Path, **more: Any) -> Path:
    path = place / "run.yaml"
    path.write_text(yaml.safe_dump(settings(**more)))
    return path


def loaded(place: Path, **more: Any) -> tuple[Any, Any]:
    config = read_config(write(place, **more))
    return config, load_task(config.task, seed=config.seed, near=place)


async def run(place: Path, folder: Path | None, **more: Any) -> Any:
    config, task = loaded(place, **more)
    return await runs.run(config, task, folder=folder)


def test_from_a_run_file_to_a_peft_folder(place: Path) -> None:
    import asyncio

    folder = place / "runs" / "one"
    result = asyncio.run(run(place, folder))
    assert result.best is not None and result.pause is None and result.held_out is not None
    assert result.outcome.progress.births == 12
    assert not list(folder.rglob("*.safetensors")), "no adapter is written before it is asked for"
    again = asyncio.run(run(place, folder))
    assert again.outcome.history == result.outcome.history
    assert asyncio.run(run(place, None)).outcome.history == result.outcome.history
    assert runs.replay_run(*loaded(place), folder).history == result.outcome.history
    assert not examine(folder).problems
    out = exporting.export_best(folder, place / "best")
    assert not examine(folder).problems
    saved = load_expert(out)
    assert saved.base == "embedded" and set(saved.adapter) == set(MODULES)
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    from llmevo.weights.training import embedded_folder

    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(embedded_folder(), dtype=torch.float32), str(out))
    for name, change in saved.adapter.items():
        layer = model.base_model.model.get_submodule(name)
        assert torch.allclose(layer.get_delta_weight("default"), change.delta(), atol=1e-6)
    (out / WEIGHTS).write_bytes((out / WEIGHTS).read_bytes()[:-1] + b"?")
    (problem,) = examine(folder).problems
    assert f"{out} is not what was exported from this run: {WEIGHTS} holds" in problem


def test_the_same_run_through_the_commands(place: Path, capfd: Any) -> None:
    from typer.testing import CliRunner

    from llmevo.cli.app import app

    folder = str(place / "runs" / "two")

    def call(*words: str) -> str:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, (words, done.output, done.exception)
        return done.output

    record = json.loads(call("run", str(place / "run.yaml"), "--run", folder, "--set", "steps=1", "--json"))
    assert record["births"] == 8 and not record["paused"]
    assert json.loads(call("show", folder, "--json"))["births"] == 8
    assert json.loads(call("replay", str(place / "run.yaml"), folder, "--set", "steps=1", "--json"))["births"] == 8
    assert "no problem" in call("doctor", folder) or "sound" in call("doctor", folder)
    assert json.loads(call("plan", str(place / "run.yaml"), "--json"))["matings"] == 12
    call("best", folder, "-o", str(place / "winner"))
    assert load_expert(place / "winner").adapter


def test_the_face(place: Path) -> None:
    rows = [json.loads(line) for line in (place / "cases.jsonl").read_text().splitlines()]
    result = evolve_adapters(
        [place / "pool" / f"e{i}" for i in range(4)], rows, base="embedded", labels=["good", "bad"], prompt="Is it good or bad?",
        recipe="portfolio", population=4, steps=2, dev=12,
    )  # fmt: skip
    assert result.best is not None
    out = result.export(place / "best")
    assert content(load_expert(out).adapter)


def test_the_best_vote(place: Path) -> None:
    import asyncio

    from llmevo.report.summary import summarise

    folder = place / "runs" / "vote"
    plain = settings()["task"]
    more = {"recipe": "genome-plus", "vote": 3, "task": {**plain, "fitness": "score"}}
    result = asyncio.run(run(place, folder, **more))
    assert result.vote is not None and result.best is not None and result.held_out is not None
    assert len(result.vote.candidates) == 3 and result.vote.candidates[0] == result.best.genome.key
    assert result.vote.alone == pytest.approx(result.best.fitness.value)
    assert result.vote.dev >= result.vote.alone and result.vote.held_out is not None
    if result.vote.size == 1:
        assert result.vote.held_out.mean == result.held_out.mean
    asked = count_passes()
    again = asyncio.run(run(place, folder, **more))
    assert again.vote == result.vote == summarise(folder, KINDS).vote and count_passes() == asked, "it is read, not counted again"
    out = exporting.export_best(folder, place / "voters", vote=True)
    assert sorted(one.name for one in out.iterdir()) == [str(i + 1) for i in range(result.vote.size)]
    assert result.export_vote(place / "again").is_dir()
    best = load_expert(exporting.export_best(folder, place / "best"))
    assert content(load_expert(out / "1").adapter) == content(best.adapter)


def test_what_a_search_has_to_beat_is_scored_before_it(place: Path, capfd: Any) -> None:
    import asyncio

    from llmevo import console
    from llmevo.config.adapters import export_genome, resident
    from llmevo.report.summary import summarise

    pytest.importorskip("peft")
    folder = place / "runs" / "portfolio"
    more = {"experts": {"folders": ["pool"], "portfolio": True}, "steps": 1}
    born: list[Any] = []
    config, task = loaded(place, **more)
    result = asyncio.run(runs.run(config, task, folder=folder, on_cohort=lambda now: born.extend(now.births)))
    summary = summarise(folder, KINDS)
    assert {"expert", "greedy soup", "expert, scaled", "base", "average", "gradient"} < set(summary.makers)
    assert summary.makers["expert"][0] == 4 and summary.makers["base"][0] == 1 and "mixed" in summary.makers
    assert result.best is not None and result.best.fitness.value == max(best for _, best in summary.makers.values())
    assert summary.makers["gradient"][1] > summary.makers["base"][1], "it has seen the answers"
    console.show_summary(summary)
    assert "greedy soup" in capfd.readouterr().out
    assert asyncio.run(run(place, folder, **more)).outcome.history == result.outcome.history
    assert runs.replay_run(*loaded(place, **more), folder).history == result.outcome.history
    # The gradient's adapter is a recipe as any other: it is made again from the record.
    taught = next(one for one in born if one.variation.startswith("gradient"))
    first = load_expert(export_genome(taught.genome, result.notes, place / "g1"))
    resident.cache_clear()
    second = load_expert(export_genome(taught.genome, result.notes, place / "g2"))
    assert content(first.adapter) == content(second.adapter) and set(first.adapter) == set(MODULES)


def test_engine_and_size_of_a_pass_outlive_the_process(place: Path) -> None:
    import asyncio

    from llmevo.config.adapters import resident
    from llmevo.weights.plans import Plans

    folder = place / "runs" / "plans"
    asyncio.run(run(place, folder, steps=1))
    written = json.loads((folder / "plans.json").read_text())
    assert written["plans"] and not examine(folder).problems
    for plan in written["plans"].values():  # what no cost model would choose here
        plan.update(engine="stack", group=3, tokens=333)
    (folder / "plans.json").write_text(json.dumps(written))
    resident.cache_clear()  # as in a new process
    asyncio.run(run(place, folder, steps=2))
    assert json.loads((folder / "plans.json").read_text()) == written
    (folder / "plans.json").write_text("{}")
    with pytest.raises(ConfigError, match="no record of plans"):
        asyncio.run(run(place, folder, steps=3))
    other = place / "runs" / "fresh"
    asyncio.run(run(place, other, steps=1))
    assert Plans(other / "plans.json")._plans != {} and json.loads((other / "plans.json").read_text()) != written


def test_deep_ga_divides_the_dev_cases(place: Path) -> None:
    import asyncio

    result = asyncio.run(run(place, None, recipe="deep-ga", parents=2))
    sizes = {len(one.fitness.cases) for one in result.outcome.view.hall}
    assert result.best is not None and len(result.best.fitness.cases) == 12 and sizes <= {9, 12}


def test_a_repeated_run_makes_no_pass(place: Path) -> None:
    import asyncio

    from llmevo.config.adapters import resident

    folder = place / "runs" / "twice"
    first = asyncio.run(run(place, folder))
    resident.cache_clear()
    again = asyncio.run(run(place, folder))
    assert again.outcome.history == first.outcome.history and again.held_out == first.held_out
    assert count_passes() == 0, "the model was loaded anew and not asked once"


def test_an_expert_that_changed_is_noticed_at_the_export(place: Path) -> None:
    import asyncio
    import shutil

    folder = place / "runs" / "changed"
    asyncio.run(run(place, folder, steps=1))
    shutil.rmtree(place / "pool" / "e2")
    expert(place / "pool" / "e2", 77)
    with pytest.raises(ConfigError, match=r"the expert in .*e2 is not the one that this run began with"):
        exporting.export_best(folder, place / "late")
    assert not (place / "late").exists()


def count_passes() -> int:
    """Passes of the resident model so far."""
    from llmevo.config.adapters import resident
    from llmevo.config.models import BaseConfig

    return resident("embedded", BaseConfig(model="embedded")).passes


def test_nobody_votes_where_the_recipe_does_not_say_so(place: Path) -> None:
    import asyncio

    folder = place / "runs" / "plain"
    result = asyncio.run(run(place, folder, steps=1))
    assert result.vote is None
    with pytest.raises(LookupError, match="nobody voted"):
        result.export_vote(place / "x")
    with pytest.raises(ConfigError, match="nobody voted"):
        exporting.export_best(folder, place / "x", vote=True)


def untold(place: Path) -> None:
    (place / "cases.jsonl").write_text("".join(json.dumps({"input": letter}) + "\n" for letter in "abcdef"))
    write(place, task={"cases": {"path": "cases.jsonl"}, "scorer": "exact"})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: (p / "pool" / "e1" / WEIGHTS).rename(p / "pool" / "e1" / "adapter_model.bin"), "is a pickle"),
        (lambda p: (p / "pool" / "e1" / WEIGHTS).write_bytes(b"12345678"), "no complete safetensors file"),
        (lambda p: expert(p / "pool" / "x", 9, rank=3), "say which one children get"),
        (lambda p: expert(p / "pool" / "x", 9, base="gemma"), r"trained on gemma, and the base model here is embedded"),
        (lambda p: [(p / "pool" / f"e{i}" / CONFIG).unlink() for i in (1, 2, 3)], "1 expert found; there is nothing to merge"),
        (lambda p: write(p, experts=[]), "pool of experts is empty"),
        (lambda p: write(p, experts=["nowhere", "pool/e1"]), "there is no such folder"),
        (lambda p: write(p, models={}), "no base model"),
        (lambda p: untold(p), "has no target: give one to every case"),
    ],
    ids=["bin", "truncated", "ranks", "base", "one", "empty", "nowhere", "no-model", "no-targets"],
)
def test_bad_input_is_refused_before_anything_is_computed(place: Path, damage: Any, words: str) -> None:
    import asyncio

    damage(place)
    path, folder = place / "run.yaml", place / "runs" / "bad"
    with pytest.raises(ConfigError, match=words):
        config = read_config(path)
        asyncio.run(runs.run(config, load_task(config.task, seed=0, near=place), folder=folder))
    assert not folder.exists()


def test_what_is_missing_is_said() -> None:
    values = {"recipe": "genome", "task": {"cases": {"path": "x"}}}
    from llmevo.config import assemble
    from llmevo.llm.build import Connections

    with pytest.raises(ConfigError, match="no experts are given"):
        assemble(check_config(values), None, Connections())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs `phenotype: encoded`, or experts"):
        check_config({**values, "task": {"cases": {"path": "x"}, "fitness": "likelihood"}})
