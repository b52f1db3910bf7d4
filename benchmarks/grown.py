"""A collection grown to any size: its own documents first, then made ones of real sentences.

What lexical.py, scale.py and growth.py measure over: the judged documents are found among many that
use the same words, and no hours of encoding stand before the measuring.
"""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clsearch import Encoder
from clsearch.index.types import Json
from clsearch.search.evaluate import beir

SENTENCES = (2, 5)  # of a made document, from and to
CENTRES = 1_000
NOISE = 0.5  # its length beside a vector of length 1: cosine 0.89 to what it was made of

_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def documents(
    collection: Path, count: int, texts: Path | None = None, seed: int = 0
) -> Iterator[dict[str, str]]:
    """Yield `count` records with id, title and text: the collection's, then made ones.

    A made one has 2 to 5 sentences. Half of them are drawn from the documents of the collection
    that answer no judged question, the others from `texts` (JSONL with a "text" in each line); all
    from the collection where there are no texts.
    """
    draw = random.Random(seed)
    judged = {id for found in beir.read_qrels(collection, "test").values() for id in found}
    pools: list[list[str]] = [[]]
    made = 0
    for document in beir.read_corpus(collection):
        if document.id not in judged:
            pools[0].extend(_END.split(document.text))
        if made < count:
            yield {"id": document.id, "title": document.title, "text": document.text}
            made += 1
    if texts is not None:
        with texts.open(encoding="utf-8") as lines:
            pools.append([part for line in lines for part in _END.split(json.loads(line)["text"])])
    for number in range(made, count):
        chosen = [draw.choice(draw.choice(pools)) for _ in range(draw.randint(*SENTENCES))]
        yield {"id": f"made-{number}", "title": "", "text": " ".join(chosen)}


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
        self.name = self._real.name
        self.dimension = self._real.dimension
        self.room = self._real.room
        self.fingerprint = self._real.fingerprint
        self.declaration: Mapping[str, Json] = self._real.declaration
        self.encode_queries = self._real.encode_queries
        self.token_spans = self._real.token_spans

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors `[n, dimension]` of unit length; what the texts say does not matter."""
        centres = self._centres[self._random.integers(len(self._centres), size=len(texts))]
        noise = self._random.standard_normal(centres.shape, np.float32)
        drawn = centres + noise * (NOISE / np.sqrt(np.float32(self.dimension)))
        found: NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        return found
