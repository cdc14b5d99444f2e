from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from llmevo.breeding import Roles, keep_all, one_to_one, truncation, uniform
from llmevo.core import Seed
from llmevo.core.view import HALL
from llmevo.strategies import For, Founding, Genetic, Islands, sequence
from llmevo.testing.toy import Digits, Toy, fresh, mutate
from tests.helpers import run
from tests.strategies.test_genetic import bear

SEED = Seed.of(0)


def island(i: int, size: int = 2, succession: Any = None, selection: Any = uniform, last: int | None = None) -> Any:
    seed = SEED.fold("island", i)
    founding = Founding([Toy(f"{i}fresh{k}", fresh(), 0) for k in range(size)], seed=seed, deme=i)
    genetic = Genetic(Toy(f"{i}mutate", mutate, 1), selection, succession or truncation(3), seed=seed, deme=i)
    return sequence(founding, genetic if last is None else For(genetic, last))


def go(islands: Islands[Digits], asks: Sequence[int], value: Callable[[str], float | None]) -> list[str]:
    """For each ask the demes of its matings; every cohort is told at once."""
    shares = []
    for n in asks:
        matings = islands.ask(n)
        shares.append("".join(str(m.deme) for m in matings))
        if matings:
            islands.tell([bear(m, value(m.variation_key)) for m in matings])
    return shares


def test_islands_share_a_cohort_and_take_turns_at_the_remainder() -> None:
    shares = go(Islands([island(i, 9) for i in range(3)], interval=99), [4, 4, 1, 1, 1, 3], lambda key: 1.0)
    assert shares == ["0012", "1120", "2", "0", "1", "201"]


def test_the_best_migrate_round_the_ring() -> None:
    islands = Islands([island(i) for i in range(3)], interval=2, migrants=1)
    go(islands, [6], lambda key: float(key[0]))
    homes = [{x.id for x in one.view.population} for one in islands.islands]
    go(islands, [3], lambda key: -1.0)
    for i, one in enumerate(islands.islands):
        (guest,) = {x.id for x in one.view.population} & homes[(i - 1) % 3]
        assert next(x for x in one.view.population if x.id == guest).deme == i


def test_guests_challenge_the_worst_for_its_seat() -> None:
    """Where seats are fought for, a migrant must not enlarge the population."""
    islands = Islands([island(i, 4, one_to_one(), Roles(("self",))) for i in range(2)], interval=1, migrants=2)
    go(islands, [8] * 12, lambda key: hash(key) % 7 + 0.0)
    assert [len(one.view.population) for one in islands.islands] == [4, 4]
    assert [sorted(x.seat for x in one.view.population) for one in islands.islands] == [[0, 1, 2, 3]] * 2


def test_an_island_whose_founders_died_leaves_its_share_and_gets_no_guests() -> None:
    islands = Islands([island(i) for i in range(3)], interval=1, migrants=1)
    go(islands, [6], lambda key: None if key[0] == "1" else 1.0)
    shares = go(islands, [4] * 4, lambda key: 9.0 - int(key[0]))
    assert not any("1" in share for share in shares) and all(len(share) >= 3 for share in shares)
    assert islands.ending is None and islands.islands[1].ending == "0 of 2 founders live; first loss: no"
    assert len(islands._guests[1]) <= 1, "guests must not pile up where nobody asks"
    ids = {x.id for x in islands.islands[2].view.population}
    assert ids & {x.id for x in islands.islands[0].view.population}, "migration passes over the dead island"


def test_all_ended_is_the_end_and_every_island_says_why() -> None:
    islands = Islands([island(i, 1, last=2 + i) for i in range(2)])
    shares = go(islands, [2] * 5, lambda key: 1.0)
    assert shares == ["01", "01", "01", "1", ""]
    assert islands.ending == "island 0: all phases are complete; island 1: all phases are complete"


def test_the_view_is_that_of_all_islands_a_migrant_counts_once() -> None:
    islands = Islands([island(i, 4, keep_all) for i in range(3)], interval=1, migrants=2)
    outcome = run(islands, batch=6, stops=[lambda now: "enough" if now.births > 120 else None])
    view = outcome.view
    assert view.best is not None and view.best.fitness.value == max(x.fitness.value for x in view.population)
    assert view.worst and view.worst.fitness.value == min(x.fitness.value for x in view.population)
    assert len({x.genome.key for x in view.hall}) == len(view.hall) == HALL
    assert set(view.memory) >= {x.id for x in view.population}


def test_settings_are_checked() -> None:
    alone = island(0)
    for wrong in ([], [alone, alone]):
        with pytest.raises(ValueError, match="at least one island"):
            Islands(wrong)
    with pytest.raises(ValueError, match="interval"):
        Islands([alone], interval=0)
    with pytest.raises(ValueError, match="migrants"):
        Islands([alone], migrants=-1)
