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

    from ..index.encoder.words import Words

Span = tuple[int, int]


@runtime_checkable
class WordEncoder(Protocol):
    """An encoder whose words have vectors; `clsearch.Encoder` is one."""

    def word_vectors(self, texts: Sequence[str]) -> list[Words] | None:
        """The tokens of each text with their vectors; None where the model's cannot be read."""


class Likeness:
    """The terms of a query, and how near each comes to one in a sentence."""

    def __init__(self, text: str, weights: Mapping[str, float], words: WordEncoder) -> None:
        """`weights` are what the terms of the query `text` count."""
        self._words = words
        self._terms: list[str] = []
        self._vectors: list[NDArray[np.float32]] = []
        found = words.word_vectors([text])
        for term in analysis.words(text, trailing=False) if found else ():
            name = term.text if term.text in weights else f"{term.text}*"
            [(spans, vectors)] = found or []
            own = [
                place
                for place, (start, end) in enumerate(spans)
                if term.start < end and start < term.end
            ]
            if own and name in weights and name not in self._terms:
                self._terms.append(name)
                self._vectors.append(vectors[own])

    def of(
        self, texts: Sequence[str], sentences: Sequence[Sequence[Span]]
    ) -> list[list[dict[str, float]]]:
        """For each sentence, [start, end) of its text: term -> how near it has one, from 0 to 1.

        That is the squared cosine of the nearest of its tokens, the mean of a term's own.
        """
        if not self._terms or not texts:
            return [[{} for _ in spans] for spans in sentences]
        import numpy as np

        every = np.concatenate(self._vectors)
        means = np.zeros((len(every), len(self._terms)), np.float32)
        places = np.cumsum([0, *map(len, self._vectors)])
        for term, (low, high) in enumerate(pairwise(places.tolist())):
            means[low:high, term] = 1 / (high - low)
        found = []
        words = self._words.word_vectors(texts) or []
        for (spans, vectors), own in zip(words, sentences, strict=True):
            starts = np.array([start for start, _ in spans])
            rows = np.searchsorted(starts, np.array(own).reshape(-1, 2))
            near = np.zeros((len(own), len(every)), np.float32)
            has = rows[:, 0] < rows[:, 1]
            if has.any():
                # One row more, because the last sentence may end behind the last token.
                cosines = np.concatenate([vectors @ every.T, near[:1]])
                # From each start to the next place: the odd ones are what lies between sentences.
                near[has] = np.maximum.reduceat(cosines, rows[has].ravel())[::2]
            likes = np.square(np.maximum(near, 0)) @ means
            found.append([dict(zip(self._terms, like, strict=True)) for like in likes.tolist()])
        return found
