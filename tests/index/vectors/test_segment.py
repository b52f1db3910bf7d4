"""Segments against a brute-force scan in NumPy."""

import hashlib
from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from clsearch.index import vectors
from clsearch.index.errors import IndexDamaged
from clsearch.index.files import segment_path
from clsearch.index.types import SegmentRow
from clsearch.index.vectors import Segment
from clsearch.index.vectors.threads import threads_for

NONE = np.array([], np.int64)


def unit(n: int, d: int = 24, seed: int = 0) -> NDArray[np.float32]:
    """Random unit vectors `[n, d]`."""
    drawn = np.random.default_rng(seed).standard_normal((n, d))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def written(
    index: Path, ids: NDArray[np.int64], stacked: NDArray[np.float32], name: str = "a"
) -> SegmentRow:
    """A segment file without the store's protocol, and the row of it."""
    data = vectors.build([(ids, stacked)], stacked.shape[1], vectors.choose(len(ids)))
    path = segment_path(index, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    kind = vectors.choose(len(ids))
    return SegmentRow(name, kind, len(ids), stacked.shape[1], len(data), digest, "1", "f")


def scan(
    stacked: NDArray[np.float32],
    ids: NDArray[np.int64],
    queries: NDArray[np.float32],
    k: int,
    excluded: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Ids `[n, k]` by a full sort over the float16 values that a segment holds."""
    kept = ~np.isin(ids, excluded)
    scores = queries @ stacked[kept].astype(np.float16).astype(np.float32).T
    # Rounded, so that the order of addition does not part what is equal.
    order = np.lexsort((np.broadcast_to(ids[kept], scores.shape), -scores.round(5)), axis=1)
    found = np.full((len(queries), k), -1, np.int64)
    found[:, : order.shape[1]] = ids[kept][order[:, :k]]
    return found


@pytest.mark.parametrize("k", [1, 7, 300, 400])
@pytest.mark.parametrize("deleted", [0, 1, 150, 300])
def test_search_is_exact(tmp_path: Path, k: int, deleted: int) -> None:
    """Any k, with and without tombstones, some of which are of other segments."""
    ids = np.sort(np.random.default_rng(1).choice(10_000, 300, replace=False)).astype(np.int64)
    stacked = unit(300)
    excluded = np.sort(np.concatenate([ids[:deleted], [10_001, 10_002]])).astype(np.int64)
    segment = Segment.open(tmp_path, written(tmp_path, ids, stacked))
    queries = unit(5, seed=2)
    scores, found = segment.search(queries, k, excluded)
    assert scores.dtype == np.float32
    assert scores.shape == found.shape == (5, k)
    np.testing.assert_array_equal(found, scan(stacked, ids, queries, k, excluded))
    assert (scores[found < 0] == -np.inf).all()
    for row in range(5):
        there = found[row] >= 0
        exact = stacked[np.searchsorted(ids, found[row][there])] @ queries[row]
        np.testing.assert_allclose(scores[row][there], exact, atol=1e-3)
        assert (scores[row][:-1] >= scores[row][1:]).all()


def test_equal_scores_stand_by_id_and_the_smallest_ids_are_kept(tmp_path: Path) -> None:
    """Forty copies of one vector among others: whatever k cuts, it cuts the greater ids."""
    stacked = unit(100)
    stacked[30:70] = stacked[30]
    ids = np.arange(100, dtype=np.int64) * 5
    segment = Segment.open(tmp_path, written(tmp_path, ids, stacked))
    for k in (1, 2, 39, 40, 41):
        _, found = segment.search(stacked[30:31], k, NONE)
        np.testing.assert_array_equal(found[0, :40], ids[30:70][:k])


def test_vectors_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    """As float16 holds them; an id that is not here is named."""
    stacked = unit(10)
    segment = Segment.open(tmp_path, written(tmp_path, np.arange(10, dtype=np.int64) + 3, stacked))
    found = segment.vectors(np.array([12, 3, 7]))
    np.testing.assert_array_equal(found, stacked[[9, 0, 4]].astype(np.float16).astype(np.float32))
    with pytest.raises(KeyError, match="99"):
        segment.vectors(np.array([3, 99]))


def test_search_over_segments_is_search_over_all(tmp_path: Path) -> None:
    """Three segments with interleaved ids answer as one would; ties across them go by id."""
    stacked = unit(90)
    stacked[40] = stacked[11]
    ids = np.arange(90, dtype=np.int64)
    opened = [
        Segment.open(tmp_path, written(tmp_path, ids[part::3], stacked[part::3], str(part)))
        for part in range(3)
    ]
    excluded = np.array([5, 6, 7])
    queries = np.concatenate([stacked[11:12], unit(3, seed=3)])
    for k in (1, 2, 10, 100):
        scores, found = vectors.search(opened, queries, k, excluded)
        np.testing.assert_array_equal(found, scan(stacked, ids, queries, k, excluded))
        assert scores.shape == (4, k)
    scores, found = vectors.search([], queries, 2, NONE)
    assert (found == -1).all()
    assert (scores == -np.inf).all()
    kept, gathered = vectors.vectors(opened, np.array([80, 500, 3]))
    assert kept.tolist() == [80, 3]
    np.testing.assert_allclose(gathered, stacked[[80, 3]], atol=1e-3)


def test_every_flipped_bit_and_every_cut_is_found(tmp_path: Path) -> None:
    """In each byte of the file; a missing file is another matter: a merge may have removed it."""
    row = written(tmp_path, np.arange(4, dtype=np.int64), unit(4, 8))
    path = segment_path(tmp_path, row.name)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        )
        with pytest.raises(IndexDamaged, match="SHA-256"):
            Segment.open(tmp_path, row)
    for cut in (b"", whole[:-1], whole + b"\0"):
        path.write_bytes(cut)
        with pytest.raises(IndexDamaged, match="bytes"):
            Segment.open(tmp_path, row)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        Segment.open(tmp_path, row)


def test_a_file_that_is_no_faiss_index_is_damage(tmp_path: Path) -> None:
    """Even where size and hash are those of the manifest."""
    row = written(tmp_path, np.arange(4, dtype=np.int64), unit(4, 8))
    data = b"junk" * 100
    segment_path(tmp_path, row.name).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    wrong = SegmentRow("a", row.kind, 4, 8, len(data), digest, "1", "f")
    with pytest.raises(IndexDamaged, match="cannot be read"):
        Segment.open(tmp_path, wrong)


def test_an_unlinked_segment_still_answers(tmp_path: Path) -> None:
    """As a reader needs that has it open while a merge removes it."""
    stacked = unit(50)
    row = written(tmp_path, np.arange(50, dtype=np.int64), stacked)
    segment = Segment.open(tmp_path, row)
    segment_path(tmp_path, row.name).unlink()
    assert segment.search(stacked[7:8], 1, NONE)[1].tolist() == [[7]]


def test_a_folder_of_any_name(tmp_path: Path) -> None:
    """FAISS never sees the path, which may be no UTF-8."""
    index = tmp_path / "odd \udcff\n"
    index.mkdir()
    row = written(index, np.arange(3, dtype=np.int64), unit(3))
    assert Segment.open(index, row).ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize("queries", [1, 3])
def test_one_query_takes_one_thread(queries: int) -> None:
    """More of them only wait; and the thread that asked has as many as before."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        with threads_for(queries):
            assert faiss.omp_get_max_threads() == (1 if queries == 1 else 3)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)
