"""Rows of the full-text table, turned about: from a passage's terms to a term's passages."""

from __future__ import annotations

from array import array
from collections import Counter
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
        self._numbers, self._counts = array("I"), array("I")
        self._sizes, self._lengths = array("I"), array("I")
        self._ids: list[int] = []
        self._place_of: dict[int, int] = {}
        # (place of the passage, number of the term): how often it is there in `whole`
        self._whole: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        """How many there are, with those that went again."""
        return len(self._ids)

    def add(self, id: int, row: Columns) -> None:
        """The row of a passage."""
        title, heading, text, joined = row
        terms, whole = f"{title} {heading} {text}".split(), joined.split()
        counts = Counter(terms)
        if whole:
            counts.update(whole)
        number_of = self._vocabulary.__getitem__
        self._numbers.extend(map(number_of, counts))
        self._counts.extend(counts.values())
        place = self._place_of[id] = len(self._ids)
        for term, often in Counter(whole).items():
            self._whole[place, number_of(term)] = often
        self._ids.append(id)
        self._sizes.append(len(counts))
        self._lengths.append(len(terms) + len(whole))

    def drop(self, id: int) -> None:
        """Leave out the row of a passage, if it is here."""
        place = self._place_of.pop(id, None)
        if place is not None:
            self._ids[place] = -1

    def flat(self) -> Flat:
        """Their postings, in no order."""
        sizes, numbers, counts, lengths = (
            np.array(values, np.int64)
            for values in (self._sizes, self._numbers, self._counts, self._lengths)
        )
        passages = np.array(self._ids, np.int64)
        written = counts.copy()
        if self._whole:
            places = np.repeat(np.arange(len(sizes)), sizes)
            keys = places * len(self._vocabulary) + numbers
            order = np.argsort(keys)
            sought = [place * len(self._vocabulary) + number for place, number in self._whole]
            found = order[np.searchsorted(keys, sought, sorter=order)]
            written[found] -= np.array(list(self._whole.values()), np.int64)
        flat = Flat(
            list(self._vocabulary),
            numbers,
            np.repeat(passages, sizes),
            counts,
            written,
            passages,
            lengths,
        )
        return flat.of(passages >= 0)
