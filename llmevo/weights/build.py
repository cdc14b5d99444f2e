"""From recipes to weights: built on demand, ancestors kept in memory up to a bound."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmevo.core import ConfigError, Seed
from llmevo.weights.adapter import Adapter, size
from llmevo.weights.genome import EXPERT, AdapterGenome

Operator = Callable[..., Adapter]
"""From the adapters of the parents, the recipe's settings by name, and `seed` if the recipe has one, to an adapter."""

KEEP = 2**30
"""Bytes of built adapters that are kept."""


class Builder:
    """Builds adapters from recipes. Safe to share between threads.

    `experts` are the leaves by content key in the short form of `AdapterGenome.expert`; use `Pool` to make both. An ancestor that is no
    longer kept is built again from its own recipe.
    """

    def __init__(self, experts: Mapping[str, Adapter], operators: Mapping[str, Operator], *, keep: int = KEEP) -> None:
        self._experts, self._operators, self._keep = dict(experts), dict(operators), keep
        self._kept: OrderedDict[str, Adapter] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()
        self.built = 0
        """How many operators were run."""

    def build(self, genome: AdapterGenome) -> Adapter:
        """The adapter of a recipe. Raises `ConfigError` for an expert or an operator that is not there."""
        with self._lock:
            return self._build(genome)

    def _build(self, genome: AdapterGenome) -> Adapter:
        order = self._missing(genome)
        uses = Counter(parent.key for one in order for parent in one.parents)
        uses[genome.key] += 1
        made: dict[str, Adapter] = {}
        for one in order:
            adapter = self._make(one, [made[parent.key] if parent.key in made else self._known(parent) for parent in one.parents])
            made[one.key] = adapter
            self._remember(one.key, adapter)
            for parent in one.parents:
                uses[parent.key] -= 1
                if not uses[parent.key]:
                    made.pop(parent.key, None)
        return made[genome.key] if genome.key in made else self._known(genome)

    def _missing(self, genome: AdapterGenome) -> list[AdapterGenome]:
        """What has to be built, parents before children. Long lines of descent: no recursion. What is kept is used before it can go."""
        order: list[AdapterGenome] = []
        seen: set[str] = set()
        stack = [(genome, False)]
        while stack:
            one, ready = stack.pop()
            if ready:
                order.append(one)
            elif one.key not in seen:
                seen.add(one.key)
                if one.operator == EXPERT or one.key in self._kept:
                    continue
                stack.append((one, True))
                stack += [(parent, False) for parent in one.parents]
        return order

    def _known(self, genome: AdapterGenome) -> Adapter:
        if genome.operator == EXPERT:
            try:
                return self._experts[genome.settings["content"]]
            except KeyError:
                known = f"{len(self._experts)} experts are loaded"
                raise ConfigError(f"the expert {genome.name or genome.key} of a recipe is not loaded ({known}): name its folder") from None
        if genome.key not in self._kept:  # it went while this recipe was built
            return self._build(genome)
        self._kept.move_to_end(genome.key)
        return self._kept[genome.key]

    def _make(self, genome: AdapterGenome, parents: Sequence[Adapter]) -> Adapter:
        operator = self._operators.get(genome.operator)
        if operator is None:
            raise ConfigError(f"a recipe uses the operator {genome.operator!r}; known: {', '.join(sorted(self._operators))}")
        more: dict[str, Any] = {} if genome.seed is None else {"seed": Seed(genome.seed)}
        self.built += 1
        return operator(parents, **genome.settings, **more)

    def _remember(self, key: str, adapter: Adapter) -> None:
        self._kept[key] = adapter
        self._held += size(adapter)
        while self._held > self._keep and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._held -= size(gone)
