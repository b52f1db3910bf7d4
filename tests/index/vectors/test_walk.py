"""The graph's walk: by the file of C on every kind of CPU, and by NumPy, against each other."""

from itertools import pairwise

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


@pytest.fixture(params=["NumPy", "plain", "AVX2", "AVX-512"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the CPU has less, the most that it has."""
    if request.param == "NumPy":
        monkeypatch.setattr(walk, "_library", lambda: None)
    else:
        if walk._library() is None:
            pytest.skip("not compiled")
        number = ["plain", "AVX2", "AVX-512"].index(request.param)
        monkeypatch.setattr(walk, "_INSTRUCTIONS", number)
    return str(request.param)


@pytest.mark.parametrize(("k", "effort", "candidates"), [(1, 4, 4), (10, 40, 20), (50, 300, 300)])
def test_walks_are_the_same(
    graph: walk.Graph,
    by: str,
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
def test_all_are_found_where_all_are_met(by: str, count: int, dimension: int) -> None:
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


def test_every_float16(by: str) -> None:
    """Each value that is a number, subnormal ones too, times one."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    vectors = np.zeros((len(halves), 8), np.float16)
    vectors[:, 3] = halves
    records = np.full((len(halves), 4 * walk.LINKS + 64), 128, np.uint8)
    links = records[:, : 4 * walk.LINKS].view("<i4")
    links[:] = -1
    for n in range(1, walk.LINKS + 1):  # a tree whose root meets all in the end
        children = walk.LINKS * np.arange(len(halves)) + n
        links[:, n - 1] = np.where(children < len(halves), children, -1)
    graph = walk.Graph(vectors, records, np.ones(64, np.float32), [], 0)
    query = np.zeros((1, 8), np.float32)
    query[0, 3] = 1
    count = len(halves) if by != "NumPy" else 0
    if count:
        scores, places = graph.search(query, count, count, count)
        np.testing.assert_array_equal(scores[0], halves[places[0]].astype(np.float32))


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
