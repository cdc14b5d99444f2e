"""The floors and bans of docs/design: found by reading the source, so that a violation fails before it can matter."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = {
    "core": 1,
    "storage": 2, "breeding": 2, "library": 2,
    "llm": 3, "engine": 3,
    "strategies": 4, "text": 4, "weights": 4, "fitness": 4, "report": 4,
    "recipes": 5,
    "config": 6, "refined": 7,
    # The top floor, from the inside out: a configured run or a refinement, the Python face, what is printed, the commands.
    "voting": 5, "winning": 5, "runs": 7, "exporting": 7, "refining": 8, "contending": 7,
    "comparing": 8, "face": 8, "console": 9, "cli": 10, "__main__": 11, "__init__": 11,
    # Fakes and toys for users' tests: it may use everything below a configuration, and nothing imports it.
    "testing": 5,
}  # fmt: skip
"""A folder (or top module) imports from lower floors only."""
SIDEWAYS = {
    ("text", "fitness"): "the wings use fitness's contracts",
    ("weights", "fitness"): "the wings use fitness's contracts",
}
"""The only imports within a floor, and why."""
HEAVY = {"torch", "transformers", "peft", "datasets", "openai", "litellm", "vllm", "rouge_score", "sacrebleu", "accelerate", "ray"}
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "marshal", "dill", "joblib", "shelve", "cloudpickle"}
UNSAFE_CALLS = {
    "eval", "exec", "torch.load", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.full_load_all", "yaml.unsafe_load",
    "yaml.unsafe_load_all",
}  # fmt: skip
SEEDED = {"Random", "Generator", "Philox", "PCG64", "SeedSequence", "BitGenerator", "default_rng"}
"""What may be taken from `random` and `numpy.random`: generators that get a seed."""
WINGS = ("text", "weights")
EXEMPT = {
    ("randomness", "llmevo.fitness.worker"): "runs in a process of its own, for user code that uses the global generators",
    ("randomness", "llmevo.testing.contracts"): "looks at the state of the global generators, to find who uses them",
    ("dispatch", "llmevo.fitness.pool"): "the kind of a failure, not of a genome",
}
"""(rule, module) and why."""

Check = Callable[[str, ast.Module], Iterator[str]]


@cache
def sources(root: Path = ROOT) -> dict[str, ast.Module]:
    """Every module of the package by its dotted name (packages as `a.b.__init__`)."""
    found = {}
    for path in sorted((root / "llmevo").rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return found


def folder(module: str) -> str:
    """`llmevo.text.parts` -> text; `llmevo.cli` -> cli; `llmevo.__init__` -> __init__."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(module: str, tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of all that is imported, anywhere in the tree; relative names are resolved."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [node.module])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno


def at_import(tree: ast.Module) -> ast.Module:
    """What runs when the module is imported: without function bodies and without `if TYPE_CHECKING`."""

    class Strip(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
            names = {name.id for name in ast.walk(node.test) if isinstance(name, ast.Name)}
            names |= {name.attr for name in ast.walk(node.test) if isinstance(name, ast.Attribute)}
            return node.orelse if "TYPE_CHECKING" in names else self.generic_visit(node)

        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

    copy = ast.parse(ast.unparse(tree))
    return ast.fix_missing_locations(Strip().visit(copy))


def dotted(node: ast.expr) -> str:
    """`np.random.rand` of an attribute chain; empty for anything else."""
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


def meaning(module: str, tree: ast.Module) -> dict[str, str]:
    """What a name in the module stands for: `np` -> numpy, `shuffle` -> random.shuffle."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def calls(module: str, tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """(full dotted name, node) of every call of something named."""
    names = meaning(module, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := dotted(node.func)):
            head, dot, rest = name.partition(".")
            yield names.get(head, head) + dot + rest, node


def upward(module: str, tree: ast.Module) -> Iterator[str]:
    here = folder(module)
    if here not in FLOORS:
        yield f"{module}: {here!r} stands on no floor: add it to FLOORS"
        return
    for name, line in imports(module, tree):
        if not name.startswith("llmevo.") or folder(module) == "__init__":
            continue
        there = folder(name)
        if there not in FLOORS or there == here:  # `from llmevo import __version__`, or its own folder
            continue
        if there == "testing":
            yield f"{module}:{line} imports {name}: only tests import testing"
        elif FLOORS[there] > FLOORS[here]:
            yield f"{module}:{line} imports {name}: upward, from floor {FLOORS[here]} to {FLOORS[there]}"
        elif {here, there} == set(WINGS):
            yield f"{module}:{line} imports {name}: a wing imports another wing"
        elif FLOORS[there] == FLOORS[here] and (here, there) not in SIDEWAYS:
            yield f"{module}:{line} imports {name}: sideways, and not in SIDEWAYS"


def heavy(module: str, tree: ast.Module) -> Iterator[str]:
    if folder(module) != "weights":
        for name, line in imports(module, at_import(tree)):
            if name.split(".")[0] in HEAVY:
                yield f"{module}:{line} imports {name} at module level: import it where it is used"


def unsafe(module: str, tree: ast.Module) -> Iterator[str]:
    for name, line in imports(module, tree):
        if name.split(".")[0] in UNSAFE_MODULES:
            yield f"{module}:{line} imports {name}: what is read may be foreign"
    for name, node in calls(module, tree):
        if name in UNSAFE_CALLS:
            yield f"{module}:{node.lineno} calls {name}"
        if any(keyword.arg == "allow_pickle" and getattr(keyword.value, "value", True) for keyword in node.keywords):
            yield f"{module}:{node.lineno} allows pickle"


def randomness(module: str, tree: ast.Module) -> Iterator[str]:
    names = meaning(module, tree)
    for name, node in calls(module, tree):
        place, _, what = name.rpartition(".")
        if place not in ("random", "numpy.random") or (place == "random" and "random" not in {v.split(".")[0] for v in names.values()}):
            continue
        if what not in SEEDED:
            yield f"{module}:{node.lineno} calls {name}: the global generator; take a Seed as an argument"
        elif not node.args and not node.keywords:
            yield f"{module}:{node.lineno} calls {name}() without a seed"
    for node in ast.walk(at_import(tree)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            head, _, rest = dotted(node.func).partition(".")
            place = f"{names.get(head, head)}.{rest}".rpartition(".")[0]
            if place in ("random", "numpy.random") or node.func.attr == "rng":
                yield f"{module} makes a generator at module level: {ast.unparse(node)}"


def dispatch(module: str, tree: ast.Module) -> Iterator[str]:
    if folder(module) in WINGS:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func) in ("isinstance", "issubclass") and len(node.args) == 2:
            named = {dotted(part).rpartition(".")[2] for part in ast.walk(node.args[1]) if isinstance(part, ast.expr)}
            if any(name.endswith("Genome") for name in named):
                yield f"{module}:{node.lineno} asks which genome it is: {ast.unparse(node)}"
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            words = any(isinstance(part, ast.Constant) and isinstance(part.value, str) for side in sides for part in ast.walk(side))
            kinds = sum(isinstance(side, ast.Attribute) and side.attr == "kind" for side in sides)
            if kinds == 2 or (kinds and words):
                yield f"{module}:{node.lineno} dispatches on a kind: {ast.unparse(node)}"
        elif isinstance(node, ast.Match):
            patterns = ast.unparse(node)
            if "Genome(" in patterns or (isinstance(node.subject, ast.Attribute) and node.subject.attr == "kind"):
                yield f"{module}:{node.lineno} dispatches on a genome"


CHECKS: list[Check] = [upward, heavy, unsafe, randomness, dispatch]


@pytest.mark.fault("X6", "X11")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_package_keeps_the_rule(check: Check) -> None:
    modules = [module for module in sources() if (check.__name__, module) not in EXEMPT]
    found = [violation for module in modules for violation in check(module, sources()[module])]
    assert not found, "\n".join(found)


PLANTED = [
    (upward, "llmevo.core.x", "from llmevo.engine import evolve"),
    (upward, "llmevo.core.x", "def f():\n    import llmevo.storage.journal"),
    (upward, "llmevo.breeding.x", "from llmevo.storage.blobs import MemoryBlobs"),
    (upward, "llmevo.text.x", "from llmevo.weights.merge import linear"),
    (upward, "llmevo.weights.x", "if TYPE_CHECKING:\n    from llmevo.text import TextGenome"),
    (upward, "llmevo.fitness.x", "from llmevo.text import TextGenome"),
    (upward, "llmevo.engine.x", "from llmevo.llm import LLM"),
    (upward, "llmevo.engine.x", "from ..recipes import text"),
    (upward, "llmevo.cli", "from llmevo.testing.toy import Digits"),
    (upward, "llmevo.novel.x", "x = 1"),
    (heavy, "llmevo.text.x", "import torch.nn as nn"),
    (heavy, "llmevo.llm.x", "class A:\n    from openai import OpenAI"),
    (heavy, "llmevo.fitness.x", "try:\n    import sacrebleu\nexcept ImportError:\n    pass"),
    (unsafe, "llmevo.storage.x", "import pickle"),
    (unsafe, "llmevo.storage.x", "def f():\n    from joblib import load"),
    (unsafe, "llmevo.weights.x", "import torch as t\ndef f(p):\n    return t.load(p)"),
    (unsafe, "llmevo.config.x", "from yaml import load\nload(x, Loader=SafeLoader)"),
    (unsafe, "llmevo.config.x", "import yaml\nyaml.unsafe_load(x)"),
    (unsafe, "llmevo.cli", "def f(x):\n    return eval(x)"),
    (unsafe, "llmevo.weights.x", "import numpy as np\nnp.load(p, allow_pickle=True)"),
    (randomness, "llmevo.breeding.x", "import random\ndef f():\n    return random.random()"),
    (randomness, "llmevo.breeding.x", "from random import shuffle\ndef f(x):\n    shuffle(x)"),
    (randomness, "llmevo.breeding.x", "import numpy as np\ndef f():\n    np.random.seed(0)"),
    (randomness, "llmevo.breeding.x", "import numpy as np\ndef f():\n    return np.random.default_rng()"),
    (randomness, "llmevo.breeding.x", "import random\ndef f():\n    return random.Random()"),
    (randomness, "llmevo.breeding.x", "import numpy as np\nRNG = np.random.default_rng(0)"),
    (randomness, "llmevo.breeding.x", "RNG = Seed.of(0).rng()"),
    (dispatch, "llmevo.engine.x", "def f(g):\n    return isinstance(g, TextGenome)"),
    (dispatch, "llmevo.report.x", "def f(g):\n    return isinstance(g, (int, text.TextGenome))"),
    (dispatch, "llmevo.recipes.x", "def f(g):\n    return g.kind == 'text'"),
    (dispatch, "llmevo.recipes.x", "def f(g):\n    return 'text' == g.kind"),
    (dispatch, "llmevo.recipes.x", "def f(g):\n    match g.kind:\n        case 'text': pass"),
    (dispatch, "llmevo.recipes.x", "def f(g):\n    match g:\n        case TextGenome(): pass"),
]

INNOCENT = [
    (upward, "llmevo.text.x", "from llmevo.fitness.contract import Answer\nfrom llmevo.llm import LLM\nfrom llmevo.core import Seed"),
    (upward, "llmevo.core.x", "import json\nfrom llmevo.core.seed import Seed\nfrom .seed import Seed"),
    (heavy, "llmevo.fitness.x", "def f():\n    import sacrebleu\nif TYPE_CHECKING:\n    import torch"),
    (heavy, "llmevo.weights.x", "import torch"),
    (unsafe, "llmevo.config.x", "import yaml\nyaml.safe_load(x)\nmodel.eval()\nconnection.execute(x)"),
    (randomness, "llmevo.core.x", "import numpy as np\ndef f(k):\n    return np.random.Generator(np.random.Philox(key=k)).random()"),
    (randomness, "llmevo.llm.x", "import random\ndef f(seed):\n    return random.Random(seed).random()"),
    (dispatch, "llmevo.text.x", "def f(g):\n    return isinstance(g, TextGenome)"),
    (dispatch, "llmevo.engine.x", "def f(b):\n    return isinstance(b, Individual) and self.kinds[b.genome.kind]"),
]


@pytest.mark.parametrize(("check", "module", "source"), PLANTED)
def test_a_planted_violation_is_found(check: Check, module: str, source: str) -> None:
    assert list(check(module, ast.parse(source)))


@pytest.mark.parametrize(("check", "module", "source"), INNOCENT)
def test_what_is_allowed_is_not_reported(check: Check, module: str, source: str) -> None:
    assert list(check(module, ast.parse(source))) == []


def circle(modules: dict[str, ast.Module]) -> list[str]:
    """A circle among the imports that run when a module is imported; empty if there is none."""
    graph: dict[str, list[str]] = {}
    for module, tree in modules.items():
        edges = []
        for name, _ in imports(module, at_import(tree)):
            exact = name if name in modules else f"{name}.__init__"
            owner = name.rpartition(".")[0]
            # `from a.b import c` runs module a.b.c if there is one, else it reads the name from a.b.
            target = next((t for t in (exact, owner, f"{owner}.__init__") if t in modules), None)
            if target is not None and target != module:
                edges.append(target)
        graph[module] = edges
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in graph[module]:
            if found := visit(target, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in graph if (found := visit(module, []))), [])


def test_there_is_no_circle_among_modules() -> None:
    assert not circle(sources()), " -> ".join(circle(sources()))


def test_a_planted_circle_is_found() -> None:
    planted = {
        "llmevo.core.__init__": "from llmevo.core.a import A",
        "llmevo.core.a": "from llmevo.core import b",
        "llmevo.core.b": "import llmevo.core.c",
        "llmevo.core.c": "from llmevo.core.a import A",
    }
    assert circle({name: ast.parse(source) for name, source in planted.items()}) == [
        "llmevo.core.a", "llmevo.core.b", "llmevo.core.c", "llmevo.core.a",
    ]  # fmt: skip
    planted["llmevo.core.c"] = "def f():\n    from llmevo.core.a import A\nif TYPE_CHECKING:\n    import llmevo.core.a"
    assert not circle({name: ast.parse(source) for name, source in planted.items()})
    planted["llmevo.core.c"] = "from llmevo.core import A"
    assert circle({name: ast.parse(source) for name, source in planted.items()}), "through the package itself"


def test_every_exemption_is_still_needed() -> None:
    assert all(FLOORS[here] == FLOORS[there] for here, there in SIDEWAYS)
    rules = {check.__name__: check for check in CHECKS}
    for rule, module in EXEMPT:
        assert list(rules[rule](module, sources()[module])), f"{module} no longer needs its exemption from {rule}"


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import llmevo, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "llmevo" in loaded
    assert not {"numpy", "aiohttp", "pydantic", "yaml", "jinja2", "typer", "rich", "sqlite3", *HEAVY} & set(loaded)
