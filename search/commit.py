"""One commit of an index, and what the queries that are asked of it together have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..index.once import once
from ..index.store.snapshot import Snapshot
from .times import Times

if TYPE_CHECKING:
    from ..index.vectors import Segment
    from .dense import Ids, Vectors
    from .kept import KeptTerms

# So many vectors go through the segments at once.
TOGETHER = 64


class Commit:
    """A snapshot with its segments, what a filter lets through, and the nearest of many vectors."""

    def __init__(
        self,
        snapshot: Snapshot,
        segments: Callable[[], Sequence[Segment]],
        matching: Callable[[], Ids] | None,
        vectors: Sequence[Vectors],
        times: Times,
        kept: KeptTerms | None = None,
    ) -> None:
        """`segments` opens them; `matching` gives the ids that the filter lets through, if any.

        `vectors` [n, d] are of the queries without marks of their own. `kept` keeps what terms give
        to passages from one query to the next.
        """
        self.snapshot = snapshot
        self.times = times
        self.kept = kept
        self._open = segments
        self._matching = matching
        self._vectors = vectors
        self._asked: tuple[int, int] | None = None
        self._found: list[list[tuple[int, float]]] = []

    def nearest(self, row: int, depth: int) -> list[tuple[int, float]]:
        """The `depth` best (passage id, cosine) to a vector, best first, ties by id.

        The first to ask asks for its neighbours among the vectors, too.
        """
        from . import dense

        rows = range(row - row % TOGETHER, min(len(self._vectors), row - row % TOGETHER + TOGETHER))
        if self._asked is None or self._asked[0] != rows.start:
            self._found = dense.search_many(
                self.segments,
                self._vectors[rows.start : rows.stop],
                depth,
                self.tombstones,
                self.allowed,
            )
            self._asked = rows.start, depth
        if self._asked[1] == depth:
            return self._found[row - rows.start]
        return dense.search(self.segments, self._vectors[row], depth, self.tombstones, self.allowed)

    @once
    def segments(self) -> Sequence[Segment]:
        """The live segments, opened."""
        with self.times.stage("open"):
            return self._open()

    @once
    def tombstones(self) -> Ids:
        """Ids of deleted passages that a segment still holds; ascending."""
        return self.snapshot.tombstones()

    @once
    def allowed(self) -> Ids | None:
        """Ids of the passages that the filter lets through, ascending; None where there is none."""
        if self._matching is None:
            return None
        with self.times.stage("filter"):
            return self._matching()
