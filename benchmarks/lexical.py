"""Milliseconds of a lexical query, and its nDCG@10, beside plain FTS5 and bm25s.

    python benchmarks/lexical.py COLLECTION [--documents 100000] [--texts FILE] [--index FOLDER]

COLLECTION is a folder in BEIR's layout. It is grown to so many documents (grown.py), so that those
that are judged must be found among the others; the index is made in FOLDER, and used again. Made
documents are written to its tables without vectors, their sentences analysed once, which takes a
fifth of the time of `clsearch index`. The judged queries of the test split, or the first --queries
of them, are asked, one at a time on one thread, for the 100 best:

- FTS5: all terms joined with OR, ranked by its bm25(), over the very table that clsearch asks;
- clsearch;
- bm25s: its memory-mapped index, English stems and stop words, the same k1 and b.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path

import bm25s
import grown
import Stemmer

from clsearch import Index
from clsearch.index.store import documents, fulltext, passages
from clsearch.index.store.fulltext import match_any
from clsearch.index.store.rows import NewDocument, NewPassage
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.store.store import Store
from clsearch.index.types import Document, Passage
from clsearch.search.evaluate import DEFAULT, beir
from clsearch.search.evaluate.metrics import by_places, measure
from clsearch.search.lexical import Lexical
from clsearch.search.query import plain

DEPTH = 100
Ask = Callable[[str], list[int]]


def fts5(snapshot: Snapshot, text: str) -> list[int]:
    """The best passages by all terms, as FTS5 ranks them."""
    query = plain(text)
    whole = [term for term in query.whole if term not in query.terms]
    expression = match_any(query.terms, whole)
    return [id for id, _ in snapshot.match(expression, DEPTH)] if expression else []


def make(path: Path, collection: Path, count: int, texts: Path | None) -> None:
    """Make the index: the collection's own documents as ever, the others straight to its tables."""
    records = grown.documents(collection, count, texts)
    own = [document.id for document in beir.read_corpus(collection)]
    with Index.open(path, encoder=grown.DrawnEncoder(["a sentence"])) as index:
        index.add(islice(records, len(own)))
    analyse = cache(fulltext.columns)

    def columns(title: str, heading: str, text: str) -> fulltext.Columns:
        """As `fulltext.columns`: no term goes over the end of a line."""
        parts = [analyse(title, heading, line) for line in text.split("\n")]
        return title, heading, *(" ".join(part[n] for part in parts) for n in (2, 3))

    store = Store.open(path)
    key, id = documents.next_key(store), passages.next_id(store)
    given, fulltext.columns = fulltext.columns, columns
    try:
        while some := list(islice(records, 10_000)):
            with store.transaction():
                new = []
                for record in some:
                    document = Document(record["id"], "", record["text"])
                    documents.write(store, [NewDocument(key, None, None, document)])
                    passage = Passage(0, len(document.text), document.text, 1)
                    new.append(NewPassage(id, key, "", passage, "", None))
                    key, id = key + 1, id + 1
                passages.insert(store, new)
    finally:
        fulltext.columns = given
        store.close()


def peer(index: Path, folder: Path) -> Ask:
    """bm25s over the same passages, made, saved, and memory-mapped."""
    of = grown.passages(index)
    ids, texts = list(of), list(of.values())
    stemmer = Stemmer.Stemmer("english")
    tokens = bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)
    made = bm25s.BM25(k1=1.2, b=0.75)
    made.index(tokens, show_progress=False)
    made.save(folder)
    del made, tokens, texts, of
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
    parser.add_argument("--queries", type=int)
    arguments = parser.parse_args()
    texts, qrels = (
        beir.read_queries(arguments.collection),
        beir.read_qrels(arguments.collection, "test"),
    )
    qrels = dict(islice(qrels.items(), arguments.queries))
    queries = {query: texts[query] for query in qrels}
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.index or Path(folder) / "index"
        if not path.exists():
            make(path, arguments.collection, arguments.documents, arguments.texts)
        with Snapshot.open(path) as snapshot:
            print(f"{snapshot.passage_count():,} passages, {len(queries)} queries, {DEPTH} best")
            print(f"{'':<8}  {'nDCG@10':>7}  {'median ms':>9}  {'mean ms':>8}  {'ratio':>6}")
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
                    f"{name:<8}  {ndcg:>7.4f}  {statistics.median(times):>9.1f}  {mean:>8.1f}  "
                    f"{base / mean:>6.1f}",
                    flush=True,
                )

            def ours(text: str) -> list[int]:
                return [id for id, _ in Lexical(snapshot, plain(text)).search(DEPTH)]

            row("FTS5", lambda text: fts5(snapshot, text))
            row("clsearch", ours)
            row("bm25s", peer(path, Path(folder) / "bm25s"))


if __name__ == "__main__":
    main()
