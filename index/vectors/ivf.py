"""The compact kind: inverted lists of 1-bit codes, 64 bytes for a vector of 384 dimensions.

FAISS's `IndexIVFRaBitQFastScan` names candidates by 1-bit codes (RaBitQ: Gao and Long, SIGMOD 2024)
of the lists next to the query. On the disk the lists stand as FAISS packs them, apart from its
index, so that they are searched where they are mapped, and opening costs the same at any size:
FAISS's own reader copies them.
"""

import math
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import faiss as typed
import numpy as np
from numpy.typing import NDArray

from . import flat

faiss: Any = typed  # its types leave out much of what is used here

SEED = 1234
PER_LIST = 40  # vectors a list's centroid is trained from
ROUNDS = 8  # of k-means: more changed recall by less than 0.002
BLOCK = 32  # vectors that FAISS packs together
ALIGNED = 64

# Bytes of FAISS's index without its lists, number of lists; then size, room and offset of each.
HEAD = struct.Struct("<QQ")


def lists_for(passages: int) -> int:
    """How many inverted lists: the power of two next to 4 sqrt(n), and no more than vectors."""
    exponent = min(round(math.log2(4 * passages**0.5)), int(math.log2(passages)))
    return 1 << exponent


def sample_size(passages: int) -> int:
    """How many vectors `build` wants to be trained with."""
    return min(passages, PER_LIST * lists_for(passages))


def build(
    chunks: Iterable[NDArray[np.float32]], passages: int, sample: NDArray[np.float32]
) -> Iterator[bytes]:
    """The structure over all vectors, in chunks `[n, d]`, after training with `sample` `[m, d]`."""
    dimension = sample.shape[1]
    lists = lists_for(passages)
    index = faiss.IndexIVFRaBitQFastScan(
        faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.niter, index.cp.seed, index.cp.spherical = ROUNDS, SEED, True
    index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = PER_LIST, 1
    index.train(sample)
    # Before it holds vectors: what FAISS can write and read again.
    bare = faiss.serialize_index(index).tobytes()
    for vectors in chunks:
        index.add(vectors)
    inverted = faiss.downcast_InvertedLists(index.invlists)
    sizes = np.array([inverted.list_size(list) for list in range(lists)], np.uint64)
    room = (sizes + BLOCK - 1) // BLOCK * BLOCK
    code = inverted.block_size // BLOCK
    width = code + 8
    ends = np.cumsum(room * np.uint64(width))
    table = np.stack([sizes, room, ends - room * np.uint64(width)], axis=1).astype("<u8")
    head = HEAD.pack(len(bare), lists) + bare + table.tobytes()
    yield head + bytes(-len(head) % ALIGNED)
    for list in range(lists):
        held, space = int(sizes[list]), int(room[list])
        if held:
            codes = faiss.rev_swig_ptr(inverted.get_codes(list), space * code)
            ids = np.zeros(space, "<i8")
            ids[:held] = faiss.rev_swig_ptr(inverted.get_ids(list), held)
            yield codes.tobytes() + ids.tobytes()


def read(memory: NDArray[np.uint8], vectors: Any) -> Any:
    """A FAISS index that compares by `vectors` what the structure at `memory` names.

    Both must outlive it.
    """
    length, lists = HEAD.unpack(bytes(memory[: HEAD.size]))
    index = flat.read_index(memory[HEAD.size : HEAD.size + length])
    at = HEAD.size + length
    table = np.frombuffer(memory, "<u8", 3 * lists, at).copy()
    at += table.nbytes
    at += -at % ALIGNED
    bodies = memory[at:]
    mapped = faiss.OnDiskInvertedLists()
    code = faiss.downcast_InvertedLists(index.invlists).block_size // BLOCK
    if bodies.nbytes != int(table[1::3].sum()) * (code + 8):
        raise RuntimeError("its lists are packed otherwise than this version of FAISS packs them")
    mapped.nlist, mapped.code_size = lists, code
    mapped.lists.resize(lists)
    faiss.memcpy(mapped.lists.data(), faiss.swig_ptr(table), table.nbytes)
    mapped.ptr, mapped.totsize = faiss.swig_ptr(bodies), bodies.nbytes
    mapped.read_only, mapped.prefetch_nthread = True, 0
    # Its destructor would unmap what it has not mapped; the table of lists is what stays behind.
    mapped.this.disown()
    index.replace_invlists(mapped, False)
    index.ntotal = vectors.ntotal
    return faiss.IndexRefine(index, vectors)


def search(
    index: Any, queries: NDArray[np.float32], k: int, effort: int, factor: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and places `[n, k]`: the best of `factor` k candidates out of `effort` lists.

    Place -1 where those hold fewer.
    """
    base = faiss.IVFRaBitQSearchParameters(nprobe=effort)
    parameters = faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=base)
    scores, places = index.search(queries, k, params=parameters)
    return scores, places
