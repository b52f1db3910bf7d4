"""Rows of the full-text table, turned about: from a passage's terms to a term's passages."""

from __future__ import annotations

from array import array
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.int64]
Columns = tuple[str, str, str, str]  # title, heading, text, whole


class _Vocabulary(dict[str, int]):
    """Term -> its number, in the order in which they came."""

    def __missing__(self, term: str) -> int:
        number = self[term] = len(self)
        return number


class Flat(NamedTuple):
    """Postings one by one: `[n]` each but `terms`, which `numbers` counts, and the last two.

    `passages` [p] are the ids of all, with `lengths` [p].
    """

    terms: list[str]
    numbers: Numbers
    ids: Numbers
    counts: Numbers
    written: Numbers
    passages: Numbers
    lengths: Numbers

    def of(self, passages: NDArray[np.bool_]) -> Flat:
        """Those of these of the passages `[p]` alone."""
        if passages.all():
            return self
        kept = np.isin(self.ids, self.passages[passages])
        return Flat(
            self.terms,
            self.numbers[kept],
            self.ids[kept],
            self.counts[kept],
            self.written[kept],
            self.passages[passages],
            self.lengths[passages],
        )

    def ordered(self) -> Flat:
        """By term, then by id; of terms that some passage has."""
        names = np.array(sorted(range(len(self.terms)), key=self.terms.__getitem__), np.int64)
        rank = np.empty(len(names), np.int64)
        rank[names] = np.arange(len(names))
        numbers = rank[self.numbers]
        order = np.lexsort((self.ids, numbers))
        present, numbers = np.unique(numbers[order], return_inverse=True)
        by_id = np.argsort(self.passages)
        return Flat(
            [self.terms[names[number]] for number in present],
            numbers.astype(np.int64),
            self.ids[order],
            self.counts[order],
            self.written[order],
            self.passages[by_id],
            self.lengths[by_id],
        )


class Rows:
    """Rows of `passages_fts`, taken apart into postings."""

    def __init__(self) -> None:
        """None yet."""
        self._vocabulary = _Vocabulary()
        # The terms of title, heading and text, and those of `whole`, of one row after the other.
        self._terms, self._whole = array("I"), array("I")
        self._ends: list[tuple[int, int]] = []
        self._ids: list[int] = []
        self._place_of: dict[int, int] = {}

    def __len__(self) -> int:
        """How many there are, with those that went again."""
        return len(self._ids)

    def add(self, id: int, row: Columns) -> None:
        """The row of a passage."""
        title, heading, text, whole = row
        number_of = self._vocabulary.__getitem__
        self._terms.extend(map(number_of, f"{title} {heading} {text}".split()))
        if whole:
            self._whole.extend(map(number_of, whole.split()))
        self._ends.append((len(self._terms), len(self._whole)))
        self._place_of[id] = len(self._ids)
        self._ids.append(id)

    def drop(self, id: int) -> bool:
        """Leave out the row of a passage -> whether it is here."""
        place = self._place_of.pop(id, None)
        if place is not None:
            self._ids[place] = -1
        return place is not None

    def flat(self) -> Flat:
        """Their postings, by passage as they came."""
        width = len(self._vocabulary)
        sizes = np.diff(np.array([(0, 0), *self._ends], np.int64), axis=0)
        passages = np.array(self._ids, np.int64)
        places = np.arange(len(passages)) * width
        running, whole = (
            np.repeat(places, size) + np.array(numbers, np.int64)
            for size, numbers in zip(sizes.T, (self._terms, self._whole), strict=True)
        )
        keys, counts = np.unique(np.concatenate([running, whole]), return_counts=True)
        own, often = np.unique(whole, return_counts=True)
        written = counts.copy()
        written[np.searchsorted(keys, own)] -= often
        places, numbers = np.divmod(keys, max(width, 1))
        flat = Flat(
            list(self._vocabulary),
            numbers,
            passages[places],
            counts,
            written,
            passages,
            sizes.sum(axis=1),
        )
        return flat.of(passages >= 0)
