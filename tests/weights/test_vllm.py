"""vLLM behind a population: a scripted server with a real tiny model behind it. `test_vllm_server.py` asks the real one."""

from __future__ import annotations

import asyncio
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from llmevo.core import ConfigError  # noqa: E402
from llmevo.llm.contract import Unreachable  # noqa: E402
from llmevo.testing.server import Action, FaultyLLM, Seen  # noqa: E402
from llmevo.weights.adapter import Adapter  # noqa: E402
from llmevo.weights.answering import Resident  # noqa: E402
from llmevo.weights.encoder import Nearest  # noqa: E402
from llmevo.weights.leaves import load_expert  # noqa: E402
from llmevo.weights.population import Population  # noqa: E402
from llmevo.weights.programs import Choice, Forced, Greedy, Program  # noqa: E402
from llmevo.weights.vllm import VllmEngine, VllmServer, adapter_name  # noqa: E402
from tests.weights.tiny import adapter, base, ids  # noqa: E402

BASE = base()
ADAPTERS: list[Adapter] = [adapter(BASE, 1), {}, adapter(BASE, 2, rank=3)]
KEYS = ["b2:one", "b2:base", "b2:two"]
COUNT = 4
PROMPTS = tuple(ids(i, 4 + i) for i in range(COUNT))
ENDS = (1, 5)
PROGRAMS: list[Program] = [
    Forced(PROMPTS, tuple(ids(10 + i, 2) for i in range(COUNT))),
    Choice(PROMPTS, (ids(20, 2), ids(21, 1))),
    Greedy(PROMPTS, 5, ENDS),
]


class Served:
    """What a vLLM server does with adapters and token prompts, on the tiny model."""

    def __init__(self, fault: Any = None) -> None:
        self.adapters: dict[str, Adapter] = {"tiny": {}}
        self.loads: list[str] = []
        self.fault = fault
        self.lock = threading.Lock()
        self.population = Population(BASE, engine="merge")

    def __call__(self, seen: Seen) -> Action:
        found = self.fault(self, seen) if self.fault else None
        if found is not None:
            return found  # type: ignore[no-any-return]
        with self.lock:
            return getattr(self, seen.path.rpartition("/")[2])(seen.body)  # type: ignore[no-any-return]

    def load_lora_adapter(self, body: Any) -> Action:
        self.loads.append(body["lora_name"])
        self.adapters[body["lora_name"]] = load_expert(body["lora_path"]).adapter
        return Action(body="Success: LoRA adapter loaded")

    def unload_lora_adapter(self, body: Any) -> Action:
        del self.adapters[body["lora_name"]]
        return Action(body="Success")

    def completions(self, body: Any) -> Action:
        if body["model"] not in self.adapters:
            return Action(status=404, body={"error": {"message": "The model does not exist."}})
        assert body["temperature"] == 0 and "seed" not in body
        prompt, chosen = tuple(body["prompt"]), self.adapters[body["model"]]
        ended = Greedy((prompt,), body["max_tokens"], tuple(body.get("stop_token_ids", ())))
        [tokens] = self.population.run([chosen], ended)[0]  # type: ignore[misc]
        choice: dict[str, Any] = {"index": 0, "text": BASE.tokenizer.decode(tokens)}
        if body.get("prompt_logprobs"):
            with torch.inference_mode():
                self.population.layers.merge(chosen)
                scores = BASE.model(torch.tensor([prompt])).logits[0].log_softmax(-1)
                self.population.layers.clear()
            choice["prompt_logprobs"] = [None]
            for at, token in zip(scores[:-1], prompt[1:], strict=True):
                some = {int(at.argmax()), token}
                choice["prompt_logprobs"].append(
                    {str(one): {"logprob": float(at[one]), "rank": int((at > at[one]).sum()) + 1} for one in some}
                )
        return Action(body={"choices": [choice]})


def ask(server: VllmServer, program: Program, **more: Any) -> Any:
    return asyncio.run(server.run(KEYS, ADAPTERS, program, range(COUNT), **more))


def local(program: Program) -> Any:
    return asyncio.run(Resident(Population(BASE)).run(KEYS, ADAPTERS, program, range(COUNT)))


def same(program: Program, theirs: Any) -> None:
    ours = local(program)
    if isinstance(program, Greedy):
        assert theirs == [[BASE.tokenizer.decode(tokens) for tokens in row] for row in ours]
    else:
        torch.testing.assert_close(torch.tensor(theirs), torch.tensor(ours), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.key.partition("(")[0])
def test_the_server_gives_what_the_resident_model_gives(program: Program, tmp_path: Path) -> None:
    served = Served()
    with FaultyLLM(served) as server:
        same(program, ask(VllmServer("tiny", tmp_path / "adapters", base_url=server.url), program))
    assert sorted(served.loads) == sorted(map(adapter_name, ("b2:one", "b2:two"))), "each once, under a name of its own"
    assert set(served.adapters) == {"tiny"} and not list((tmp_path / "adapters").iterdir()), "nothing is left behind"


def test_the_base_is_not_asked_beside_adapters(tmp_path: Path) -> None:
    """vLLM 0.32 on CPUs gives a request without an adapter that of the last slot, when others in its batch have one."""
    asked: list[str] = []

    def note(served: Served, seen: Seen) -> None:
        if seen.path.endswith("completions"):
            asked.append(seen.body["model"])

    with FaultyLLM(Served(note)) as server:
        ask(VllmServer("tiny", tmp_path, base_url=server.url), PROGRAMS[0])
    assert asked[-COUNT:] == ["tiny"] * COUNT and "tiny" not in asked[:-COUNT]


def test_a_target_that_greedy_decoding_gives_is_exact_at_the_server_too(tmp_path: Path) -> None:
    [row] = Population(BASE).run(ADAPTERS[:1], Greedy(PROMPTS, 3, ()))
    targets = tuple(tuple(tokens) for tokens in row)  # type: ignore[union-attr]
    with FaultyLLM(Served()) as server:
        found = ask(VllmServer("tiny", tmp_path, base_url=server.url), Forced(PROMPTS, targets))
    assert [hit for hit, _ in found[0]] == [1.0] * COUNT
    assert 0.0 in [hit for hit, _ in found[1]]


def test_a_server_that_was_started_again_gets_its_adapters_again(tmp_path: Path) -> None:
    def forgets(served: Served, seen: Seen) -> None:
        if seen.number == 5:
            served.adapters = {"tiny": {}}

    served = Served(forgets)
    with FaultyLLM(served) as server:
        same(PROGRAMS[0], ask(VllmServer("tiny", tmp_path, base_url=server.url, in_flight=1), PROGRAMS[0]))
    assert 2 < len(served.loads) <= 4


def test_a_fault_is_tried_again_at_once(tmp_path: Path) -> None:
    with FaultyLLM(Served()) as server:
        ask(VllmServer("tiny", tmp_path, base_url=server.url, in_flight=1), PROGRAMS[0])
        undisturbed = len(server.requests)
    served = Served(lambda served, seen: Action(status=500) if seen.number in (2, 6) else None)
    with FaultyLLM(served) as server:
        same(PROGRAMS[0], ask(VllmServer("tiny", tmp_path, base_url=server.url, in_flight=1), PROGRAMS[0]))
        assert len(server.requests) == undisturbed + 2, "each fault cost one more request"


@pytest.mark.parametrize("dies", ["from the start", "in the middle", "hangs"])
def test_a_dead_server_fails_over_or_pauses(dies: str, tmp_path: Path) -> None:
    def fault(served: Served, seen: Seen) -> Action | None:
        if dies == "in the middle" and seen.number > 6:
            return Action(cut=0)
        return Action(delay=1.0) if dies == "hangs" and seen.number > 6 else None

    with FaultyLLM(Served(fault)) as server:
        if dies == "from the start":
            server.stop()
        alone = VllmServer("tiny", tmp_path, base_url=server.url, timeout=0.3)
        with pytest.raises(Unreachable, match=r"does not answer|gave no answer within"):
            ask(alone, PROGRAMS[0])
        helped = VllmServer("tiny", tmp_path, base_url=server.url, timeout=0.3, fallback=Resident(Population(BASE)))
        same(PROGRAMS[0], ask(helped, PROGRAMS[0]))
        assert helped.failed_over == 1 and helped.key != alone.key
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Action(status=404, body={"detail": "Not Found"}), "VLLM_ALLOW_RUNTIME_LORA_UPDATING"),
        (Action(status=400, body={"error": "LoRA rank 64 is greater than max_lora_rank 16"}), "max-lora-rank allow its rank"),
        (Action(status=401, body={"error": "no"}), "refuses the key"),
    ],
)
def test_a_server_that_cannot_do_it_is_no_reason_to_wait(action: Action, words: str, tmp_path: Path) -> None:
    with FaultyLLM(lambda seen: action) as server, pytest.raises(ConfigError, match=words):
        ask(VllmServer("tiny", tmp_path, base_url=server.url, fallback=Resident(Population(BASE))), PROGRAMS[0])


def test_what_is_no_completion_is_no_result(tmp_path: Path) -> None:
    def fault(served: Served, seen: Seen) -> Action | None:
        return Action(body="<html>") if seen.path.endswith("completions") else None

    with FaultyLLM(Served(fault)) as server, pytest.raises(Unreachable, match="gave no completion: <html>"):
        ask(VllmServer("tiny", tmp_path, base_url=server.url), PROGRAMS[0])


def test_a_program_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vLLM cannot run nearest"):
        ask(VllmServer("tiny", tmp_path), Nearest(PROMPTS, PROMPTS[:2], 0))


def test_in_process_it_is_asked_for_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls that the in-process engine gets, with a stand-in for the package."""
    served, calls = Served(), []

    class LLM:
        def generate(self, prompts: Any, settings: Any, lora_request: Any, use_tqdm: bool) -> list[Any]:
            calls.append(len(prompts))
            found = []
            for prompt, setting, request in zip(prompts, settings, lora_request, strict=True):
                name = "tiny"
                if request is not None:
                    name = request.name
                    served.adapters[name] = load_expert(request.path).adapter
                body = {"model": name, "prompt": prompt["prompt_token_ids"], **setting.__dict__}
                body["stop_token_ids"] = body["stop_token_ids"] or []
                [choice] = served.completions(body).body["choices"]
                scores = [
                    here and {int(token): types.SimpleNamespace(**one) for token, one in here.items()}
                    for here in choice.get("prompt_logprobs", [])
                ]
                found.append(types.SimpleNamespace(prompt_logprobs=scores, outputs=[types.SimpleNamespace(text=choice["text"])]))
            return found

    package, lora, request = types.ModuleType("vllm"), types.ModuleType("vllm.lora"), types.ModuleType("vllm.lora.request")
    package.SamplingParams = types.SimpleNamespace  # type: ignore[attr-defined]
    request.LoRARequest = lambda name, number, path: types.SimpleNamespace(name=name, number=number, path=path)  # type: ignore[attr-defined]
    for name, module in (("vllm", package), ("vllm.lora", lora), ("vllm.lora.request", request)):
        monkeypatch.setitem(sys.modules, name, module)
    engine = VllmEngine(LLM(), "tiny", tmp_path)
    for program in PROGRAMS:
        same(program, asyncio.run(engine.run(KEYS, ADAPTERS, program, range(COUNT))))
    assert calls == [n * COUNT * k for k in (1, 2, 1) for n in (2, 1)], "adapters together, then the base alone"
    assert not list(tmp_path.iterdir())
