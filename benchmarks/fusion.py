"""Ways to fuse one list by vectors and one by words, over the same index.

    python benchmarks/fusion.py COLLECTION --index FOLDER [--split test]

COLLECTION is a folder in BEIR's layout; its index is made in FOLDER, and used again. Both lists are
the best 100 passages, a document counts with its best. Prints nDCG@10 of each half, of the common
ways to fuse them, and of clsearch's own:

    reciprocal ranks    sum of 1 / (60 + rank) (Cormack, Clarke, Büttcher, 2009)
    min-max             0.6 cosine + 0.4 BM25, each scaled to 0..1 over the query's list
    largest             0.8 (cosine + 1) / (largest + 1) + 0.2 BM25 / largest (Bruch et al., 2023)
    clsearch            `search/fusion.py`
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

from clsearch import Encoder, Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment
from clsearch.search import dense, fusion
from clsearch.search.evaluate import DEFAULT, beir
from clsearch.search.evaluate.metrics import by_places, measure
from clsearch.search.lexical import Lexical
from clsearch.search.query import plain

DEPTH = 100
Scores = dict[int, float]


def reciprocal_ranks(cosines: Scores, bm25: Scores) -> Scores:
    fused: Scores = {}
    for scores in (cosines, bm25):
        for rank, passage in enumerate(scores, start=1):
            fused[passage] = fused.get(passage, 0.0) + 1 / (60 + rank)
    return fused


def min_max(cosines: Scores, bm25: Scores) -> Scores:
    fused: Scores = {}
    for weight, scores in ((0.6, cosines), (0.4, bm25)):
        low, high = min(scores.values(), default=0.0), max(scores.values(), default=1.0)
        for passage, score in scores.items():
            scaled = (score - low) / max(high - low, 1e-9)
            fused[passage] = fused.get(passage, 0.0) + weight * scaled
    return fused


def largest(cosines: Scores, bm25: Scores) -> Scores:
    high, most = max(cosines.values(), default=1.0), max(bm25.values(), default=1.0)
    return {
        passage: 0.8 * (cosines.get(passage, -1.0) + 1) / (high + 1)
        + 0.2 * bm25.get(passage, 0.0) / most
        for passage in cosines | bm25
    }


PEERS: dict[str, Callable[[Scores, Scores], Scores]] = {
    "vectors alone": lambda cosines, bm25: cosines,
    "words alone": lambda cosines, bm25: bm25,
    "reciprocal ranks": reciprocal_ranks,
    "min-max": min_max,
    "largest": largest,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    with Index.open(arguments.index) as index:
        index.add(beir.read_corpus(arguments.collection))
    qrels = beir.read_qrels(arguments.collection, arguments.split)
    texts = beir.read_queries(arguments.collection)
    vectors = Encoder.load().encode_queries([texts[query] for query in qrels])
    runs: dict[str, dict[str, dict[str, float]]] = {name: {} for name in (*PEERS, "clsearch")}
    with Snapshot.open(arguments.index) as snapshot:
        segments = [Segment.open(arguments.index, row) for row in snapshot.segments]
        gone = snapshot.tombstones()
        for query, vector in zip(qrels, vectors, strict=True):
            words = Lexical(snapshot, plain(texts[query]))
            cosines = dict(dense.search(segments, vector, DEPTH, gone))
            bm25 = dict(words.search(DEPTH))
            fused = {name: fuse(cosines, bm25) for name, fuse in PEERS.items()}
            both = cosines | dense.cosines(segments, vector, list(bm25))
            covered = words.scores(list(cosines)) | bm25
            shares = {passage: words.coverage(score) for passage, score in covered.items()}
            fused["clsearch"] = fusion.fuse(both, shares)
            stored = snapshot.passages(list(both))
            for name, scores in fused.items():
                best = sorted(scores, key=lambda passage: (-scores[passage], passage))
                documents = dict.fromkeys(stored[passage].document for passage in best)
                runs[name][query] = by_places(list(documents))
    print(f"{arguments.collection.name}, {arguments.split}: {len(qrels)} queries")
    for name, run in runs.items():
        values = measure(DEFAULT[0], qrels, run).values()
        print(f"{name:<16}  nDCG@10 {statistics.mean(values):.4f}")


if __name__ == "__main__":
    main()
