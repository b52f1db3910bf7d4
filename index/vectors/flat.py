"""The float16 vectors of a segment, as FAISS writes an `IndexIDMap2` over them.

float16 halves the file and the memory that a scan reads; its rounding moves a cosine by less than
1e-3. The file is written a piece at a time, so that a merge need not hold it, and read where it is
mapped: FAISS itself would copy the ids, and make a hash table of them.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

# An index's header: four letters of its type, dimension, count, two words that nothing reads, is it
# trained, the metric. Two stand here, the map's and that of the vectors, whose own follows: the
# type of its quantizer, how its range was found, with which argument, dimension, bytes per vector,
# the trained values (none), the bytes of all vectors.
HEADER = struct.Struct("<4siqqqBi")
QUANTIZER = struct.Struct("<iifQQQQ")
COUNT = struct.Struct("<Q")
UNREAD = 1 << 20
VECTORS_AT = 2 * HEADER.size + QUANTIZER.size


def size(passages: int, dimension: int) -> int:
    """Bytes of the file of so many vectors."""
    return VECTORS_AT + COUNT.size + passages * (2 * dimension + 8)


def pieces(
    chunks: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]], passages: int, dimension: int
) -> Iterator[bytes]:
    """The file of `passages` vectors, given as chunks of (ids `[n]`, vectors `[n, dimension]`)."""
    for letters in (b"IxM2", b"IxSQ"):
        yield HEADER.pack(
            letters, dimension, passages, UNREAD, UNREAD, True, faiss.METRIC_INNER_PRODUCT
        )
    code = 2 * dimension
    kind = faiss.ScalarQuantizer.QT_fp16
    yield QUANTIZER.pack(kind, 0, 0.0, dimension, code, 0, passages * code)
    ids = []
    for some, vectors in chunks:
        ids.append(some)
        yield vectors.astype("<f2").tobytes()
    yield COUNT.pack(passages)
    for some in ids:
        yield some.astype("<i8").tobytes()


def read(memory: NDArray[np.uint8]) -> tuple[Any, NDArray[np.int64]]:
    """A FAISS index over the vectors in a file that is mapped at `memory`, and their ids.

    Both stay in the mapping, which must outlive them. Raises `RuntimeError` where it is none.
    """
    if bytes(memory[:4]) != b"IxM2":
        raise RuntimeError("it is no IndexIDMap2")
    vectors = read_index(memory[HEADER.size :])
    start = size(vectors.ntotal, vectors.d) - 8 * vectors.ntotal
    if len(memory) < start + 8 * vectors.ntotal:
        raise RuntimeError("it is too short")
    return vectors, np.frombuffer(memory, "<i8", vectors.ntotal, start)


def read_index(memory: NDArray[np.uint8]) -> Any:
    """The FAISS index that was written to `memory`, which must outlive it."""
    reader = faiss.ZeroCopyIOReader(  # type: ignore[attr-defined, unused-ignore]
        faiss.swig_ptr(memory), memory.size
    )
    return faiss.read_index(reader)


def few(vectors: Any, places: NDArray[np.int64]) -> Any:
    """The vectors of these places as an index of their own: the same bits, the same scores."""
    made = faiss.IndexScalarQuantizer(vectors.d, vectors.sq.qtype, vectors.metric_type)
    made.add_sa_codes(codes(vectors)[places])
    return made


def codes(vectors: Any) -> NDArray[np.uint8]:
    """The bytes of all vectors where they are: `[n, 2 d]`."""
    memory = faiss.rev_swig_ptr(vectors.codes.data(), vectors.ntotal * vectors.code_size)
    return memory.reshape(vectors.ntotal, vectors.code_size)


def halves(vectors: Any) -> NDArray[np.float16]:
    """All vectors where they are: `[n, d]`."""
    return codes(vectors).view("<f2")


def decoded(vectors: Any, places: NDArray[np.int64]) -> NDArray[np.float32]:
    """The vectors of these places: `[m]` -> `[m, d]`."""
    return halves(vectors)[places].astype(np.float32)
