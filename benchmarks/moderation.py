"""Answer times and throughput of `/v1/moderations`, beside a plain FastAPI handler around `predict_proba`.

Both are trained on the demo corpus and served by a process of their own; clients and server share the machine. Ours
is `saring serve` with its store and an API token. Its champion has n-grams alone, as the plain handler's model;
`--vectors` trains it with the encoder's vectors, as `saring train` does by default. `--memory N` sends N requests
more and says how the server's memory changed. `--untrained HIDDEN LAYERS` serves, in place of the linear champion, a
transformer of that size in 8 bits, whose weights are drawn at random: it costs what a fine-tuned one costs.
`--most-words N` leaves out longer texts.

Prints JSON lines; times are in milliseconds.

    python benchmarks/moderation.py [--clients 50] [--requests 60] [--texts 1 16] [--memory 0]
    python benchmarks/moderation.py --untrained 384 12 --most-words 12 --clients 8 --requests 20
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
import psutil
from _measure import emit
from _serving_load import Answers, ask_all, home_with_champion, raw, served

from pipeline.settings import Settings
from pipeline.store.tables.accounts import Role
from saring.accounts.api_tokens import make_token
from saring.accounts.people import add_account
from saring.demo.plant import Line, read_corpus
from saring.home import Home

_ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure ours, then the peer."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clients", type=int, default=50)
    arguments.add_argument("--requests", type=int, default=60, help="of each client")
    arguments.add_argument("--texts", type=int, nargs="+", default=[1, 16], help="of each request")
    arguments.add_argument("--memory", type=int, default=0, help="requests after which memory is compared")
    arguments.add_argument("--vectors", action="store_true", help="a champion with vectors, as trained by default")
    arguments.add_argument("--untrained", type=int, nargs=2, metavar=("HIDDEN", "LAYERS"))
    arguments.add_argument("--most-words", type=int, help="of a text that is sent")
    options = arguments.parse_args()
    corpus = read_corpus()
    lines = [line for line in corpus if not options.most_words or len(line.text.split()) <= options.most_words]
    with home_with_champion(corpus, vectors=options.vectors) as (settings, champion):
        if options.untrained:
            # seconds, which the linear champion does not need
            from _untrained import Size, promote_untrained

            promote_untrained(settings, champion, [line.text for line in corpus], Size(*options.untrained))
        token = _token(settings)
        command = [sys.executable, "-m", "saring", "serve", "--port", "{port}"]
        with served(command, {"SARING_HOME": str(settings.home)}) as (port, process):
            headers = f"Authorization: Bearer {token}\r\n"
            asked = [("saring", port, process, lines, options, headers, count) for count in options.texts]
            ours = {of_count[-1]: _measured(*of_count) for of_count in asked}
            if options.memory:
                _memory(port, process, lines, options, headers)
        plain = [sys.executable, str(_ROOT / "benchmarks/_plain_handler.py"), "{port}"]
        with served(plain, {}) as (port, process):
            asked = [("plain handler", port, process, lines, options, "", count) for count in options.texts]
            peer = {of_count[-1]: _measured(*of_count) for of_count in asked}
    for count in options.texts:
        (rate, cpu), (peer_rate, peer_cpu) = ours[count], peer[count]
        ratios = {"ratio": rate / peer_rate, "ratio_of_processor_time": peer_cpu / cpu}
        emit("moderation", {"what": "texts a second, ours to the peer's", "texts": count, **ratios})


def _token(settings: Settings) -> str:
    with Home(settings=settings) as home, home.begin() as session:
        person = add_account(session, "benchmark", Role.VIEWER)
        return make_token(session, person, "a benchmark", Role.VIEWER, per_minute=1_000_000)[1]


def _measured(
    who: str,
    port: int,
    process: psutil.Process,
    lines: Sequence[Line],
    options: argparse.Namespace,
    headers: str,
    count: int,
) -> tuple[float, float]:
    """Texts a second, and the server's processor time for each in milliseconds, which other load changes less."""
    requests = _requests(port, lines, options.clients, options.requests, headers, count)
    asyncio.run(ask_all(port, [of_client[:3] for of_client in requests]))  # Warm up.
    before = _processor_seconds(process)
    answers: Answers = asyncio.run(ask_all(port, requests))
    texts = len(answers.seconds) * count
    cpu = 1e3 * (_processor_seconds(process) - before) / texts
    figures = answers.figures()
    rate = texts / answers.wall
    shape = {"clients": options.clients, "cores": os.cpu_count(), "texts": count}
    if who == "saring":
        shape["vectors"] = options.vectors
        if options.untrained:
            shape["untrained"] = "{}x{}".format(*options.untrained)
    emit("moderation", {"who": who, **shape, **figures, "texts_per_s": rate, "server_cpu_ms_per_text": cpu})
    return rate, cpu


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _memory(
    port: int, process: psutil.Process, lines: Sequence[Line], options: argparse.Namespace, headers: str
) -> None:
    before = process.memory_info().rss
    each = options.memory // options.clients
    asyncio.run(ask_all(port, _requests(port, lines, options.clients, each, headers, 1)))
    after = process.memory_info().rss
    emit(
        "moderation",
        {
            "who": "saring",
            "what": "memory",
            "requests": each * options.clients,
            "before_mb": before / 1e6,
            "after_mb": after / 1e6,
        },
    )


def _requests(port: int, lines: Sequence[Line], clients: int, each: int, headers: str, count: int) -> list[list[bytes]]:
    """The requests of each client; no text comes twice."""
    made = []
    for client in range(clients):
        of_client = []
        for i in range(each):
            first = (client * each + i) * count
            texts = [f"{lines[n % len(lines)].text} {n}" for n in range(first, first + count)]
            body = orjson.dumps({"input": texts[0] if count == 1 else texts})
            of_client.append(raw(port, "/v1/moderations", body, headers))
        made.append(of_client)
    return made


if __name__ == "__main__":
    main()
