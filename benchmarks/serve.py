"""The server under load from a second process, beside one of sentence-transformers and FastAPI.

    python benchmarks/serve.py COLLECTION --index FOLDER [--passages 100000] [--clients 1 8 32]
        [--seconds 20] [--processes CORES] [--requests 100000] [--queries FILE] [--no-peer]

COLLECTION is a folder in BEIR's layout. Its index and a large one are made in FOLDER as by
query.py, and used again; the large one is copied before documents are added to it.

Clients ask over one connection each, on loopback, and each asks again as soon as it has its answer:
POST /v1/search, 10 hits, hybrid; the queries of the collection, or of FILE (JSONL with a "text" in
each line), in turn, less those with marks of their own, such as quotes. Latencies are of whole
requests. "cores" is the CPU time of the server by the time that went by, and "client" that of the
asking process, which the machine must have as well. "MB" are those of all the server's processes,
what they share counted once.

Then --requests of 8 clients, after a tenth as many, with the memory before and after, and what of
it is of no file; then the first again while `clsearch index` is at work on new documents in a third
process; then the peer, peer_server.py, which knows the same vectors as a flat float32 index and
does not search by words. An answer counts as an error if its status is not 200, it holds no hit, or
the connection ends before it does.
"""

import argparse
import asyncio
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import grown
import httptools
import uvloop
from enlarged import enlarge
from query import flat_index

from clsearch import Index
from clsearch.index.config import EMBEDDED_MODEL
from clsearch.index.files import DATABASE
from clsearch.search.evaluate import beir
from clsearch.search.query import parse

HERE = Path(__file__).parent
ADDED = 20_000  # documents that `clsearch index` has before it
HIT = b'"score"'
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """What a load came to. Latencies in seconds."""

    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    seconds: float = 0.0
    cores: float = 0.0
    client: float = 0.0

    def ms(self, share: float) -> float:
        """The latency, in ms, that this share of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Client(asyncio.Protocol):
    """Asks, and asks again as soon as it is answered."""

    def __init__(self, following: Callable[[], bytes | None], measured: Measured) -> None:
        self._following = following
        self._measured = measured
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._measured.latencies.append(time.perf_counter() - self._asked)
        good = self._parser.get_status_code() == 200 and HIT in self._body
        self._measured.errors += not good
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._measured.errors += 1
            self.done.set_result(False)

    def _ask(self) -> None:
        request = self._following()
        if request is None:
            self.done.set_result(True)
            self._transport.close()
            return
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        self._asked = time.perf_counter()
        self._transport.write(request)


@dataclass(frozen=True)
class Server:
    """A process that answers at a port of this machine."""

    process: int
    port: int

    def memory(self, of: str = "Pss") -> float:
        """MB that are resident, with the pages of files that they map; `Pss_Anon` without."""
        files = [folder / "smaps_rollup" for folder in self._folders()]
        sizes = [file.read_text(encoding="ascii").split(f"\n{of}:")[1].split()[0] for file in files]
        return sum(map(int, sizes)) / 1000

    def cpu(self) -> float:
        """Seconds of CPU time so far."""
        stats = [(folder / "stat").read_text().rpartition(")")[2] for folder in self._folders()]
        fields = [stat.split() for stat in stats]
        return sum(int(one[11]) + int(one[12]) for one in fields) / TICKS

    def _folders(self) -> list[Path]:
        """Those in /proc of the process and of those that it has started."""
        own = Path(f"/proc/{self.process}")
        children = [file.read_text().split() for file in own.glob("task/*/children")]
        return [own, *(own.parent / child for some in children for child in some)]

    def load(
        self, queries: Iterator[str], clients: int, *, seconds: float = 1e9, count: int = 10**9
    ) -> Measured:
        """So many clients ask, until the time or the number of requests is up."""
        measured, left, end = Measured(), itertools.count(), time.perf_counter() + seconds

        def following() -> bytes | None:
            if next(left) >= count or time.perf_counter() > end:
                return None
            return self._request(next(queries))

        async def client() -> None:
            loop, answered = asyncio.get_running_loop(), False
            while not answered:
                make = partial(Client, following, measured)
                _, protocol = await loop.create_connection(make, "127.0.0.1", self.port)
                answered = await protocol.done

        async def all_clients() -> None:
            await asyncio.gather(*(client() for _ in range(clients)))

        began, cpu, own = time.perf_counter(), self.cpu(), time.process_time()
        uvloop.run(all_clients())
        measured.seconds = time.perf_counter() - began
        measured.cores = (self.cpu() - cpu) / measured.seconds
        measured.client = (time.process_time() - own) / measured.seconds
        return measured

    def _request(self, query: str) -> bytes:
        body = json.dumps({"query": query, "k": 10}).encode()
        return (
            f"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[Server]:
    """The server, once it is ready; it is ended by SIGTERM."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None:
                    sys.exit(f"the server ended: {' '.join(command)}")
                time.sleep(0.2)
        yield Server(process.pid, port)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def show(name: str, clients: int, measured: Measured, server: Server) -> None:
    """A line of the table."""
    rate = len(measured.latencies) / measured.seconds
    p50, p95, p99 = (measured.ms(share) for share in (0.5, 0.95, 0.99))
    print(
        f"{name:<30}  {clients:>7}  {len(measured.latencies):>8,}  {p50:>7.1f}  {p95:>7.1f}  "
        f"{p99:>7.1f}  {rate:>6.1f}  {measured.cores:>5.2f}  {measured.client:>6.2f}  "
        f"{server.memory():>6.0f}  {measured.errors:>6}",
        flush=True,
    )


def measure(
    name: str, server: Server, queries: list[str], clients: list[int], seconds: float
) -> None:
    """Warm the server for as long, and then a line for each number of clients."""
    following = itertools.cycle(queries)
    server.load(following, max(clients), seconds=seconds)
    for number in clients:
        show(name, number, server.load(following, number, seconds=seconds), server)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--index", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    large, flat = made(arguments.collection, arguments.index, arguments.passages)
    asked = arguments.queries or arguments.collection / "queries.jsonl"
    with asked.open(encoding="utf-8") as lines:
        every = [json.loads(line)["text"] for line in lines]
    # A phrase in quotes is asked for as such, and found nowhere in most collections.
    queries = [text for text in every if not parse(text).marked]
    print(f"{arguments.passages:,} passages, {len(queries):,} queries, {os.cpu_count()} cores\n")
    print(
        f"{'':<30}  {'clients':>7}  {'requests':>8}  {'p50 ms':>7}  {'p95 ms':>7}  {'p99 ms':>7}  "
        f"{'/s':>6}  {'cores':>5}  {'client':>6}  {'MB':>6}  {'errors':>6}"
    )
    served = arguments.index / "served"
    shutil.rmtree(served, ignore_errors=True)
    shutil.copytree(large, served)
    port = free_port()
    command = ["-m", "clsearch", "serve", "--index", str(served), "--port", str(port)]
    with running([*command, "--processes", str(arguments.processes)], port) as ours:
        measure("clsearch serve", ours, queries, arguments.clients, arguments.seconds)
        if arguments.requests:
            following = itertools.cycle(queries)
            ours.load(following, 8, count=arguments.requests // 10)  # keeps what is to be kept
            before = {of: ours.memory(of) for of in ("Pss", "Pss_Anon")}
            many = ours.load(following, 8, count=arguments.requests)
            show("clsearch serve, many", 8, many, ours)
            for of, then in before.items():
                now = ours.memory(of)
                grew = f"from {then:.1f} MB to {now:.1f} MB: {100 * (now - then) / then:+.2f} %"
                print(f"{'':<30}  {of}, {grew}")
        source = grown.written(arguments.collection, arguments.index / "added", ADDED, None)
        command = [sys.executable, "-m", "clsearch", "index", str(source), "--index", str(served)]
        indexing = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            measure(
                "clsearch serve, while indexing",
                ours,
                queries,
                arguments.clients,
                arguments.seconds,
            )
            print(f"{'':<30}  indexing {'ran on' if indexing.poll() is None else 'had ended'}")
        finally:
            indexing.terminate()
            indexing.wait()
    if arguments.peer:
        port = free_port()
        peer = [str(HERE / "peer_server.py"), str(EMBEDDED_MODEL), str(flat), str(large / DATABASE)]
        with running([*peer, str(port)], port) as theirs:
            measure("the peer", theirs, queries, arguments.clients, arguments.seconds)


def made(collection: Path, folder: Path, passages: int) -> tuple[Path, Path]:
    """A large index, and its vectors as a flat index of FAISS; made where there are none."""
    base, large = folder / "base", folder / f"{passages}"
    flat = large.with_suffix(".faiss")
    if not base.exists():
        with Index.open(base) as index:
            index.add(beir.read_corpus(collection))
    if not large.exists():
        enlarge(base, large, passages)
    if not flat.exists():
        flat_index(large, flat)
    return large, flat


if __name__ == "__main__":
    main()
