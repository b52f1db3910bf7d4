"""Search by vectors over the segments of an index: exact with a filter, else as their kinds are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..index import vectors
from ..index.vectors import Segment

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]


def search(
    segments: Sequence[Segment],
    query: Vectors,
    k: int,
    excluded: Ids,
    allowed: Ids | None = None,
) -> list[tuple[int, float]]:
    """The `k` best (passage id, inner product with the query [d]), best first, ties by id.

    Passages whose id is in `excluded` are no candidates, nor is one that is not in `allowed` where
    that is given (ascending). Fewer than `k` where there are no more; `vectors.plan` says how the
    allowed ones are gone through.
    """
    k = min(k, sum(segment.row.passages for segment in segments))  # room is made for all k
    scores, ids = vectors.search(segments, query[np.newaxis], k, excluded, allowed)
    best = zip(ids[0].tolist(), scores[0].tolist(), strict=True)
    return [(passage, score) for passage, score in best if passage >= 0]


def similar(
    segments: Sequence[Segment],
    passages: Sequence[int],
    k: int,
    excluded: Ids,
    allowed: Ids | None = None,
) -> list[tuple[int, float]]:
    """The `k` best (passage id, mean cosine to `passages`), themselves excluded too.

    The inner product with the mean of their vectors is the mean of their cosines, so the mean is
    left at its length. Nothing where no segment holds them yet.
    """
    own, found = vectors.vectors(segments, np.array(passages, np.int64))
    if not len(own):
        return []
    return search(segments, found.mean(axis=0), k, np.union1d(excluded, own), allowed)


def cosines(
    segments: Sequence[Segment], query: Vectors, passages: Sequence[int]
) -> dict[int, float]:
    """Passage id -> cosine to the query [d], of those passages that a segment holds."""
    ids, found = vectors.vectors(segments, np.array(passages, np.int64))
    return dict(zip(ids.tolist(), (found @ query).tolist(), strict=True)) if len(ids) else {}
