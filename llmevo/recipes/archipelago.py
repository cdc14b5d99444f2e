"""Islands: any recipe on each of them, and Mind Evolution (Lee et al., 2025, arXiv 2501.09891)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, cast

from pydantic import Field, TypeAdapter, ValidationError

from llmevo.breeding import Roulette, Weighted, boltzmann, keep_all, truncation
from llmevo.core import ConfigError, G, Seed, Strategy, View
from llmevo.core.resolve import nearest
from llmevo.recipes import parameters, recipe
from llmevo.recipes.choosing import variations
from llmevo.recipes.kit import AnswersKit, Kit, Plan
from llmevo.strategies import Founding, Genetic, Islands, Reset, sequence


@dataclass(frozen=True)
class OnIsland(Generic[G]):
    """A kit with the seed of an island."""

    kit: Kit[G]
    seed: Seed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kit, name)


def islands(
    kit: Kit[G],
    *,
    inner: str | dict[str, Any] = "ga-llm",
    population: int = 8,
    steps: int = 10,
    count: int = 4,
    interval: int = 4,
    migrants: int = 1,
    batch: int | None = None,
    slots: int = 1,
) -> Plan[G]:
    """Islands in a ring: a recipe on each of them, and every `interval` cohorts the best of each visit the next one.

    `inner` is the name of the recipe, or a mapping of `recipe` and its own settings. `population` is that of all islands together;
    each has its share, at least two.
    """
    if count < 1:
        raise ConfigError(f"islands: count: there is at least one island, not {count}")
    name, settings = _inner(inner)
    found = recipe(name)
    settings = {"population": max(2, population // count), "steps": steps, **settings}
    settings = _checked(name, settings)
    plans: list[Plan[G]] = [
        found(cast(Kit[G], OnIsland(kit, kit.seed.fold("island", i))), **settings) for i in range(count)
    ]
    strategy = Islands([plan.strategy for plan in plans], interval=interval, migrants=migrants)
    return Plan(strategy, batch or sum(plan.batch for plan in plans), sum(plan.matings for plan in plans), slots)


def _inner(inner: str | dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of the recipe on the islands, and its own settings."""
    if isinstance(inner, str):
        return inner, {}
    settings = dict(inner)
    name = settings.pop("recipe", None)
    if not isinstance(name, str):
        raise ConfigError("islands: inner: name the recipe on each island, e.g. `inner: {recipe: evoprompt-ga, selection: tournament}`")
    return name, settings


def _checked(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of the inner recipe, checked against its signature; `population` and `steps` only where it has them."""
    known = parameters(recipe(name))
    checked = {}
    for key, value in settings.items():
        if key not in known:
            if key in ("population", "steps"):
                continue
            raise ConfigError(f"islands: inner.{key}: {name} has no such setting{nearest(key, known)}")
        try:
            checked[key] = TypeAdapter(known[key].annotation).validate_python(value, strict=not isinstance(value, list))
        except ValidationError as error:
            raise ConfigError(f"islands: inner.{key}: {error.errors()[0]['msg']}, not {value!r}") from error
    return checked


def mind_evolution(
    kit: AnswersKit[G],
    *,
    population: int = 20,
    steps: int = 10,
    count: int = 4,
    parents: Annotated[int, Field(ge=1)] = 5,
    fresh: Annotated[float, Field(ge=0, lt=1)] = 1 / 6,
    temperature: Annotated[float, Field(gt=0)] = 0.1,
    migrants: int = 5,
    reset_every: int = 3,
    reset: int = 2,
    elites: Annotated[int, Field(ge=1)] = 5,
    candidates: int = 15,
    slots: int = 1,
) -> Plan[G]:
    """Mind Evolution: four islands whose children are a critic's and an author's turn, with migration and resets.

    Parents are drawn by a Boltzmann distribution over the scores (`temperature` is in their unit); a share `fresh` of the children is
    a new sample. After every step the best `migrants` visit the next island; every `reset_every` steps the `reset` weakest islands
    begin anew from `elites` that the model picks among the best `candidates`, for being different. `population` is that of all islands
    together. Where the paper lets a conversation go on for several turns, a further turn here is a child of a child: it is scored, and
    can be chosen, in between.
    """
    if count < 1 or not 0 <= reset < max(2, count):
        raise ConfigError(f"mind-evolution: at least one island ({count}), and not all of them are reset ({reset})")
    each = max(2, population // count)
    talks, samples = variations(kit, "critic-and-author"), variations(kit, "answer")
    rates = [(talk, (1 - fresh) / len(talks)) for talk in talks] + [(sample, fresh / len(samples)) for sample in samples]
    selection = Roulette(boltzmann(temperature), most=parents)

    def breeding(i: int, turn: int, view: View[G]) -> Strategy[G]:
        search: Genetic[G] = Genetic(
            Weighted(rates), selection, truncation(each), seed=kit.seed.fold("island", i, turn)
        )
        search.view = view
        return search

    def founded(i: int) -> Strategy[G]:
        founding = Founding((list(kit.founders) * each)[:each], seed=kit.seed.fold("island", i), succession=keep_all)
        return sequence(founding, cast(Genetic[G], breeding(i, 0, View())))

    again = Reset(kit.picks(elites), breeding, seed=kit.seed, interval=reset_every, islands=reset, candidates=candidates)
    strategy = Islands([founded(i) for i in range(count)], interval=1, migrants=migrants, reset=again if reset else None)
    picked = (steps // reset_every) * reset * elites
    return Plan(strategy, each * count, each * count * (steps + 1) + picked, slots)
