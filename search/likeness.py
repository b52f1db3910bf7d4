"""How near the words of a text come to those of a query, each by the vector its model begins with.

A word that a text has not may have a neighbour there: "puncture" has "tyre", "doctor" has
"physician". The transformer need not run to tell: its table of words does, at a hundredth of the
cost of encoding a sentence (benchmarks/sentences.py compares the sentences that are chosen).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..index import analysis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


@runtime_checkable
class WordEncoder(Protocol):
    """An encoder whose words have vectors; `clsearch.Encoder` is one."""

    def word_vectors(self, texts: Sequence[str]) -> list[Vectors] | None:
        """A unit vector for each token of each text; None where the model's cannot be read."""


class Likeness:
    """The terms of a query, and how near each comes to one in a sentence."""

    def __init__(self, text: str, weights: Mapping[str, float], words: WordEncoder) -> None:
        """`weights` are what the terms of the query `text` count."""
        written: dict[str, str] = {}
        for term in analysis.words(text, trailing=False):
            name = term.text if term.text in weights else f"{term.text}*"
            if name in weights:
                written.setdefault(name, text[term.start : term.end])
        found = words.word_vectors(list(written.values())) if written else None
        own = {name: one for name, one in zip(written, found or (), strict=False) if len(one)}
        self._words = words
        self._terms, self._vectors = list(own), list(own.values())

    def of(self, sentences: Sequence[str]) -> list[dict[str, float]]:
        """For each sentence: term -> how near it has one, from 0 to 1.

        That is the squared cosine of the nearest of its tokens, the mean of a term's own.
        """
        found = self._words.word_vectors(sentences) if self._terms and sentences else None
        if found is None:
            return [{} for _ in sentences]
        import numpy as np

        every = np.concatenate(self._vectors)
        means = np.zeros((len(every), len(self._terms)), np.float32)
        places = np.cumsum([0, *map(len, self._vectors)])
        for term, (low, high) in enumerate(pairwise(places.tolist())):
            means[low:high, term] = 1 / (high - low)
        sizes = np.array([len(one) for one in found])
        nearest = np.zeros((len(found), len(every)), np.float32)
        if sizes.any():
            starts = (np.cumsum(sizes) - sizes)[sizes > 0]
            cosines = np.concatenate(found) @ every.T
            nearest[sizes > 0] = np.maximum.reduceat(cosines, starts)
        likes = np.square(np.maximum(nearest, 0)) @ means
        return [dict(zip(self._terms, like, strict=True)) for like in likes.tolist()]
