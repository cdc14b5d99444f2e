from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch")
import torch

from llmevo.core import ConfigError, Seed
from llmevo.weights.adapter import Adapter, LowRank
from llmevo.weights.flat import Flat, pack
from llmevo.weights.merge import (
    METHODS,
    dare,
    della,
    extrapolate,
    linear,
    model_stock,
    prune,
    slerp,
    split,
    task_arithmetic,
    ties,
)
from llmevo.weights.merge.methods import depths
from tests.weights.helpers import MODULES, adapter, deltas, far

A, B, C = adapter(1), adapter(2), adapter(3, rank=4)
SEED = Seed.of(3)


def stacked(adapters: list[Adapter], weights: list[float]) -> dict[str, torch.Tensor]:
    """The weighted sum of the full matrices."""
    return {name: sum(w * one[name].delta() for w, one in zip(weights, adapters, strict=True)) for name in MODULES}  # type: ignore[misc]


def test_full_rank_equals_the_stack() -> None:
    weights = [0.3, -1.2, 0.7]
    assert far(deltas(task_arithmetic([A, B, C], weights=weights, rank=8)), stacked([A, B, C], weights)) < 1e-6


def test_less_rank_is_the_best_of_that_rank() -> None:
    merged = task_arithmetic([A, B, C], weights=[1, 1, 1], rank=3)
    for name, whole in stacked([A, B, C], [1, 1, 1]).items():
        s = torch.linalg.svdvals(whole)
        assert float((merged[name].delta() - whole).norm()) == pytest.approx(float(s[3:].norm()), rel=1e-4)
        assert merged[name].rank == 3


WHOLE: dict[str, dict[str, Any]] = {
    "task-arithmetic": {"weights": [1.0]}, "linear": {"weights": [3.0]}, "ties": {"weights": [1.0], "density": 1.0},
    "dare": {"weights": [1.0], "density": 1.0, "seed": SEED}, "dare-ties": {"weights": [1.0], "density": 1.0, "seed": SEED},
    "della": {"weights": [1.0], "density": 1.0, "epsilon": 0.0, "seed": SEED}, "model-stock": {}, "prune": {"density": 1.0},
    "breadcrumbs": {"weights": [1.0], "density": 1.0, "gamma": 0.0},
    "slerp": {"t": 0.4}, "split": {"at": 0.5}, "extrapolate": {"by": 0.7},
}  # fmt: skip


@pytest.mark.fault("W3")
@pytest.mark.parametrize("space", ["product", "delta", "factors"])
@pytest.mark.parametrize("name", METHODS)
def test_alone_with_weight_one_an_adapter_stays_itself(name: str, space: str) -> None:
    """Methods of two parents get the same one twice."""
    count = 2 if name in ("slerp", "split", "extrapolate") else 1
    for one in (A, C):
        assert far(deltas(METHODS[name]([one] * count, space=space, **WHOLE[name])), deltas(one)) < 2e-6


@pytest.mark.parametrize("space", ["product", "delta", "factors"])
def test_an_adapter_less_itself_is_nothing(space: Any) -> None:
    nothing = task_arithmetic([A, dict(A)], weights=[1, -1], space=space)
    largest = max(float(delta.abs().max()) for delta in deltas(A).values())
    assert max(float(delta.abs().max()) for delta in deltas(nothing).values()) < 1e-6 * largest


def test_a_shared_down_is_merged_exactly_by_its_ups() -> None:
    b = {name: LowRank(A[name].down, B[name].up) for name in MODULES}
    for space in ("product", "factors"):
        assert far(deltas(task_arithmetic([A, b], weights=[0.25, 0.5], space=space)), stacked([A, b], [0.25, 0.5])) < 2e-6  # type: ignore[arg-type]
    wrong = task_arithmetic([A, B], weights=[0.5, 0.5], space="factors")
    assert far(deltas(wrong), stacked([A, B], [0.5, 0.5])) > 0.1, "factors of independent adapters do not belong together"


def test_adapters_in_one_piece_are_summed_as_any_others() -> None:
    flat = [pack(one) for one in (A, B)]
    assert pack(flat[0]) is flat[0] and far(deltas(flat[1]), deltas(B)) == 0
    ours = task_arithmetic(flat, weights=[0.3, -0.8], space="factors")
    assert isinstance(ours, Flat)
    assert far(deltas(ours), deltas(task_arithmetic([A, B], weights=[0.3, -0.8], space="factors"))) < 1e-6
    shared = [pack(A), pack({name: LowRank(A[name].down, B[name].up) for name in MODULES})]
    assert far(deltas(task_arithmetic(shared, weights=[0.25, 0.5], space="factors")), stacked(shared, [0.25, 0.5])) < 2e-6  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ties", "breadcrumbs", "model-stock", "linear"])
def test_the_order_does_not_matter(name: str) -> None:
    settings = {} if name == "model-stock" else {"weights": [1.0, 1.0, 1.0]}
    there, back = METHODS[name]([A, B, C], **settings), METHODS[name]([C, A, B], **settings)
    assert far(deltas(there), deltas(back)) < 1e-4


def reference_ties(stack: torch.Tensor, weights: list[float], density: float) -> torch.Tensor:
    """Entry by entry, in words of the paper."""
    n, flat = len(stack), stack.flatten(1)
    keep = round(density * flat.shape[1])
    out = torch.zeros(flat.shape[1])
    bounds = [sorted(row.abs().tolist(), reverse=True)[keep - 1] for row in flat]
    for j in range(flat.shape[1]):
        entries = [float(flat[i, j]) if abs(float(flat[i, j])) >= bounds[i] else 0.0 for i in range(n)]
        total = sum(w * x for w, x in zip(weights, entries, strict=True))
        voters = [(w, x) for w, x in zip(weights, entries, strict=True) if x and (x > 0) == (total > 0)]
        out[j] = sum(w * x for w, x in voters) / sum(w for w, _ in voters) if voters else 0.0
    return out.view(stack.shape[1:])


def test_ties_is_the_papers() -> None:
    weights = [0.5, 1.0, 0.25]
    merged = ties([A, B, C], weights=weights, density=0.4, space="delta", rank=16)
    for name in MODULES:
        stack = torch.stack([one[name].delta() for one in (A, B, C)])
        assert torch.allclose(merged[name].delta(), reference_ties(stack, weights, 0.4), atol=1e-5)


def test_twice_shrunk_ties_is_smaller() -> None:
    """As released: a weighted mean is divided by the number of its voters once more."""
    right, released = (ties([A, A], weights=[0.5, 0.5], density=1.0, twice=twice) for twice in (False, True))
    assert far(deltas(right), deltas(A)) < 1e-5
    assert far({name: 2 * delta for name, delta in deltas(released).items()}, deltas(A)) < 1e-5


def test_dare_keeps_the_expectation_and_as_released_does_not() -> None:
    def mean(rescale: bool) -> dict[str, torch.Tensor]:
        many = [deltas(dare([A], weights=[1.0], density=0.5, seed=SEED.fold(i), rescale=rescale, rank=16)) for i in range(400)]
        return {name: torch.stack([one[name] for one in many]).mean(0) for name in MODULES}

    whole = deltas(A)
    assert far(mean(True), whole) < 0.2
    assert far(mean(False), {name: one / 2 for name, one in whole.items()}) < 0.2


def test_della_prefers_large_entries() -> None:
    many = [deltas(della([A], weights=[1.0], density=0.5, epsilon=0.9, seed=SEED.fold(i), space="delta", rank=16)) for i in range(50)]
    name = MODULES[0]
    alive = torch.stack([(one[name].abs() > 1e-5).float() for one in many]).mean(0)
    order = A[name].delta().abs().argsort(dim=1)
    small, large = alive.gather(1, order[:, :4]).mean(), alive.gather(1, order[:, -4:]).mean()
    assert small < 0.3 < 0.7 < large


@pytest.mark.parametrize("merge", [dare, della, METHODS["dare-ties"]])
def test_what_is_random_is_seeded(merge: Callable[..., Adapter]) -> None:
    a, b, other = (merge([A, B], weights=[1.0, 1.0], seed=seed) for seed in (SEED, SEED, Seed.of(4)))
    assert all(torch.equal(a[name].up, b[name].up) for name in MODULES)
    assert far(deltas(a), deltas(other)) > 0.01


def test_slerp_keeps_the_norm_on_the_way() -> None:
    unit = [{name: LowRank(one.down, one.up / one.delta().norm()) for name, one in each.items()} for each in (A, B)]
    half = deltas(slerp(unit, t=0.5, rank=16))
    assert all(float(delta.norm()) == pytest.approx(1.0, abs=1e-4) for delta in half.values())
    assert far(deltas(slerp([A, B], t=0.0, rank=16)), deltas(A)) < 1e-5
    assert far(deltas(slerp([A, B], t=1.0, rank=16)), deltas(B)) < 1e-5


def test_split_changes_sides_at_the_depth() -> None:
    merged = deltas(split([A, B], at=0.5, t=0.0, rank=16))
    first, second = MODULES
    assert torch.allclose(merged[first], A[first].delta(), atol=1e-4) and torch.allclose(merged[second], B[second].delta(), atol=1e-4)


def test_weights_per_group_of_layers() -> None:
    merged = deltas(task_arithmetic([A, B], weights=[[1.0, 0.0], [0.0, 2.0]], rank=16))
    assert torch.allclose(merged[MODULES[0]], A[MODULES[0]].delta(), atol=1e-4)
    assert torch.allclose(merged[MODULES[1]], 2 * B[MODULES[1]].delta(), atol=1e-4)
    assert depths(["model.layers.3.a", "model.layers.0.a", "head"]) == {"model.layers.3.a": 0.75, "model.layers.0.a": 0.0, "head": 2 / 3}


def test_extrapolation_pruning_and_stock() -> None:
    beyond = extrapolate([A, B], by=0.5, rank=8)
    assert far(deltas(beyond), stacked([A, B], [1.5, -0.5])) < 1e-5
    sparse = prune([A], density=0.25, space="delta", rank=16)
    assert sum(int((delta.abs() > 1e-5).sum()) for delta in deltas(sparse).values()) == round(0.25 * (16 * 16 + 8 * 16))
    agreed, opposed = model_stock([A, A]), model_stock([A, {name: LowRank(one.down, -one.up) for name, one in A.items()}])
    assert far(deltas(agreed), deltas(A)) < 1e-5
    assert max(float(delta.abs().max()) for delta in deltas(opposed).values()) < 1e-5


@pytest.mark.fault("W2", "W5")
def test_what_does_not_fit_is_refused() -> None:
    short = {MODULES[0]: A[MODULES[0]]}
    with pytest.raises(ConfigError, match=r"only some adapters change layers.1.v_proj"):
        linear([A, short], weights=[1, 1])
    crooked = {**A, MODULES[0]: LowRank(torch.ones(2, 8), torch.ones(16, 2))}
    with pytest.raises(ConfigError, match="has shape"):
        linear([A, crooked], weights=[1, 1])
    with pytest.raises(ConfigError, match="1 weights for 2"):
        linear([A, B], weights=[1])
    with pytest.raises(ConfigError, match="sum to 0"):
        linear([A, B], weights=[1, -1])
    with pytest.raises(ConfigError, match=r"ranks \[2, 4\] cannot be merged"):
        linear([A, C], weights=[1, 1], space="factors")
    with pytest.raises(ConfigError, match="density is a share"):
        ties([A, B], weights=[1, 1], density=0.0)
    with pytest.raises(ConfigError, match="takes 2 adapters"):
        slerp([A])
    with pytest.raises(ConfigError, match="nothing to merge"):
        model_stock([])


def peft_merged(kind: str, weights: list[float], **more: Any) -> dict[str, torch.Tensor]:
    """The same merge by PEFT, on the same tensors: two adapters on a little model."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    layer = torch.nn.Linear(16, 16, bias=False)
    model = peft.get_peft_model(torch.nn.ModuleDict({"q": layer}), peft.LoraConfig(r=2, lora_alpha=2, target_modules=["q"]), "one")
    model.add_adapter("two", peft.LoraConfig(r=2, lora_alpha=2, target_modules=["q"]))
    target = model.base_model.model["q"]
    for name, one in (("one", A), ("two", B)):
        target.lora_A[name].weight.data = one[MODULES[0]].down.clone()
        target.lora_B[name].weight.data = one[MODULES[0]].up.clone()
    model.add_weighted_adapter(["one", "two"], weights, "both", combination_type=kind, **more)
    return {MODULES[0]: target.get_delta_weight("both").detach()}


def test_agrees_with_peft_where_the_definitions_do() -> None:
    first = {MODULES[0]: A[MODULES[0]]}, {MODULES[0]: B[MODULES[0]]}
    weights = [0.3, 0.9]
    assert far(deltas(task_arithmetic(first, weights=weights, rank=2)), peft_merged("svd", weights, svd_rank=2)) < 1e-5
    assert far(deltas(task_arithmetic(first, weights=weights, rank=4)), peft_merged("cat", weights)) < 1e-5
    roots = [weight**0.5 for weight in weights]  # that is what PEFT multiplies each factor with
    assert far(deltas(task_arithmetic(first, weights=roots, space="factors")), peft_merged("linear", weights)) < 1e-6
    even: dict[str, Any] = {"weights": [1.0, 1.0], "density": 0.5}
    whole: dict[str, Any] = {"space": "delta", "rank": 16}
    assert far(deltas(ties(first, **even, **whole)), peft_merged("ties_svd", [1.0, 1.0], density=0.5, svd_rank=16)) < 1e-4
    assert far(deltas(ties(first, **even, space="factors")), peft_merged("ties", [1.0, 1.0], density=0.5)) < 1e-6
    pruned = METHODS["breadcrumbs"](first, weights=weights, density=0.5, gamma=0.0, **whole)
    assert far(deltas(pruned), peft_merged("magnitude_prune_svd", weights, density=0.5, svd_rank=16)) < 1e-4
