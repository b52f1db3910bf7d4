"""What one query needed, kept for the next: what terms give, and what filters let through."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..index.store.snapshot import Snapshot
from ..index.types import Filter

# 12 bytes for each posting: 100,000 passages of 110 terms have 7 million in all.
MOST_BYTES = 96_000_000
# 8 bytes for each passage that a filter lets through.
MOST_FILTER_BYTES = 32_000_000
BARE_BYTES = 500  # of one that lets nothing through
# The scores of all ids are added up in one array.
MOST_IDS = 4_000_000

K = TypeVar("K")
V = TypeVar("V")

Ids: TypeAlias = NDArray[np.int64]
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


class _Newest(Generic[K, V]):
    """What was asked for last, in one commit, up to so many bytes. Threads may share it."""

    def __init__(self, most_bytes: int, size: Callable[[K, V], int]) -> None:
        self._most_bytes = most_bytes
        self._size = size
        self._lock = threading.Lock()
        self._commit: tuple[object, ...] = ()
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._bytes = 0

    def _of(
        self, snapshot: Snapshot, keys: Sequence[K], read: Callable[[list[K]], list[V]]
    ) -> list[V]:
        """What stands under these keys; `read` gives it of those that are not kept."""
        # What no two commits share, be they of two indexes that came to stand at one path.
        commit = (snapshot.generation, *(row.name for row in snapshot.segments))
        found: dict[K, V] = {}
        with self._lock:
            if self._commit != commit:
                # A thread that still reads an older commit throws away what is kept: it is rare.
                self._commit, self._bytes = commit, 0
                self._kept.clear()
            for key in keys:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    found[key] = self._kept[key]
        missing = [key for key in keys if key not in found]
        if missing:
            read_now = dict(zip(missing, read(missing), strict=True))
            found |= read_now
            with self._lock:
                if self._commit == commit:
                    self._keep(read_now)
        return [found[key] for key in keys]

    def _keep(self, values: dict[K, V]) -> None:
        for key, value in values.items():
            if key not in self._kept:
                self._kept[key] = value
                self._bytes += self._size(key, value)
        while self._bytes > self._most_bytes:
            self._bytes -= self._size(*self._kept.popitem(last=False))


class KeptFilters(_Newest[str, Ids]):
    """The ids of the passages that the last filters let through."""

    def __init__(self, most_bytes: int = MOST_FILTER_BYTES) -> None:
        """Nothing is kept yet."""
        super().__init__(most_bytes, lambda key, ids: BARE_BYTES + len(key) + ids.nbytes)

    def matching(self, snapshot: Snapshot, condition: Filter) -> Ids:
        """As `Snapshot.matching`, which is asked once for each filter; not to be written to."""

        def read(_: list[str]) -> list[Ids]:
            found = snapshot.matching(condition)
            found.flags.writeable = False
            return [found]

        # Not the filter itself: 1, 1.0 and True are equal, and pass different documents.
        [allowed] = self._of(snapshot, [repr(condition)], read)
        return allowed


class KeptTerms(_Newest[Key, Given]):
    """What the terms give that were asked for last."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Nothing is kept yet."""
        super().__init__(most_bytes, lambda _, given: given.bytes)

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
