"""Batches by number of tokens, from texts sorted by length, so that little is padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Texts as the model takes them, one after the other; `sizes` [b] are the tokens of each.

    `ids` [n] are token ids, `types` [n] token types (segment ids); None where all of them are 0.
    """

    ids: Numbers
    types: Numbers | None
    sizes: Numbers

    @classmethod
    def of(
        cls, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None
    ) -> "Tokens":
        """From the token ids, and maybe the types, of each text."""
        sizes = np.fromiter(map(len, ids), np.int64, len(ids))
        return cls(_flat(ids), None if types is None else _flat(types), sizes)

    @classmethod
    def joined(cls, parts: Sequence["Tokens"]) -> "Tokens":
        """The texts of one or more parts, all with types or all without."""
        if len(parts) == 1:
            return parts[0]
        types = [part.types for part in parts if part.types is not None]
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate(types) if types else None,
            np.concatenate([part.sizes for part in parts]),
        )

    def __len__(self) -> int:
        """How many texts."""
        return len(self.sizes)


def _flat(lists: Sequence[Sequence[int]]) -> Numbers:
    return np.fromiter(chain.from_iterable(lists), np.int64)


def ranges(starts: Numbers, sizes: Numbers) -> Numbers:
    """`sizes[i]` numbers from `starts[i]` on, for each i, one range after the other.

    >>> ranges(np.array([7, 0]), np.array([2, 3])).tolist()
    [7, 8, 0, 1, 2]
    """
    places: Numbers = np.arange(sizes.sum())
    places += np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return places


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


def batches(texts: Tokens, pad: int, limit: int, first: int = 0) -> Iterator[Batch]:
    """Longest first, each batch of at most `limit` tokens with its padding (or of a single text).

    Longest first, so that memory that is too small shows at once. Padding goes to the right,
    whatever the tokenizer says: with absolute positions, padding on the left would make a text's
    vector depend on its neighbours. `order` counts the texts from `first`.
    """
    order = np.argsort(-texts.sizes, kind="stable")
    starts = np.cumsum(texts.sizes) - texts.sizes
    start = 0
    while start < len(order):
        width = int(texts.sizes[order[start]])
        chosen = order[start : start + max(1, limit // width)]
        sizes = texts.sizes[chosen]
        mask = np.arange(width) < sizes[:, None]
        places = ranges(starts[chosen], sizes)
        ids = np.full(mask.shape, pad, np.int64)
        ids[mask] = texts.ids[places]
        types = np.zeros_like(ids)
        if texts.types is not None:
            types[mask] = texts.types[places]
        yield Batch(chosen + first, ids, types, mask)
        start += len(chosen)
