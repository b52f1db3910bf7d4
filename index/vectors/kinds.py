"""The one place that chooses how a segment holds its vectors."""

from typing import Any

import faiss

FLAT_FP16 = "flat-fp16"
FAISS_VERSION: str = faiss.__version__


def choose(passages: int) -> str:
    """The kind for a segment of so many passages: flat and exact, whatever the size."""
    return FLAT_FP16


def make(kind: str, dimension: int) -> Any:
    """An empty FAISS index of this kind; its inner product over unit vectors is the cosine.

    float16 halves the file and the memory that a scan reads; its rounding moves a cosine by less
    than 1e-3. `IndexIDMap2` also finds a vector by its id.
    """
    if kind != FLAT_FP16:
        raise ValueError(f"no such kind of segment: {kind!r}")
    flat = faiss.IndexScalarQuantizer(
        dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    return faiss.IndexIDMap2(flat)
