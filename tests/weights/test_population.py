"""One resident model for many adapters: the same answers as one by one, whatever the engine, the company and the size of a pass."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import numpy as np  # noqa: E402

from llmevo.core import ConfigError  # noqa: E402
from llmevo.weights.adapter import LowRank  # noqa: E402
from llmevo.weights.hf import base_of  # noqa: E402
from llmevo.weights.plans import Plan, Plans  # noqa: E402
from llmevo.weights.population import Broken, Population, Stopped  # noqa: E402
from llmevo.weights.programs import Choice, Forced, Greedy, Program  # noqa: E402
from tests.weights.tiny import adapter, base, ids  # noqa: E402

BASE = base()
EVERYBODY = [
    adapter(BASE, 1),
    adapter(BASE, 2, rank=3),
    adapter(BASE, 3, modules=("self_attn.q_proj", "self_attn.k_proj")),
    {},
    adapter(BASE, 5, modules=("mlp.gate_proj", "mlp.up_proj", "self_attn.o_proj")),
]
COUNT = 11
ENDS = (1, 5, 7)


def prompts(common: int) -> tuple[tuple[int, ...], ...]:
    return tuple(ids(99, common) + ids(i, 3 + i % 5) for i in range(COUNT))


def programs(common: int) -> dict[str, Program]:
    targets = tuple(ids(100 + i, 1 + i % 3) for i in range(COUNT))
    return {
        "forced": Forced(prompts(common), targets),
        "forced to the end": Forced(prompts(common), targets, ENDS),
        "labels of one token": Choice(prompts(common), (ids(1, 1), ids(2, 1))),
        "longer labels": Choice(prompts(common), (ids(3, 3), ids(4, 1), ids(5, 2))),
        "greedy": Greedy(prompts(common), 8, ENDS),
    }


def merged(one: Any) -> Any:
    """A copy of the base with the adapter added in plain sight."""
    model = copy.deepcopy(BASE.model)
    for path, part in one.items():
        model.get_submodule(path).weight.data += part.up @ part.down
    return model


@pytest.mark.parametrize("common", [0, 12])
@pytest.mark.parametrize("name", list(programs(0)))
@pytest.mark.parametrize("engine", ["merge", "stack"])
def test_many_at_once_equal_one_by_one(engine: Any, name: str, common: int) -> None:
    program = programs(common)[name]
    alone = [
        [Population(BASE, engine="merge").run([one], program, [i])[0][0] for i in range(COUNT)]
        for one in EVERYBODY  # type: ignore[index]
    ]
    for tokens in (1, 40, 200, 4096):
        rows = Population(BASE, engine=engine, tokens=tokens).run(EVERYBODY, program)
        if name == "greedy":
            assert rows == alone
        else:
            torch.testing.assert_close(torch.tensor(rows), torch.tensor(alone), rtol=1e-5, atol=1e-5)
    assert len({str(row) for row in alone}) == len(EVERYBODY), "the adapters must differ, or nothing was tested"


@pytest.mark.parametrize("common", [0, 12])
def test_a_fixed_target_has_the_log_probability_that_the_merged_model_gives(common: int) -> None:
    program = programs(common)["forced"]
    assert isinstance(program, Forced)
    for one, row in zip(EVERYBODY, Population(BASE).run(EVERYBODY, program), strict=True):
        model = merged(one)
        for prompt, target, (_, found) in zip(program.prompts, program.targets, row, strict=True):  # type: ignore[arg-type]
            scores = model(torch.tensor([prompt + target])).logits[0].log_softmax(-1)
            wanted = sum(float(scores[len(prompt) - 1 + j, token]) for j, token in enumerate(target))
            assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("common", [0, 12])
def test_labels_behind_one_prompt_do_not_see_each_other(common: int) -> None:
    program = programs(common)["longer labels"]
    assert isinstance(program, Choice)
    model = merged(EVERYBODY[0])
    row = Population(BASE).run(EVERYBODY[:1], program)[0]
    for prompt, found in zip(program.prompts, row, strict=True):  # type: ignore[arg-type]
        for label, score in zip(program.labels, found, strict=True):
            scores = model(torch.tensor([prompt + label])).logits[0].log_softmax(-1)
            assert score == pytest.approx(
                sum(float(scores[len(prompt) - 1 + j, token]) for j, token in enumerate(label)), abs=1e-4
            )


@pytest.mark.parametrize("common", [0, 12])
def test_open_answers_are_those_of_generate(common: int) -> None:
    program = programs(common)["greedy"]
    model = merged(EVERYBODY[1])
    row = Population(BASE).run(EVERYBODY[:2], program)[1]
    for prompt, found in zip(prompts(common), row, strict=True):  # type: ignore[arg-type]
        wanted = model.generate(
            torch.tensor([prompt]), max_new_tokens=8, do_sample=False, eos_token_id=list(ENDS), pad_token_id=0
        )[0, len(prompt) :].tolist()
        assert found == [token for token in wanted if token not in ENDS]


def test_a_target_is_exact_where_greedy_decoding_gives_it_and_ends() -> None:
    greedy = Population(BASE).run(EVERYBODY, programs(0)["greedy"])
    seen = 0
    for one, row in zip(EVERYBODY, greedy, strict=True):
        ended = [i for i, tokens in enumerate(row) if 0 < len(tokens) < 8]  # type: ignore[arg-type]
        if ended:
            targets = tuple(tuple(row[i]) for i in ended)  # type: ignore[index]
            right = Forced(tuple(prompts(0)[i] for i in ended), targets, ENDS)
            assert [hit for hit, _ in Population(BASE).run([one], right)[0]] == [1.0] * len(ended)  # type: ignore[union-attr]
            longer = Forced(right.prompts, tuple((*target, 9) for target in targets), ENDS)
            assert [hit for hit, _ in Population(BASE).run([one], longer)[0]] == [0.0] * len(ended)  # type: ignore[union-attr]
            seen += len(ended)
    assert seen >= 3


@pytest.mark.parametrize("engine", ["merge", "stack"])
def test_a_result_does_not_depend_on_the_company(engine: Any) -> None:
    """Bit by bit: who is recomputed after an interruption, or in another worker, gets the same numbers. The batched products of the
    stacked engine add up in another order for another number of individuals where the processor has AVX2 only: there within 1e-5."""
    program = programs(0)["forced"]
    plans = Plans()
    exact = engine == "merge" or torch.backends.cpu.get_cpu_capability() != "AVX2"
    together = Population(BASE, engine=engine, plans=plans).run(EVERYBODY, program)
    for some in ([4], [2, 0], [3, 4, 1], [1, 1, 1]):
        found, wanted = Population(BASE, engine=engine, plans=plans).run([EVERYBODY[i] for i in some], program), [together[i] for i in some]
        if exact:
            assert found == wanted
        else:
            np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-5, atol=1e-5)


def test_the_base_is_as_it_was() -> None:
    one = base(seed=3)
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    x = torch.tensor([ids(0, 9)])
    with torch.no_grad():
        logits = one.model(x).logits
        for engine in ("merge", "stack"):
            Population(one, engine=engine).run(EVERYBODY, programs(0)["forced"])  # type: ignore[arg-type]
        assert torch.equal(one.model(x).logits, logits)
    after = one.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_an_adapter_of_another_base_is_refused() -> None:
    path = "model.layers.0.self_attn.q_proj"
    wide = {path: LowRank(torch.zeros(2, 48), torch.zeros(32, 2))}
    with pytest.raises(ConfigError, match="32 x 48, the base's is 32 x 32: it was trained on another base"):
        Population(BASE).run([wide], programs(0)["forced"])
    with pytest.raises(ConfigError, match=r"no module 'model.layers.7.self_attn.q_proj'"):
        Population(BASE).run([{"model.layers.7.self_attn.q_proj": EVERYBODY[0][path]}], programs(0)["forced"])
    with pytest.raises(ConfigError, match="is a LlamaRMSNorm; adapters are evaluated on plain Linear layers only"):
        Population(BASE).run([{"model.norm": EVERYBODY[0][path]}], programs(0)["forced"])


@pytest.mark.parametrize("engine", ["merge", "stack"])
def test_an_overflow_breaks_one_individual_only(engine: Any) -> None:
    half = base(seed=0)
    half = base_of(half.model.to(torch.float16), None, name="half")
    huge = {path: LowRank(part.down, part.up * 1e9) for path, part in adapter(half, 1).items()}
    rows = Population(half, engine=engine).run([adapter(half, 2), huge, adapter(half, 3)], programs(0)["forced"])
    assert rows[1] == Broken("the weights overflow in float16")
    assert all(isinstance(row, list) and len(row) == COUNT for row in (rows[0], rows[2]))


@dataclass(frozen=True)
class Hungry:
    """A program that runs out of memory above so many rows."""

    most: int
    inner: Program
    log: list[int]
    error: type[Exception] = torch.OutOfMemoryError

    key = "hungry"
    steps = 0

    @property
    def samples(self) -> Any:
        return self.inner.samples

    @property
    def lengths(self) -> Any:
        return self.inner.lengths

    def begin(self, model: Any, copies: int) -> Any:
        return None

    def __call__(self, model: Any, shared: Any, some: Any, copies: int) -> Any:
        self.log.append(len(some) * copies)
        if len(some) * copies > self.most:
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.inner(model, shared, some, copies)


@pytest.mark.fault("W10")
@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
@pytest.mark.parametrize("engine", ["merge", "stack"])
def test_a_pass_that_does_not_fit_is_halved_and_the_size_is_remembered(engine: Any, error: Any, tmp_path: Any) -> None:
    plain = programs(0)["forced"]
    wanted = Population(BASE).run(EVERYBODY, plain)
    log: list[int] = []
    plans = Plans(tmp_path / "plans.json")
    population = Population(BASE, engine=engine, plans=plans)
    rows = population.run(EVERYBODY, Hungry(3, plain, log, error))
    torch.testing.assert_close(torch.tensor(rows), torch.tensor(wanted), rtol=1e-5, atol=1e-5)
    refused = [rows for rows in log if rows > 3]
    assert refused and refused == sorted(refused, reverse=True)
    log.clear()
    again = Population(BASE, engine=engine, plans=Plans(tmp_path / "plans.json"))
    assert again.run(EVERYBODY, Hungry(3, plain, log)) == rows
    assert max(log) <= 3, "the size that fits is known, also to a later process"
    other = Population(BASE, engine=engine, plans=Plans(tmp_path / "plans.json"))
    ceiling = plans.get(BASE.key, "hungry")
    assert ceiling is not None
    assert other.plan(EVERYBODY, programs(0)["greedy"]).tokens <= ceiling.tokens, "it holds for the model, not for one question"


@pytest.mark.fault("W10")
@pytest.mark.parametrize("engine", ["merge", "stack"])
def test_what_does_not_fit_alone_fails_with_its_reason(engine: Any) -> None:
    rows = Population(BASE, engine=engine).run(EVERYBODY, Hungry(0, programs(0)["forced"], []))
    assert rows == [Broken("oom: one sample of one individual does not fit into memory")] * len(EVERYBODY)


def test_another_error_is_not_taken_for_memory() -> None:
    program = Hungry(0, programs(0)["forced"], [], ValueError)
    with pytest.raises(ValueError, match="out of memory"):
        Population(BASE).run(EVERYBODY, program)


def test_a_recorded_plan_is_reused(tmp_path: Any) -> None:
    program = programs(0)["forced"]
    first = Population(BASE, engine="stack", plans=Plans(tmp_path / "plans.json")).plan(EVERYBODY, program)
    assert first == Plan("stack", len(EVERYBODY), first.tokens)
    later = Population(BASE, plans=Plans(tmp_path / "plans.json"))
    assert later.plan(EVERYBODY[:1], program) == first, "also when fewer are left to do"


def test_it_stops_soon_when_nobody_waits() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        Population(BASE).run(EVERYBODY, programs(0)["forced"], stop=stop)
