"""Compact and fast segments against a brute-force scan in NumPy."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from clsearch.index import vectors
from clsearch.index.errors import IndexDamaged, IndexMismatch
from clsearch.index.files import segment_path
from clsearch.index.types import SegmentRow
from clsearch.index.vectors import Kind, Segment, flat, ivf, kinds, recall

NONE = np.array([], np.int64)
COUNT, DIMENSION, CENTRES = 6000, 48, 60
KINDS = [Kind(kinds.IVF_RABITQ, 24, 20), Kind(kinds.HNSW_INT8, 200, 5)]


def unit(drawn: NDArray[np.float64]) -> NDArray[np.float32]:
    return (drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)).astype(np.float32)


def clustered(count: int, seed: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """Unit vectors around 60 centres, as texts of 60 subjects would be."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, dimension))
    generator = np.random.default_rng(seed)
    around = generator.standard_normal((count, dimension)) * 0.5
    return unit(centres[generator.integers(0, CENTRES, count)] + around)


def written(
    index: Path, kind: Kind, ids: NDArray[np.int64], stacked: NDArray[np.float32], name: str = "a"
) -> SegmentRow:
    def chunks() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for start in range(0, len(ids), 1000):
            yield ids[start : start + 1000], stacked[start : start + 1000]

    dimension = stacked.shape[1]
    data = b"".join(vectors.pieces(chunks, len(ids), dimension, str(kind)))
    path = segment_path(index, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return SegmentRow(name, str(kind), len(ids), dimension, len(data), digest, "1", "f")


def exact(
    stacked: NDArray[np.float32],
    ids: NDArray[np.int64],
    queries: NDArray[np.float32],
    k: int,
    kept: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and ids `[n, k]` by a full sort over the float16 values, ties by id."""
    kept = np.ones(len(ids), np.bool_) if kept is None else kept
    scores = queries @ stacked[kept].astype(np.float16).astype(np.float32).T
    order = np.lexsort((np.broadcast_to(ids[kept], scores.shape), -scores.round(5)), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), ids[kept][order]


def share(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Mean share of the true ones that was found."""
    pairs = zip(found.tolist(), truth.tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in pairs]))


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.structure)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """(segment, ids with gaps, vectors)."""
    stacked = clustered(COUNT, 1)
    ids = np.sort(np.random.default_rng(2).choice(10**6, COUNT, replace=False)).astype(np.int64)
    folder = tmp_path_factory.mktemp("kind")
    return Segment.open(folder, written(folder, request.param, ids, stacked)), ids, stacked


@pytest.mark.parametrize("k", [1, 10, 100])
def test_recall_and_exact_cosines(made, k: int) -> None:
    """Nearly all is found, in order; what is found has the cosine that a scan gives it.

    1-bit codes alone find 0.6 of the ten best here.
    """
    segment, ids, stacked = made
    queries = clustered(200, 3)
    scores, found = segment.search(queries, k, NONE)
    _, truth = exact(stacked, ids, queries, k)
    assert share(found, truth) > 0.97
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    for query, row, its in zip(queries, found, scores, strict=True):
        cosines = stacked[np.searchsorted(ids, row)].astype(np.float16).astype(np.float32) @ query
        np.testing.assert_allclose(its, cosines, atol=1e-5)


def test_one_at_a_time_or_all_at_once(made) -> None:
    """The same."""
    segment, _, _ = made
    queries = clustered(20, 4)
    together = segment.search(queries, 10, NONE)
    for n in range(20):
        alone = segment.search(queries[n : n + 1], 10, NONE)
        np.testing.assert_array_equal(alone[1][0], together[1][n])


def test_tombstones_are_never_found(made) -> None:
    """Be they few, half of all, all that is near, or all but three."""
    segment, ids, stacked = made
    queries = clustered(30, 5)
    generator = np.random.default_rng(6)
    near = exact(stacked, ids, queries[:1], 700)[1][0]
    for gone in (
        ids[:5],
        np.sort(generator.choice(ids, COUNT // 2, replace=False)),
        np.sort(near),
        np.delete(ids, [7, 2000, 5999]),
        ids,
    ):
        excluded = np.union1d(gone, [-1, 10**7])
        kept = ~np.isin(ids, gone)
        scores, found = segment.search(queries, 10, excluded)
        _, truth = exact(stacked, ids, queries, 10, kept)
        assert not np.isin(found[found >= 0], gone).any()
        assert ((found >= 0).sum(axis=1) == min(10, kept.sum())).all()
        assert (np.isneginf(scores) == (found == -1)).all()
        if kept.any():
            assert share(found[:, : truth.shape[1]], truth) > 0.97


@pytest.mark.parametrize("size", [1, 9, 400, 5000])
@pytest.mark.parametrize("plan", ["scan", "selector", None])
def test_filters_are_exact(made, size: int, plan) -> None:
    """To the last passage, whatever the structure would have found."""
    segment, ids, stacked = made
    generator = np.random.default_rng(size)
    allowed = np.sort(generator.choice(ids, size, replace=False))
    gone = np.sort(generator.choice(ids, 500, replace=False))
    kept = np.isin(ids, allowed) & ~np.isin(ids, gone)
    queries = clustered(5, 7)
    _, found = vectors.search([segment], queries, 50, gone, allowed, plan)
    _, truth = exact(stacked, ids, queries, 50, kept)
    np.testing.assert_array_equal(found[:, : truth.shape[1]], truth)
    assert (found[:, truth.shape[1] :] == -1).all()


def test_a_flat_tail_is_found_at_once(made, tmp_path: Path) -> None:
    """New passages beside the segment; the best of both, equal scores by id."""
    segment, ids, stacked = made
    more = clustered(300, 8)
    more[0] = stacked[11]
    new = np.arange(300, dtype=np.int64) + 2 * 10**6
    tail = Segment.open(tmp_path, written(tmp_path, Kind(kinds.FLAT_FP16), new, more))
    _, found = vectors.search([segment, tail], more, 10, NONE)
    everything = np.concatenate([stacked, more])
    _, truth = exact(everything, np.concatenate([ids, new]), more, 10)
    assert share(found, truth) > 0.97
    assert found[0, :2].tolist() == [ids[11], new[0]]
    assert (found[1:, 0] == new[1:]).all()


def test_ids_and_vectors(made) -> None:
    """As in a flat segment."""
    segment, ids, stacked = made
    np.testing.assert_array_equal(segment.ids, ids)
    held = stacked.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(segment.vectors(ids[[5, 3, 5999]]), held[[5, 3, 5999]])
    assert segment.holds(np.array([ids[4], -5, 10**9])).tolist() == [True, False, False]
    _, found = vectors.scan([segment], held[:3], 5, NONE)
    np.testing.assert_array_equal(found, exact(stacked, ids, held[:3], 5)[1])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.structure)
@pytest.mark.parametrize(("count", "dimension"), [(1, 8), (3, 30), (33, 24), (500, 100)])
def test_any_size(tmp_path: Path, kind: Kind, count: int, dimension: int) -> None:
    """Also so few that all are compared, and ids in a row."""
    stacked = clustered(count, 9, dimension)
    ids = np.arange(count, dtype=np.int64) + 17
    segment = Segment.open(tmp_path, written(tmp_path, kind, ids, stacked))
    np.testing.assert_array_equal(segment.ids, ids)
    _, found = segment.search(stacked[:3], 5, NONE)
    truth = exact(stacked, ids, stacked[:3], 5)[1]
    assert share(found[:, : truth.shape[1]], truth) > 0.9
    assert found[:, 0].tolist() == ids[:3].tolist()


@pytest.mark.parametrize("kind", [*KINDS, Kind(kinds.FLAT_FP16)], ids=lambda kind: kind.structure)
def test_faiss_reads_the_vectors_of_any_kind(tmp_path: Path, kind: Kind) -> None:
    """Its own reader, from the start of the file: an IndexIDMap2 over float16."""
    stacked, ids = clustered(200, 10), np.arange(200, dtype=np.int64) * 3
    written(tmp_path, kind, ids, stacked)
    index = faiss.read_index(str(segment_path(tmp_path, "a")))
    np.testing.assert_array_equal(faiss.vector_to_array(index.id_map), ids)
    held = stacked.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(index.index.reconstruct_n(0, 200), held)
    empty = faiss.IndexScalarQuantizer(DIMENSION, faiss.ScalarQuantizer.QT_fp16, 0)
    own = faiss.IndexIDMap2(empty)
    own.add_with_ids(stacked, ids)
    # As FAISS would have written it, but for the last bit of a value that lies between two.
    theirs = faiss.serialize_index(own)
    ours = np.fromfile(segment_path(tmp_path, "a"), np.uint8, len(theirs))
    start, stop = flat.VECTORS_AT, len(theirs) - 8 * 201
    np.testing.assert_array_equal(ours[:start], theirs[:start])
    np.testing.assert_array_equal(ours[stop:], theirs[stop:])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.structure)
def test_damage_is_found(tmp_path: Path, kind: Kind) -> None:
    """A bit anywhere, also in what stands behind the vectors."""
    row = written(tmp_path, kind, np.arange(300, dtype=np.int64), clustered(300, 11))
    path = segment_path(tmp_path, "a")
    whole = path.read_bytes()
    for place in range(0, len(whole), 997):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(IndexDamaged, match="SHA-256"):
            Segment.open(tmp_path, row)


def test_a_kind_of_a_newer_version(tmp_path: Path) -> None:
    """Is named."""
    row = written(tmp_path, KINDS[0], np.arange(50, dtype=np.int64), clustered(50, 12))
    for text in ("disk-ann", "ivf-rabitq effort=3 beam=4"):
        newer = SegmentRow("a", text, 50, DIMENSION, row.bytes, row.sha256, "1", "f")
        with pytest.raises(IndexMismatch, match=text):
            Segment.open(tmp_path, newer)


def test_many_lists_are_found_by_a_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same candidates as where the centroids are compared, nearly."""
    stacked, ids = clustered(COUNT, 1), np.arange(COUNT, dtype=np.int64)
    rows = [written(tmp_path, KINDS[0], ids, stacked, "compared")]
    monkeypatch.setattr(ivf, "GRAPH_FROM", 1)
    rows.append(written(tmp_path, KINDS[0], ids, stacked, "graph"))
    assert rows[0].bytes < rows[1].bytes
    opened = [Segment.open(tmp_path, row) for row in rows]
    queries = clustered(200, 14)
    truth = exact(stacked, ids, queries, 10)[1]
    shares = [share(one.search(queries, 10, NONE)[1], truth) for one in opened]
    assert min(shares) > 0.97
    assert abs(shares[0] - shares[1]) < 0.01


def test_an_unlinked_segment_still_answers(tmp_path: Path) -> None:
    """Its lists are searched where the file is mapped; many may be open, and go in any order."""
    stacked = clustered(500, 13)
    row = written(tmp_path, KINDS[0], np.arange(500, dtype=np.int64), stacked)
    opened = [Segment.open(tmp_path, row) for _ in range(20)]
    segment_path(tmp_path, "a").unlink()
    for _ in range(19):
        opened.pop(len(opened) // 2)
        assert opened[0].search(stacked[7:8], 1, NONE)[1].tolist() == [[7]]


def test_the_kind_as_text() -> None:
    """As the manifest has it, and back."""
    for kind in (*KINDS, Kind(kinds.FLAT_FP16)):
        assert Kind.parse(str(kind)) == kind
    assert str(KINDS[0]) == "ivf-rabitq effort=24 refine=20"
    assert str(Kind.parse("flat-fp16")) == "flat-fp16"


def test_tuning_reaches_the_target_with_the_least(made) -> None:
    """The recall is that of a brute-force scan, and half the effort would be too little."""
    segment, ids, stacked = made
    before = segment.kind
    kind, found = recall.tune(segment, 0.95)
    assert 0.95 <= found.mean <= 1
    probes = recall.Probes([segment], NONE, 500)
    assert len(probes.queries) == found.queries == 500
    _, truth = exact(stacked, ids, probes.queries, 10)
    _, near = segment.search(probes.queries, 10, NONE)
    assert abs(found.mean - share(near, truth)) < 0.003
    if kind.effort > recall.EFFORTS[0]:
        segment.kind = kind.at(kind.effort // 2, kind.refine)
        assert probes.recall(lambda q, k: segment.search(q, k, NONE)).mean < 0.95
    better, more = recall.tune(segment, 0.999)
    assert more.mean > found.mean
    assert (better.effort, better.refine) > (kind.effort, kind.refine)
    segment.kind = before


def test_where_no_effort_reaches_the_target_the_most_is_not_paid_for_nothing(made) -> None:
    """The least effort that comes near to what the most would find."""
    segment, _, _ = made
    before = segment.kind
    kind, found = recall.tune(segment, 1.1)
    efforts = [effort for effort in recall.EFFORTS if effort <= segment.most_effort]
    probes = recall.Probes([segment], NONE, 500)

    def at(effort: int) -> float:
        segment.kind = kind.at(effort, kind.refine if kind.refine == 1 else recall.REFINES[-1])
        return probes.recall(lambda q, k: segment.search(q, k, NONE)).mean

    goal = at(efforts[-1]) - recall.NEAR
    assert found.mean >= goal
    assert kind.effort < efforts[-1]
    if kind.effort > efforts[0]:
        assert at(efforts[efforts.index(kind.effort) - 1]) < goal
    segment.kind = before


def test_recall_counts_what_is_missing(made) -> None:
    """Of ten that a scan finds, a search that loses three has a recall of 0.7; ties may swap."""
    segment, _, _ = made
    probes = recall.Probes([segment], NONE, 50)

    def lossy(queries: NDArray[np.float32], k: int) -> tuple[NDArray, NDArray]:
        scores, ids = vectors.scan([segment], queries, k, NONE)
        scores[:, 3:6], ids[:, 3:6] = -np.inf, -1
        return scores, ids

    found = probes.recall(lossy)
    assert found.mean == pytest.approx(0.7)
    assert found.error == pytest.approx(0, abs=1e-9)
    assert found.queries == 50
