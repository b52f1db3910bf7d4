"""Search over all segments of an index, and the vectors of given passages."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .plan import Plan
from .plan import plan as cheaper
from .segment import Segment, pad
from .threads import threads_for

Found = tuple[NDArray[np.float32], NDArray[np.int64]]


def search(
    segments: Sequence[Segment],
    queries: NDArray[np.float32],
    k: int,
    excluded: NDArray[np.int64],
    allowed: NDArray[np.int64] | None = None,
    plan: Plan | None = None,
) -> Found:
    """The k nearest passages over all segments, best first, equal scores by id.

    Queries `[n, d]` of unit norm, `excluded` the tombstones -> cosines `[n, k]` float32 and passage
    ids `[n, k]` int64; id -1 and score -inf where there are fewer than k. With `allowed`, of those
    ids only, which ascend; `plan` is how they are gone through, by cost unless it is given. Exact
    with `allowed`, and as far as the kinds of the segments are.
    """
    if allowed is not None and plan is None:
        plan = cheaper(len(allowed), sum(segment.row.passages for segment in segments))
    plan = plan or "selector"
    with threads_for(len(queries)):
        parts = [segment.search(queries, k, excluded, allowed, plan) for segment in segments]
    return _best(parts, len(queries), k)


def scan(
    segments: Sequence[Segment],
    queries: NDArray[np.float32],
    k: int,
    excluded: NDArray[np.int64],
) -> Found:
    """As `search` without a filter, and exact whatever the kinds: each vector is compared."""
    with threads_for(len(queries)):
        parts = [segment.scan(queries, k, excluded) for segment in segments]
    return _best(parts, len(queries), k)


def _best(parts: list[Found], queries: int, k: int) -> Found:
    """The best k of what the segments found."""
    if not parts:
        return pad(np.empty((queries, 0), np.float32), None, k)
    if len(parts) == 1:
        return parts[0]
    scores = np.concatenate([part[0] for part in parts], axis=1)
    ids = np.concatenate([part[1] for part in parts], axis=1)
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)


def vectors(
    segments: Sequence[Segment], ids: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Those of `ids` that a segment holds, in the order given, and their vectors `[m, d]`."""
    dimension = segments[0].row.dimension if segments else 0
    gathered = np.empty((len(ids), dimension), np.float32)
    found = np.zeros(len(ids), np.bool_)
    for segment in segments:
        here = segment.holds(ids) & ~found
        gathered[here] = segment.vectors(ids[here])
        found |= here
    return ids[found], gathered[found]
