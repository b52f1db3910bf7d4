"""recall@10 of a search, on questions made of the index itself; and parameters tuned to it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .kinds import HNSW_INT8, Kind
from .search import Found, scan, vectors
from .segment import Segment

K = 10
# A passage is found where another of the same cosine stands in its place: float32 rounds so far.
EQUAL = 1e-6
SHIFT = 1.0
TUNED_WITH = 500  # passages; the recall that they measure has a standard error below 0.005
EFFORTS = tuple(round(2 ** (step / 2)) for step in range(4, 23))  # 4, 6, 8, 11, 16, … 2048
REFINES = (5, 10, 20, 40, 80)
GRAPH_REFINES = (2, 3, 5)
NEAR = 0.005  # Where no effort finds enough, the least that comes so near to the most is taken.

Search = Callable[[NDArray[np.float32], int], Found]


@dataclass(frozen=True, slots=True)
class Recall:
    """Mean recall@10 over `queries` questions, and its standard error."""

    mean: float
    error: float
    queries: int


class Probes:
    """Questions made of passages of the index, and the exact answers to them.

    A question is the vector of a passage, moved by SHIFT along the difference of two other
    passages: as far from passages, and between as many lists of them, as real questions are.
    Passages themselves are found too easily: docs/vectors.md has the figures.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        excluded: NDArray[np.int64],
        count: int,
        seed: int = 0,
    ) -> None:
        """Draw up to `count` passages that are not in `excluded`, and scan for their neighbours."""
        generator = np.random.default_rng(seed)
        sizes = np.array([segment.row.passages for segment in segments])
        drawn = [np.empty(0, np.int64)]
        for segment, size in zip(segments, sizes, strict=True):
            share = min(math.ceil(3 * count * size / sizes.sum()), int(size))
            drawn.append(segment.ids_at(np.sort(generator.choice(size, share, replace=False))))
        ids = np.setdiff1d(np.concatenate(drawn), excluded)
        _, held = vectors(segments, ids)
        first, second, third = (generator.permutation(held)[:count] for _ in range(3))
        difference = second - third
        difference /= np.maximum(np.linalg.norm(difference, axis=1, keepdims=True), 1e-9)
        moved = first + SHIFT * difference
        moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
        self.queries: NDArray[np.float32] = moved.astype(np.float32)
        self._exact, _ = scan(segments, self.queries, K, excluded)

    def recall(self, search: Search) -> Recall:
        """How much of the exact answers a search finds: (queries `[n, d]`, k) -> scores, ids."""
        if not len(self.queries):
            return Recall(1.0, 0.0, 0)
        found, _ = search(self.queries, K)
        there = np.isfinite(self._exact)
        worst = self._exact.min(axis=1, keepdims=True, where=there, initial=1)
        hits = (np.isfinite(found) & (found >= worst - EQUAL)).sum(axis=1)
        shares = hits / there.sum(axis=1)
        error = float(shares.std() / math.sqrt(len(shares)))
        return Recall(float(shares.mean()), error, len(shares))


def tune(segment: Segment, target: float) -> tuple[Kind, Recall]:
    """The least effort, then the fewest candidates, that find `target` of the ten best.

    Where none do, those that come near to the most there is. An exact kind is as it is.
    """
    none = np.array([], np.int64)
    probes = Probes([segment], none, TUNED_WITH)

    def measured(effort: int, refine: int) -> Recall:
        segment.kind = kind.at(effort, refine)
        return probes.recall(lambda queries, k: segment.search(queries, k, none))

    def least(refine: int, target: float) -> int:
        """The recall grows with the effort: halve the range of those that may be the least."""
        low, high = 0, len(efforts) - 1
        while low < high:
            middle = (low + high) // 2
            if measured(efforts[middle], refine).mean >= target:
                high = middle
            else:
                low = middle + 1
        return efforts[low]

    kind = segment.kind
    if kind.exact:
        return kind, measured(0, 1)
    refines = GRAPH_REFINES if kind.structure == HNSW_INT8 else REFINES
    efforts = [effort for effort in EFFORTS if effort <= segment.most_effort]
    for refine in refines[2:] or refines:
        effort = least(refine, target)
        found = measured(effort, refine)
        if found.mean >= target:
            break
    else:
        target = found.mean - NEAR
        effort = least(refine, target)
        found = measured(effort, refine)
    for fewer in [some for some in reversed(refines) if some < refine]:
        if (less := measured(effort, fewer)).mean < target:
            break
        refine, found = fewer, less
    segment.kind = kind.at(effort, refine)
    return segment.kind, found
