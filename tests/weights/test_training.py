"""Experts from the user's files: standard folders, the same from the same seed, and what they learnt is what is evaluated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

from safetensors.torch import load_file  # noqa: E402

from llmevo.core import ConfigError, Seed  # noqa: E402
from llmevo.fitness import Case  # noqa: E402
from llmevo.weights.adapter import LowRank  # noqa: E402
from llmevo.weights.asking import Asking  # noqa: E402
from llmevo.weights.population import Population  # noqa: E402
from llmevo.weights.training import Training, embedded_folder, train_expert, train_experts  # noqa: E402
from tests.weights.tiny import base  # noqa: E402

CASES = [Case(f"c{i}", f"{letter}:", letter.upper()) for i, letter in enumerate("abcdefgh")]
QUICK = Training(rank=4, epochs=40, batch=8, rate=1e-2)


def read(folder: Path) -> dict[str, LowRank]:
    """The factors of a PEFT folder."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    scale = config["lora_alpha"] / config["r"]
    paths = [name.removeprefix("base_model.model.").removesuffix(".lora_A.weight") for name in tensors if "lora_A" in name]
    names = {path: f"base_model.model.{path}.lora_{{}}.weight" for path in paths}
    return {path: LowRank(tensors[name.format("A")], tensors[name.format("B")] * scale) for path, name in names.items()}


def test_an_expert_answers_what_it_learnt(tmp_path: Path) -> None:
    one = base()
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    losses = train_expert(one, CASES, tmp_path / "expert", QUICK, Seed.of(1))
    assert losses[-1] < 0.2 * losses[0]
    after = one.model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], tensor) for name, tensor in before.items())
    learnt = read(tmp_path / "expert")
    assert len(learnt) == 14, "every linear layer but the last"
    forced = Asking(one).forced(CASES)
    untouched, expert = Population(one).run([{}, learnt], forced)
    assert sum(hit for hit, _ in expert) >= 7 > sum(hit for hit, _ in untouched)  # type: ignore[union-attr]


def test_it_loads_elsewhere(tmp_path: Path) -> None:
    one = base()
    train_expert(one, CASES, tmp_path / "expert", QUICK, Seed.of(1))
    learnt, forced = read(tmp_path / "expert"), Asking(one).forced(CASES)
    ours = Population(one).run([learnt], forced)[0]
    loaded = peft.PeftModel.from_pretrained(base().model, str(tmp_path / "expert"))
    with torch.no_grad():
        theirs = forced(loaded, None, range(len(CASES)), 1)[0]
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=1e-4, atol=1e-4)
    assert json.loads((tmp_path / "expert" / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"


def test_the_seed_decides(tmp_path: Path) -> None:
    few = Training(rank=2, epochs=1, batch=8)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_expert(base(), CASES, tmp_path / name, few, Seed.of(seed))
    a, b, c = (load_file(tmp_path / name / "adapter_model.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def write(path: Path, letters: str) -> Path:
    path.write_text("".join(json.dumps({"input": f"{one}:", "target": one.upper()}) + "\n" for one in letters))
    return path


def test_a_pool_from_files_and_slices(tmp_path: Path) -> None:
    files = [write(tmp_path / "first.jsonl", "abcd"), write(tmp_path / "second.jsonl", "efghi")]
    training = Training(rank=2, epochs=1, shared_down=True)
    found = train_experts(files, tmp_path / "pool", model="embedded", slices=2, training=training)
    assert [(one.folder.name, one.cases) for one in found] == [("first-0", 2), ("first-1", 2), ("second-0", 3), ("second-1", 2)]
    parts = [load_file(one.folder / "adapter_model.safetensors") for one in found]
    downs = [name for name in parts[0] if "lora_A" in name]
    assert all(torch.equal(part[name], parts[0][name]) for part in parts for name in downs), "one inner factor for all"
    ups = [name for name in parts[0] if "lora_B" in name]
    assert any(not torch.equal(parts[0][name], parts[1][name]) for name in ups)
    again = train_experts(files, tmp_path / "pool", model="embedded", slices=2, training=training)
    assert [one.losses for one in again] == [()] * 4, "what is there is not trained again"


def test_the_command(tmp_path: Path, capsys: Any) -> None:
    from tests.cli.helpers import say

    file = write(tmp_path / "first.jsonl", "abcd")
    said = say(capsys, "train-experts", file, "-o", tmp_path / "pool", "--epochs", "1", "--rank", "2", "--json")
    assert said.code == 0, said.err
    [one] = json.loads(said.out)
    assert Path(one["folder"]) == tmp_path / "pool" / "first" and one["cases"] == 4 and len(one["losses"]) == 1
    config = json.loads((tmp_path / "pool" / "first" / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"]) == ("LORA", 2)


def test_what_cannot_work_is_refused_first(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", "ab")
    (tmp_path / "other").mkdir()
    twin = write(tmp_path / "other" / "good.jsonl", "cd")
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"input": "a"}\n{"input": "b"}\n')
    for files, more, words in [
        ([], {}, "no file of cases"),
        ([tmp_path / "gone.jsonl"], {}, "there is no such file"),
        ([good, bare], {}, "has no target: an expert learns from answers"),
        ([good, twin], {}, "two files are called good"),
        ([good], {"slices": 3}, "2 cases cannot be cut into 3 slices"),
        ([good], {"slices": 0}, "slices: give 1 or more"),
        ([good], {"model": str(tmp_path / "nowhere")}, "nowhere cannot be loaded"),
    ]:
        with pytest.raises(ConfigError, match=words):
            train_experts(files, tmp_path / "pool", **{"model": embedded_folder(), **more})  # type: ignore[arg-type]
    assert not (tmp_path / "pool").exists()
    for name, value in (("rank", 0), ("rate", -1.0), ("epochs", 0)):
        with pytest.raises(ConfigError, match=f"{name}: must be positive"):
            Training(**{name: value})
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigError, match="is there already"):
        train_expert(base(), CASES, tmp_path / "taken", QUICK, Seed.of(1))
    with pytest.raises(ConfigError, match="training diverged in epoch"):
        train_expert(base(), CASES, tmp_path / "wild", Training(epochs=2, rate=1e30), Seed.of(1))
    assert not (tmp_path / "wild").exists()
