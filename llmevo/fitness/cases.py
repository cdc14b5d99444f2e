"""Sets of cases: checked before anything is paid, split with a seed, never overlapping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from llmevo.core.errors import ConfigError
from llmevo.core.genome import content_key
from llmevo.core.seed import Seed
from llmevo.fitness.contract import NO_FIELDS, Case

Labels = Sequence[str] | Mapping[str, str]
"""Label names: by index (`["negative", "positive"]` means 0 and 1), or by what stands in the data."""


@dataclass(frozen=True, slots=True)
class Splits:
    """The cases of a task: `dev` selects, `test` is scored once at the end. A search never sees `test`."""

    dev: tuple[Case, ...]
    test: tuple[Case, ...] = ()
    labels: tuple[str, ...] = ()
    """The label names in order; empty when the task is no classification."""


def new_case(
    input: str,
    target: str | tuple[str, ...] = "",
    id: str = "",
    fields: Mapping[str, str] = NO_FIELDS,
) -> Case:
    """A case; without an id it gets one from its content, so that the same example has the same id in every
    file.
    """
    return Case(id or content_key([input, target])[3:15], input, target, fields)


def numbered(cases: Sequence[Case]) -> list[Case]:
    """The cases with `#2`, `#3`, ... behind the content-derived ids of repeated examples."""
    seen: Counter[str] = Counter()
    result = []
    for case in cases:
        seen[case.id] += 1
        result.append(case if seen[case.id] == 1 else replace(case, id=f"{case.id}#{seen[case.id]}"))
    return result


def with_labels(cases: Sequence[Case], labels: Labels, where: str = "the cases") -> list[Case]:
    """The cases with label names for targets. Raises `ConfigError` on a target that is no label."""
    table = dict(labels) if isinstance(labels, Mapping) else {str(i): name for i, name in enumerate(labels)}
    names = set(table.values())
    result = []
    for case in cases:
        if not isinstance(case.target, str):
            raise ConfigError(f"{where}: case {case.id} has several references; labels need one target")
        name = case.target if case.target in names else table.get(case.target)
        if name is None:
            known = ", ".join(f"{key}={value}" for key, value in table.items())
            raise ConfigError(f"{where}: case {case.id} has an unknown label {case.target!r}; known: {known}")
        result.append(replace(case, target=name))
    return result


def label_names(labels: Labels) -> tuple[str, ...]:
    """The names of labels in order, each once."""
    return tuple(dict.fromkeys(labels.values() if isinstance(labels, Mapping) else labels))


def checked(cases: Sequence[Case], where: str = "the cases", least: int = 2) -> tuple[Case, ...]:
    """The cases, if they can be evolved on: enough, distinct ids, and targets that differ.

    Raises `ConfigError` with the count found.
    """
    if len(cases) < least:
        found = "no case" if not cases else "1 case" if len(cases) == 1 else f"{len(cases)} cases"
        raise ConfigError(f"{where}: {found} found; at least {least} are needed")
    repeated = [id for id, count in Counter(case.id for case in cases).items() if count > 1]
    if repeated:
        some = ", ".join(repeated[:3]) + "); make them unique or leave them out"
        raise ConfigError(f"{where}: {len(repeated)} of {len(cases)} ids are not unique ({some}")
    targets = {case.target for case in cases}
    if len(targets) == 1 and targets != {""} and least > 1:
        only = next(iter(targets))
        raise ConfigError(
            f"{where}: all {len(cases)} cases have the same target {str(only)[:40]!r} (1 class found); "
            "a constant answer would be perfect: add cases of another class"
        )
    return tuple(cases)


def apart(dev: Sequence[Case], test: Sequence[Case], where: str = "the cases") -> None:
    """Raises `ConfigError` when a test case is also a dev case, by id or by input."""
    ids, inputs = {case.id for case in dev}, {case.input.strip() for case in dev}
    shared = [case for case in test if case.id in ids or case.input.strip() in inputs]
    if shared:
        raise ConfigError(
            f"{where}: {len(shared)} of {len(test)} test cases are also in dev (e.g. {shared[0].input[:60]!r}); "
            "the final score would be too good: remove them from one of the two"
        )


def split(
    cases: Sequence[Case],
    *,
    dev: int | float = 0.5,
    test: int | float | None = None,
    seed: int = 0,
    labels: Sequence[str] = (),
    where: str = "the cases",
) -> Splits:
    """The cases shuffled with a seed and cut in two: numbers are counts, fractions are shares; `test=None`
    takes the rest.

    Inputs that occur more than once stay on one side. Raises `ConfigError` when there are not enough.
    """
    checked(cases, where)
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.input.strip(), []).append(case)
    bundles = list(groups.values())
    order = Seed.of(seed).fold("split").rng().permutation(len(bundles))
    n_dev = _count(dev, len(cases), "dev", where)
    n_test = len(cases) - n_dev if test is None else _count(test, len(cases), "test", where)
    if n_dev + n_test > len(cases):
        raise ConfigError(f"{where}: {n_dev} dev and {n_test} test cases wanted, {len(cases)} found; ask for fewer")
    first: list[Case] = []
    second: list[Case] = []
    for i in order:
        if len(first) < n_dev:
            first.extend(bundles[i][: n_dev - len(first)])
        elif len(second) < n_test:
            second.extend(bundles[i][: n_test - len(second)])
    chosen = Splits(checked(first, f"{where}, dev"), checked(second, f"{where}, test", 0), tuple(labels))
    apart(chosen.dev, chosen.test, where)
    return chosen


def _count(share: int | float, total: int, name: str, where: str) -> int:
    if isinstance(share, bool) or share < 0 or (isinstance(share, float) and share > 1):
        raise ConfigError(f"{where}: {name}={share!r}: give a count (200) or a share from 0.0 to 1.0")
    return round(share * total) if isinstance(share, float) else share
