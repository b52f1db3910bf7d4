"""Documents per second of clsearch's encoder and of sentence-transformers, same model and texts.

    python benchmarks/encode.py COLLECTION [--documents 500]

COLLECTION is a folder in BEIR's layout. Each takes `title + " " + text` of the first documents, cut
at the model's limit, with its own defaults; each runs once to warm up, then both in turn, twice.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from clsearch import Encoder
from clsearch.index.config import EMBEDDED_MODEL

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


def timed(encode: Encode, texts: list[str]) -> tuple[float, NDArray[np.float32]]:
    """Seconds, and the vectors [n, d]."""
    started = time.perf_counter()
    vectors = encode(texts)
    return time.perf_counter() - started, vectors


def main() -> None:
    """Print documents per second of each run, the ratio of the best, and the lowest cosine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--documents", type=int, default=500)
    arguments = parser.parse_args()
    with (arguments.collection / "corpus.jsonl").open() as lines:
        records = [json.loads(line) for line in itertools.islice(lines, arguments.documents)]
    texts = [f"{record.get('title', '')} {record['text']}".strip() for record in records]

    peer = SentenceTransformer(str(EMBEDDED_MODEL))
    encoders: dict[str, Encode] = {
        "clsearch": Encoder.load().encode_passages,
        "sentence-transformers": lambda texts: np.asarray(peer.encode(list(texts))),
    }
    best: dict[str, float] = {}
    vectors: dict[str, NDArray[np.float32]] = {}
    for encode in encoders.values():
        encode(texts[:64])
    for name, encode in itertools.chain(encoders.items(), encoders.items()):
        seconds, vectors[name] = timed(encode, texts)
        best[name] = max(best.get(name, 0.0), len(texts) / seconds)
        print(f"{name}: {len(texts) / seconds:.1f} documents/s", flush=True)
    ours, theirs = vectors.values()
    print(f"ratio: {best['clsearch'] / best['sentence-transformers']:.2f}")
    print(f"lowest cosine between the two: {(ours * theirs).sum(axis=1).min():.6f}")


if __name__ == "__main__":
    main()
