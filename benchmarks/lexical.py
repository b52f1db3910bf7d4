"""Milliseconds of a lexical query, and its nDCG@10, beside plain FTS5 and bm25s.

    python benchmarks/lexical.py COLLECTION [--documents 100000] [--texts FILE] [--index FOLDER]

COLLECTION is a folder in BEIR's layout. It is grown to so many documents (grown.py), so that those
that are judged must be found among the others; the index is made in FOLDER, and used again. Every
judged query of the test split is asked, one at a time on one thread, for the 100 best:

- FTS5: all terms joined with OR, ranked by its bm25(), over the very table that clsearch asks;
- bm25s: its memory-mapped index, English stems and stop words, the same k1 and b;
- clsearch, within bounds on the postings that find (`lexical.MOST_POSTINGS`) and on the passages
  that are scored again by all terms (`lexical.SCORED_AGAIN`).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bm25s
import grown
import Stemmer

from clsearch import Index
from clsearch.index.store.fulltext import match_any
from clsearch.index.store.snapshot import Snapshot
from clsearch.search import lexical
from clsearch.search.evaluate import DEFAULT, beir
from clsearch.search.evaluate.metrics import by_places, measure
from clsearch.search.lexical import Lexical
from clsearch.search.query import plain

DEPTH = 100
BOUNDS = ((5_000, 1_000), (5_000, 300), (2_000, 1_000), (2_000, 300), (1_000, 100))
Ask = Callable[[str], list[int]]


def fts5(snapshot: Snapshot, text: str) -> list[int]:
    """The best passages by all terms, as FTS5 ranks them."""
    query = plain(text)
    whole = [term for term in query.whole if term not in query.terms]
    expression = match_any(query.terms, whole)
    return [id for id, _ in snapshot.match(expression, DEPTH)] if expression else []


def peer(snapshot: Snapshot, folder: Path) -> Ask:
    """bm25s over the same passages, made, saved, and memory-mapped."""
    ids = [row[0] for row in snapshot._rows("SELECT id FROM passages ORDER BY id")]
    texts = []
    for start in range(0, len(ids), 10_000):
        found = snapshot.passages(ids[start : start + 10_000])
        texts += [f"{one.title} {one.passage.text}" for _, one in sorted(found.items())]
    stemmer = Stemmer.Stemmer("english")
    tokens = bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)
    made = bm25s.BM25(k1=1.2, b=0.75)
    made.index(tokens, show_progress=False)
    made.save(folder)
    del made, tokens, texts
    opened = bm25s.BM25.load(folder, mmap=True)

    def ask(text: str) -> list[int]:
        asked = bm25s.tokenize([text], stopwords="en", stemmer=stemmer, show_progress=False)
        places, _ = opened.retrieve(asked, k=DEPTH, show_progress=False)
        return [ids[place] for place in places[0]]

    return ask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--index", type=Path)
    arguments = parser.parse_args()
    texts, qrels = (
        beir.read_queries(arguments.collection),
        beir.read_qrels(arguments.collection, "test"),
    )
    queries = {query: texts[query] for query in qrels}
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.index or Path(folder) / "index"
        if not path.exists():
            made = grown.documents(arguments.collection, arguments.documents, arguments.texts)
            with Index.open(path, encoder=grown.DrawnEncoder(list(queries.values()))) as index:
                index.add(made)
                index.optimize()
        with Snapshot.open(path) as snapshot:
            print(f"{snapshot.passage_count():,} passages, {len(queries)} queries, {DEPTH} best")
            print(f"{'':<22}  {'nDCG@10':>7}  {'median ms':>9}  {'mean ms':>8}  {'ratio':>6}")
            base = 0.0

            def row(name: str, ask: Ask) -> None:
                nonlocal base
                times, run = [], {}
                for query, text in queries.items():
                    began = time.perf_counter()
                    found = ask(text)
                    times.append(1000 * (time.perf_counter() - began))
                    of = snapshot.documents_of(found)
                    run[query] = by_places(list(dict.fromkeys(of[id] for id in found)))
                ndcg = statistics.mean(measure(DEFAULT[0], qrels, run).values())
                mean = statistics.mean(times)
                base = base or mean
                print(
                    f"{name:<22}  {ndcg:>7.4f}  {statistics.median(times):>9.1f}  {mean:>8.1f}  "
                    f"{base / mean:>6.1f}",
                    flush=True,
                )

            row("FTS5", lambda text: fts5(snapshot, text))
            for postings, again in BOUNDS:
                lexical.MOST_POSTINGS, lexical.SCORED_AGAIN = postings, again
                row(
                    f"clsearch {postings:,}, {again:,}",
                    lambda text: [id for id, _ in Lexical(snapshot, plain(text)).search(DEPTH)],
                )
            row("bm25s", peer(snapshot, Path(folder) / "bm25s"))


if __name__ == "__main__":
    main()
