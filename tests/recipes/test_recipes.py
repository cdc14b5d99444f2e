"""Every shipped recipe on toys and on texts: the same functions, the algorithm as it is described, an equal number of matings."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from llmevo.core import ConfigError, Context, Individual, Seed, Variation, VariationFailed, living
from llmevo.engine import Outcome, Told, evolve, stop
from llmevo.fitness import Case, Evaluator, FunctionFitness
from llmevo.llm.scripted import ScriptedLLM
from llmevo.recipes import ADAPTERS, RECIPES, REFINEMENTS, Kit, Plan, catalogue, parameters, recipe
from llmevo.recipes.text import TextKit, common_words
from llmevo.storage.blobs import MemoryBlobs
from llmevo.storage.database import Database
from llmevo.storage.journal import Journal
from llmevo.testing.toy import Digits, Distance, Toy, cross, differ, fresh, mutate
from llmevo.text import TextGenome
from tests.helpers import SEED, journal

SEARCHES = [name for name in RECIPES if name != "seeds"]
ARITY = {"paraphrase": 1, "mutate": 1, "evoprompt-ga": 2, "evoprompt-de": 4, "evoprompt-de-plain": 3, "from-task": 0}


def differ_plainly(parents: Sequence[tuple[int, ...]], rng: Any) -> Sequence[int]:
    return differ([*parents, parents[0]], rng)


@dataclass
class ToyKit:
    """Digits in the place of texts: the operators have the same names and arities."""

    seeds: Sequence[tuple[int, ...]]
    seed: Seed = SEED
    fails: Sequence[int] = ()
    made: dict[str, Toy] = field(default_factory=dict)

    @property
    def founders(self) -> Sequence[Variation[Digits]]:
        return [Toy(f"given-{i}", _give(one, i in self.fails), 0) for i, one in enumerate(self.seeds)]

    def operator(self, name: str) -> Variation[Digits]:
        makes = {0: fresh(), 1: mutate, 2: cross, 3: differ_plainly, 4: differ}
        return self.made.setdefault(name, Toy(name, makes[ARITY[name]], ARITY[name]))


def _give(values: tuple[int, ...], fails: bool) -> Callable[..., tuple[int, ...]]:
    def make(parents: Any, rng: Any) -> tuple[int, ...]:
        if fails:
            raise VariationFailed("this founder fails")
        return values

    return make


def digits(count: int) -> list[tuple[int, ...]]:
    return [((i * 3) % 10, i // 10, *((i * 7 + j * 3) % 10 for j in range(4))) for i in range(count)]


def run(plan: Plan[Any], evaluate: Any, record: Journal | None = None, seed: Seed = SEED) -> tuple[Outcome[Any], list[Told[Any]]]:
    told: list[Told[Any]] = []
    record = record or journal()
    try:
        work = evolve(
            plan.strategy,
            evaluate,
            record,
            seed=seed,
            batch=plan.batch,
            slots=plan.slots,
            stop=[stop.matings(plan.matings)],
            on_cohort=told.append,
        )
        return asyncio.run(work), told
    finally:
        record.database.close()


def on_toys(
    name: str, count: int = 8, fails: Sequence[int] = (), **settings: Any
) -> tuple[Outcome[Any], list[Individual[Any]], list[Told[Any]]]:
    outcome, told = run(recipe(name)(ToyKit(digits(count), fails=fails), **settings), Distance())
    return outcome, [one for cohort in told for one in living(cohort.births)], told


WORDS = "say name tell judge mood tone good bad text short clear plain".split()


def write(request: Any) -> str:
    """A child that depends on the instruction and on the sample."""
    number = sum(map(ord, request.messages[-1].content + request.sample))
    return f"<prompt>{WORDS[number % 12]} {WORDS[number // 12 % 12]} {number}</prompt>"


def words_said(text: str) -> float:
    return float(sum(word in text for word in ("judge", "mood", "clear")))


SEEDS = [f"{word} the text" for word in WORDS]
CASES = tuple(Case(str(i), f"input {i}", "good") for i in range(4))


def on_texts(
    name: str, llm: ScriptedLLM | None = None, seeds: Sequence[Any] = SEEDS[:8], **settings: Any
) -> tuple[Outcome[Any], list[Told[Any]]]:
    kit = TextKit(seeds, llm, seed=SEED, cases=CASES, description="Say what is good.", vocabulary=("mood", "clear", "judge"))
    record = Journal(Database(None), MemoryBlobs(), {TextGenome.kind: TextGenome})
    text = FunctionFitness(words_said, reads=lambda genome: " ".join(genome.parts.values()))
    return run(recipe(name)(kit, **settings), text, record)


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_recipe_runs_on_digits_on_texts_and_on_blind_edits(name: str) -> None:
    settings = {} if name == "seeds" else {"population": 4, "steps": 3}
    outcome, births, _ = on_toys(name, **settings)
    assert outcome.pause is None and births and outcome.best is not None
    llm = ScriptedLLM(write)
    texts, told = on_texts(name, llm, **settings)
    assert texts.best is not None and (name == "seeds") == (not llm.requests)
    blind, edited = on_texts(name, None, **settings)
    assert blind.best is not None
    for finished, cohorts in ((texts, told), (blind, edited)):
        assert finished.progress.asked == sum(len(one.cohort.matings) for one in cohorts) == finished.progress.births
        assert finished.best.fitness.value == max(one.fitness.value for cohort in cohorts for one in living(cohort.births))


@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize("slots", [1, 3])
def test_all_searches_have_the_same_number_of_children(batch: int | None, slots: int) -> None:
    children = {}
    for name in SEARCHES:
        settings: dict[str, Any] = {"population": 4, "steps": 5, "slots": slots} | ({} if batch is None else {"batch": batch})
        outcome, _, told = on_toys(name, 8, **settings)
        ops = [m.variation.key for one in told for m in one.cohort.matings if not m.variation.key.startswith("given")]
        fills = ops.count("paraphrase") if name.startswith("evoprompt") else 0
        children[name] = len(ops) - fills
        assert outcome.progress.asked == 8 + fills + 20
    assert set(children.values()) == {20}


@pytest.mark.parametrize("name", SEARCHES)
def test_the_schedule_is_followed(name: str) -> None:
    for batch, slots in ((3, 1), (1, 4), (5, 2)):
        _, _, told = on_toys(name, 6, population=4, steps=4, batch=batch, slots=slots)
        assert all(len(one.cohort.matings) <= batch for one in told)
        assert max(len(one.cohort.matings) for one in told) == batch
        same, _, again = on_toys(name, 6, population=4, steps=4, batch=batch, slots=slots)
        assert [m.id for one in told for m in one.cohort.matings] == [m.id for one in again for m in one.cohort.matings]
        assert same.progress.asked < 6 + 4 + 16 + batch


def phases(told: Sequence[Told[Any]]) -> tuple[list[Any], list[Any], list[Any]]:
    """Matings of founders, of the filling, and of the search."""
    matings = [mating for one in told for mating in one.cohort.matings]
    founders = [mating for mating in matings if not mating.parents]
    fill = [mating for mating in matings if mating.variation_key == "paraphrase"]
    return founders, fill, [mating for mating in matings if mating.parents and mating.variation_key != "paraphrase"]


class TestFounding:
    """EvoPrompt's: score all seeds, keep the best half of the population, paraphrase each of them once."""

    @pytest.mark.parametrize("name", ["evoprompt-ga", "evoprompt-de"])
    @pytest.mark.parametrize(
        ("seeds", "population", "kept", "each"), [(8, 6, 3, 1), (3, 6, 3, 1), (20, 6, 3, 1), (8, 7, 3, 2), (1, 2, 1, 1)]
    )
    def test_the_best_half_is_varied_once_each(self, name: str, seeds: int, population: int, kept: int, each: int) -> None:
        _, _, told = on_toys(name, seeds, population=population, steps=2)
        founders, fill, _ = phases(told)
        assert len(founders) == seeds and len(fill) == population - kept
        scored = sorted((one for cohort in told for one in living(cohort.births) if not one.parents), key=lambda one: -one.fitness.value)
        best = {one.fitness.value for one in scored[:kept]}
        varied = Counter(mating.parents[0].id for mating in fill)
        assert {mating.parents[0].fitness.value for mating in fill} <= best
        assert len(varied) == kept and max(varied.values()) == each

    @pytest.mark.parametrize("name", ["evoprompt-ga", "evoprompt-de"])
    def test_fewer_seeds_than_half_are_varied_in_turn(self, name: str) -> None:
        _, _, told = on_toys(name, 2, population=8, steps=1)
        _, fill, search = phases(told)
        assert Counter(Counter(mating.parents[0].id for mating in fill).values()) == {3: 2} and len(search) >= 8

    def test_founders_that_fail_are_replaced(self) -> None:
        _, _, told = on_toys("evoprompt-ga", 4, fails=(0, 1, 2), population=6, steps=2)
        founders, fill, search = phases(told)
        assert len(founders) == 4 and len(fill) == 5 and {len(mating.parents) for mating in search} == {2}

    def test_when_all_founders_fail_the_reason_is_named(self) -> None:
        outcome, births, _ = on_toys("evoprompt-de", 3, fails=(0, 1, 2), population=4, steps=2)
        assert not births and "0 of 3 founders live" in outcome.reason and "this founder fails" in outcome.reason

    def test_all_founders_may_stay(self) -> None:
        _, _, told = on_toys("evoprompt-ga", 4, population=6, steps=1, founders="all")
        assert len(phases(told)[1]) == 2
        _, _, told = on_toys("evoprompt-ga", 9, population=6, steps=1, founders="all")
        assert len(phases(told)[1]) == 0


class TestDifferentialEvolution:
    def test_every_seat_has_its_turn_once_a_round(self) -> None:
        _, _, told = on_toys("evoprompt-de", population=5, steps=6)
        search = phases(told)[2]
        seats = [mating.parents[0].seat for mating in search]
        for start in range(0, 30, 5):
            assert sorted(seats[start : start + 5]) == sorted(set(seats)) and len(set(seats)) == 5
        assert [mating.seat for mating in search] == seats

    def test_only_a_strictly_better_child_takes_the_seat(self) -> None:
        _, _, told = on_toys("evoprompt-de", population=5, steps=8)
        replaced = 0
        for before, after in pairwise(told):
            mating = after.cohort.matings[0]
            if len(mating.parents) != 4:
                continue
            (birth,) = after.births
            old = {one.seat: one for one in before.view.population}
            new = {one.seat: one for one in after.view.population}
            better = isinstance(birth, Individual) and birth.fitness.value > old[mating.seat].fitness.value
            duplicate = isinstance(birth, Individual) and any(one.genome.key == birth.genome.key for one in old.values())
            assert (new[mating.seat].id == birth.id) == (better and not duplicate)
            assert {seat: one.id for seat, one in new.items() if seat != mating.seat} == {
                seat: one.id for seat, one in old.items() if seat != mating.seat
            }
            replaced += new[mating.seat].id == birth.id
        assert replaced > 2

    def test_the_best_is_refreshed_within_a_round(self) -> None:
        _, _, told = on_toys("evoprompt-de", population=5, steps=8)
        donors = []
        for before, after in pairwise(told):
            parents = after.cohort.matings[0].parents
            if len(parents) == 4:
                assert before.view.best is not None and parents[3].id == before.view.best.id
                donors.append(parents[3].id)
        changes = [i for i, (a, b) in enumerate(pairwise(donors), 1) if a != b]
        assert any(i % 5 for i in changes), "the best changed inside a round"

    @pytest.mark.parametrize(
        ("donor", "arity", "operator"),
        [("best", 4, "evoprompt-de"), ("random", 4, "evoprompt-de"), ("none", 3, "evoprompt-de-plain")],
    )
    def test_donors(self, donor: str, arity: int, operator: str) -> None:
        _, _, told = on_toys("evoprompt-de", population=6, steps=6, donor=donor)
        search = phases(told)[2]
        assert {len(mating.parents) for mating in search} == {arity} and {mating.variation_key for mating in search} == {operator}
        for mating in search:
            assert len({parent.genome.key for parent in mating.parents[:3]}) == 3
        if donor == "random":
            ranks = Counter(mating.parents[3].id for mating in search)
            assert len(ranks) > 3


class TestGeneticAlgorithm:
    @pytest.mark.parametrize("selection", ["roulette", "tournament", "random"])
    def test_parents_are_two_different_members_and_the_best_live_on(self, selection: str) -> None:
        _, _, told = on_toys("evoprompt-ga", population=5, steps=6, selection=selection)
        for before, after in pairwise(told):
            for mating in after.cohort.matings:
                if len(mating.parents) == 2:
                    assert {parent.id for parent in mating.parents} <= {one.id for one in before.view.population}
                    assert mating.parents[0].genome.key != mating.parents[1].genome.key
            if len(after.cohort.matings[0].parents) == 2:
                pool = {one.genome.key: one.fitness.value for one in (*before.view.population, *living(after.births))}
                assert sorted(one.fitness.value for one in after.view.population) == sorted(pool.values())[-5:]

    def test_the_selections_press_differently(self) -> None:
        chosen = {}
        for selection in ("roulette", "tournament", "random"):
            matings = []
            for seed in range(2):
                kit = ToyKit(digits(8), seed=Seed.of(seed))
                _, told = run(recipe("evoprompt-ga")(kit, population=8, steps=6, selection=selection), Distance(), seed=Seed.of(seed))
                matings += [(one.view, mating) for one in told[3:] for mating in one.cohort.matings if len(mating.parents) == 2]
            chosen[selection] = [parent.id for _, mating in matings for parent in mating.parents]
        assert chosen["roulette"] != chosen["tournament"] != chosen["random"] != chosen["roulette"]

    def test_an_unknown_selection_is_no_setting(self) -> None:
        annotation = parameters(recipe("evoprompt-ga"))["selection"].annotation
        assert set(annotation.__args__) == {"roulette", "tournament", "random"}


class TestBaselines:
    def test_random_search_never_breeds_from_children(self) -> None:
        _, _, told = on_toys("random", 6, population=5, steps=6)
        founders = {mating.id for one in told for mating in one.cohort.matings if not mating.parents}
        parents = [mating.parents[0].id for one in told for mating in one.cohort.matings if mating.parents]
        assert len(parents) == 30 and set(parents) == founders

    def test_best_of_n_has_no_parents_at_all(self) -> None:
        _, births, told = on_toys("best-of-n", 3, population=5, steps=4)
        assert len([mating for one in told for mating in one.cohort.matings]) == 23 and not any(one.parents for one in births)
        assert len({one.genome.key for one in births}) > 15

    def test_the_climber_breeds_from_the_best_alone(self) -> None:
        outcome, _, told = on_toys("one-plus-one", 6, population=5, steps=8)
        climbed = 0
        for before, after in pairwise(told):
            for mating in after.cohort.matings:
                if mating.parents:
                    assert before.view.best is not None and [parent.id for parent in mating.parents] == [before.view.best.id]
                    climbed += 1
        assert climbed == 40
        bests = [one.progress.best.fitness.value for one in told if one.progress.best]
        assert bests == sorted(bests) and bests[-1] > bests[5] and outcome.best is not None

    def test_seeds_alone(self) -> None:
        outcome, births, _ = on_toys("seeds", 7)
        assert len(births) == 7 == outcome.progress.asked and outcome.best is not None
        assert outcome.best.fitness.value == max(one.fitness.value for one in births)


class TestTextKit:
    def test_the_instruction_of_a_recipe_is_what_the_model_gets(self) -> None:
        llm = ScriptedLLM(write)
        on_texts("evoprompt-de", llm, population=4, steps=1)
        last = llm.requests[-1].messages[-1].content
        assert all(words in last for words in ("Base: ", "Instruction 1: ", "Instruction 3: "))
        assert llm.requests[-1].sampling.temperature == 0.5 and len({request.sample for request in llm.requests}) == len(llm.requests)

    def test_without_seeds_the_model_writes_founders_from_examples(self) -> None:
        llm = ScriptedLLM(write)
        outcome, told = on_texts("evoprompt-ga", llm, [], population=4, steps=1)
        first = llm.requests[0].messages[-1].content
        assert "Say what is good." in first and re.search(r"Input: \[\w+\] input", first)
        assert len(phases(told)[0]) == 10 and outcome.best is not None

    def test_what_an_operator_needs_is_asked_for(self) -> None:
        kit = TextKit(["a"], ScriptedLLM(write), seed=SEED)
        with pytest.raises(ConfigError, match=r"needs task and examples: describe the task"):
            kit.operator("from-task")
        with pytest.raises(ConfigError, match="did you mean 'paraphrase'"):
            kit.operator("paraphrse")
        with pytest.raises(ConfigError, match="blind edits need prompts"):
            TextKit([], None, seed=SEED, cases=CASES, description="x")

    def test_an_operator_without_parents_writes_no_parts(self) -> None:
        seeds = [{"good": "a good one", "bad": "a bad one"}]
        with pytest.raises(ConfigError, match="writes one text, and these prompts have the parts good, bad"):
            on_texts("best-of-n", ScriptedLLM(write), seeds, population=2, steps=2)
        outcome, _ = on_texts("best-of-n", None, seeds, population=2, steps=2)
        assert outcome.best is not None and list(outcome.best.genome.parts) == ["good", "bad"]
        named, _ = on_texts("best-of-n", ScriptedLLM(write), [{"answer": "one"}], population=2, steps=2)
        assert named.best is not None and list(named.best.genome.parts) == ["answer"]
        with pytest.raises(ConfigError, match="the same parts in the same order"):
            TextKit([{"a": "x"}, "y"], None, seed=SEED)

    @pytest.mark.parametrize("name", ["evoprompt-ga", "evoprompt-de", "random", "one-plus-one"])
    def test_class_descriptions_evolve_part_by_part(self, name: str) -> None:
        seeds = [{"good": "a good one", "bad": "a bad one"}, {"good": "fine text", "bad": "poor text"}, {"good": "joy", "bad": "grief"}]
        for llm in (None, ScriptedLLM(write)):
            outcome, told = on_texts(name, llm, seeds, population=4, steps=6)
            born = [one for cohort in told for one in living(cohort.births)]
            assert outcome.best is not None and all(list(one.genome.parts) == ["good", "bad"] for one in born)
            known = {one.id: one for one in born}
            changed: Counter[str] = Counter()
            for one in born:
                if len(one.parents) == 1 and (llm is not None or "edits" in one.variation):
                    before = known[one.parents[0]].genome.parts
                    differing = [part for part in before if before[part] != one.genome.parts[part]]
                    assert len(differing) == 1
                    changed.update(differing)
            assert not changed or set(changed) == {"good", "bad"} or changed.total() < 5

    def test_blind_edits_ask_no_model_and_need_none(self) -> None:
        outcome, told = on_texts("evoprompt-de", None, population=6, steps=6)
        assert outcome.progress.usage.calls == 0 and outcome.best is not None
        names = {re.split(r"[ (]", mating.variation_key)[0] for one in told for mating in one.cohort.matings}
        assert names == {"given", "edits", "recombine"}

    def test_common_words(self) -> None:
        assert common_words(["The cat sat", "the cat ran", "a dog"]) == ("cat", "the")


class TestCatalogue:
    def test_every_recipe_says_what_it_is_and_where_it_comes_from(self) -> None:
        entries = catalogue()
        assert [one.name for one in entries] == [*RECIPES, *REFINEMENTS, *ADAPTERS]
        for one in entries:
            assert len(one.summary) > 20 and len(one.source) > 20
            assert all(default is not inspect.Parameter.empty for default in one.settings.values())

    def test_unknown_recipes_name_the_nearest(self) -> None:
        with pytest.raises(ConfigError, match="did you mean 'evoprompt-de'"):
            recipe("evopromt-de")

    def test_a_recipe_holds_no_algorithm_of_its_own(self) -> None:
        for name in RECIPES:
            code = [line for line in inspect.getsource(recipe(name)).split('"""')[-1].splitlines() if line.strip()]
            assert len(code) <= 10, name

    def test_kits_are_kits(self) -> None:
        kits: list[Kit[Any]] = [ToyKit(digits(2)), TextKit(["a"], None, seed=SEED)]
        assert all(kit.founders and kit.operator("paraphrase").arity == 1 for kit in kits)


def test_an_evaluator_on_cases_drives_a_recipe_too() -> None:
    class Echo:
        key, whole_cohort = "echo", False

        async def __call__(self, genomes: Any, cases: Any, contexts: Sequence[Context]) -> Any:
            return [[genome.text for _ in cases] for genome in genomes]

    from llmevo.fitness import scorer_named

    kit = TextKit(SEEDS, None, seed=SEED, vocabulary=("good",))
    record = Journal(Database(None), MemoryBlobs(), {TextGenome.kind: TextGenome})
    evaluator: Evaluator[TextGenome] = Evaluator(Echo(), CASES, scorer_named("contains"))
    outcome, _ = run(recipe("evoprompt-ga")(kit, population=6, steps=8), evaluator, record)
    assert outcome.best is not None and outcome.best.fitness.value == 1.0
