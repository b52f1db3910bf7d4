"""The graph's walk: by the file of C on every kind of CPU, and by NumPy, against each other."""

from itertools import pairwise

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from clsearch.index.vectors import hnsw, walk


def unit(drawn: NDArray[np.float64]) -> NDArray[np.float32]:
    return (drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)).astype(np.float32)


def drawn(count: int, dimension: int, seed: int) -> NDArray[np.float32]:
    """Around 20 centres; one dimension is far larger than the others, as in real models."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(1).standard_normal((20, dimension))
    around = centres[generator.integers(0, 20, count)]
    around += 0.7 * generator.standard_normal(around.shape)
    around[:, 0] *= 5
    return unit(around)


def graph_of(vectors: NDArray[np.float32], start: int = 0) -> walk.Graph:
    """As a segment has it: mapped at a multiple of 64 bytes."""
    data = b"".join(hnsw.build(iter(np.array_split(vectors, 3)), vectors.shape[1]))
    memory = np.empty(len(data) + 64, np.uint8)
    memory = memory[-memory.ctypes.data % 64 :][: len(data)]
    memory[:] = np.frombuffer(data, np.uint8)
    return hnsw.read(memory, vectors.astype(np.float16))


@pytest.fixture(scope="module")
def graph() -> walk.Graph:
    """Large enough for upper levels."""
    return graph_of(drawn(5000, 100, 2))


WAYS = ("plain", "AVX2", "AVX-512")


def walk_by(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, by this; skip where the CPU has it not."""
    library = walk._library()
    if way == "NumPy":
        monkeypatch.setattr(walk, "_library", lambda: None)
    elif library is None or library.instructions(WAYS.index(way)) != WAYS.index(way):
        pytest.skip("not compiled, or not of this CPU")
    else:
        monkeypatch.setattr(walk, "_INSTRUCTIONS", WAYS.index(way))


@pytest.fixture(params=["NumPy", *WAYS])
def any_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    walk_by(request.param, monkeypatch)


@pytest.fixture(params=WAYS)
def in_c(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    walk_by(request.param, monkeypatch)


def tree(vectors: NDArray[np.float16]) -> walk.Graph:
    """A graph whose root leads to all vectors, 32 from each; only these differ, not the bytes."""
    count, dimension = vectors.shape
    wide = -(-dimension // 64) * 64
    records = np.full((count, 4 * walk.LINKS + wide), 128, np.uint8)
    links = records[:, : 4 * walk.LINKS].view("<i4")
    for n in range(walk.LINKS):
        children = walk.LINKS * np.arange(count) + n + 1
        links[:, n] = np.where(children < count, children, -1)
    return walk.Graph(vectors, records, np.ones(wide, np.float32), [], 0)


@pytest.mark.parametrize(("k", "effort", "candidates"), [(1, 4, 4), (10, 40, 20), (50, 300, 300)])
def test_walks_are_the_same(
    graph: walk.Graph,
    in_c: None,
    k: int,
    effort: int,
    candidates: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To each place, for all are of whole numbers; cosines as float32 rounds them."""
    queries = drawn(50, 100, 3)
    scores, places = graph.search(queries, k, effort, candidates)
    monkeypatch.setattr(walk, "_library", lambda: None)
    expected, expected_places = graph.search(queries, k, effort, candidates)
    np.testing.assert_array_equal(places, expected_places)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("dimension", [8, 64, 100, 384])
@pytest.mark.parametrize("count", [1, 2, 20, 700])
@pytest.mark.usefixtures("any_way")
def test_all_are_found_where_all_are_met(count: int, dimension: int) -> None:
    """By their cosines, equal ones by place, then nothing: in float64 over the same float16."""
    vectors = drawn(count, dimension, 4)
    vectors[count // 2 :] = vectors[: count - count // 2]
    graph = graph_of(vectors)
    queries = drawn(6, dimension, 5)
    k = count + 3
    scores, places = graph.search(queries, k, k, k)
    assert (np.sort(places, axis=1)[:, 3:] == np.arange(count)).all()
    assert (places[:, count:] == -1).all()
    assert np.isneginf(scores[:, count:]).all()
    cosines = queries.astype(np.float64) @ graph.vectors.astype(np.float64).T
    found = np.take_along_axis(cosines, places[:, :count], axis=1)
    np.testing.assert_allclose(scores[:, :count], found, atol=2e-6)
    for row, its in zip(scores[:, :count], places, strict=True):
        assert all(
            a > b or (a == b and one < other)
            for (a, b), (one, other) in zip(pairwise(row), pairwise(its), strict=False)
        )


def test_bytes_keep_the_order_of_cosines(graph: walk.Graph) -> None:
    """Products of int8 are cosines to within 0.005, though one dimension is larger than others."""
    queries = drawn(20, 100, 6)
    numbers = graph.records[:, 4 * walk.LINKS :].astype(np.float64) - 128
    assert (numbers[:, 100:] == 0).all()
    rounded = (graph._rounded(queries) * np.array([[[walk.HIGH], [1]]], np.float64)).sum(axis=1)
    scaled = queries * graph.scales[:100]
    products = numbers @ rounded.T * (np.abs(scaled).max(axis=1) / walk.MOST)
    cosines = graph.vectors.astype(np.float64) @ queries.astype(np.float64).T
    assert np.abs(products - cosines).max() < 0.005


def test_upper_levels_are_those_of_faiss(graph: walk.Graph) -> None:
    """Each a part of the one below, with links among its own; the entry leads to all of them."""
    assert len(graph.levels) >= 2
    below = np.arange(len(graph.vectors))
    for level in graph.levels:
        assert (np.diff(level.places) > 0).all()
        assert np.isin(level.places, below).all()
        assert level.links.min() >= -1
        assert level.links.max() < len(level.places)
        below = level.places
    assert 0 <= graph.entry < len(below)


@pytest.mark.usefixtures("in_c")
def test_every_float16() -> None:
    """Each value that is a number, subnormal ones too, times one."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    vectors = np.zeros((len(halves), 8), np.float16)
    vectors[:, 3] = halves
    query = np.zeros((1, 8), np.float32)
    query[0, 3] = 1
    scores, places = tree(vectors).search(query, *[len(halves)] * 3)
    np.testing.assert_array_equal(np.sort(places[0]), np.arange(len(halves)))
    np.testing.assert_array_equal(scores[0], halves[places[0]].astype(np.float32))


@pytest.mark.usefixtures("in_c")
def test_more_are_met_than_there_was_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """32 of each, many again: the table of what was met must grow, and forget nothing."""
    graph = tree(drawn(6000, 8, 8).astype(np.float16))
    generator = np.random.default_rng(1)
    graph.records[:, 4 * walk.LINKS :][:, :8] = generator.integers(1, 256, (6000, 8))
    links = graph.records[:, : 4 * walk.LINKS].view("<i4")
    links[:] = generator.integers(0, 6000, links.shape)
    queries = drawn(3, 8, 9)
    for effort in (32, 64, 128):
        scores, places = graph.search(queries, 10, effort, 20)
        with monkeypatch.context() as patched:
            patched.setattr(walk, "_library", lambda: None)
            expected, expected_places = graph.search(queries, 10, effort, 20)
        np.testing.assert_array_equal(places, expected_places)
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_many_queries_are_parted_among_threads(graph: walk.Graph) -> None:
    """Each finds what it finds alone, whatever their number."""
    queries = drawn(331, 100, 10)
    before = faiss.omp_get_max_threads()
    alone = [graph.search(queries[n : n + 1], 10, 40, 20) for n in range(len(queries))]
    try:
        for threads in (1, 2, 5):
            faiss.omp_set_num_threads(threads)
            for count in (0, 1, 33, 331):
                scores, places = graph.search(queries[:count], 10, 40, 20)
                assert scores.shape == places.shape == (count, 10)
                for n in range(count):
                    np.testing.assert_array_equal(scores[n], alone[n][0][0])
                    np.testing.assert_array_equal(places[n], alone[n][1][0])
    finally:
        faiss.omp_set_num_threads(before)


@pytest.mark.usefixtures("any_way")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e-38, 1e30])
def test_a_query_of_any_numbers_ends(graph: walk.Graph, value: float) -> None:
    """One dimension of it, or all: with places that there are."""
    queries = np.full((2, 100), value, np.float32)
    queries[0] = drawn(1, 100, 11)
    queries[0, 5] = value
    with np.errstate(all="ignore"):
        _, places = graph.search(queries, 10, 20, 20)
    assert (places < len(graph.vectors)).all()


@pytest.mark.usefixtures("any_way")
def test_sums_of_many_dimensions_fit() -> None:
    """Of 9,000, as large as can be: 2,048 times 255 of each are more than 32 bits hold."""
    graph = tree(np.ones((33, 9000), np.float16))
    graph.records[:, 4 * walk.LINKS :] = 110
    graph.records[20, 4 * walk.LINKS :] = 255
    _, places = graph.search(np.ones((1, 9000), np.float32), 1, 1, 1)
    assert places.tolist() == [[20]]


@pytest.mark.usefixtures("in_c")
def test_a_wrong_number_in_a_file_leads_nowhere() -> None:
    """Neither behind the links, nor behind the vectors: what is found is there."""
    graph = graph_of(drawn(3000, 16, 12))
    generator = np.random.default_rng(1)
    wrong = np.array([1 << 29, -(1 << 31), (1 << 31) - 1, 3000], np.int32)
    records = graph.records.copy()
    links = records[:, : 4 * walk.LINKS].view("<i4")
    struck = generator.random(links.shape) < 0.05
    links[struck] = generator.choice(wrong, struck.sum())
    levels = []
    for level in graph.levels:
        places, others = level.places.copy(), level.links.copy()
        places[generator.random(len(places)) < 0.3] = generator.choice(wrong)
        others[generator.random(others.shape) < 0.3] = generator.choice(wrong)
        levels.append(walk.Level(places, others))
    broken = walk.Graph(graph.vectors, records, graph.scales, levels, graph.entry)
    _, places = broken.search(drawn(300, 16, 13), 10, 60, 30)
    assert ((places >= -1) & (places < 3000)).all()


@pytest.mark.parametrize(("shape", "k"), [((1, 99), 1), ((1, 101), 1), ((100,), 1), ((1, 100), 0)])
def test_what_cannot_be_asked(graph: walk.Graph, shape: tuple[int, ...], k: int) -> None:
    with pytest.raises(ValueError, match="100 dimensions"):
        graph.search(np.ones(shape, np.float32), k, 10, 10)


@pytest.mark.parametrize("change", ["short", "long", "entry", "empty"])
def test_what_is_no_graph_is_refused(change: str) -> None:
    vectors = drawn(30, 8, 7)
    data = bytearray(b"".join(hnsw.build(iter([vectors]), 8)))
    if change == "short":
        data = data[:-1]
    elif change == "long":
        data += b"\0"
    elif change == "entry":
        data[:8] = (10**6).to_bytes(8, "little")
    else:
        data = bytearray()
    with pytest.raises(RuntimeError, match="no graph"):
        hnsw.read(np.frombuffer(bytes(data), np.uint8), vectors.astype(np.float16))
