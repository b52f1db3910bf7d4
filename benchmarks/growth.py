"""How cost grows with a collection: time to index, time of a query, memory, disk, beside peers.

    python benchmarks/growth.py COLLECTION [--most 100000] [--peers-most 100000] [--texts FILE]
        [--folder FOLDER] [--images FOLDER]

COLLECTION, in BEIR's layout, is grown to 1,000 documents, and to ten times as many up to --most
(grown.py; vectors are drawn, so that no time of an encoder is in any figure but where it is said).
At each size, every engine in a process of its own, on one thread:

- clsearch: CPU seconds of `Index.sync` without the drawing; then, median over 50 judged queries, ms
  of a ranking in each mode, with the encoding of the query; MB of the process after them, above
  what it had with its imports and the encoder; MB of the index folder, documents and full text
  included;
- faiss-flat (float32), hnswlib (M 16, ef_construction 200, ef 64), over the same vectors in memory;
- bm25s over the same texts, memory-mapped.

Peers run up to --peers-most. With --images, draws index.svg, query.svg, memory.svg and disk.svg.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grown
import numpy as np
from numpy.typing import NDArray

from clsearch import Encoder, Searcher
from clsearch.index import vectors
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment
from clsearch.search.evaluate import beir

QUERIES = 50
DEPTH = 10
PICTURES = {
    "index": ("seconds to index, without encoding", {"seconds": ""}),
    "query": (
        "milliseconds of a query",
        {"lexical": "lexical", "dense": "dense", "hybrid": "hybrid"},
    ),
    "memory": ("MB in memory after queries", {"memory": ""}),
    "disk": ("MB on disk", {"disk": ""}),
}
COLOURS = {"clsearch": "C0", "faiss-flat": "C1", "hnswlib": "C2", "bm25s": "C3"}
STYLES = {"seconds": "-", "memory": "-", "disk": "-", "lexical": ":", "dense": "--", "hybrid": "-"}

Figures = dict[str, float]
Ask = Callable[[Any], object]
Vectors = NDArray[np.float32]
Engine = Callable[[Path, list[str], Vectors, Path], Figures]


def size(path: Path) -> float:
    """MB of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def median(ask: Ask, queries: Sequence[Any]) -> float:
    """The median of the milliseconds of each of the queries, after one that does not count."""
    ask(queries[0])
    times = []
    for query in queries:
        began = time.perf_counter()
        ask(query)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def stored_vectors(index: Path) -> Vectors:
    """All vectors of an index, [n, d]."""
    with Snapshot.open(index) as snapshot:
        parts = []
        for row in snapshot.segments:
            segment = Segment.open(index, row)
            parts.append(vectors.vectors([segment], segment.ids)[1])
    return np.concatenate(parts)


def clsearch(index: Path, queries: list[str], asked: Vectors, folder: Path) -> Figures:
    """A searcher over the index: ms in each mode, MB."""
    encoder = Encoder.load()
    encoder.encode_queries(queries[:1])
    before = grown.memory("VmRSS")
    searcher = Searcher.open(index, encoder)
    found: Figures = {}
    for mode in ("lexical", "dense", "hybrid"):
        found[mode] = median(
            lambda query, mode=mode: searcher.rank_documents([query], DEPTH, mode), queries
        )
    return found | {
        "encode": median(lambda query: encoder.encode_queries([query]), queries),
        "memory": grown.memory("VmRSS") - before,
        "disk": size(index),
    }


def faiss_flat(index: Path, queries: list[str], asked: Vectors, folder: Path) -> Figures:
    """FAISS's exact scan of float32."""
    import faiss

    faiss.omp_set_num_threads(1)
    before, stored = grown.memory("VmRSS"), stored_vectors(index)
    began = time.perf_counter()
    made = faiss.IndexFlatIP(stored.shape[1])
    made.add(stored)
    seconds = time.perf_counter() - began
    del stored
    faiss.write_index(made, str(folder / "flat.faiss"))
    return {
        "seconds": seconds,
        "dense": median(lambda query: made.search(query[None], DEPTH), asked),
        "memory": grown.memory("VmRSS") - before,
        "disk": size(folder / "flat.faiss"),
    }


def hnswlib(index: Path, queries: list[str], asked: Vectors, folder: Path) -> Figures:
    """hnswlib, made and asked on one thread."""
    import hnswlib

    before, stored = grown.memory("VmRSS"), stored_vectors(index)
    made = hnswlib.Index("ip", stored.shape[1])
    made.init_index(len(stored), ef_construction=200, M=16)
    made.set_num_threads(1)
    began = time.perf_counter()
    made.add_items(stored)
    seconds = time.perf_counter() - began
    del stored
    made.set_ef(64)
    made.save_index(str(folder / "hnsw"))
    return {
        "seconds": seconds,
        "dense": median(lambda query: made.knn_query(query, DEPTH), asked),
        "memory": grown.memory("VmRSS") - before,
        "disk": size(folder / "hnsw"),
    }


def bm25s(index: Path, queries: list[str], asked: Vectors, folder: Path) -> Figures:
    """bm25s with English stems, asked from its memory-mapped files."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")

    def tokens(texts: list[str]) -> Any:
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)

    texts = list(grown.passages(index).values())
    began = time.perf_counter()
    made = bm25s.BM25()
    made.index(tokens(texts), show_progress=False)
    seconds = time.perf_counter() - began
    made.save(folder / "bm25s")
    del made, texts
    before = grown.memory("VmRSS")
    opened = bm25s.BM25.load(folder / "bm25s", mmap=True)
    return {
        "seconds": seconds,
        "lexical": median(
            lambda query: opened.retrieve(tokens([query]), k=DEPTH, show_progress=False), queries
        ),
        "memory": grown.memory("VmRSS") - before,
        "disk": size(folder / "bm25s"),
    }


ENGINES: dict[str, Engine] = {
    "clsearch": clsearch,
    "faiss-flat": faiss_flat,
    "hnswlib": hnswlib,
    "bm25s": bm25s,
}


def draw(found: dict[str, dict[int, Figures]], folder: Path) -> None:
    """One picture for each kind of cost, both axes logarithmic, on white: so in any theme."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "clsearch"
    folder.mkdir(parents=True, exist_ok=True)
    for picture, (title, lines) in PICTURES.items():
        figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
        for engine, by_size in found.items():
            for key, label in lines.items():
                points = [(n, figures[key]) for n, figures in by_size.items() if key in figures]
                if points:
                    axes.plot(
                        *zip(*points, strict=True),
                        color=COLOURS[engine],
                        linestyle=STYLES[key],
                        marker="o",
                        label=f"{engine} {label}".strip(),
                    )
        axes.set(xscale="log", yscale="log", xlabel="passages", ylabel=title)
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(folder / f"{picture}.svg", metadata={"Date": None})
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--most", type=int, default=100_000)
    parser.add_argument("--peers-most", type=int, default=100_000)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--images", type=Path)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    texts = beir.read_queries(arguments.collection)
    queries = [texts[query] for query in beir.read_qrels(arguments.collection, "test")][:QUERIES]
    asked = Encoder.load().encode_queries(queries)
    found: dict[str, dict[int, Figures]] = {engine: {} for engine in ENGINES}
    columns = ("seconds", "lexical", "dense", "hybrid", "encode", "memory", "disk")
    print(f"{'passages':>9}  {'engine':<10}" + "".join(f"  {column:>9}" for column in columns))
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        count = 1_000
        while count <= arguments.most:
            source = grown.written(arguments.collection, folder, count, arguments.texts)
            index = folder / f"{count}"
            first = grown.first(source, index)
            with Snapshot.open(index) as snapshot:
                passages = snapshot.counts().passages
            for engine, run in ENGINES.items():
                if engine != "clsearch" and count > arguments.peers_most:
                    continue
                # A new process, so that nothing of another engine is in its memory.
                with (
                    tempfile.TemporaryDirectory() as own,
                    multiprocessing.get_context("spawn").Pool(1) as process,
                ):
                    figures = process.apply(run, (index, queries, asked, Path(own)))
                if engine == "clsearch":
                    figures["seconds"] = first["cpu"] - first["encoding"]
                found[engine][passages] = figures
                cells = (
                    f"{figures[column]:>9.1f}" if column in figures else " " * 9
                    for column in columns
                )
                print(f"{passages:>9,}  {engine:<10}  " + "  ".join(cells), flush=True)
            count *= 10
    if arguments.images:
        draw(found, arguments.images)


if __name__ == "__main__":
    main()
