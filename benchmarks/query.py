"""A cold query, and many at once, beside sentence-transformers with FAISS.

    python benchmarks/query.py COLLECTION --index FOLDER [--passages 100000] [--queries 100]

COLLECTION is a folder in BEIR's layout. Its index, and one of --passages made from that
(`enlarged.py`: real text, real vectors plus noise), are made in FOLDER and used again.

Cold: the whole command in a new process, files in the page cache; medians of --runs of ours and
three of the peer's, and the highest resident memory. The peer is a script that loads the same model
and a flat float32 index of the same vectors, encodes, searches, and prints ten passages that it
gets from the same SQLite file: less than the command does, which searches by words, too. Then all
judged questions by one command (`search --queries`), beside a command for each.

Many: queries/s of the first --queries judged questions through `Searcher.search` one at a time, and
together through `search_many`, which chooses a sentence of each hit for its snippet, and
`rank_documents`, which `eval` calls and which does not; by vectors, by words, and by both. The peer
encodes them as one list and searches them as one matrix.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from enlarged import enlarge

from clsearch import Index, Searcher
from clsearch.index import vectors
from clsearch.index.config import EMBEDDED_MODEL
from clsearch.index.files import DATABASE
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment
from clsearch.search.evaluate import beir
from clsearch.search.scale import Mode

PEER = """
import sqlite3, sys, time
began = time.perf_counter()
import faiss
from sentence_transformers import SentenceTransformer
model_folder, index_file, database, *queries = sys.argv[1:]
model = SentenceTransformer(model_folder, device="cpu")
index = faiss.read_index(index_file)
if len(queries) == 1:
    scores, ids = index.search(model.encode(queries, normalize_embeddings=True), 10)
    rows = sqlite3.connect(database)
    for id, score in zip(ids[0].tolist(), scores[0].tolist()):
        sql = ('SELECT d.title, substr(d.text, p.start + 1, p."end" - p.start) FROM passages p '
               "JOIN documents d ON d.key = p.document WHERE p.id = ?")
        print(score, *rows.execute(sql, (id,)).fetchone())
else:
    model.encode(queries[:8])
    one = []
    for query in queries[:50]:
        asked = time.perf_counter()
        index.search(model.encode([query], normalize_embeddings=True), 10)
        one.append(time.perf_counter() - asked)
    asked = time.perf_counter()
    index.search(model.encode(queries, normalize_embeddings=True), 10)
    print(len(one) / sum(one), len(queries) / (time.perf_counter() - asked))
"""
# From a small process: the memory of the one that starts a command counts as the command's.
LAUNCH = """
import json, os, sys, time
nowhere = [(os.POSIX_SPAWN_OPEN, out, "/dev/null", os.O_WRONLY, 0) for out in (1, 2)]
began = time.perf_counter()
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=nowhere)
_, status, used = os.wait4(process, 0)
print(json.dumps([time.perf_counter() - began, used.ru_maxrss, status]))
"""
QUESTION = "does vitamin D reduce the risk of falls in older people"
MODES: tuple[Mode, ...] = ("dense", "lexical", "hybrid")


def run(command: Sequence[str]) -> tuple[float, float]:
    """Seconds, and MB of memory at the most."""
    launched = [sys.executable, "-S", "-c", LAUNCH, *command]
    printed = subprocess.run(launched, capture_output=True, text=True, check=True).stdout
    seconds, memory, status = json.loads(printed)
    assert status == 0, command
    return seconds, memory / 1024


def median_of(command: Sequence[str], runs: int) -> tuple[float, float]:
    """Median seconds and MB, after a run that fills the page cache."""
    run(command)
    measured = [run(command) for _ in range(runs)]
    return statistics.median(one[0] for one in measured), max(one[1] for one in measured)


def flat_index(index: Path, file: Path) -> None:
    """The vectors of an index as a flat float32 FAISS index under the same ids."""
    import faiss

    flat = faiss.IndexIDMap2(faiss.IndexFlatIP(384))
    with Snapshot.open(index) as snapshot:
        segments = [Segment.open(index, row) for row in snapshot.segments]
    for segment in segments:
        ids, found = vectors.vectors([segment], np.asarray(segment.ids, np.int64))
        flat.add_with_ids(found, ids)
    faiss.write_index(flat, str(file))


def per_second(work: Callable[[], object], count: int) -> float:
    """How many of `count` a second, where `work` does all of them."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def cold(index: Path, peer: Sequence[str], queries: Sequence[str], runs: int) -> None:
    """Print the table of whole commands, and what a query costs of many in one."""
    ours = [sys.executable, "-m", "clsearch"]
    theirs = median_of([*peer, QUESTION], 3)
    print(f"{'a whole command':<34}  {'ms':>6}  {'MB':>5}")
    print(f"{'sentence-transformers + FAISS':<34}  {1000 * theirs[0]:>6.0f}  {theirs[1]:>5.0f}")
    for name, command in {
        **{f"search, {mode}": ["search", QUESTION, "--mode", mode] for mode in reversed(MODES)},
        "status": ["status"],
        "--help": ["--help"],
    }.items():
        chosen = [] if command == ["--help"] else ["--index", str(index)]
        seconds, memory = median_of([*ours, *command, *chosen], runs)
        ratio = f"  1/{theirs[0] / seconds:.1f} of the time, 1/{theirs[1] / memory:.1f} of the MB"
        shown = ratio if command[0] == "search" else ""
        print(f"{name:<34}  {1000 * seconds:>6.0f}  {memory:>5.0f}{shown}", flush=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(queries))
        file.flush()
        print(f"\n{'a command for each, or one for all':<34}  {'each':>6}  {'all':>6}  ms a query")
        for mode in MODES:
            command = [*ours, "search", "--mode", mode, "--index", str(index)]
            one = statistics.mean(run([*command, query])[0] for query in queries[:runs])
            every = run([*command, "--queries", file.name])[0] / len(queries)
            print(
                f"{f'search, {mode}':<34}  {1000 * one:>6.0f}  {1000 * every:>6.1f}"
                f"  1/{one / every:.1f} of the time",
                flush=True,
            )


def many(index: Path, peer: Sequence[str], queries: list[str]) -> None:
    """Print the table of queries a second."""
    searcher = Searcher.open(index)
    print(f"\n{len(queries)} queries, queries/s{'':<11}  {'one by one':>10}  {'at once':>8}  ratio")
    for mode in MODES:
        searcher.search_many(queries[:20], 10, mode)

        def one_by_one(mode: Mode = mode) -> None:
            for query in queries:
                searcher.search(query, 10, mode)

        one = per_second(one_by_one, len(queries))
        for name, work in {
            f"search_many, {mode}": searcher.search_many,
            f"rank_documents, {mode}": searcher.rank_documents,
        }.items():
            together = per_second(partial(work, queries, 10, mode), len(queries))
            print(f"{name:<34}  {one:>10.1f}  {together:>8.1f}  {together / one:.1f}", flush=True)
    printed = subprocess.run([*peer, *queries], capture_output=True, text=True, check=True).stdout
    one, together = map(float, printed.split())
    name = "sentence-transformers + FAISS"
    print(f"{name:<34}  {one:>10.1f}  {together:>8.1f}  {together / one:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--queries", type=int, default=100)
    arguments = parser.parse_args()
    base, large = arguments.index / "base", arguments.index / f"{arguments.passages}"
    flat = large.with_suffix(".faiss")
    if not base.exists():
        with Index.open(base) as made:
            made.add(beir.read_corpus(arguments.collection))
    if not large.exists():
        enlarge(base, large, arguments.passages)
    if not flat.exists():
        flat_index(large, flat)
    with Snapshot.open(large) as snapshot:
        counts = snapshot.counts()
    print(
        f"{counts.passages:,} passages of {counts.documents:,} documents; Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, {json.dumps(versions())}\n"
    )
    peer = [sys.executable, "-c", PEER, str(EMBEDDED_MODEL), str(flat), str(large / DATABASE)]
    texts = beir.read_queries(arguments.collection)
    judged = [texts[query] for query in beir.read_qrels(arguments.collection, "test")]
    os.environ["CLSEARCH_DAEMON"] = "off"  # what it answers is measured by shell.py
    cold(large, peer, judged, arguments.runs)
    many(large, peer, judged[: arguments.queries])


def versions() -> dict[str, str]:
    """Of what the two are made of."""
    from importlib.metadata import version

    names = ("faiss-cpu", "numpy", "sentence-transformers", "tokenizers", "torch")
    return {name: version(name) for name in names}


if __name__ == "__main__":
    main()
