"""Search among allowed vectors, against a brute-force scan, by both plans."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clsearch.index import vectors
from clsearch.index.files import segment_path
from clsearch.index.types import SegmentRow
from clsearch.index.vectors import Plan, Segment, plan

NONE = np.array([], np.int64)
PLANS: tuple[Plan, ...] = ("scan", "selector")


def unit(n: int, d: int = 24, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal((n, d), np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def opened(index: Path, name: str, ids: NDArray[np.int64], stacked: NDArray[np.float32]) -> Segment:
    data = vectors.build([(ids, stacked)], stacked.shape[1], vectors.choose(len(ids)))
    path = segment_path(index, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    kind = vectors.choose(len(ids))
    row = SegmentRow(name, kind, len(ids), stacked.shape[1], len(data), digest, "1", "f")
    return Segment.open(index, row)


def exact(
    stacked: NDArray[np.float32],
    ids: NDArray[np.int64],
    queries: NDArray[np.float32],
    k: int,
    kept: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Ids `[n, k]` by a full sort over the float16 values, ties by id."""
    scores = queries @ stacked[kept].astype(np.float16).astype(np.float32).T
    order = np.lexsort((np.broadcast_to(ids[kept], scores.shape), -scores.round(5)), axis=1)
    found = np.full((len(queries), k), -1, np.int64)
    found[:, : order.shape[1]] = ids[kept][order[:, :k]]
    return found


@pytest.mark.parametrize("by", [*PLANS, None])
@pytest.mark.parametrize("size", [0, 1, 2, 9, 100, 299, 300])
def test_exact_over_segments_with_tombstones(tmp_path: Path, by: Plan | None, size: int) -> None:
    """Any number allowed, some of them deleted, some in no segment; copies of one vector tie."""
    generator = np.random.default_rng(size)
    stacked = unit(300)
    stacked[100:140] = stacked[100]
    ids = np.sort(generator.choice(5000, 300, replace=False)).astype(np.int64)
    segments = [opened(tmp_path, str(n), ids[n::3], stacked[n::3]) for n in range(3)]
    queries = np.concatenate([stacked[100:101], unit(3, seed=5)])
    excluded = np.sort(generator.choice(ids, 40, replace=False))
    inside = np.sort(generator.choice(ids, size, replace=False))
    allowed = np.concatenate([[-3], inside, [9000, 9001]])
    for gone in (NONE, excluded):
        kept = np.isin(ids, inside) & ~np.isin(ids, gone)
        for k in (1, 5, 100, 400):
            scores, found = vectors.search(segments, queries, k, gone, allowed, by)
            np.testing.assert_array_equal(found, exact(stacked, ids, queries, k, kept))
            assert (np.isneginf(scores) == (found == -1)).all()


def test_both_plans_give_the_same_bits(tmp_path: Path) -> None:
    """So equal passages tie whichever way their segments are gone through."""
    stacked = unit(2000, 385)
    segment = opened(tmp_path, "a", np.arange(2000, dtype=np.int64) * 3, stacked)
    allowed = segment.ids[::7]
    for n in (1, 30):
        queries = unit(n, 385, seed=1)
        scan = segment.search(queries, 50, NONE, allowed, "scan")
        selector = segment.search(queries, 50, NONE, allowed, "selector")
        whole = segment.search(queries, 2000, NONE)
        np.testing.assert_array_equal(scan[0], selector[0])
        np.testing.assert_array_equal(scan[1], selector[1])
        for row in range(n):
            known = dict(zip(whole[1][row].tolist(), whole[0][row].tolist(), strict=True))
            assert [known[id] for id in scan[1][row].tolist()] == scan[0][row].tolist()


@pytest.mark.parametrize("by", PLANS)
def test_one_in_a_hundred_thousand(tmp_path: Path, by: Plan) -> None:
    """The farthest of all is found where it alone is allowed, and k of k."""
    stacked = unit(100_000, 16)
    ids = np.arange(100_000, dtype=np.int64) + 10**12
    segments = [
        opened(tmp_path, "a", ids[:60_000], stacked[:60_000]),
        opened(tmp_path, "b", ids[60_000:], stacked[60_000:]),
    ]
    query = unit(1, 16, seed=9)
    for few in ([(stacked @ query[0]).argmin()], [3, 59_999, 60_000, 99_999]):
        allowed = ids[few]
        _, found = vectors.search(segments, query, len(few), NONE, allowed, by)
        kept = np.isin(ids, allowed)
        np.testing.assert_array_equal(found, exact(stacked, ids, query, len(few), kept))


def test_the_plan_goes_by_the_share() -> None:
    """A scan of the few, a selector for the many; nothing allowed is a scan of nothing."""
    assert plan(0, 0) == plan(0, 100) == plan(3, 100) == plan(1, 100_000) == "scan"
    assert plan(4, 100) == plan(100, 100) == "selector"


def test_no_segments() -> None:
    scores, found = vectors.search([], unit(2), 3, NONE, np.array([1, 2]))
    assert (found == -1).all()
    assert np.isneginf(scores).all()
