from __future__ import annotations

import pytest

pytest.importorskip("torch")
import torch

from llmevo.core import Seed
from llmevo.weights.adapter import LowRank
from llmevo.weights.merge import breadcrumbs, dare, dense, rules, ties
from llmevo.weights.merge.basis import common
from llmevo.weights.merge.dense import Rows


def changes(count: int = 3, out: int = 60, into: int = 40) -> list[LowRank]:
    draw = torch.Generator().manual_seed(count)
    return [LowRank(torch.randn(2 + i % 2, into, generator=draw), torch.randn(out, 2 + i % 2, generator=draw)) for i in range(count)]


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "TOGETHER", 700)


@pytest.mark.usefixtures("few_rows")
def test_a_few_rows_at_a_time_are_the_whole() -> None:
    three = changes()
    blocks = list(Rows(three))
    assert max(stack.shape[1] for _, stack in blocks) == 5 and len(blocks) == 12, "never more than a few rows"
    whole = torch.stack([one.delta() for one in three])
    assert torch.allclose(torch.cat([stack for _, stack in blocks], dim=1), whole, atol=1e-5)


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("place", [1, 2, 77, 1200, 2399, 2400])
def test_the_magnitude_at_a_place_is_exact(place: int) -> None:
    three = changes()
    rows = torch.cat([stack for _, stack in Rows(three)], dim=1).abs().flatten(1)
    low, high = Rows(three).band(place, place)
    assert torch.equal(low, rows.sort(dim=1).values[:, place - 1]) and torch.equal(high, low)


def test_a_sample_that_misleads_does_not_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    three = changes()
    rows = torch.cat([stack for _, stack in Rows(three)], dim=1).abs().flatten(1).sort(dim=1).values
    for wrong in (0.0, 1e9):
        monkeypatch.setattr(Rows, "_sample", lambda self, wrong=wrong: np.full((3, 10_000), wrong, dtype=np.float32))
        assert torch.equal(Rows(three).band(900, 1500)[0], rows[:, 899])


@pytest.mark.usefixtures("few_rows")
def test_the_best_change_of_a_rank_is_found_without_the_matrix() -> None:
    three, weights = changes(out=300, into=200), [0.5, 1.0, 0.3]
    merged = ties([{"a": one} for one in three], weights=weights, density=0.3, space="delta", rank=4)["a"]
    whole = torch.stack([one.delta() for one in three])
    right = rules.Entries(lambda stack, name: rules.elected(stack, weights), 0.3)(whole, "a")
    left_out = float(torch.linalg.svdvals(right)[4:].norm())
    assert merged.rank == 4
    assert left_out * (1 - 1e-5) <= float((merged.delta() - right).norm()) <= 1.01 * left_out


@pytest.mark.usefixtures("few_rows")
def test_random_entries_do_not_depend_on_the_rank_that_is_kept() -> None:
    one = {"a": changes(1, 30, 20)[0]}
    full, again, less = (dare([one], weights=[1.0], density=0.5, seed=Seed.of(1), space="delta", rank=rank)["a"] for rank in (20, 20, 3))
    assert torch.equal(full.up, again.up)
    s = torch.linalg.svdvals(full.delta())
    assert float((less.delta() - full.delta()).norm()) <= 1.01 * float(s[3:].norm())
    entries = full.delta() / one["a"].delta()
    assert all(abs(x) < 1e-3 or abs(x - 2) < 1e-3 for x in entries.flatten().tolist()), "each is dropped, or doubled"


def test_breadcrumbs_leave_out_the_very_largest() -> None:
    one = changes(1)[0]
    kept = breadcrumbs([{"a": one}], weights=[1.0], density=0.5, gamma=0.1, space="delta", rank=40)["a"].delta()
    size = one.delta().abs()
    count = size.numel()
    bounds = size.flatten().sort().values
    stay = (size >= bounds[int(count * 0.4)]) & (size <= bounds[int(count * 0.9) - 1])
    assert torch.allclose(kept, one.delta() * stay, atol=1e-4)


def test_a_common_basis_is_orthonormal_and_exact() -> None:
    for axes in (False, True):
        found = common([changes(), changes()], axes=axes)
        left, right = found.ups @ found.left, found.downs @ found.right
        assert torch.allclose(left.mT @ left, torch.eye(left.shape[-1], dtype=torch.float64).expand(2, -1, -1), atol=1e-6)
        for i, one in enumerate(changes()):
            assert torch.allclose((left @ found.cores[:, i] @ right.mT)[1].float(), one.delta(), atol=1e-5)


def test_adapters_that_depend_on_each_other_are_no_trouble() -> None:
    one = changes(1)[0]
    found = common([[one, LowRank(one.down, -2 * one.up), LowRank(torch.zeros(1, 40), torch.zeros(60, 1))]], axes=True)
    both = found.compressed(found.cores.sum(dim=1), 8)[0]
    assert torch.allclose(both.delta(), -one.delta(), atol=1e-5) and bool(torch.isfinite(both.up).all())
