"""Vectors to the bytes of a segment. What is wrong with a vector is found here, before a disk."""

from collections.abc import Iterable

import faiss
import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from . import kinds

UNIT_NORM_TOLERANCE = 1e-3


def build(
    chunks: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]], dimension: int, kind: str
) -> memoryview:
    """Serialise a segment from chunks of (ids `[n]`, unit vectors `[n, dimension]`).

    Ids must ascend over all chunks: FAISS breaks ties by position, so position is id order.
    Raises `ModelError` where a vector has another dimension, is not finite, or has a norm further
    than 1e-3 from 1.
    """
    index = kinds.make(kind, dimension)
    last = -1
    for ids, vectors in chunks:
        _check(ids, vectors, dimension)
        if len(ids) and (ids[0] <= last or not (np.diff(ids) > 0).all()):
            raise ValueError("the ids of a segment must ascend")
        last = int(ids[-1]) if len(ids) else last
        index.add_with_ids(vectors, ids)
    data: memoryview = faiss.serialize_index(index).data
    return data


def _check(ids: NDArray[np.int64], vectors: NDArray[np.float32], dimension: int) -> None:
    if vectors.shape != (len(ids), dimension):
        raise ModelError(
            f"the encoder gave vectors of shape {vectors.shape} where {(len(ids), dimension)} "
            "was expected. Nothing was written; try another model."
        )
    # A sum that is not finite also catches a single NaN or infinity, and so does its norm.
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    if not np.isfinite(norms).all():
        raise ModelError(
            "the encoder gave a vector with a value that is not finite. Nothing was written; "
            "try another model, or the CPU."
        )
    if len(norms) and float(np.abs(norms - 1).max()) > UNIT_NORM_TOLERANCE:
        worst = float(norms[np.abs(norms - 1).argmax()])
        raise ModelError(
            f"the encoder gave a vector of length {worst:.4f} where 1 was expected. "
            "Nothing was written; use a model that normalises its vectors."
        )
