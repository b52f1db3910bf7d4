"""Text to tokens on one core: by words in C, by words in Python, and by the `tokenizers` library.

    python benchmarks/tokens.py COLLECTION [--documents 5000] [--rounds 5]

COLLECTION is a folder in BEIR's layout. Texts are cut at the embedded model's 256 tokens, 2,048 of
them in a call, as an encoder has them, or alone. `unknown` is the first time that a new tokenizer
meets them. CPU seconds, the least of the rounds, each way in turn.
"""

import argparse
import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np

from clsearch.index.config import EMBEDDED_MODEL
from clsearch.index.encoder.batches import Tokens
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.encoder.encoder import CHUNK
from clsearch.index.encoder.native_pieces import NativePieces, library
from clsearch.index.encoder.tokenizer import Tokenizer
from clsearch.index.encoder.word_pieces import WordPieces
from clsearch.search.evaluate import beir

LENGTH = 256


def library_alone() -> Tokenizer:
    made = Tokenizer(read_declaration(EMBEDDED_MODEL))
    made._words = None
    return made


def in_python() -> Tokenizer:
    made = library_alone()
    made._words = WordPieces(made._backend)
    return made


def in_c() -> Tokenizer:
    made = library_alone()
    made._words = NativePieces(made._backend)
    return made


WAYS = {"library": library_alone, "Python": in_python} | ({"C": in_c} if library() else {})


def seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--documents", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    documents = islice(beir.read_corpus(arguments.collection), arguments.documents)
    texts = [f"{document.title} {document.text}" for document in documents]
    chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    best = {(name, column): np.inf for name in WAYS for column in ("unknown", "known", "alone")}
    found: dict[str, list[Tokens]] = {}
    for _ in range(arguments.rounds):
        for name, make in WAYS.items():
            tokenizer = make()

            def together(name: str = name, tokenizer: Tokenizer = tokenizer) -> None:
                found[name] = [tokenizer.encode(chunk, LENGTH) for chunk in chunks]

            def alone(tokenizer: Tokenizer = tokenizer) -> None:
                for text in texts:
                    tokenizer.spans([text])

            for column, run in (("unknown", together), ("known", together), ("alone", alone)):
                best[name, column] = min(best[name, column], seconds(run))
    first = found["library"]
    for name, each in found.items():
        for ours, theirs in zip(each, first, strict=True):
            assert np.array_equal(ours.ids, theirs.ids), name
            assert np.array_equal(ours.sizes, theirs.sizes), name
    count = sum(len(tokens.ids) for tokens in first)
    print(f"{len(texts)} texts, {count / len(texts):.0f} tokens each")
    print(f"{'':<8}  tokens/s, words unknown  words known  us for the spans of a text alone")
    for name in WAYS:
        unknown, known, each = (best[name, column] for column in ("unknown", "known", "alone"))
        print(
            f"{name:<8}  {count / unknown:>23,.0f}  {count / known:>11,.0f}"
            f"  {1e6 * each / len(texts):>32.1f}"
        )


if __name__ == "__main__":
    main()
