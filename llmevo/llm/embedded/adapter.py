"""The embedded model behind the contract of every language model; questions that wait together are one batch."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from llmevo.core.fitness import Usage
from llmevo.llm.contract import EmptyReply, Reply, Request, RequestRejected
from llmevo.llm.embedded.loops import VERSION
from llmevo.llm.embedded.runtime import WEIGHTS, Answer, Ask, EmbeddedModel, TooLong, weights_hash

_BATCH = 256
_loaded: dict[Path, EmbeddedModel] = {}
_loading = threading.Lock()


def shared_model(folder: Path = WEIGHTS) -> EmbeddedModel:
    """The model of a folder, loaded once per process."""
    with _loading:
        if folder not in _loaded:
            _loaded[folder] = EmbeddedModel.load(folder)
        return _loaded[folder]


def ask_of(request: Request) -> Ask:
    """A request as the embedded model hears it: the messages' texts joined; the seed is a hash of the whole request."""
    s = request.sampling
    content = [[m.role, m.content] for m in request.messages]
    record = [content, s.temperature, s.top_p, s.max_tokens, list(s.stop), request.sample]
    digest = hashlib.blake2b(json.dumps(record).encode(), digest_size=16).digest()
    return Ask(
        prompt="\n\n".join(m.content for m in request.messages),
        max_tokens=s.max_tokens,
        temperature=s.temperature,
        top_p=1.0 if s.top_p is None else s.top_p,
        seed=int.from_bytes(digest, "big"),
        stop=s.stop,
    )


class EmbeddedLLM:
    """An `LLM` that needs no key, no network and no torch; free, and the same answer to the same request.

    Requests that wait at the same moment are answered in one batch, in a worker thread. Raises `RequestRejected` when the
    prompt is longer than the model's context and `EmptyReply` when the answer is blank.
    """

    quotes_plainly = True
    """It was trained on questions without a fence around what they quote, and follows no order but the question's own."""

    def __init__(self, path: Path | str | None = None) -> None:
        self._folder = WEIGHTS if path is None else Path(path)
        self._key: str | None = None
        self._waiting: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._worker = ThreadPoolExecutor(1, "embedded-model")
        self._pump: asyncio.Task[None] | None = None

    @property
    def key(self) -> str:
        """`embedded:`, the hash of the weights and the version of the rule about circles: what decides an answer beside the request."""
        if self._key is None:
            self._key = f"embedded:{weights_hash(self._folder / 'model.safetensors')}:{VERSION}"
        return self._key

    async def __call__(self, request: Request) -> Reply:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((ask_of(request), future))
        if self._pump is None or self._pump.done() or self._pump.get_loop() is not loop:
            self._pump = loop.create_task(self._run(loop))
        try:
            answer = await future
        except TooLong as e:
            raise RequestRejected(str(e)) from e
        usage = Usage(1, answer.tokens_in, answer.tokens_out)
        if not answer.text.strip():
            raise EmptyReply("the embedded model answered nothing", usage)
        return Reply(answer.text, usage, answer.finish)

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        # one turn of the loop, so that questions asked in the same breath are in the same batch
        await asyncio.sleep(0)
        while self._waiting:
            taken, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            taken = [(a, f) for a, f in taken if not f.done()]
            if not taken:
                continue
            try:
                outcome = await loop.run_in_executor(self._worker, self._answer, [a for a, _ in taken])
            except BaseException as e:
                for _, f in taken:
                    if not f.done():
                        f.set_exception(e) if isinstance(e, Exception) else f.cancel()
                if not isinstance(e, Exception):
                    raise
                continue
            for (_, f), result in zip(taken, outcome, strict=True):
                if f.done():
                    continue
                if isinstance(result, Answer):
                    f.set_result(result)
                else:
                    f.set_exception(result)

    def _answer(self, asks: list[Ask]) -> list[Answer | TooLong]:
        model = shared_model(self._folder)
        try:
            return list(model.generate(asks))
        except TooLong:
            # one question too long must not cost the others their answers
            out: list[Answer | TooLong] = []
            for a in asks:
                try:
                    out.extend(model.generate([a]))
                except TooLong as e:
                    out.append(e)
            return out
