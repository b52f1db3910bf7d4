"""A collection grown to any size: its own documents first, then made ones of real sentences.

What lexical.py, scale.py and growth.py measure over: the judged documents are found among many that
use the same words, and no hours of encoding stand before the measuring.
"""

import json
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clsearch import Encoder, Index
from clsearch.index.files import DATABASE
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.types import Json
from clsearch.search.evaluate import beir

SENTENCES = (1, 3)  # of a made document, from and to
TEXTS = 30_000  # lines that sentences are drawn from
CENTRES = 1_000
NOISE = 0.5  # its length beside a vector of length 1: cosine 0.89 to what it was made of

_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def documents(
    collection: Path, count: int, texts: Path | None = None, seed: int = 0
) -> Iterator[dict[str, str]]:
    """Yield `count` records with id, title and text: the collection's, then made ones.

    A made one has 1 to 3 sentences. Half of them are drawn from the documents of the collection
    that answer no judged question, the others from `texts` (JSONL with a "text" in each line); all
    from the collection where there are no texts.
    """
    draw = random.Random(seed)
    qrels = beir.read_qrels(collection, "test").values()
    answers = {id for found in qrels for id, relevance in found.items() if relevance > 0}
    pools: list[list[str]] = [[]]
    made = 0
    for document in beir.read_corpus(collection):
        if document.id not in answers:
            pools[0].extend(_END.split(document.text))
        if made < count:
            yield {"id": document.id, "title": document.title, "text": document.text}
            made += 1
    if texts is not None:
        with texts.open(encoding="utf-8") as lines:
            some = islice(lines, TEXTS)
            pools.append([part for line in some for part in _END.split(json.loads(line)["text"])])
    for number in range(made, count):
        chosen = [draw.choice(draw.choice(pools)) for _ in range(draw.randint(*SENTENCES))]
        yield {"id": f"made-{number}", "title": "", "text": "\n".join(chosen)}


class DrawnEncoder:
    """The embedded encoder, but that a passage's vector is drawn, which takes no time.

    It is one of 1,000 encoded sentences plus noise, so that vectors lie as real ones do. Passages
    are cut with the real tokenizer, and queries are encoded.
    """

    def __init__(self, sentences: Sequence[str], seed: int = 0) -> None:
        """Encode the first 1,000 of the sentences."""
        self._real = Encoder.load()
        self._centres = self._real.encode_passages(sentences[:CENTRES])
        self._random = np.random.default_rng(seed)
        self.seconds = 0.0  # that the drawing took
        self.name = self._real.name
        self.dimension = self._real.dimension
        self.room = self._real.room
        self.fingerprint = self._real.fingerprint
        self.declaration: Mapping[str, Json] = self._real.declaration
        self.encode_queries = self._real.encode_queries
        self.token_spans = self._real.token_spans

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors `[n, dimension]` of unit length; what the texts say does not matter."""
        began = time.perf_counter()
        centres = self._centres[self._random.integers(len(self._centres), size=len(texts))]
        noise = self._random.standard_normal(centres.shape, np.float32)
        drawn = centres + noise * (NOISE / np.sqrt(np.float32(self.dimension)))
        found: NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        self.seconds += time.perf_counter() - began
        return found


def passages(index: Path) -> dict[int, str]:
    """Id -> title and text of all passages of an index, ascending."""
    found: dict[int, str] = {}
    with closing(sqlite3.connect(index / DATABASE)) as connection:
        ids = [id for (id,) in connection.execute("SELECT id FROM passages ORDER BY id")]
    with Snapshot.open(index) as snapshot:
        for start in range(0, len(ids), 10_000):
            some = snapshot.passages(ids[start : start + 10_000])
            found |= {id: f"{some[id].title} {some[id].passage.text}" for id in sorted(some)}
    return found


def written(collection: Path, folder: Path, count: int, texts: Path | None) -> Path:
    """The JSONL file in `folder` with so many of these documents; made where it is missing."""
    path = folder / f"{count}.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            for record in documents(collection, count, texts):
                file.write(json.dumps(record) + "\n")
    return path


def measured(source: Path, index: Path) -> dict[str, float]:
    """Run `Index.sync([source])` in a process of its own -> what it took, as `main` prints it."""
    command = [sys.executable, __file__, str(source), str(index)]
    found: dict[str, float] = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    )
    return found


def first(source: Path, index: Path) -> dict[str, float]:
    """As `measured` for an index that is not there; what it took is kept beside it, and read."""
    kept = index.with_name(f"{index.name}.json")
    if not kept.exists():
        kept.write_text(json.dumps(measured(source, index)), encoding="utf-8")
    found: dict[str, float] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def memory(name: str) -> float:
    """MB of this process, as /proc/self/status has it: VmRSS now, VmHWM at most, RssAnon."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{name}:")[1].split()[0]) / 1000


def main() -> None:
    """Bring the index up to date with the source; print seconds, CPU seconds and memory as JSON.

    `encoding` is how many of the seconds the drawing of vectors took; `peak` and `peak_own` are MB
    above what the process had before it began: with the pages of files that it maps, and without.
    """
    source, index = map(Path, sys.argv[1:])
    with (source if source.is_file() else next(source.rglob("*.txt"))).open() as lines:
        encoder = DrawnEncoder([line[:300] for line in islice(lines, CENTRES)])
    before, own = memory("VmRSS"), memory("RssAnon")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM starts anew
    peak_own, done = own, threading.Event()

    def watch() -> None:
        nonlocal peak_own
        while not done.wait(0.1):
            peak_own = max(peak_own, memory("RssAnon"))

    watching = threading.Thread(target=watch)
    watching.start()
    began, cpu = time.perf_counter(), time.process_time()
    with Index.open(index, encoder=encoder) as opened:
        report = opened.sync([source])
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    done.set()
    watching.join()
    found = {
        "seconds": seconds,
        "cpu": cpu,
        "encoding": encoder.seconds,
        "peak": memory("VmHWM") - before,
        "peak_own": peak_own - own,
        "documents": report.added + report.updated + report.unchanged,
        "encoded": report.encoded,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
