"""The passage ids of a segment, by the places of their vectors."""

import numpy as np
from numpy.typing import NDArray

from ..once import once


class Ids:
    """Ascending ids in a mapped file. No more of them is read than is asked for."""

    def __init__(self, mapped: NDArray[np.int64]) -> None:
        """Hold `mapped` `[n]`, which ascends and may stand at any address."""
        self._mapped = mapped
        count = len(mapped)
        self._first = int(mapped[0]) if count else 0
        # They ascend, so none is missing where the last is as far from the first as there are.
        self._all_in_a_row = bool(count) and int(mapped[-1]) - self._first == count - 1

    @once
    def all(self) -> NDArray[np.int64]:
        """All ids `[n]`, in memory."""
        return np.array(self._mapped, np.int64)

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids at these places, of any shape."""
        if self._all_in_a_row:
            return places + self._first
        found: NDArray[np.int64] = self._mapped[places].astype(np.int64, copy=False)
        return found

    def holds(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these ids are here: `[m]` -> `[m]`."""
        if self._all_in_a_row:
            return (ids >= self._first) & (ids < self._first + len(self._mapped))
        if not len(self._mapped) or not len(ids):
            return np.zeros(len(ids), np.bool_)
        places = np.minimum(np.searchsorted(self.all, ids), len(self.all) - 1)
        here: NDArray[np.bool_] = self.all[places] == ids
        return here

    def places(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where those of these ids stand that are here, in their order."""
        here = ids[self.holds(ids)]
        if self._all_in_a_row:
            return here - self._first
        places: NDArray[np.int64] = np.searchsorted(self.all, here).astype(np.int64, copy=False)
        return places
