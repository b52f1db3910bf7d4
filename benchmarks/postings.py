"""What does the bound on postings cost, and save? Lexical search with bounds ever tighter.

    python benchmarks/postings.py COLLECTION --index FOLDER [--copies 20]

COLLECTION is a folder in BEIR's layout; its index is made in FOLDER, and used again. The time of
BM25 grows with the postings of a query's terms; beyond `lexical.MOST_POSTINGS` the most frequent
terms only score again what the rarer ones found. Prints, for each bound, nDCG@10 and the median of
the milliseconds of a query; "none" comes first, and is the peer: FTS5 over all terms. With --copies
the times are those in a full-text table of so many copies of each passage, what a larger index
costs; nDCG stays that of the collection as it is.
"""

import argparse
import math
import shutil
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from clsearch import Index, Searcher
from clsearch.index.files import DATABASE
from clsearch.index.store.snapshot import Snapshot
from clsearch.search import lexical
from clsearch.search.evaluate import DEFAULT, beir
from clsearch.search.evaluate.metrics import by_places, measure
from clsearch.search.query import plain

BOUNDS = (math.inf, 50_000, 5_000, 1_000, 200)


def enlarge(index: Path, copies: int) -> None:
    """Fill the full-text table with so many copies of each row, under ids of their own."""
    database = sqlite3.connect(index / DATABASE)
    last = database.execute("SELECT max(rowid) FROM passages_fts").fetchone()[0]
    for copy in range(1, copies):
        database.execute(
            "INSERT INTO passages_fts (rowid, title, heading, text, whole) "
            "SELECT rowid + ?, title, heading, text, whole FROM passages_fts WHERE rowid <= ?",
            (copy * last, last),
        )
    database.execute("INSERT INTO passages_fts (passages_fts) VALUES ('optimize')")
    database.commit()
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=1)
    arguments = parser.parse_args()
    with Index.open(arguments.index) as index:
        index.add(beir.read_corpus(arguments.collection))
    texts = beir.read_queries(arguments.collection)
    qrels = beir.read_qrels(arguments.collection, "test")
    queries = {query: texts[query] for query in qrels}
    searcher = Searcher.open(arguments.index)
    with tempfile.TemporaryDirectory() as folder:
        enlarged = Path(folder) / "index"
        shutil.copytree(arguments.index, enlarged)
        enlarge(enlarged, arguments.copies)
        print(f"{'postings':>8}  {'nDCG@10':>7}  {'ms':>7}   ({arguments.copies} copies)")
        for bound in BOUNDS:
            lexical.MOST_POSTINGS = bound  # type: ignore[assignment]
            found = searcher.rank_documents(list(queries.values()), 100, "lexical")
            run = {query: by_places(ids) for query, ids in zip(queries, found, strict=True)}
            values = measure(DEFAULT[0], qrels, run).values()
            times = []
            with Snapshot.open(enlarged) as snapshot:
                for text in queries.values():
                    began = time.perf_counter()
                    lexical.Lexical(snapshot, plain(text)).search(100)
                    times.append(1000 * (time.perf_counter() - began))
            named = "none" if bound == math.inf else f"{bound:,}"
            mean, median = statistics.mean(values), statistics.median(times)
            print(f"{named:>8}  {mean:>7.4f}  {median:>7.1f}", flush=True)


if __name__ == "__main__":
    main()
