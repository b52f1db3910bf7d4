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
        places = np.cumsum([0, *map(len, self._vectors)])
        found = []
        for (spans, vectors), own in zip(
            self._words.word_vectors(texts) or [], sentences, strict=True
        ):
            near = np.square(np.maximum(vectors @ every.T, 0))
            starts = np.array([start for start, _ in spans])
            rows = np.searchsorted(starts, own)
            found.append(
                [
                    dict(zip(self._terms, _by_term(near[low:high], places), strict=True))
                    if high > low
                    else {}
                    for low, high in rows.reshape(-1, 2).tolist()
                ]
            )
        return found


def _by_term(near: NDArray[np.float32], places: NDArray[np.int64]) -> list[float]:
    """[tokens of a sentence, tokens of the query] -> one number for each term."""
    best = near.max(axis=0)
    return [float(best[low:high].mean()) for low, high in pairwise(places.tolist())]
