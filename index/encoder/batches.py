"""Batches by number of tokens, from texts sorted by length, so that little is padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text as the model takes it: token ids [t] and token types [t] (segment ids)."""

    ids: NDArray[np.int64]
    types: NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Texts of about one length: `order` [b] says which; ids, types and mask are [b, t]."""

    order: NDArray[np.int64]
    ids: NDArray[np.int64]
    types: NDArray[np.int64]
    mask: NDArray[np.bool_]

    def halves(self) -> tuple["Batch", "Batch"]:
        """The longer half of the texts and the rest, each as wide as its longest text."""
        middle = len(self.order) // 2
        return self._part(slice(middle)), self._part(slice(middle, None))

    def _part(self, rows: slice) -> "Batch":
        width = int(self.mask[rows].sum(axis=1).max())
        part = rows, slice(width)
        return Batch(self.order[rows], self.ids[part], self.types[part], self.mask[part])


def batches(texts: Sequence[Tokens], pad: int, limit: int, first: int = 0) -> Iterator[Batch]:
    """Longest first, each batch of at most `limit` tokens with its padding (or of a single text).

    Longest first, so that memory that is too small shows at once. Padding goes to the right,
    whatever the tokenizer says: with absolute positions, padding on the left would make a text's
    vector depend on its neighbours. `order` counts the texts from `first`.
    """
    order = sorted(range(len(texts)), key=lambda place: -len(texts[place].ids))
    start = 0
    while start < len(order):
        width = len(texts[order[start]].ids)
        end = start + max(1, limit // width)
        chosen = order[start:end]
        ids = np.full((len(chosen), width), pad, dtype=np.int64)
        types = np.zeros_like(ids)
        for row, place in enumerate(chosen):
            length = len(texts[place].ids)
            ids[row, :length] = texts[place].ids
            types[row, :length] = texts[place].types
        lengths = np.array([len(texts[place].ids) for place in chosen])
        mask = np.arange(width) < lengths[:, None]
        yield Batch(np.array(chosen) + first, ids, types, mask)
        start = end
