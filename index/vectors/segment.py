"""One immutable FAISS file, opened once its hash is verified."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from ..errors import IndexDamaged
from ..files import map_segment, segment_path
from ..types import SegmentRow
from .plan import Plan


class Segment:
    """An opened segment. Made by `Segment.open`; holds its file even after a merge unlinked it."""

    def __init__(self, row: SegmentRow, index: Any, memory: NDArray[np.uint8]) -> None:
        """Hold an index that FAISS has read from `memory`; `open` is the way in."""
        self.row = row
        self._index = index
        self._memory = memory
        # A kind whose own search is approximate would still be filtered here, on its flat vectors.
        self._flat: Any = faiss.downcast_index(index.index)
        self.ids: NDArray[np.int64] = faiss.vector_to_array(index.id_map)

    @classmethod
    def open(cls, index: Path, row: SegmentRow) -> "Segment":
        """Open the segment `row` of the index at `index`.

        Raises `FileNotFoundError` where a merge removed the file (read the manifest again), and
        `IndexDamaged` where size, SHA-256 or content are not what the manifest says.
        """
        # FAISS reads from the very mapping that was hashed, and leaves the vectors in it: a 77 MB
        # segment opens in 4 ms after its hash where a copy takes 200. The mapping must outlive it.
        memory = np.frombuffer(map_segment(index, row), np.uint8)
        path = segment_path(index, row.name)
        try:
            reader = faiss.ZeroCopyIOReader(  # type: ignore[attr-defined, unused-ignore]
                faiss.swig_ptr(memory), memory.size
            )
            opened = faiss.read_index(reader)
        except RuntimeError as error:
            raise IndexDamaged(
                f"FAISS cannot read the segment {str(path)!r}, which is as it was written by "
                f"FAISS {row.faiss}: {error}. Run `clsearch check --repair` to make it again."
            ) from error
        if opened.d != row.dimension or opened.ntotal != row.passages:
            raise IndexDamaged(
                f"the segment {str(path)!r} holds {opened.ntotal} vectors of {opened.d} dimensions "
                f"where the manifest says {row.passages} of {row.dimension}. "
                "Run `clsearch check --repair`."
            )
        return cls(row, opened, memory)

    def holds(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these ids are in the segment: `[m]` -> `[m]`."""
        places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        here: NDArray[np.bool_] = self.ids[places] == ids
        return here

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        excluded: NDArray[np.int64],
        allowed: NDArray[np.int64] | None = None,
        plan: Plan = "selector",
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k nearest of this segment, exact, of the ids in `allowed` where that is given.

        Queries `[n, d]` of unit norm -> cosines `[n, k]`, best first, and ids `[n, k]`. Those whose
        id is in `excluded` are never found. Equal scores stand by id. Where fewer than k are left,
        id -1 and score -inf fill up. All ids ascend and are distinct. `plan` is how the allowed
        ones are gone through; it changes no result, to the last bit of a score.
        """
        gone = self._places(excluded)
        kept = None
        if allowed is not None:
            kept = np.setdiff1d(self._places(allowed), gone, assume_unique=True)
        left = len(self.ids) - len(gone) if kept is None else len(kept)
        found = min(k, left)
        if found <= 0 or not len(queries):
            return pad(np.empty((len(queries), 0), np.float32), None, k)
        if kept is not None and plan == "scan":
            scores, order = _nearest(self._few(kept), queries, found, left)
            return pad(scores, self.ids[kept[order]], k)
        selector = None
        if kept is not None:
            selector = np.zeros(len(self.ids), np.bool_)
            selector[kept] = True
        elif len(gone):
            selector = np.ones(len(self.ids), np.bool_)
            selector[gone] = False
        scores, places = _nearest(self._flat, queries, found, left, selector)
        return pad(scores, self.ids[places], k)

    def _places(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the segment those of these ids stand that it holds; in their order."""
        places: NDArray[np.int64] = np.searchsorted(self.ids, ids[self.holds(ids)])
        return places

    def _few(self, places: NDArray[np.int64]) -> Any:
        """The vectors of these places as an index of their own: the same bits, the same scores."""
        flat = self._flat
        codes = faiss.rev_swig_ptr(flat.codes.data(), flat.ntotal * flat.code_size)
        few = faiss.IndexScalarQuantizer(flat.d, flat.sq.qtype, flat.metric_type)
        few.add_sa_codes(codes.reshape(flat.ntotal, flat.code_size)[places])
        return few

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors `[m, d]` of these ids, in their order. Raises `KeyError` for one not here."""
        missing = ids[~self.holds(ids)]
        if len(missing):
            raise KeyError(int(missing[0]))
        found: NDArray[np.float32] = self._index.reconstruct_batch(ids)
        return found


def _nearest(
    index: Any,
    queries: NDArray[np.float32],
    found: int,
    left: int,
    selector: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and places `[n, found]` in a FAISS index, best first, equal scores by place.

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
    wide_scores = np.full((n, k), -np.inf, np.float32)
    wide_ids = np.full((n, k), -1, np.int64)
    if ids is not None:
        wide_scores[:, :m] = scores
        wide_ids[:, :m] = ids
    return wide_scores, wide_ids
