"""How near the words of a text come to those of a query, each by the vector its model begins with.

A word that a text has not may have a neighbour there: "puncture" has "tyre", "doctor" has
"physician". The transformer need not run to tell: its table of words does, at a hundredth of the
cost of encoding a sentence (benchmarks/sentences.py compares the sentences that are chosen).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..index import analysis

if TYPE_CHECKING:
    from ..index.encoder.words import Words


@runtime_checkable
class WordEncoder(Protocol):
    """An encoder whose words have vectors; `clsearch.Encoder` is one."""

    def word_vectors(self, texts: Sequence[str]) -> Words | None:
        """The tokens of texts with their vectors; None where the model's cannot be read."""


class Likeness:
    """The terms of a query, and how near each comes to one in a sentence."""

    def __init__(self, text: str, weights: Mapping[str, float], words: WordEncoder) -> None:
        """`weights` are what the terms of the query `text` count."""
        written: dict[str, str] = {}
        for term in analysis.words(text, trailing=False):
            name = term.text if term.text in weights else f"{term.text}*"
            if name in weights:
                written.setdefault(name, text[term.start : term.end])
        self._terms, self._written = list(written), list(written.values())
        self._words = words

    def of(self, sentences: Sequence[str]) -> list[dict[str, float]]:
        """For each sentence: term -> how near it has one, from 0 to 1.

        That is the squared cosine of the nearest of its tokens, the mean of a term's own.
        """
        found = None
        if self._terms and sentences:
            found = self._words.word_vectors([*self._written, *sentences])
        asked = len(self._written)
        if found is None or not (tokens := int(found.sizes[:asked].sum())):
            return [{} for _ in sentences]
        import numpy as np

        from ..index.encoder.blas import one_thread

        said = found.sizes[asked:]
        some = said > 0
        nearest = np.zeros((len(sentences), tokens), np.float32)
        if some.any():
            with one_thread():
                cosines = found.vectors @ found.vectors[found.places[:tokens]].T
            starts = (np.cumsum(said) - said)[some]
            nearest[some] = np.maximum.reduceat(cosines[found.places[tokens:]], starts)
        near = np.square(np.maximum(nearest, 0))
        sizes = found.sizes[:asked]
        ends = np.cumsum(sizes).tolist()
        means = [
            near[:, end - size : end].mean(axis=1).tolist() if size else [0.0] * len(near)
            for end, size in zip(ends, sizes.tolist(), strict=True)
        ]
        return [dict(zip(self._terms, own, strict=True)) for own in zip(*means, strict=True)]
