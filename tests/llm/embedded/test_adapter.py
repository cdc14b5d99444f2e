"""The embedded model as an `LLM`: batches by itself, honest errors, light import."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from llmevo.llm.contract import LLM, Message, Request, RequestRejected, Sampling
from llmevo.llm.embedded import EmbeddedLLM, loops, weights_hash


def ask(text: str, sample: str = "", temperature: float = 0.0, max_tokens: int = 8) -> Request:
    return Request((Message("user", text),), Sampling(temperature, 0.95, max_tokens), sample)


def question(i: int) -> str:
    return f"Judge the delivery. Answer good or bad.\n\nReview: I bought {i} lamps. The delivery was late.\nAnswer:"


def test_concurrent_requests_are_answered_as_if_alone() -> None:
    async def main() -> None:
        llm: LLM = EmbeddedLLM()
        requests = [ask(question(i), str(i), 1.0 if i % 2 else 0.0) for i in range(40)]
        together = await asyncio.gather(*map(llm, requests), return_exceptions=True)
        alone = [(await asyncio.gather(llm(r), return_exceptions=True))[0] for r in requests]
        assert list(map(repr, together)) == list(map(repr, alone))
        assert together[0].usage.calls == 1 and together[0].usage.tokens_in > 10 and together[0].usage.price == 0

    asyncio.run(main())


def test_the_sample_index_draws_anew() -> None:
    async def main() -> None:
        llm = EmbeddedLLM()
        replies = await asyncio.gather(*(llm(ask("Say something about this lamp.", str(i), 1.8, 12)) for i in range(12)))
        assert len({r.text for r in replies}) > 1

    asyncio.run(main())


def test_a_prompt_that_is_too_long_fails_alone() -> None:
    async def main() -> None:
        llm = EmbeddedLLM()
        found = await asyncio.gather(llm(ask("x " * 5000)), llm(ask(question(1))), return_exceptions=True)
        assert isinstance(found[0], RequestRejected)
        assert not isinstance(found[1], BaseException)

    asyncio.run(main())


def test_a_cancelled_request_harms_nobody() -> None:
    async def main() -> None:
        llm = EmbeddedLLM()
        tasks = [asyncio.create_task(llm(ask(question(i)))) for i in range(6)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[2], asyncio.CancelledError)
        assert sum(isinstance(f, BaseException) for f in found) == 1

    asyncio.run(main())


def test_one_object_serves_several_event_loops() -> None:
    llm = EmbeddedLLM()
    assert asyncio.run(llm(ask(question(1)))) == asyncio.run(llm(ask(question(1))))


def test_the_key_names_the_weights_and_the_rule_of_choosing() -> None:
    assert EmbeddedLLM().key == f"embedded:{weights_hash()}:{loops.VERSION}"


@pytest.mark.parametrize("heavy", ["torch", "transformers", "tokenizers", "safetensors"])
def test_importing_is_light(heavy: str) -> None:
    code = "import sys; from llmevo.llm.embedded import EmbeddedLLM; EmbeddedLLM().key; "
    code += f"assert {heavy!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
