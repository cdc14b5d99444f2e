"""vLLM as the model behind a population: adapters are loaded while it runs, several share a batch."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmevo.core.errors import ConfigError, Pause
from llmevo.core.gather import gather
from llmevo.core.resolve import need
from llmevo.core.secret import Secret
from llmevo.llm.contract import Unreachable
from llmevo.llm.http import checked_url
from llmevo.llm.origin import Origin
from llmevo.weights.answering import Backend
from llmevo.weights.completions import Ask, Said, asks, result
from llmevo.weights.export import export
from llmevo.weights.population import Row
from llmevo.weights.programs import Program, Result

if TYPE_CHECKING:
    from llmevo.weights.adapter import Adapter

ATTEMPTS = 3
MOST = 1 << 30
"""Bytes of an answer: with the log-probability of every token of a long prompt it is large."""


def adapter_name(key: str) -> str:
    """A name that no other content has: the server's prefix cache goes by it."""
    return f"llmevo-{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}"


class VllmServer:
    """A running `vllm serve` with `--enable-lora` and `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`.

    Start it with `--lora-target-modules q_proj k_proj ...` (all that experts change, not `lm_head`): else vLLM puts a layer for adapters
    around `lm_head`, too, and on CPUs (0.32) its engine dies when it scores a label or a target under that.
    `folder` is where adapters stand while they are in use; the server must read the same path. Each is loaded under a name of its own
    content and unloaded after the call. Nothing sleeps; every request has its deadline. A server that is dead or hangs fails over to
    `fallback` for the rest of the call (the next call tries it again), or pauses the run without one.
    """

    def __init__(
        self,
        model: str,
        folder: str | Path,
        *,
        base_url: str = "http://127.0.0.1:8000/v1",
        secret: Secret | None = None,
        timeout: float = 120.0,
        in_flight: int = 32,
        fallback: Backend | None = None,
    ) -> None:
        self.model, self.folder, self.base_url = model, Path(folder).resolve(), checked_url(base_url)
        self.fallback, self.failed_over = fallback, 0
        """Calls that went to the fallback."""
        self._secret, self._timeout, self._in_flight = secret, timeout, in_flight

    @property
    def key(self) -> str:
        """The server, its model, and what stands in for it."""
        return f"vllm({self.base_url},{self.model}{',' + self.fallback.key if self.fallback else ''})"

    async def run(self, keys: Sequence[str], adapters: Sequence[Adapter], program: Program, samples: Sequence[int]) -> list[Row]:
        for i in samples[:1]:
            asks(program, i)
        try:
            return await self._served(keys, adapters, program, samples)
        except Unreachable:
            if self.fallback is None:
                raise
            self.failed_over += 1
            return await self.fallback.run(keys, adapters, program, samples)

    async def _served(
        self, keys: Sequence[str], adapters: Sequence[Adapter], program: Program, samples: Sequence[int]
    ) -> list[Row]:
        names = {key: adapter_name(key) if adapter else self.model for key, adapter in zip(keys, adapters, strict=True)}
        written = {names[key]: adapter for key, adapter in zip(keys, adapters, strict=True) if adapter}
        headers = {"Content-Type": "application/json"}
        if self._secret:
            headers["Authorization"] = f"Bearer {self._secret.reveal()}"
        async with Origin(self.base_url, headers) as server:
            gate = asyncio.Semaphore(self._in_flight)
            loaded = tuple(written)
            try:
                await asyncio.to_thread(self._write, written)
                await gather(self._load(server, name) for name in written)
                once: dict[str, asyncio.Task[None]] = {}

                async def again(name: str) -> None:
                    """One reload of an adapter, whoever asks first."""
                    if name not in once:
                        once[name] = asyncio.ensure_future(self._load(server, name))
                    await asyncio.shield(once[name])

                async def one(name: str, i: int) -> Result:
                    said = [
                        await self._say(server, gate, name, ask, again if name in written else None) for ask in asks(program, i)
                    ]
                    return result(program, i, said)

                rows: dict[str, Row] = {}
                # First all adapters, then the base alone: beside them it would get the adapter of the last slot (vLLM 0.32 on CPUs).
                for some in (written, [name for name in dict.fromkeys(names.values()) if name not in written]):
                    flat = await gather(one(name, i) for name in some for i in samples)
                    rows |= {name: flat[k * len(samples) : (k + 1) * len(samples)] for k, name in enumerate(some)}
                return [rows[names[key]] for key in keys]
            except Unreachable:
                loaded = ()  # a server that does not answer is not waited for again
                raise
            finally:
                await gather(self._unload(server, name) for name in loaded)
                for name in written:
                    await asyncio.to_thread(shutil.rmtree, self.folder / name, ignore_errors=True)

    def _write(self, adapters: Mapping[str, Adapter]) -> None:
        """All of them before the first is loaded."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, adapter in adapters.items():
            if not (self.folder / name).exists():
                export(adapter, self.folder / name, base=self.model)

    async def _load(self, server: Origin, name: str) -> None:
        place = self.folder / name
        status, text = await self._post(server, "load_lora_adapter", {"lora_name": name, "lora_path": str(place)})
        if status == 404:
            raise ConfigError(
                f"vLLM at {self.base_url} loads no adapters: start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
            )
        if status != 200 and "already" not in text:
            raise ConfigError(
                f"vLLM at {self.base_url} refuses an adapter ({status}): {_words(text)}. Does it read {place}, and does "
                "--max-lora-rank allow its rank?"
            )

    async def _unload(self, server: Origin, name: str) -> None:
        """Best effort: a server that is gone has forgotten it anyway."""
        try:
            await self._post(server, "unload_lora_adapter", {"lora_name": name}, attempts=1)
        except Pause:
            return

    async def _say(
        self,
        server: Origin,
        gate: asyncio.Semaphore,
        name: str,
        ask: Ask,
        again: Callable[[str], Awaitable[None]] | None,
    ) -> Said:
        body: dict[str, Any] = {"model": name, "prompt": list(ask.prompt), "max_tokens": ask.most, "temperature": 0.0}
        if ask.ends:
            body["stop_token_ids"] = list(ask.ends)
        if ask.scored:
            body["prompt_logprobs"] = 1
        async with gate:
            status, text = await self._post(server, "completions", body)
            if status == 404 and again is not None:
                await again(name)
                status, text = await self._post(server, "completions", body)
        if status != 200:
            raise ConfigError(f"vLLM at {self.base_url} refuses a request ({status}): {_words(text)}")
        try:
            choice = json.loads(text)["choices"][0]
            return Said(str(choice["text"]), _scores(choice.get("prompt_logprobs")) if ask.scored else ())
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise Unreachable(f"vLLM at {self.base_url} gave no completion: {_words(text)} ({error})") from None

    async def _post(
        self, server: Origin, path: str, body: Mapping[str, Any], attempts: int = ATTEMPTS
    ) -> tuple[int, str]:
        """Status and text; a server fault or a broken connection is tried again at once. Raises `Unreachable`."""
        why, data = "", json.dumps(body).encode()
        for _ in range(attempts):
            try:
                response = await server.ask("POST", f"{self.base_url}/{path}", data, deadline=self._timeout, most=MOST)
            except TimeoutError:
                raise Unreachable(f"vLLM at {self.base_url} gave no answer within {self._timeout:g} s ({path})") from None
            except OSError as error:
                why = str(error)
                continue
            text = response.body.decode("utf-8", "replace")
            if response.status in (401, 403):
                raise ConfigError(f"vLLM at {self.base_url} refuses the key ({response.status}): name it with api_key_env")
            if response.status < 500:
                return response.status, text
            why = f"{response.status}: {_words(text)}"
        raise Unreachable(f"vLLM at {self.base_url} does not answer ({path}): {why}; start it again and continue")


class VllmEngine:
    """vLLM in this process: for a machine whose GPU it has to itself. `llm` is a `vllm.LLM` made with `enable_lora=True`."""

    def __init__(self, llm: Any, model: str, folder: str | Path) -> None:
        self._vllm = need("vllm", "vllm", "the in-process vLLM back end")
        self._request = need("vllm.lora.request", "vllm", "the in-process vLLM back end").LoRARequest
        self.llm, self.model, self.folder = llm, model, Path(folder).resolve()
        self._numbers: dict[str, int] = {}

    @property
    def key(self) -> str:
        """The model."""
        return f"vllm-engine({self.model})"

    async def run(self, keys: Sequence[str], adapters: Sequence[Adapter], program: Program, samples: Sequence[int]) -> list[Row]:
        return await asyncio.to_thread(self._run, keys, adapters, program, samples)

    def _run(self, keys: Sequence[str], adapters: Sequence[Adapter], program: Program, samples: Sequence[int]) -> list[Row]:
        wanted = [asks(program, i) for i in samples]
        prompts, settings, requests = [], [], []
        names = [adapter_name(key) for key in keys]
        try:
            for name, adapter in zip(names, adapters, strict=True):
                request = None
                if adapter:
                    place = self.folder / name
                    if not place.exists():
                        self.folder.mkdir(parents=True, exist_ok=True)
                        export(adapter, place, base=self.model)
                    request = self._request(name, self._numbers.setdefault(name, len(self._numbers) + 1), str(place))
                for ask in (ask for some in wanted for ask in some):
                    prompts.append({"prompt_token_ids": list(ask.prompt)})
                    settings.append(
                        self._vllm.SamplingParams(
                            temperature=0.0,
                            max_tokens=ask.most,
                            stop_token_ids=list(ask.ends) or None,
                            prompt_logprobs=1 if ask.scored else None,
                        )
                    )
                    requests.append(request)
            answers: dict[int, Any] = {}
            for alone in (False, True):  # the base model not beside adapters, see above
                mine = [k for k, request in enumerate(requests) if (request is None) is alone]
                if mine:
                    found = self.llm.generate(
                        [prompts[k] for k in mine], [settings[k] for k in mine], lora_request=[requests[k] for k in mine], use_tqdm=False
                    )
                    answers |= dict(zip(mine, found, strict=True))
            said = iter([answers[k] for k in range(len(requests))])
            return [
                [result(program, i, [_engine_said(next(said)) for _ in some]) for i, some in zip(samples, wanted, strict=True)]
                for _ in keys
            ]
        finally:
            for name in names:
                shutil.rmtree(self.folder / name, ignore_errors=True)


def _scores(found: Any) -> list[dict[int, tuple[float, int]]]:
    """Per prompt token; the first has nothing before it."""
    return [{int(token): (float(one["logprob"]), int(one["rank"])) for token, one in (here or {}).items()} for here in found]


def _engine_said(output: Any) -> Said:
    scores = [{token: (one.logprob, one.rank) for token, one in (here or {}).items()} for here in (output.prompt_logprobs or ())]
    return Said(output.outputs[0].text, scores)


def _words(text: str) -> str:
    """The beginning of a server's answer, on one line."""
    return " ".join(text.split())[:200]
