"""The recipes of answers do what they are named after: seen in the matings of whole searches with a scripted model."""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from llmevo.core import Individual, Stillborn
from llmevo.fitness.check import Verdict
from llmevo.refining import refine

QUESTION = "Find the CONFIG of four digits."
MODEL = "scripted:recipe_model:model"
ASKED: list[str] = []
GARBLED: list[str] = []
"""Instructions with one of these in them get a reply that cannot be read."""


def model(request: Any) -> str:
    """Mixes the configurations that it is shown, and changes one digit; samples when it is shown none."""
    prompt = request.messages[0].content
    ASKED.append(prompt)
    if any(words in prompt for words in GARBLED):
        return "I would rather not say."
    chance = random.Random(f"{request.sample} {prompt}")
    if "<question>" in prompt:
        return f"<question>Which CONFIG, in other words? ({chance.randrange(10**6)})</question>"
    if "<critique>" in prompt:
        return "<critique>change one digit</critique>"
    if "<chosen>" in prompt:
        return f"<chosen>{', '.join(map(str, chance.sample(range(1, 16), 15)))}</chosen>"
    answers = re.findall(r"^Answer[^:\n]*: CONFIG = \[([\d, ]+)\]", prompt, re.MULTILINE)
    shown = [[int(digit) for digit in found.split(",")] for found in answers]
    values = [chance.randrange(10) for _ in range(4)]
    if shown:
        values = [chance.choice(column) for column in zip(*shown, strict=True)]
        values[chance.randrange(4)] = chance.randrange(10)
    return f"<answer>CONFIG = {values}</answer>"


def worth(answer: str) -> Verdict:
    """Never valid, and another score for every configuration."""
    found = [int(digit) for digit in re.findall(r"\d", answer)]
    return Verdict(sum(digit / 11**place for place, digit in enumerate(found[:4])), 1.0, ("it could be larger",))


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "recipe_model", sys.modules[__name__])
    ASKED.clear()
    GARBLED.clear()


def search(recipe: str = "ga-llm", check: Any = worth, **settings: Any) -> tuple[Any, list[Any]]:
    told: list[Any] = []
    found = refine(QUESTION, check, model=MODEL, recipe=recipe, on_cohort=told.append, **settings)
    return found, told


def born(told: Sequence[Any]) -> list[Individual[Any]]:
    return [birth for now in told for birth in now.births if isinstance(birth, Individual)]


def matings(told: Sequence[Any]) -> list[Any]:
    return [mating for now in told for mating in now.cohort.matings]


OPERATORS = {
    "crossover": "semantic-crossover",
    "prompt_mutation": "reprompt",
    "textual_mutation": "textual-mutation",
    "local_edits": "edits",
}


def operator(key: str) -> str:
    return next(name for name, words in OPERATORS.items() if key.startswith((words, f"instruct({words}", f"on(answer,{words}")))


class TestGaLlm:
    @pytest.mark.parametrize("alone", OPERATORS)
    def test_each_operator_has_its_own_rate(self, alone: str) -> None:
        rates = {name: float(name == alone) for name in OPERATORS}
        _, told = search(steps=3, **rates)
        assert {operator(one.variation_key) for one in matings(told) if one.parents} == {alone}

    def test_the_default_rates_are_those_of_the_docs(self) -> None:
        _, told = search(population=30, steps=20, duplicates="allow")
        counts = Counter(operator(one.variation_key) for one in matings(told) if one.parents)
        shares = {name: count / 600 for name, count in counts.items()}
        tolerance = 0.075  # four standard deviations of 600 draws
        assert shares == pytest.approx({"crossover": 0.2, "prompt_mutation": 0.1, "textual_mutation": 0.7}, abs=tolerance)

    def test_local_edits_cost_no_call_and_leave_the_question_alone(self) -> None:
        _, told = search(steps=5, crossover=0, prompt_mutation=0, textual_mutation=0, local_edits=1, stagnation=1000)
        children = [one for one in born(told) if one.parents]
        assert len(ASKED) == 8 and len(children) > 10 and all(one.birth_usage.calls == 0 for one in children)
        known = {one.id: one for one in born(told)}
        for one in children:
            parent = known[one.parents[0]].genome
            assert one.genome.part("question") == QUESTION and one.genome.part("answer") != parent.part("answer")

    def test_prompt_mutation_varies_the_question_and_answers_the_variant(self) -> None:
        checked: list[str] = []

        def check(answer: str) -> Verdict:
            checked.append(answer)
            return worth(answer)

        _, told = search(check=check, steps=3, crossover=0, textual_mutation=0, prompt_mutation=1)
        children = [one for one in born(told) if one.parents]
        known = {one.id: one for one in born(told)}
        assert len(children) > 10
        for one in children:
            question = one.genome.part("question")
            assert question != QUESTION and question != known[one.parents[0]].genome.part("question")
            assert any(prompt.startswith(f"{question}\n") for prompt in ASKED), "the variant itself is asked"
            assert one.birth_usage.calls in (2, 4)
        assert all(answer.startswith("CONFIG = [") for answer in checked), "the check sees the answer alone"

    def test_a_small_model_goes_down_the_ladder(self) -> None:
        """Full rewrite, then a copy with one change, then nothing; each is asked for again before it is given up."""
        GARBLED[:] = ["Improve this answer"]
        _, told = search(steps=4, crossover=0, prompt_mutation=0, textual_mutation=1)
        copies = [prompt for prompt in ASKED if "Copy this answer to a question word for word" in prompt]
        children = [one for one in born(told) if one.parents]
        assert len(children) > 10 and len(copies) >= len(children)
        assert all(one.birth_usage.calls >= 3 for one in children), "the rewrite, its repair and the copy are paid for"
        GARBLED.append("Copy this answer")
        found, told = search(steps=50, crossover=0, prompt_mutation=0, textual_mutation=1)
        lost = [birth for now in told for birth in now.births if isinstance(birth, Stillborn)]
        assert "none of the last 32 births lived" in found.reason and len(lost) == 32 and found.answer is not None
        assert all("textual-mutation" in one.error and "; then local-repair" in one.error for one in lost)
        _, told = search(steps=1, crossover=0, prompt_mutation=0, textual_mutation=1, repair=False)
        assert not [prompt for prompt in ASKED[-16:] if "Copy this answer" in prompt]


class TestBaselines:
    def test_revision_always_accepts(self) -> None:
        _, told = search("revise", population=4, steps=6)
        births, worse = born(told), 0
        assert len(births) > 15
        for before, after in pairwise(births):
            assert after.parents == (before.id,), "whoever came last is revised next"
            worse += after.fitness.value < before.fitness.value
        assert worse > 2, "also when it is worse than what it was made of"

    def test_evoscale_conditions_every_round_on_the_best_few_so_far(self) -> None:
        _, told = search("evoscale", population=6, steps=5, top=3)
        assert [len(now.cohort.matings) for now in told] == [6] * 6
        for i, now in enumerate(told[1:], start=1):
            scores = sorted({one.fitness.value for one in born(told[:i])}, reverse=True)
            for mating in now.cohort.matings:
                assert sorted((one.fitness.value for one in mating.parents), reverse=True) == scores[:3]

    @pytest.mark.parametrize("name", ["best-of-n", "revise", "one-plus-one", "evoscale", "ga-llm", "mind-evolution"])
    def test_equal_evaluations_are_a_limit_of_every_recipe(self, name: str) -> None:
        checked: list[str] = []

        def check(answer: str) -> Verdict:
            checked.append(answer)
            return worth(answer)

        found, _ = search(name, check, budget={"evaluations": 30}, steps=400)
        assert len(checked) == 30 and found.pause is not None and "evaluations is 30" in found.reason
        found, _ = search(name, check, budget={"tokens": 8000}, steps=400)
        assert found.pause is not None and "tokens is 8000" in found.reason
        assert found.spent.tokens_in + found.spent.tokens_out <= 8000


class TestMindEvolution:
    """arXiv 2501.09891: 4 islands, 5 migrate, 2 are reset every 3 steps to 5 of the best 15; up to 5 parents, none for one child in 6."""

    @pytest.fixture
    def told(self) -> list[Any]:
        return search("mind-evolution", population=40, steps=6, seed=2)[1]

    @staticmethod
    def islands(now: Any) -> list[list[Individual[Any]]]:
        return [[one for one in now.view.population if one.deme == i] for i in range(4)]

    @staticmethod
    def best(some: Sequence[Individual[Any]], count: int) -> list[float]:
        return sorted({one.fitness.value for one in some}, reverse=True)[:count]

    @staticmethod
    def picked(now: Any) -> bool:
        return any(mating.variation_key.startswith("pick(") for mating in now.cohort.matings)

    def test_four_islands_and_the_five_best_of_each_visit_the_next(self, told: list[Any]) -> None:
        assert [len(island) for island in self.islands(told[0])] == [10] * 4
        visits = 0
        for before, now in pairwise(told):
            if self.picked(before) or self.picked(now):
                continue
            old, new = self.islands(before), self.islands(now)
            for i in range(4):
                children = [one for one in born([now]) if one.deme == i]
                guests = self.best(old[(i - 1) % 4], 5)
                field = {*self.best(old[i], 99), *self.best(children, 99), *guests}
                assert self.best(new[i], 99) == sorted(field, reverse=True)[:10]
                visits += sum(value in guests and value not in self.best(old[i], 99) for value in self.best(new[i], 99))
        assert visits > 20

    def test_every_third_step_the_two_weakest_begin_anew_from_what_the_model_picks(self, told: list[Any]) -> None:
        resets = [i for i, now in enumerate(told) if self.picked(now)]
        assert resets == [3, 7]
        questions = [prompt for prompt in ASKED if "<chosen>" in prompt]
        assert len(questions) == 2 and all("Choose 5 of them" in prompt for prompt in questions)
        for prompt, i in zip(questions, resets, strict=True):
            old = self.islands(told[i - 1])
            means = [sum(one.fitness.value for one in island) / len(island) for island in old]
            weakest = sorted(range(4), key=means.__getitem__)[:2]
            assert {mating.deme for mating in told[i].cohort.matings} == set(weakest)
            shown = [float(score) for score in re.findall(r"^Number \d+ \(score ([\d.]+)\)", prompt, re.MULTILINE)]
            everybody = self.best([one for island in old for one in island], 15)
            assert len(shown) == 15 and shown == pytest.approx(everybody, abs=0.01), "the best 15 of all islands, with their scores"
            chosen = {one.genome.key for one in born([told[i]])}
            assert 1 < len(chosen) <= 5
            for deme, island in enumerate(self.islands(told[i])):
                if deme in weakest:
                    assert {one.genome.key for one in island} == chosen
                else:
                    assert [one.id for one in island] == [one.id for one in old[deme]]

    def test_a_child_is_a_critics_and_an_authors_turn_over_what_the_check_found(self, told: list[Any]) -> None:
        children = [mating for now in told[1:] for mating in now.cohort.matings if mating.variation_key.startswith("converse(")]
        samples = [mating for now in told[1:] for mating in now.cohort.matings if mating.variation_key.startswith("asked(")]
        assert len(children) + len(samples) == 240
        assert len(samples) / 240 == pytest.approx(1 / 6, abs=0.1)
        assert {len(mating.parents) for mating in children} == {1, 2, 3, 4, 5}
        critics = [prompt for prompt in ASKED if "You are the critic" in prompt]
        authors = [prompt for prompt in ASKED if "You are the author" in prompt]
        assert len(critics) == len(authors) == len(children)
        assert all(re.search(r"Found: \[(\w+)\] it could be larger \[/\1\]", prompt) for prompt in critics)
        assert all("The critic: change one digit" in prompt and "Answer (score" in prompt for prompt in authors)

    @pytest.mark.parametrize(("temperature", "greedy"), [(1e-6, True), (1e6, False)])
    def test_parents_are_drawn_by_a_boltzmann_distribution(self, temperature: float, greedy: bool) -> None:
        _, told = search("mind-evolution", population=40, steps=2, temperature=temperature)
        firsts = []
        for before, now in pairwise(told):
            best = [max(island, key=lambda one: one.fitness.value).id for island in self.islands(before)]
            firsts += [mating.parents[0].id == best[mating.deme] for mating in now.cohort.matings if mating.parents]
        assert all(firsts) if greedy else sum(firsts) < len(firsts) / 2

    def test_it_stops_at_a_valid_answer(self) -> None:
        seen: list[str] = []

        def check(answer: str) -> Verdict:
            seen.append(answer)
            return Verdict(worth(answer).value, float(len(seen) < 50))

        found, told = search("mind-evolution", check, population=40, steps=50)
        assert found.valid and found.reason == "an answer is valid" and len(told) == 2
