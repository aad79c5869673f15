"""Requests a second of our client to a language model's server, beside a bare load generator.

The server is the tests' own (tests/support/llm_server.py), a process of its own that answers after a fixed time. Its
peer is httpx in a plain loop: so many coroutines, each posting the same body and reading the answer's JSON. Ours is the
whole of what `saring judge` does but for the store: the official client, the window, retries, and the thread that hands
answers over. Both keep as many requests under way. Prints JSON lines, and the share that ours reaches.

    python benchmarks/llm_client.py [--requests 1500] [--concurrency 8] [--latency 0.05] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
from _measure import emit

from pipeline.llm.asker import messages
from pipeline.llm.client import LlmClient
from pipeline.llm.config import Limits, LlmConfig
from pipeline.llm.replies import NoReply, Reply
from pipeline.llm.runner import Ask, answers
from pipeline.raters.llm.prompt import Prompt
from pipeline.taxonomy import load_taxonomy

_ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def server(port: int, latency: float) -> Iterator[str]:
    """The stub, as a process of its own."""
    command = [sys.executable, "-m", "tests.support.llm_server", "--port", str(port), "--latency", str(latency)]
    with subprocess.Popen(command, cwd=_ROOT) as process:
        try:
            url = f"http://127.0.0.1:{port}/v1"
            deadline = time.monotonic() + 60
            while True:
                try:
                    httpx.get(f"{url}/models", timeout=5)
                    break
                except httpx.TransportError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()


async def bare(url: str, body: dict[str, object], requests: int, concurrency: int) -> float:
    """Requests a second of a bare load generator."""
    left = iter(range(requests))
    limits = httpx.Limits(max_connections=concurrency)
    async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:

        async def post_until_done() -> None:
            for _ in left:
                reply = await client.post(f"{url}/chat/completions", json=body)
                reply.raise_for_status()
                reply.json()["choices"][0]["message"]["content"]

        start = time.perf_counter()
        await asyncio.gather(*(post_until_done() for _ in range(concurrency)))
        return requests / (time.perf_counter() - start)


def ours(url: str, prompt: Prompt, requests: int, concurrency: int) -> float:
    """Requests a second of ours."""
    limits = Limits(start=concurrency, concurrency=concurrency)
    config = LlmConfig(name="stub", url=url, model="stub-model", limits=limits)

    @asynccontextmanager
    async def asking() -> AsyncIterator[Ask[str, Reply | NoReply]]:
        client = LlmClient(config, schema=prompt.schema)
        try:
            yield lambda content: client.ask(messages(prompt.system, content))
        finally:
            await client.close()

    start = time.perf_counter()
    contents = (prompt.content(f"teks {n}") for n in range(requests))
    got = sum(isinstance(answer, Reply) for some in answers(contents, asking, ahead=2 * concurrency) for answer in some)
    if got != requests:
        raise SystemExit(f"{requests - got} requests came to nothing")
    return requests / (time.perf_counter() - start)


def main() -> None:
    """Measure, in turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1_500)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=8917)
    args = parser.parse_args()
    prompt = Prompt(load_taxonomy(), LlmConfig(name="stub", url="http://stub").prompt)
    body = {
        "model": "stub-model",
        "messages": messages(prompt.system, prompt.content("teks")),
        "temperature": 0,
        "max_tokens": 400,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "verdict", "strict": True, "schema": prompt.schema},
        },
    }
    shares = []
    with server(args.port, args.latency) as url:
        for _ in range(args.rounds):
            began = time.process_time()
            peer = asyncio.run(bare(url, body, args.requests, args.concurrency))
            between = time.process_time()
            own = ours(url, prompt, args.requests, args.concurrency)
            ended = time.process_time()
            shares.append(own / peer)
            figures = {"bare_per_second": peer, "saring_per_second": own, "share": own / peer}
            # Processor time of a request, which is the limit where the server is faster.
            figures["bare_cpu_ms"] = 1_000 * (between - began) / args.requests
            figures["saring_cpu_ms"] = 1_000 * (ended - between) / args.requests
            emit("llm_client", figures)
    asked = {"concurrency": args.concurrency, "latency": args.latency, "requests": args.requests}
    emit("llm_client", asked | {"median_share": statistics.median(shares)})


if __name__ == "__main__":
    main()
