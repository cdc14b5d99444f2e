"""An adapted encoder: lower layers once per text, upper layers per individual, the same as the whole model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from llmevo.core import ConfigError, Context, Seed  # noqa: E402
from llmevo.fitness import Case  # noqa: E402
from llmevo.weights.adapter import Adapter, LowRank  # noqa: E402
from llmevo.weights.answering import Answering, Resident  # noqa: E402
from llmevo.weights.encoder import Nearest, nearest_description  # noqa: E402
from llmevo.weights.hf import Base, base_of  # noqa: E402
from llmevo.weights.phenotypes import Graded  # noqa: E402
from llmevo.weights.population import Population  # noqa: E402
from tests.weights.tiny import Seeded, base, ids  # noqa: E402

NAMES = ("attention.self.query", "attention.self.key", "attention.self.value", "output.dense")


class Letters:
    def __call__(self, texts: Sequence[str], truncation: bool = True, max_length: int = 512) -> dict[str, Any]:
        return {"input_ids": [[2 + ord(letter) % 60 for letter in text][:max_length] for text in texts]}


def encoder() -> Base:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    return base_of(transformers.BertModel(config), Letters(), name="tiny-encoder")


def adapter(one: Base, seed: int, layers: Sequence[int] = (2, 3)) -> Adapter:
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for path in [f"encoder.layer.{layer}.{name}" for layer in layers for name in NAMES]:
        linear = one.model.get_submodule(path)
        down = torch.randn(4, linear.in_features, generator=draw) * 0.3
        found[path] = LowRank(down, torch.randn(linear.out_features, 4, generator=draw) * 0.3)
    return found


@pytest.mark.parametrize("engine", ["merge", "stack"])
@pytest.mark.parametrize("lengths", [(7, 7, 7), (3, 9, 5, 12, 4)])
def test_it_is_the_whole_model_with_the_adapter(engine: Any, lengths: Sequence[int]) -> None:
    one = encoder()
    texts, classes = tuple(ids(i, size) for i, size in enumerate(lengths)), (ids(50, 4), ids(51, 6))
    adapters = [adapter(one, 1), {}, adapter(one, 2)]
    rows = Population(one, engine=engine, tokens=60).run(adapters, Nearest(texts, classes, depth=2))
    for found, some in zip(rows, adapters, strict=True):
        model = encoder().model
        for path, part in some.items():
            model.get_submodule(path).weight.data += part.up @ part.down

        def unit(text: Sequence[int], model: Any = model) -> Any:
            return torch.nn.functional.normalize(model(torch.tensor([text])).last_hidden_state[0].mean(dim=0), dim=-1)

        with torch.no_grad():
            wanted = [[float(unit(text) @ unit(label)) for label in classes] for text in texts]
        torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), rtol=1e-5, atol=1e-5)


class Maker:
    def __init__(self, one: Base) -> None:
        self.base = one

    def build(self, genome: Seeded) -> Adapter:
        return adapter(self.base, genome.seed)


def test_texts_go_through_the_frozen_layers_once() -> None:
    one = encoder()
    cases = [Case(f"c{i}", f"text {i}", "good" if i % 2 else "bad") for i in range(10)]
    make = nearest_description(one, {"bad": "it is bad", "good": "it is very good"})
    graded = Graded(Answering(Resident(Population(one)), Maker(one)), make, cases)
    first = asyncio.run(graded([Seeded(1), Seeded(2), Seeded(3)], [Context(Seed.of(0))] * 3))
    program = make(cases).program
    assert isinstance(program, Nearest)
    assert program.states.computed == 12
    asyncio.run(graded([Seeded(4)], [Context(Seed.of(0))]))
    assert program.states.computed == 12
    assert len({fitness.objectives["likelihood"] for fitness in first}) == 3
    assert all(set(fitness.cases.values()) <= {0.0, 1.0} for fitness in first)


def test_an_adapter_below_the_frozen_layers_is_refused() -> None:
    one = encoder()
    program = Nearest((ids(1, 5), ids(2, 5)), (ids(3, 4), ids(4, 4)), depth=2)
    for engine in ("merge", "stack"):
        with pytest.raises(ConfigError, match=r"changes encoder\.layer\.1\..* but the layers below 2 are frozen"):
            Population(one, engine=engine).run([adapter(one, 1, (1, 2))], program)  # type: ignore[arg-type]


def test_another_kind_of_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="LlamaForCausalLM is no BERT-like encoder"):
        nearest_description(base(), {"a": "a", "b": "b"})
    with pytest.raises(ConfigError, match="layers: 5: the encoder has 4"):
        nearest_description(encoder(), {"a": "a", "b": "b"}, layers=5)
