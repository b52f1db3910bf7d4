"""What terms give to the passages that have them, kept from query to query of one commit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..index.store.snapshot import Snapshot

# 12 bytes for each posting: 100,000 passages of 110 terms have 7 million in all.
MOST_BYTES = 96_000_000
# The scores of all ids are added up in one array.
MOST_IDS = 4_000_000

# A term, and whether it counts in title, heading and text alone.
Key = tuple[str, bool]


class Given(NamedTuple):
    """The ids of the passages that have a term, and what it adds to the BM25 of each: `[n]`."""

    ids: NDArray[np.int32]
    scores: NDArray[np.float64]

    @property
    def bytes(self) -> int:
        """Of memory."""
        return self.ids.nbytes + self.scores.nbytes


class Kept:
    """What the terms give that were asked for last, in one commit. Threads may share it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Nothing is kept yet."""
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._commit: tuple[object, ...] = ()
        self._kept: OrderedDict[Key, Given] = OrderedDict()
        self._bytes = 0

    def sum(
        self,
        snapshot: Snapshot,
        terms: Sequence[Key],
        read: Callable[[list[Key]], list[Given]],
    ) -> NDArray[np.float64] | None:
        """The sum of what these terms give, in their order, by id: `[n]`; 0.0 where none does.

        `read` gives that of terms which are not kept. None where an index has had too many
        passages.
        """
        size = snapshot.greatest_id() + 1
        if size > MOST_IDS:
            return None
        total = np.zeros(size)
        for ids, scores in self._of(snapshot, terms, read):
            total[ids] += scores
        return total

    def _of(
        self,
        snapshot: Snapshot,
        terms: Sequence[Key],
        read: Callable[[list[Key]], list[Given]],
    ) -> list[Given]:
        # What no two commits share, be they of two indexes that came to stand at one path.
        commit = (snapshot.generation, *(row.name for row in snapshot.segments))
        found: dict[Key, Given] = {}
        with self._lock:
            if self._commit != commit:
                # A thread that still reads an older commit throws away what is kept: it is rare.
                self._commit, self._bytes = commit, 0
                self._kept.clear()
            for term in terms:
                if term in self._kept:
                    self._kept.move_to_end(term)
                    found[term] = self._kept[term]
        missing = [term for term in terms if term not in found]
        if missing:
            read_now = dict(zip(missing, read(missing), strict=True))
            found |= read_now
            with self._lock:
                if self._commit == commit:
                    self._keep(read_now)
        return [found[term] for term in terms]

    def _keep(self, given: dict[Key, Given]) -> None:
        for term, one in given.items():
            if term not in self._kept:
                self._kept[term] = one
                self._bytes += one.bytes
        while self._bytes > self._most_bytes:
            self._bytes -= self._kept.popitem(last=False)[1].bytes
