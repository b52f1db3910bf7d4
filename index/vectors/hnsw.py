"""The fast kind: a graph over the float16 vectors, 140 bytes for each beside its vector.

FAISS's `IndexHNSW` (Malkov and Yashunin, 2016) without its storage, which is the flat vectors.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import faiss as typed
import numpy as np
from numpy.typing import NDArray

from . import flat

faiss: Any = typed  # its types leave out much of what is used here

NEIGHBOURS = 16  # M: 2 M links in the lowest layer
EF_CONSTRUCTION = 200


def build(chunks: Iterable[NDArray[np.float32]], dimension: int) -> Iterator[bytes]:
    """The graph over all vectors, in chunks `[n, d]`."""
    index = faiss.IndexHNSWSQ(
        dimension, faiss.ScalarQuantizer.QT_fp16, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT
    )
    index.is_trained = True
    index.hnsw.efConstruction = EF_CONSTRUCTION
    for vectors in chunks:
        index.add(vectors)
    writer = faiss.VectorIOWriter()
    faiss.write_index(index, writer, faiss.IO_FLAG_SKIP_STORAGE)
    yield faiss.vector_to_array(writer.data).tobytes()


def read(memory: NDArray[np.uint8], vectors: Any) -> Any:
    """The FAISS index over a graph that is mapped at `memory`; both must outlive it."""
    index = flat.read_index(memory)
    index.storage, index.own_fields = vectors, False
    return index


def search(
    index: Any, queries: NDArray[np.float32], k: int, effort: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and places `[n, k]`, with an efSearch of `effort`. Place -1 where fewer were met."""
    scores, places = index.search(queries, k, params=_parameters(effort))
    return scores, places


@lru_cache(256)
def _parameters(effort: int) -> Any:
    return faiss.SearchParametersHNSW(efSearch=effort)
