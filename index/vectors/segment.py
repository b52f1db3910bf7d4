"""One immutable file of vectors, mapped once its hash is verified."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from ..errors import IndexDamaged, IndexMismatch
from ..files import map_segment, segment_path
from ..types import SegmentRow
from . import flat, hnsw, ivf
from .build import ALIGNED
from .ids import Ids
from .kinds import HNSW_INT8, IVF_RABITQ, Kind
from .plan import Plan
from .walk import Graph

# What is tuned is tuned for ten: as many candidates for fewer; for more, fewer for each of them, by
# the fourth root.
TUNED_FOR = 10
# Candidates beyond this share of all vectors cost as much as all: then all are compared.
MOST = 1 / 4


class Segment:
    """An opened segment. Made by `Segment.open`; holds its file even after a merge unlinked it."""

    def __init__(self, row: SegmentRow, memory: NDArray[np.uint8], kind: Kind) -> None:
        """Hold what is mapped at `memory`; `open` is the way in."""
        self.row = row
        self.kind = kind
        self._memory = memory  # must outlive what FAISS reads there
        self._flat, mapped = flat.read(memory)
        self._ids = Ids(mapped)
        self._structure: Any = None
        if not kind.exact:
            start = flat.size(self._flat.ntotal, self._flat.d)
            rest = memory[start + -start % ALIGNED :]
            if kind.structure == IVF_RABITQ:
                self._structure = ivf.read(rest, self._flat)
            else:
                self._structure = hnsw.read(rest, flat.halves(self._flat))

    @classmethod
    def open(cls, index: Path, row: SegmentRow) -> "Segment":
        """Open the segment `row` of the index at `index`.

        Raises `FileNotFoundError` where a merge removed the file (read the manifest again),
        `IndexDamaged` where size, SHA-256 or content are not what the manifest says, and
        `IndexMismatch` where a newer clsearch made it.
        """
        path = segment_path(index, row.name)
        try:
            kind = Kind.parse(row.kind)
        except ValueError as error:
            raise IndexMismatch(
                f"the segment {str(path)!r} is of the kind {row.kind!r}, which this version does "
                "not know. Upgrade clsearch."
            ) from error
        # FAISS reads from the very mapping that was hashed, and leaves all that is large in it.
        memory = np.frombuffer(map_segment(index, row), np.uint8)
        try:
            opened = cls(row, memory, kind)
        except RuntimeError as error:
            raise IndexDamaged(
                f"the segment {str(path)!r} cannot be read, though it is as it was written with "
                f"FAISS {row.faiss}: {error}. Run `clsearch check --repair` to make it again."
            ) from error
        vectors = opened._flat
        if vectors.d != row.dimension or vectors.ntotal != row.passages:
            raise IndexDamaged(
                f"the segment {str(path)!r} holds {vectors.ntotal} vectors of {vectors.d} "
                f"dimensions where the manifest says {row.passages} of {row.dimension}. "
                "Run `clsearch check --repair`."
            )
        return opened

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of all passages that it holds, ascending: `[n]`."""
        return self._ids.all

    def ids_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids at these places, counted from 0 in the order of ids: `[m]` -> `[m]`."""
        return self._ids.at(places)

    @property
    def most_effort(self) -> int:
        """Where `kind.effort` has all of the structure searched."""
        if self.kind.structure == IVF_RABITQ:
            return ivf.lists_for(self.row.passages)
        return self.row.passages

    def holds(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these ids are in the segment: `[m]` -> `[m]`."""
        return self._ids.holds(ids)

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors `[m, d]` of these ids, in their order. Raises `KeyError` for one not here."""
        missing = ids[~self.holds(ids)]
        if len(missing):
            raise KeyError(int(missing[0]))
        return flat.decoded(self._flat, self._ids.places(ids))

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        excluded: NDArray[np.int64],
        allowed: NDArray[np.int64] | None = None,
        plan: Plan = "selector",
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k nearest of this segment, of the ids in `allowed` where that is given.

        Queries `[n, d]` of unit norm -> cosines `[n, k]`, best first, and ids `[n, k]`. Those whose
        id is in `excluded` are never found. Equal scores stand by id. Where fewer than k are left,
        id -1 and score -inf fill up. All ids ascend and are distinct.

        Exact with `allowed`, and where `kind` is. Else some of the k may be missing, to the recall
        that the kind was tuned to, and the next best stand in their place; cosines are of the same
        float16 vectors whatever the kind.
        """
        if self._structure is None or allowed is not None or not len(queries):
            return self.scan(queries, k, excluded, allowed, plan)
        gone = self._ids.places(excluded)
        found = min(k, self.row.passages - len(gone))
        if found <= 0:
            return pad(np.empty((len(queries), 0), np.float32), None, k)
        scores, places, whole = self._candidates(queries, found, gone)
        scores, ids = pad(scores, self._ids.at(places), k)
        if not whole.all():
            scores[~whole], ids[~whole] = self.scan(queries[~whole], k, excluded)
        return scores, ids

    def scan(
        self,
        queries: NDArray[np.float32],
        k: int,
        excluded: NDArray[np.int64],
        allowed: NDArray[np.int64] | None = None,
        plan: Plan = "selector",
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """As `search`, and exact whatever the kind: each vector is compared.

        `plan` is how the allowed ones are gone through; it changes no result, to the last bit of a
        score.
        """
        total = self.row.passages
        gone = self._ids.places(excluded)
        kept = None
        if allowed is not None:
            kept = np.setdiff1d(self._ids.places(allowed), gone, assume_unique=True)
        left = total - len(gone) if kept is None else len(kept)
        found = min(k, left)
        if found <= 0 or not len(queries):
            return pad(np.empty((len(queries), 0), np.float32), None, k)
        if kept is not None and plan == "scan":
            scores, order = _nearest(flat.few(self._flat, kept), queries, found, left)
            return pad(scores, self._ids.at(kept[order]), k)
        selector = None
        if kept is not None:
            selector = np.zeros(total, np.bool_)
            selector[kept] = True
        elif len(gone):
            selector = np.ones(total, np.bool_)
            selector[gone] = False
        scores, places = _nearest(self._flat, queries, found, left, selector)
        return pad(scores, self._ids.at(places), k)

    def _candidates(
        self, queries: NDArray[np.float32], found: int, gone: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        """Scores and places `[n, found]` by the structure, and for which queries these are enough.

        What is gone is dropped from more than are wanted: a few tombstones cost nothing.
        """
        total = self.row.passages
        # As many more as there are gone ones among so many, if these are anywhere.
        wanted = -(-found * total // (total - len(gone)))
        while True:
            if wanted > MOST * total:
                shape = (len(queries), found)
                none = np.zeros(len(queries), np.bool_)
                return np.zeros(shape, np.float32), np.zeros(shape, np.int64), none
            scores, places = self._ask(queries, wanted)
            if not len(gone) and places.min() >= 0:
                enough = np.ones(len(queries), np.bool_)
                break
            alive = places >= 0
            if len(gone):
                alive &= ~np.isin(places, gone)
            scores[~alive] = -np.inf
            enough = alive.sum(axis=1) >= found
            if enough.all() or not len(gone):
                break
            wanted *= 2
        # They are sorted, but for equal scores and for what is dropped.
        if (scores[:, 1:] < scores[:, :-1]).all():
            return scores[:, :found], places[:, :found], enough
        order = np.lexsort((places, -scores), axis=1)[:, :found]
        return (
            np.take_along_axis(scores, order, axis=1),
            np.take_along_axis(places, order, axis=1),
            enough,
        )

    def _ask(
        self, queries: NDArray[np.float32], wanted: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        kind = self.kind
        share = TUNED_FOR / wanted
        factor = max(kind.refine * (share if share > 1 else share**0.25), 2.0)
        if kind.structure == HNSW_INT8:
            effort = max(kind.effort, wanted * 3 // 2)
            graph: Graph = self._structure
            return graph.search(queries, wanted, effort, round(factor * wanted))
        return ivf.search(self._structure, queries, wanted, kind.effort, factor)


def _nearest(
    index: Any,
    queries: NDArray[np.float32],
    found: int,
    left: int,
    selector: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and places `[n, found]` in a flat index, best first, equal scores by place.

    `selector` says of each place whether it may be found, `left` how many may; `found` is not more.
    """
    parameters = None
    if selector is not None:
        # FAISS keeps pointers only: both names must live until the search is done.
        bits = np.packbits(selector, bitorder="little")
        bitmap = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        parameters = faiss.SearchParameters(sel=bitmap)  # type: ignore[call-arg, unused-ignore]
    wanted = min(found + 1, left)
    while True:
        scores, places = index.search(queries, wanted, params=parameters)
        # FAISS keeps any of those that tie at the cut, and ties are common (the same passage in two
        # files): look on until the last score is below the cut.
        if wanted == left or (scores[:, -1] < scores[:, found - 1]).all():
            break
        wanted = min(2 * wanted, left)
    order = np.lexsort((places, -scores), axis=1)[:, :found]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(places, order, axis=1)


def pad(
    scores: NDArray[np.float32], ids: NDArray[np.int64] | None, k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Widen results `[n, m <= k]` to `[n, k]`: score -inf, id -1."""
    n, m = scores.shape
    if m == k and ids is not None:
        return scores, ids
    wide_scores = np.full((n, k), -np.inf, np.float32)
    wide_ids = np.full((n, k), -1, np.int64)
    if ids is not None:
        wide_scores[:, :m] = scores
        wide_ids[:, :m] = ids
    return wide_scores, wide_ids
