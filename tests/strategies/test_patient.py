from __future__ import annotations

import pytest

from llmevo.breeding import keep_all, uniform
from llmevo.core import Seed
from llmevo.strategies import Genetic, Patient, sequence
from llmevo.testing.toy import Digits, Toy, mutate
from tests.strategies.test_genetic import bear, founders

SEED = Seed.of(0)


def patient(births: int) -> Patient[Digits]:
    return Patient(Genetic(Toy("a", mutate, 1), uniform, keep_all, seed=SEED), births)


def test_it_ends_after_so_many_births_without_a_better_one() -> None:
    search = sequence(founders(1), patient(3))
    values = iter([5.0, 1.0, 1.0, 6.0, 1.0, 6.0, 2.0, 9.0])
    lived = []
    while matings := search.ask(1):
        lived.append(next(values))
        search.tell([bear(matings[0], lived[-1])])
    assert lived == [5.0, 1.0, 1.0, 6.0, 1.0, 6.0, 2.0], "6.0 begins the count anew, a second 6.0 does not"
    assert search.ending == "no better one in 3 births" and search.view.best is not None and search.view.best.fitness.value == 6.0


def test_what_is_open_is_told_and_a_new_view_begins_anew() -> None:
    search = patient(1)
    first = founders(1)
    first.tell([bear(first.ask(1)[0], 5.0)])
    search.view = first.view
    one, two = search.ask(1), search.ask(1)
    search.tell([bear(one[0], 1.0)])
    assert not search.ask(1) and search.ending
    search.tell([bear(two[0], 7.0)])
    assert search.ask(1) and search.ending is None, "what was open was better"
    with pytest.raises(ValueError, match="at least one birth"):
        patient(0)
