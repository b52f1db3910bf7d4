"""Postings that are kept: what a term gives to passages, from query to query of one commit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..index.store.snapshot import Snapshot

Ids = NDArray[np.int64]
Scores = NDArray[np.float64]

# So many queries of a commit are answered by FTS5 before postings are kept: reading those of a
# query takes a few times as long as ranking by the rarest of them, and while others write, the next
# commit comes soon.
SETTLED = 16
# Of all kept postings, 12 bytes each: 100,000 passages of 110 terms have 7 million in all.
MOST_BYTES = 96_000_000
# Where a query's terms have more, or an index has had more passages, FTS5 ranks: all scores of an
# index are added up in memory, 8 bytes a passage.
MOST_POSTINGS = 2_000_000
MOST_IDS = 4_000_000


class Given(NamedTuple):
    """The passages that have a term, ascending, and what it adds to the BM25 of each."""

    ids: NDArray[np.int32]
    scores: Scores

    @property
    def bytes(self) -> int:
        """Of memory."""
        return self.ids.nbytes + self.scores.nbytes


class Postings:
    """The postings of the terms asked for last, of one commit of an index. Threads may share it."""

    def __init__(self, settled: int = SETTLED, most_bytes: int = MOST_BYTES) -> None:
        """Nothing is kept yet."""
        self._settled = settled
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._commit: tuple[object, ...] = ()
        self._asked = 0
        self._kept: OrderedDict[str, Given] = OrderedDict()
        self._bytes = 0

    def ready(self, snapshot: Snapshot, postings: int) -> bool:
        """Whether a query of this commit whose terms have so many postings is answered from here.

        To be called once by a query.
        """
        if postings > MOST_POSTINGS or snapshot.greatest_id() > MOST_IDS:
            return False
        with self._lock:
            if self._commit != _commit(snapshot):
                # A thread that still reads an older commit throws away what is kept: it is rare.
                self._commit, self._asked, self._bytes = _commit(snapshot), 0, 0
                self._kept.clear()
            self._asked += 1
            return self._asked > self._settled

    def of(self, snapshot: Snapshot, expression: str) -> Given:
        """What an FTS5 expression for one term gives to each passage that has it."""
        with self._lock:
            current = self._commit == _commit(snapshot)
            if current and expression in self._kept:
                self._kept.move_to_end(expression)
                return self._kept[expression]
        given = Given(*snapshot.given(expression))
        with self._lock:
            if self._commit == _commit(snapshot) and expression not in self._kept:
                self._kept[expression] = given
                self._bytes += given.bytes
                while self._bytes > self._most_bytes:
                    self._bytes -= self._kept.popitem(last=False)[1].bytes
        return given


def _commit(snapshot: Snapshot) -> tuple[object, ...]:
    """What no two commits share, be they of two indexes that came to stand at one path."""
    return (snapshot.generation, *(row.name for row in snapshot.segments))


def summed(given: list[Given]) -> Scores:
    """The sum of what terms give, by passage id, 0.0 where a passage has none: `[n]`.

    `n` is one more than the greatest id.
    """
    size = max((int(one.ids[-1]) + 1 for one in given if len(one.ids)), default=0)
    total = np.zeros(size)
    for ids, scores in given:
        total[ids] += scores
    return total


def best(scores: Scores, k: int, allowed: Ids | None) -> list[tuple[int, float]]:
    """The `k` best (passage id, score) above 0, best first, ties by id; ids in `allowed` only."""
    if allowed is None:
        ids = np.flatnonzero(scores)
    else:
        ids = allowed[: np.searchsorted(allowed, len(scores))]
        ids = ids[scores[ids] > 0]
    found = scores[ids]
    if k < len(found):
        least = np.partition(found, -k)[-k]
        ids, found = ids[found >= least], found[found >= least]
    order = np.lexsort((ids, -found))[:k]
    return list(zip(ids[order].tolist(), found[order].tolist(), strict=True))
