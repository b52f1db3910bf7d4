"""The fast kind: a graph of neighbours and int8 vectors, 516 bytes for each of 384 dimensions.

FAISS builds the graph over the float16 vectors (HNSW: Malkov and Yashunin, 2016). On the disk it
stands as `walk` reads it where it is mapped, so that opening costs the same at any size: the lowest
level's links beside the vector that they belong to, which most of a search reads, and that in int8,
half of what float16 takes.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import faiss as typed
import numpy as np
from numpy.typing import NDArray

from .walk import LINKS, UPPER_LINKS, Graph, Level

faiss: Any = typed  # its types leave out much of what is used here

EF_CONSTRUCTION = 200
HEAD = 16  # integers: the entry; how many vertices each upper level has, the lowest first; zeros
LINE = 64  # bytes, to a multiple of which a vector is widened
CHUNK = 65_536


def build(chunks: Iterable[NDArray[np.float32]], dimension: int) -> Iterator[bytes]:
    """The structure over all vectors, in chunks `[n, d]`."""
    index = faiss.IndexHNSWSQ(
        dimension, faiss.ScalarQuantizer.QT_fp16, UPPER_LINKS, faiss.METRIC_INNER_PRODUCT
    )
    index.is_trained = True
    index.hnsw.efConstruction = EF_CONSTRUCTION
    for vectors in chunks:
        index.add(vectors)
    storage = faiss.downcast_index(index.storage)
    held = _array(storage.codes, np.uint8).view("<f2").reshape(-1, dimension)
    levels = [_level(index.hnsw, depth) for depth in range(1, index.hnsw.max_level + 1)]
    entry = index.hnsw.entry_point
    head = np.zeros(HEAD, "<i8")
    head[0] = np.searchsorted(levels[-1].places, entry) if levels else entry
    head[1 : 1 + len(levels)] = [len(level.places) for level in levels]
    scales = _scales(held)
    yield head.tobytes() + scales.tobytes()
    lowest = np.arange(len(held))
    for start in range(0, len(held), CHUNK):
        places = lowest[start : start + CHUNK]
        links = _links(index.hnsw, places, 0).astype("<i4")
        rounded = np.rint(held[places] / scales[:dimension]).clip(-127, 127)
        numbers = np.full((len(places), len(scales)), 128, np.uint8)
        numbers[:, :dimension] += rounded.astype(np.int8).view(np.uint8)
        yield np.concatenate([links.view(np.uint8), numbers], axis=1).tobytes()
    for level in levels:
        yield level.places.tobytes() + level.links.tobytes()


def _array(vector: Any, dtype: Any) -> Any:
    """What a vector of FAISS's holds, where it is."""
    return faiss.rev_swig_ptr(vector.data(), vector.size()).view(dtype)


def _links(hnsw: Any, places: NDArray[np.int64], depth: int) -> NDArray[np.int32]:
    """The places of the neighbours of these, -1 after the last: `[n]` -> `[n, links]`."""
    per_level = _array(hnsw.cum_nneighbor_per_level, np.int32)
    starts = _array(hnsw.offsets, np.uint64)[places].astype(np.int64) + per_level[depth]
    wanted = np.arange(per_level[depth + 1] - per_level[depth])
    found: NDArray[np.int32] = _array(hnsw.neighbors, np.int32)[starts[:, None] + wanted]
    return found


def _level(hnsw: Any, depth: int) -> Level:
    """An upper level, its links as numbers of its own vertices."""
    places = np.flatnonzero(_array(hnsw.levels, np.int32) > depth)
    links = _links(hnsw, places, depth)
    numbers = np.where(links < 0, -1, np.searchsorted(places, links))
    return Level(places.astype("<i4"), numbers.astype("<i4"))


def _scales(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """What 1 of the 127 steps of each dimension is: `[n, d]` -> `[d to the next line]`."""
    most = np.zeros(vectors.shape[1], np.float32)
    for start in range(0, len(vectors), CHUNK):
        np.maximum(most, np.abs(vectors[start : start + CHUNK]).max(axis=0), out=most)
    scales = np.ones(-(-len(most) // LINE) * LINE, "<f4")
    scales[: len(most)] = np.where(most > 0, most / 127, 1)
    return scales


def read(memory: NDArray[np.uint8], vectors: NDArray[np.float16]) -> Graph:
    """The graph that is mapped at `memory`, over `vectors` `[n, d]`; both must outlive it.

    Raises `RuntimeError` where it is none.
    """
    count, dimension = vectors.shape
    wide = -(-dimension // LINE) * LINE
    head = memory[: 8 * HEAD].view("<i8") if len(memory) >= 8 * HEAD else np.zeros(HEAD, "<i8")
    sizes = [int(size) for size in head[1:] if size > 0]
    record = 4 * LINKS + wide
    parts = [8 * HEAD, 4 * wide, count * record]
    parts += [4 * size * (1 + UPPER_LINKS) for size in sizes]
    entries = sizes[-1] if sizes else count
    if len(memory) != sum(parts) or not 0 <= head[0] < entries:
        raise RuntimeError("it is no graph over its vectors")
    _, scales, records, *levels = np.split(memory, np.cumsum(parts)[:-1])
    upper = [level.view("<i4").reshape(1 + UPPER_LINKS, -1) for level in levels]
    return Graph(
        vectors,
        records.reshape(count, record),
        scales.view("<f4"),
        [Level(one[0], one[1:].reshape(-1, UPPER_LINKS)) for one in upper],
        int(head[0]),
    )
