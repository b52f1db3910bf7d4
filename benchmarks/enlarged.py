"""A large index made of a small one, with real text, real vectors and no hours of encoding.

A new document has the title and the sentences of a stored document in another order, some of them
exchanged for those of other documents. Its passages get the vectors of the stored document's own
passages plus noise, so that they lie as real ones do: near their like, far from the rest. All else
is what `clsearch index` does, and the fingerprint is the real encoder's: the command answers.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clsearch import Encoder, Index
from clsearch.index import vectors
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment
from clsearch.search.snippets import sentences

EXCHANGED = 0.2  # of the sentences
NOISE = 0.5  # its length beside a vector of length 1: cosine 0.89 to what it was made of


class NoisyEncoder:
    """The embedded encoder, but a passage gets a stored vector of its title, plus noise."""

    def __init__(self, stored: dict[str, NDArray[np.float32]], seed: int = 0) -> None:
        """`stored`: title -> vectors [n, d]."""
        self._real = Encoder.load()
        self._stored = stored
        self._every = np.concatenate(list(stored.values()))
        self._random = np.random.default_rng(seed)
        self.name, self.dimension = self._real.name, self._real.dimension
        self.room, self.declaration = self._real.room, self._real.declaration
        self.fingerprint = self._real.fingerprint
        self.token_spans, self.encode_queries = self._real.token_spans, self._real.encode_queries

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length, [n, d].

        A text begins with the line of its title, where it does not begin with that in any case.
        """
        own = [self._stored.get(text.split("\n")[0], self._every) for text in texts]
        near = np.stack([self._random.choice(vectors) for vectors in own])
        noise = self._random.standard_normal(near.shape).astype(np.float32)
        noise *= NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
        return (near + noise) / np.linalg.norm(near + noise, axis=1, keepdims=True)


def enlarge(base: Path, path: Path, passages: int) -> None:
    """Make the index `path` with at least so many passages from the index `base`."""
    with Snapshot.open(base) as snapshot:
        segments = [Segment.open(base, row) for row in snapshot.segments]
        texts: dict[str, list[str]] = {}
        stored: dict[str, NDArray[np.float32]] = {}
        for id in snapshot.document_ids():
            document = snapshot.document(id)
            assert document is not None
            title = " ".join(document.title.split())
            own = [document.text[start:end] for start, end in sentences(document.text)]
            if title and own and title not in texts:
                ids = np.array(snapshot.passage_ids(id), np.int64)
                texts[title], (_, stored[title]) = own, vectors.vectors(segments, ids)

    def documents() -> Iterator[dict[str, str]]:
        random = np.random.default_rng(1)
        pool = [sentence for own in texts.values() for sentence in own]
        for copy in itertools.count():
            for number, (title, own) in enumerate(texts.items()):
                mixed = [
                    pool[random.integers(len(pool))] if random.random() < EXCHANGED else sentence
                    for sentence in random.permutation(np.array(own, object))
                ]
                yield {"id": f"{copy}-{number}", "title": title, "text": " ".join(mixed)}

    with Index.open(path, encoder=NoisyEncoder(stored)) as index:
        made, every = 0, documents()
        while made < passages:
            report = index.add(itertools.islice(every, max(1, (passages - made) // 3)))
            made += report.encoded + report.reused
        index.optimize()
