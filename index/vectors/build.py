"""Vectors to the bytes of a segment. What is wrong with a vector is found here, before a disk."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from . import flat, hnsw, ivf, kinds

UNIT_NORM_TOLERANCE = 1e-3
ALIGNED = 64  # bytes that a structure begins at a multiple of

Chunk = tuple[NDArray[np.int64], NDArray[np.float32]]


def build(chunks: Iterable[Chunk], dimension: int, kind: str) -> memoryview:
    """A segment from chunks of (ids `[n]`, unit vectors `[n, dimension]`), held in memory.

    As `pieces`, which is for segments too large for that.
    """
    held = list(chunks)
    count = sum(len(ids) for ids, _ in held)
    return memoryview(b"".join(pieces(lambda: iter(held), count, dimension, kind)))


def pieces(
    chunks: Callable[[], Iterator[Chunk]], passages: int, dimension: int, kind: str
) -> Iterator[bytes]:
    """The file of a segment, a piece at a time, from chunks of (ids, unit vectors).

    `chunks` gives them anew at each call, `passages` in all; a structure goes over them twice. Ids
    must ascend over all chunks: FAISS breaks ties by position, so position is id order. Raises
    `ModelError` where a vector has another dimension, is not finite, or has a norm further than
    1e-3 from 1.
    """
    structure = kinds.Kind.parse(kind).structure
    wanted = ivf.sample_size(passages) if structure == kinds.IVF_RABITQ else 0
    sample: list[NDArray[np.float32]] = []
    yield from flat.pieces(
        _sampled(_checked(chunks(), dimension), passages, wanted, sample), passages, dimension
    )
    if structure == kinds.FLAT_FP16:
        return
    yield bytes(-flat.size(passages, dimension) % ALIGNED)
    rest = (vectors for _, vectors in chunks())
    if structure == kinds.IVF_RABITQ:
        yield from ivf.build(rest, passages, np.concatenate(sample))
    else:
        yield from hnsw.build(rest, dimension)


def _sampled(
    chunks: Iterable[Chunk], passages: int, wanted: int, sample: list[NDArray[np.float32]]
) -> Iterator[Chunk]:
    """The chunks as they are; `sample` gets `wanted` of the vectors, evenly spread."""
    seen = 0
    places = np.linspace(0, passages, wanted, endpoint=False).astype(np.int64)
    for ids, vectors in chunks:
        here = places[(places >= seen) & (places < seen + len(ids))] - seen
        if len(here):
            sample.append(vectors[here])
        seen += len(ids)
        yield ids, vectors


def _checked(chunks: Iterable[Chunk], dimension: int) -> Iterator[Chunk]:
    last = -1
    for ids, vectors in chunks:
        _check(ids, vectors, dimension)
        if len(ids) and (ids[0] <= last or not (np.diff(ids) > 0).all()):
            raise ValueError("the ids of a segment must ascend")
        last = int(ids[-1]) if len(ids) else last
        yield ids, vectors


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
