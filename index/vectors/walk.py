"""The walk through a graph of neighbours: by `walk.c`, or where that was not built, by NumPy.

Both give the same (Malkov and Yashunin, 2016, algorithms 2 and 5). From the entry, the nearest
vertex of each upper level leads to the next; in the lowest one, the neighbours of the best vertex
whose neighbours were not yet met are met, until there is none among the `effort` best. All that by
int8 products; the best of them are then compared by their float16 vectors.
"""

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_int64, c_void_p
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from ..compiled import load

UPPER_LINKS = 16  # M of Malkov and Yashunin
LINKS = 2 * UPPER_LINKS
# As in the file of C.
HIGH = 64
MOST = 32 * HIGH  # of a query's numbers
PART = 32  # queries that are worth a thread
_INSTRUCTIONS = 2  # the most that `walk.c` may use, where the CPU has them: none, AVX2, AVX-512

Found = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Level:
    """A level above the lowest: the places `[m]` of its vertices, which ascend, and their links.

    These, `[m, 16]`, are numbers of its own vertices, -1 after the last.
    """

    places: NDArray[np.int32]
    links: NDArray[np.int32]


class _Level(Structure):
    """As the file of C says."""

    _fields_ = (("places", c_void_p), ("links", c_void_p), ("vertices", c_int64))


class _Graph(Structure):
    """As the file of C says."""

    _fields_ = (
        ("records", c_void_p),
        ("vectors", c_void_p),
        ("scales", c_void_p),
        ("levels", POINTER(_Level)),
        ("depth", c_int64),
        ("vertices", c_int64),
        ("dimension", c_int64),
        ("bytes", c_int64),
        ("links", c_int64),
        ("upper_links", c_int64),
        ("entry", c_int64),
    )


@cache
def _library() -> Any:
    """`walk.c`, compiled; None where it was not, or is of another version."""
    numbers = c_void_p
    return load(
        f"{__package__}.native_walk",
        ctypes.sizeof(_Graph) << 32 | ctypes.sizeof(_Level),
        {
            "instructions": (c_int64, (c_int64,)),
            "search": (
                c_int64,
                (POINTER(_Graph), numbers, *[c_int64] * 4, numbers, numbers, c_int64),
            ),
        },
    )


@dataclass
class Graph:
    """A graph over `vectors` `[n, d]`, float16, of unit length. Threads may search it at once.

    `records` `[n, 128 + d to the next 64]` are the links of each, -1 after the last, as int32, and
    its vector in bytes: each dimension over its one of `scales`, rounded, plus 128. `entry` is a
    vertex of the highest of `levels`, or of the lowest where there are none.
    """

    vectors: NDArray[np.float16]
    records: NDArray[np.uint8]
    scales: NDArray[np.float32]
    levels: Sequence[Level]
    entry: int
    _native: Any = field(init=False)

    def __post_init__(self) -> None:
        """Tell the file of C where all is."""
        levels = (_Level * len(self.levels))()
        for own, one in zip(levels, self.levels, strict=True):
            own.places, own.links = one.places.ctypes.data, one.links.ctypes.data
            own.vertices = len(one.places)
        self._native = _Graph(
            self.records.ctypes.data,
            self.vectors.ctypes.data,
            self.scales.ctypes.data,
            levels,
            len(levels),
            *self.vectors.shape,
            len(self.scales),
            LINKS,
            UPPER_LINKS,
            self.entry,
        )

    def search(self, queries: NDArray[np.float32], k: int, effort: int, candidates: int) -> Found:
        """The k best by float16 of the `candidates` best by int8 of the `effort` that were kept.

        Queries `[n, d]` -> cosines and places `[n, k]`, best first, equal ones by place; where
        fewer were met, -inf and -1.
        """
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1] or k < 1:
            raise ValueError(
                f"queries of shape {queries.shape}, k of {k}: the vectors have "
                f"{self.vectors.shape[1]} dimensions, and k is at least 1"
            )
        queries = np.ascontiguousarray(queries, np.float32)
        effort = min(max(effort, k), len(self.vectors))
        candidates = min(max(candidates, k), effort)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        places = np.full((len(queries), k), -1, np.int64)
        library = _library()
        if library is None:
            for n, (query, rounded) in enumerate(zip(queries, self._rounded(queries), strict=True)):
                met = self._walk(rounded, effort)[:candidates]
                its = self.vectors[met].astype(np.float32) @ query
                order = np.lexsort((met, -its))[:k]
                scores[n, : len(order)], places[n, : len(order)] = its[order], met[order]
            return scores, places
        # As many as FAISS would take, whose number each caller's thread has for itself.
        threads = min(faiss.omp_get_max_threads(), -(-len(queries) // PART))

        def part(bound: tuple[int, int]) -> None:
            rows = slice(*bound)
            failed = library.search(
                self._native,
                queries[rows].ctypes.data,
                rows.stop - rows.start,
                k,
                effort,
                candidates,
                scores[rows].ctypes.data,
                places[rows].ctypes.data,
                _INSTRUCTIONS,
            )
            if failed:
                raise MemoryError

        if threads < 2:
            part((0, len(queries)))
        else:
            from concurrent.futures import ThreadPoolExecutor

            bounds = [len(queries) * n // threads for n in range(threads + 1)]
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(part, pairwise(bounds)))
        return scores, places

    def _rounded(self, queries: NDArray[np.float32]) -> NDArray[np.int8]:
        """So that products with the bytes of a vector are in the order of cosines: `[n, 2, bytes]`.

        The first of the two counts HIGH, the other one.
        """
        scaled = queries * self.scales[: queries.shape[1]]
        most = np.abs(scaled).max(axis=1, keepdims=True)
        fits = np.float32(min(MOST, (2**31 - 1) // (255 * len(self.scales))))
        whole = np.rint(scaled * (fits / np.maximum(most, np.float32(1e-30))))
        whole[~(np.abs(whole) <= MOST)] = 0
        high = np.rint(whole / HIGH)
        rounded = np.zeros((len(queries), 2, len(self.scales)), np.int8)
        rounded[:, 0, : queries.shape[1]] = high
        rounded[:, 1, : queries.shape[1]] = whole - HIGH * high
        return rounded

    def _walk(self, query: NDArray[np.int8], effort: int) -> NDArray[np.int64]:
        """The places of the `effort` best that a walk meets, best first."""
        wide = query.astype(np.int32)
        wide = HIGH * wide[0] + wide[1]

        def products(places: Any) -> NDArray[np.int32]:
            scores: NDArray[np.int32] = self.records[places, 4 * LINKS :].astype(np.int32) @ wide
            return scores

        at = self.entry
        for depth in reversed(range(len(self.levels))):
            level = self.levels[depth]
            best = products(level.places[[at]])[0]
            moved = True
            while moved:
                links = level.links[at]
                links = links[links >= 0]
                scores = products(level.places[links])
                moved = len(links) > 0 and scores.max() > best
                if moved:
                    best, at = scores.max(), int(links[scores.argmax()])
            at = int(level.places[at])
            if depth:
                at = int(np.searchsorted(self.levels[depth - 1].places, at))
        met, expanded = {at}, set()
        kept = [(int(products([at])[0]), at)]
        while (
            place := next((place for _, place in kept if place not in expanded), None)
        ) is not None:
            expanded.add(place)
            links = self.records[place, : 4 * LINKS].view("<i4")
            links = links[links >= 0].tolist()
            new = [link for link in dict.fromkeys(links) if link not in met]
            met.update(new)
            if new:
                kept += zip(products(new).tolist(), new, strict=True)
                kept = sorted(kept, key=lambda one: -one[0])[:effort]
        return np.array([place for _, place in kept], np.int64)
