"""Client CPU per call at a number of requests in flight against a server in another process, ledger included.

    python experiments/benchmarks/throughput/calls.py [--calls 2000] [--in-flight 32] [--delay 0.05] [--slow 0.05]

Rows: aiohttp alone, llmevo without and with everything (retry, gate, budget, durable ledger in a file), the openai SDK and,
when installed, litellm. CPU is user + system time of the whole client process, all threads; the best of `--rounds` rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from llmevo.llm import Connections, HttpLLM, Message, ModelSpec, Request, Sampling
from llmevo.storage.budget import Budget
from llmevo.storage.database import Database

HERE = Path(__file__).parent
PROMPT = "You are given a review. Decide whether it is positive or negative.\n" * 10
Call = Callable[[int], Awaitable[object]]


def asked(i: int) -> Request:
    return Request((Message("user", f"{PROMPT}\nReview {i}: a fine film."),), Sampling(max_tokens=100))


async def drive(call: Call, calls: int, in_flight: int | None) -> float:
    """Makes the calls; returns client CPU in ms per call. in_flight None: the callee bounds itself."""
    await asyncio.gather(*(call(-i) for i in range(1, 65)))
    waiting = iter(range(calls))

    async def worker() -> None:
        for i in waiting:
            await call(i)

    before = time.process_time()
    if in_flight is None:
        await asyncio.gather(*(call(i) for i in range(calls)))
    else:
        await asyncio.gather(*(worker() for _ in range(in_flight)))
    return (time.process_time() - before) / calls * 1e3


async def bare(url: str, calls: int, in_flight: int) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(i: int) -> object:
            body = {"model": "test", "messages": [{"role": "user", "content": asked(i).messages[0].content}]}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                return await response.json()

        return await drive(call, calls, in_flight)


async def endpoint(url: str, calls: int, in_flight: int) -> float:
    llm = HttpLLM("test", base_url=url)
    try:
        return await drive(lambda i: llm(asked(i)), calls, in_flight)
    finally:
        await llm.aclose()


async def everything(url: str, calls: int, in_flight: int) -> float:
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        database = Database(Path(folder) / "run.sqlite")
        budget = Budget(calls=10**9, usd=1000.0)
        async with Connections(database=database, budget=budget, in_flight=in_flight) as models:
            from llmevo.llm import Price

            llm = models.connect(ModelSpec("test", base_url=url, price=Price(0.4, 1.6)))
            found = await drive(lambda i: llm(asked(i)), calls, None)
        database.close()
        return found


async def openai(url: str, calls: int, in_flight: int) -> float:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="none", base_url=url, max_retries=0)

    async def call(i: int) -> object:
        return await client.chat.completions.create(
            model="test", messages=[{"role": "user", "content": asked(i).messages[0].content}], max_tokens=100
        )

    found = await drive(call, calls, in_flight)
    await client.close()
    return found


async def litellm(url: str, calls: int, in_flight: int) -> float:
    os.environ |= {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    import litellm

    async def call(i: int) -> object:
        return await litellm.acompletion(
            model="openai/test",
            api_base=url,
            api_key="none",
            messages=[{"role": "user", "content": asked(i).messages[0].content}],
            max_tokens=100,
            num_retries=0,
        )

    return await drive(call, calls, in_flight)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--slow", type=float, default=0.0, help="share of calls that take ten times as long")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    rows = {"aiohttp alone": bare, "llmevo endpoint": endpoint, "llmevo, all of it": everything}
    if importlib.util.find_spec("openai"):
        rows["openai SDK"] = openai
    if importlib.util.find_spec("litellm"):
        rows["litellm"] = litellm
    with tempfile.TemporaryDirectory() as folder:
        port = Path(folder) / "port"
        words = [sys.executable, str(HERE / "server.py"), str(port), str(given.delay), str(given.slow)]
        server = subprocess.Popen(words)
        try:
            while not port.exists():
                time.sleep(0.02)
            url = f"http://127.0.0.1:{port.read_text()}/v1"
            print(f"{given.calls} calls, {given.in_flight} in flight, {given.delay * 1e3:g} ms, slow share {given.slow:g}")
            print(f"{'client':20} {'CPU ms/call':>12} {'calls/s':>9} {'mean inside':>12} {'wall/ideal':>11}")
            for name, run in rows.items():
                if given.only and given.only not in name:
                    continue
                best: tuple[float, dict[str, float]] | None = None
                for _ in range(given.rounds):
                    cpu = asyncio.run(run(url, given.calls, given.in_flight))
                    with urllib.request.urlopen(f"{url}/stats") as answer:
                        stats = json.load(answer)
                    if best is None or cpu < best[0]:
                        best = cpu, stats
                assert best is not None
                cpu, stats = best
                ideal = stats["requests"] * given.delay * (1 + 9 * given.slow) / given.in_flight
                print(
                    f"{name:20} {cpu:12.3f} {stats['requests'] / stats['seconds']:9.0f} {stats['inside']:12.1f} "
                    f"{stats['seconds'] / ideal:11.2f}",
                    flush=True,
                )
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
