from __future__ import annotations

import json
import math
import os
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
import torch
from safetensors.torch import load_file, save_file

from llmevo.core import ConfigError, StorageError
from llmevo.storage.seals import SEAL
from llmevo.weights.adapter import LowRank, content
from llmevo.weights.export import export
from llmevo.weights.leaves import CONFIG, WEIGHTS, load_expert, load_pool
from tests.weights.helpers import MODULES, adapter, deltas, far


def folder(place: Path, number: int = 1, rank: int = 2, tensors: Any = None, **config: Any) -> Path:
    """A PEFT folder, written by hand."""
    place.mkdir(parents=True)
    one = adapter(number, rank)
    data = {}
    for module, change in one.items():
        data[f"base_model.model.{module}.lora_A.weight"] = change.down
        data[f"base_model.model.{module}.lora_B.weight"] = change.up
    data |= tensors or {}
    save_file({name: tensor for name, tensor in data.items() if tensor is not None}, place / WEIGHTS)
    settings = {"peft_type": "LORA", "base_model_name_or_path": "tiny/base", "r": rank, "lora_alpha": rank, "bias": "none", **config}
    (place / CONFIG).write_text(json.dumps(settings))
    return place


def test_alpha_rank_patterns_and_rslora_are_folded(tmp_path: Path) -> None:
    plain = deltas(adapter(1))
    assert far(deltas(load_expert(folder(tmp_path / "a")).adapter), plain) == 0
    assert far(deltas(load_expert(folder(tmp_path / "b", lora_alpha=16)).adapter), {n: 8 * d for n, d in plain.items()}) < 1e-6
    rs = load_expert(folder(tmp_path / "c", lora_alpha=16, use_rslora=True)).adapter
    assert far(deltas(rs), {n: 16 / math.sqrt(2) * d for n, d in plain.items()}) < 1e-6
    patterned = load_expert(folder(tmp_path / "d", r=4, rank_pattern={"q_proj": 2, "v_proj": 2}, alpha_pattern={"v_proj": 6})).adapter
    assert torch.allclose(patterned[MODULES[0]].delta(), plain[MODULES[0]])
    assert torch.allclose(patterned[MODULES[1]].delta(), 3 * plain[MODULES[1]], atol=1e-5)


@pytest.mark.fault("W3", "W9", "W12")
def test_what_peft_saves_is_read_as_peft_means_it(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    for name, more in (("plain", {}), ("rs", {"use_rslora": True}), ("patterns", {"rank_pattern": {"b": 3}, "alpha_pattern": {"b": 9}})):
        model = torch.nn.ModuleDict({"a": torch.nn.Linear(6, 5), "b": torch.nn.Linear(4, 6)})
        tuned = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=6, target_modules=["a", "b"], init_lora_weights=False, **more))
        tuned.peft_config["default"].base_model_name_or_path = "tiny/base"
        tuned.save_pretrained(str(tmp_path / name))
        ours = load_expert(tmp_path / name).adapter
        wanted = {part: tuned.base_model.model[part].get_delta_weight("default").detach() for part in ("a", "b")}
        assert far(deltas(ours), wanted) < 1e-6, name
        out = export(ours, tmp_path / f"{name}-out", base="tiny/base").folder
        fresh = torch.nn.ModuleDict({"a": torch.nn.Linear(6, 5), "b": torch.nn.Linear(4, 6)})
        back = peft.PeftModel.from_pretrained(fresh, str(out))
        again = {part: back.base_model.model[part].get_delta_weight("default").detach() for part in ("a", "b")}
        assert far(again, wanted) < 1e-6, f"{name}: exported"


@pytest.mark.fault("W1")
@pytest.mark.parametrize("name", [f"base_model.model.{module}.lora_{role}.weight" for module in MODULES for role in "AB"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_found_and_named(tmp_path: Path, name: str, value: float) -> None:
    place = folder(tmp_path / "a")
    data = load_file(place / WEIGHTS)
    data[name][0, 1] = value
    save_file(data, place / WEIGHTS)
    with pytest.raises(ConfigError, match=name):
        load_expert(place)
    mended = load_expert(place, not_finite="zero").adapter
    assert all(bool(torch.isfinite(delta).all()) for delta in deltas(mended).values())


@pytest.mark.fault("W9")
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"use_dora": True}, "use_dora"), ({"bias": "all"}, "biases"), ({"lora_bias": True}, "biases"), ({"peft_type": "IA3"}, "IA3"),
        ({"modules_to_save": ["head"]}, "modules_to_save"), ({"use_qalora": True}, "quantised"),
        ({"r": 3}, "rank 2, its configuration says 3"), ({"lora_alpha": "x"}, "lora_alpha"),
    ],
)  # fmt: skip
def test_what_is_no_plain_lora_is_refused_by_name(tmp_path: Path, config: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_expert(folder(tmp_path / "a", **config))


@pytest.mark.fault("W9")
def test_tensors_of_other_methods_are_refused(tmp_path: Path) -> None:
    dora = {f"base_model.model.{MODULES[0]}.lora_magnitude_vector": torch.ones(16)}
    with pytest.raises(ConfigError, match="lora_magnitude_vector"):
        load_expert(folder(tmp_path / "a", tensors=dora))
    with pytest.raises(ConfigError, match="no exact adapter"):
        load_expert(folder(tmp_path / "b", tensors={f"base_model.model.{MODULES[0]}.lora_A.weight": torch.ones(2, 16, dtype=torch.int8)}))
    with pytest.raises(ConfigError, match="only one of its two factors"):
        load_expert(folder(tmp_path / "c", tensors={f"base_model.model.{MODULES[0]}.lora_A.weight": None}))


@pytest.mark.fault("W4")
def test_another_base_is_refused_with_both_names(tmp_path: Path) -> None:
    a, b = folder(tmp_path / "a"), folder(tmp_path / "b", 2, base_model_name_or_path="other/base")
    with pytest.raises(ConfigError, match=r"expert b was trained on other/base, and the base model here is tiny/base"):
        load_pool([a, b])
    with pytest.raises(ConfigError, match=r"expert a was trained on tiny/base.*my/base"):
        load_pool([a, a], base="my/base")
    with pytest.raises(ConfigError, match="revision"):
        load_pool([a, folder(tmp_path / "c", revision="v2")])


@pytest.mark.fault("W2")
def test_shapes_that_differ_are_listed(tmp_path: Path) -> None:
    odd = {f"base_model.model.{MODULES[0]}.lora_A.weight": torch.ones(2, 12)}
    with pytest.raises(ConfigError, match=r"layers.0.q_proj: \(16, 12\) in b, \(16, 16\) before"):
        load_pool([folder(tmp_path / "a"), folder(tmp_path / "b", tensors=odd)])


@pytest.mark.fault("W3")
def test_mixed_ranks_need_a_target(tmp_path: Path) -> None:
    places = [folder(tmp_path / "a"), folder(tmp_path / "b", 2, rank=4)]
    with pytest.raises(ConfigError, match=r"different ranks \(a 2, b 4\).*rank: 4"):
        load_pool(places)
    kept, cut = load_pool(places, rank=4), load_pool(places, rank=2)
    assert far(deltas(kept.experts[1].adapter), deltas(adapter(2, 4))) < 1e-6
    assert cut.rank == 2 and kept.rank == 4


@pytest.mark.fault("W5")
def test_missing_modules_are_zeros_only_if_asked(tmp_path: Path) -> None:
    lacking = {f"base_model.model.{MODULES[1]}.lora_{role}.weight": None for role in "AB"}
    places = [folder(tmp_path / "a"), folder(tmp_path / "b", tensors=lacking)]
    with pytest.raises(ConfigError, match=r"not changed by b: layers.1.v_proj"):
        load_pool(places)
    pool = load_pool(places, missing="zeros")
    assert not pool.experts[1].adapter[MODULES[1]].delta().any()


@pytest.mark.fault("W6")
def test_cut_files_are_refused_quickly(tmp_path: Path) -> None:
    place = folder(tmp_path / "a")
    whole = (place / WEIGHTS).read_bytes()
    for i in range(200):
        (place / WEIGHTS).write_bytes(whole[: i * len(whole) // 200])
        with pytest.raises(ConfigError, match="safetensors"):
            load_expert(place)


def crafted(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(shape: list[Any], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.fault("W6")
@pytest.mark.parametrize(
    "data",
    [
        b"", crafted({}, length=2**63), crafted({}, length=2**40), crafted(b"[" * 100_000), crafted([1]), crafted({"a": 1}),
        crafted({"a": entry([2**40, 2**40], 0, 8)}, bytes(8)), crafted({"a": entry([2], 0, 2**60)}, bytes(8)),
        crafted({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)), crafted({"a": entry([2], 4, 12)}, bytes(12)),
        crafted({"a": entry([-2], 0, 8)}, bytes(8)), crafted({"a": entry([True, 2], 0, 8)}, bytes(8)),
        crafted({"a": entry([2], 0, 8)}, bytes(99)), crafted({"a": entry(["2"], 0, 8)}, bytes(8)),
    ],
    ids=range(14),
)  # fmt: skip
def test_crafted_files_are_refused_without_allocating(tmp_path: Path, data: bytes) -> None:
    place = folder(tmp_path / "a")
    (place / WEIGHTS).write_bytes(data)
    tracemalloc.start()
    begun = time.process_time()
    with pytest.raises(ConfigError, match="safetensors"):
        load_expert(place)
    spent, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000, "nothing is allocated by what a header says"
    assert spent < 5, "far from hanging"


class Marker:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("pickle-was-opened"),))


@pytest.mark.fault("W7")
@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter.pt"])
def test_a_pickle_is_refused_and_never_opened(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    monkeypatch.chdir(tmp_path)
    place = folder(tmp_path / "a")
    (place / WEIGHTS).unlink()
    (place / name).write_bytes(pickle.dumps(Marker()))
    for given in (place, place / name):
        with pytest.raises(ConfigError, match=r"save_pretrained\(folder, safe_serialization=True\)"):
            load_expert(given)
    assert not (tmp_path / "pickle-was-opened").exists()
    pickle.loads(pickle.dumps(Marker()))
    assert (tmp_path / "pickle-was-opened").exists(), "the trap works"


def test_pools_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pool of experts is empty"):
        load_pool([])
    with pytest.raises(ConfigError, match="1 expert found"):
        load_pool([folder(tmp_path / "a")])
    with pytest.raises(ConfigError, match="no such folder"):
        load_pool([tmp_path / "a", tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"there is no adapter_model\.safetensors"):
        load_expert(tmp_path / "empty")


def test_a_pool_names_its_experts_once(tmp_path: Path) -> None:
    pool = load_pool([folder(tmp_path / "x" / "a"), folder(tmp_path / "y" / "a", 2)])
    assert [one.name for one in pool.experts] == ["a", "a#2"] == [leaf.name for leaf in pool.genomes]
    assert pool.builder({}).build(pool.genomes[1]) is pool.experts[1].adapter


@pytest.mark.fault("W8")
def test_what_does_not_fit_into_the_type_is_refused_or_counted(tmp_path: Path) -> None:
    large = {name: LowRank(one.down, one.up * 7e4) for name, one in adapter(1).items()}
    with pytest.raises(ConfigError, match=r"numbers of the adapter do not fit into float16"):
        export(large, tmp_path / "a", base="b", dtype="float16")
    assert not list(tmp_path.iterdir())
    done = export(large, tmp_path / "a", base="b", dtype="float16", clamp=True)
    assert done.overflows > 0 and load_expert(done.folder).adapter[MODULES[0]].up.abs().max() == 65504
    assert export(large, tmp_path / "c", base="b", dtype="bfloat16").overflows == 0


@pytest.mark.fault("W12")
def test_export_reads_back_as_it_was(tmp_path: Path) -> None:
    one = {MODULES[0]: adapter(1)[MODULES[0]], MODULES[1]: adapter(1, rank=4)[MODULES[1]]}
    out = export(one, tmp_path / "out", base="tiny/base", revision="v1")
    again = load_expert(out.folder)
    assert content(again.adapter) == content(one) and (again.base, again.revision) == ("tiny/base", "v1")
    with pytest.raises(ConfigError, match="exists"):
        export(one, tmp_path / "out", base="tiny/base")


@pytest.mark.fault("W11")
@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
def test_an_exported_adapter_that_was_changed_is_refused_by_the_name_of_the_file(tmp_path: Path, name: str) -> None:
    out = export(adapter(1), tmp_path / "out", base="tiny/base").folder
    whole = (out / name).read_bytes()
    changed = whole[:-1] + bytes([whole[-1] ^ 1]) if name == WEIGHTS else whole.replace(b"tiny/base", b"tiny/case")
    (out / name).write_bytes(changed)
    with pytest.raises(ConfigError, match=rf"out is not what was exported: {name} holds b2:\w+, exported was b2:\w+\. Export it again"):
        load_expert(out)
    (out / name).write_bytes(whole)
    assert content(load_expert(out).adapter) == content(adapter(1))
    (out / name).write_bytes(changed)
    (out / SEAL).unlink()
    assert load_expert(out), "without a seal the change was meant"
    (out / SEAL).write_text('{"files": 7}')
    with pytest.raises(StorageError, match=r"llmevo\.json cannot be read"):
        load_expert(out)


@pytest.mark.fault("W11")
@pytest.mark.parametrize(("point", "there"), [("adapter-written", False), ("adapter-named", True)])
def test_killed_while_writing_there_is_nothing_or_all_of_it(tmp_path: Path, point: str, there: bool) -> None:
    code = (
        "from pathlib import Path; from tests.weights.helpers import adapter; from llmevo.weights.export import export; "
        f"export(adapter(1), Path({str(tmp_path / 'out')!r}), base='tiny/base')"
    )
    environment = {**os.environ, "LLMEVO_CRASH": f"{point}:1", "OMP_NUM_THREADS": "1"}
    dead = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], env=environment, capture_output=True)
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    assert (tmp_path / "out").exists() == there
    out = load_expert(tmp_path / "out") if there else load_expert(export(adapter(1), tmp_path / "out", base="tiny/base").folder)
    assert content(out.adapter) == content(adapter(1)), "a new export finds no rubble in its way"
    assert not list(tmp_path.glob("*.new"))
