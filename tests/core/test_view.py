from __future__ import annotations

from dataclasses import replace

from llmevo.core import Fitness, Individual, Stillborn, View
from llmevo.core.view import HALL
from llmevo.testing.toy import Digits
from tests.helpers import one


def child(name: str, value: float | None, parent: str, seat: int, digits: str | None = None) -> Individual[Digits]:
    return replace(one(name, value, seat=seat, digits=digits), parents=(parent,))


def started(*members: Individual[Digits]) -> View[Digits]:
    empty: View[Digits] = View()
    return empty.advance(members, members)


def test_the_best_is_the_best_ever_and_valid_first() -> None:
    a = one("a", 1.0)
    view = started(a)
    view = view.advance([b := one("b", 5.0)], [b]).advance([c := one("c", 2.0)], [c])
    assert view.best and view.best.id == "b" and view.population[0].id == "c"
    assert view.worst and view.worst.id == "a"
    loud = one("d", 99.0, violation=1.0)
    view = view.advance([loud], [loud])
    assert view.best and view.best.id == "b" and view.worst and view.worst.id == "d"


def test_failures_and_stillbirths_are_never_remembered() -> None:
    view = started(one("a", 1.0)).advance([], [one("b", None), Stillborn("c", "no")])
    assert [x.id for x in view.hall] == ["a"] and view.worst and view.worst.id == "a"
    assert View().best is None


def test_the_hall_is_ranked_bounded_one_place_per_genome_ties_to_the_first() -> None:
    births = [one(f"n{i}", float(i % 7), digits=f"{i}") for i in range(40)]
    view = started(*births)
    values = [x.fitness.value for x in view.hall]
    assert values == sorted(values, reverse=True) and len(view.hall) == HALL
    assert [x.id for x in view.hall[:5]] == ["n6", "n13", "n20", "n27", "n34"]
    again = one("again", 100.0, digits="6")
    assert "again" not in [x.id for x in view.advance([again], [again]).hall], "its genome is there already"


def test_revised_downwards_the_best_has_a_successor() -> None:
    a, b = one("a", 1.0), one("b", 5.0)
    view = started(a, b)
    lower = replace(b, fitness=Fitness(0.0))
    after = view.advance([a, lower], [lower])
    assert after.best and after.best.id == "a" and after.worst
    assert after.memory["b"].best.fitness.value == 0.0
    assert view.best and view.best.fitness.value == 5.0, "the earlier snapshot is unchanged"


def test_a_reassessed_one_is_renewed_wherever_it_is_remembered() -> None:
    view = started(old := one("old", 1.0))
    mover = child("mover", 0.5, "old", 0, digits="77")
    view = view.advance([mover], [mover], {"mover"})
    for i in range(HALL):  # pushes `old` out of the hall: only a memory and `worst` hold it
        view = view.advance([mover], [one(f"n{i}", 9.0 + i, digits=str(i))])
    view = replace(view, worst=old)
    again = replace(old, fitness=Fitness(0.75))
    memory = view.advance([mover], [again]).memory["mover"]
    assert memory.best.fitness.value == 0.75 and memory.previous and memory.previous.fitness.value == 0.75
    worst = view.advance([mover], [again]).worst
    assert worst and worst.fitness.value == 0.75


def test_renewed_tells_newborns_from_reassessed() -> None:
    view = started(a := one("a", 1.0))
    again, b = replace(a, fitness=Fitness(3.0)), one("b", 2.0)
    assert view.renewed([again, b, Stillborn("c", "no"), one("d", None)]) == ([again], [b])


def test_a_guest_that_is_only_remembered_may_live_here_again() -> None:
    """As on an island that began anew: a reassessed one does not come back, a guest does; who lives here is no newborn either way."""
    view = started(a := one("a", 1.0), b := one("b", 2.0, seat=1)).advance([b], [])
    assert [x.id for x in view.hall] == ["b", "a"]
    assert view.renewed([a, b]) == ([b], [])
    assert view.renewed([a, b], guests=[a, b]) == ([b], [a])


def test_memory_follows_a_seat() -> None:
    view = started(one("a", 3.0, seat=0), one("b", 1.0, seat=1))
    low = child("c", 2.0, "a", 0)
    view = view.advance([low, view.population[1]], [low], {"c"})
    assert view.memory["c"].previous and view.memory["c"].previous.id == "a" and view.memory["c"].best.id == "a"
    high = child("d", 4.0, "c", 0)
    view = view.advance([high, view.population[1]], [high], {"d"})
    assert view.memory["d"].previous and view.memory["d"].previous.id == "c" and view.memory["d"].best.id == "d"
    assert view.memory["b"].previous is None and view.memory["b"].best.id == "b"


def test_memory_follows_a_seat_also_when_the_parent_has_left() -> None:
    """With slots > 1 two moves of one particle are open at once: the second finds that its parent was replaced."""
    view = started(one("a", 9.0, seat=0))
    first, second = child("c", 2.0, "a", 0), child("d", 1.0, "a", 0)
    view = view.advance([first], [first], {"c"}).advance([second], [second], {"d"})
    assert view.memory["d"].best.id == "a" and view.memory["d"].previous and view.memory["d"].previous.id == "c"


def test_two_moves_of_one_seat_in_one_tell_both_count() -> None:
    view = started(one("a", 1.0, seat=0))
    good, last = child("c", 7.0, "a", 0), child("d", 2.0, "a", 0)
    view = view.advance([last], [good, last], {"c", "d"})
    assert view.memory["d"].best.id == "c"


def test_without_a_seat_of_its_own_a_newborn_starts_a_memory() -> None:
    view = started(one("a", 9.0, seat=0))
    newborn = child("c", 2.0, "a", 0)
    assert view.advance([newborn], [newborn]).memory["c"].best.id == "c"
    moved = child("d", 2.0, "a", 0).at(1)
    view = view.advance([view.population[0], moved], [child("d", 2.0, "a", 0)], {"d"})
    assert view.memory["d"].best.id == "d", "it did not get the seat"


def test_the_births_that_someone_was_the_first_parent_of_are_counted() -> None:
    view = started(one("a", 1.0), one("b", 2.0, seat=1))
    told = [child("c", 3.0, "a", 2), Stillborn("d", "no", ("a", "b")), child("e", None, "b", 3)]
    view = view.advance([*view.population, told[0]], told)  # type: ignore[list-item]
    assert [(view.memory[name].children, view.memory[name].stillborn) for name in "abc"] == [(1, 1), (1, 0), (0, 0)]
    view = view.advance(view.population, [told[0]])  # type: ignore[list-item]
    assert view.memory["a"].children == 1, "who comes back under its own id is no further child"
