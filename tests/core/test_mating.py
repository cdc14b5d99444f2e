from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmevo.breeding import Reassess
from llmevo.core import FREE, CaseSlice, Fitness, Mating, Seed, Usage, canonical, content_key, plan
from llmevo.testing.toy import Digits, Toy, cross, mutate
from tests.helpers import one

A, B = one("a", 1.0, digits="11"), one("b", 2.0, digits="22", seat=1)
SEED = Seed.of(1)
BASE: dict[str, Any] = {"variation": Toy("cross", cross, 2), "parents": (A, B), "seed": SEED, "ordinal": 0}


def mating(**changes: Any) -> Mating[Digits]:
    return plan(**{**BASE, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"variation": Toy("cross2", cross, 2)}, {"variation": Toy("cross", cross, 2, fails=0.1)}, {"parents": (B, A)},
        {"parents": (A, A)}, {"parents": (A, replace(B, id="c"))}, {"parents": (A, replace(B, genome=Digits((3, 3))))},
        {"seed": Seed.of(2)}, {"ordinal": 1}, {"seat": 1}, {"deme": 1}, {"cases": CaseSlice(())}, {"cases": CaseSlice(("a",))},
        {"cases": CaseSlice(("a",), repeat=1)}, {"cases": CaseSlice(("a", "b"))},
    ],
)  # fmt: skip
def test_anything_changed_changes_the_id(change: dict[str, Any]) -> None:
    assert mating(**change).id != mating().id


def test_equal_plans_have_equal_ids_and_scores_are_no_part_of_them() -> None:
    assert mating().id == mating().id
    assert mating(parents=(replace(A, fitness=Fitness(9.0)), B)).id == mating().id


def test_arity_is_checked() -> None:
    with pytest.raises(ValueError, match="takes 2 parents, the selection gave 1"):
        mating(parents=(A,))


def test_copies_of_a_parent_are_no_children_unless_picking_is_the_point() -> None:
    assert mating().copies(Digits((1, 1))) and not mating().copies(Digits((1, 2)))
    assert not mating(variation=Toy("pick", cross, 2, picks=True)).copies(Digits((1, 1)))


def test_birth_and_stillbirth_carry_the_plan() -> None:
    planned = mating(seat=3, deme=2)
    born = planned.birth(Digits((5, 5)), Fitness(1.0), Usage(calls=1), step=7)
    assert (born.id, born.parents, born.seat, born.deme, born.step, born.variation) == (planned.id, ("a", "b"), 3, 2, 7, "cross")
    lost = planned.stillbirth("no", FREE, step=7)
    assert (lost.id, lost.parents, lost.seat, lost.deme, lost.error) == (planned.id, ("a", "b"), 3, 2, "no")


def test_a_reassessed_individual_comes_back_as_itself() -> None:
    again = plan(Reassess(), (B,), SEED, 5).birth(B.genome, Fitness(0.5), FREE, step=9)
    assert again == replace(B, fitness=Fitness(0.5)), "only its fitness is new"


def test_arity_none_takes_any_number() -> None:
    for parents in ((), (A,), (A, B)):
        assert plan(Toy("many", mutate, None), parents, SEED, 0).parents == parents


def test_canonical_json() -> None:
    assert canonical({"b": 1, "a": ["é", "\ud800\x00"]}) == '{"a":["\\u00e9","\\ud800\\u0000"],"b":1}'
    assert content_key({"b": 1, "a": 2}) == content_key({"a": 2, "b": 1}) == "b2:" + KEY
    with pytest.raises(ValueError):
        canonical(float("nan"))


KEY = "cf18a029e5a0c29229df0753ee807c70"
