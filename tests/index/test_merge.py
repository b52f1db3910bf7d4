"""When segments are merged, and that nothing changes by it."""

from pathlib import Path

import numpy as np
import pytest

from clsearch.index import Index
from clsearch.index import merge as module
from clsearch.index.check import check
from clsearch.index.errors import IndexDamaged
from clsearch.index.merge import _due, merge
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment, search


@pytest.mark.parametrize(
    ("counts", "due"),
    [
        ({}, []),
        ({1: (10, 10)}, []),
        ({1: (5, 10)}, []),
        ({1: (9, 9), 2: (4, 10)}, [2]),
        (dict.fromkeys(range(7), (1, 1)), []),
        (dict.fromkeys(range(9), (1, 1)), list(range(9))),
        (dict.fromkeys(range(7), (7, 7)) | {9: (8, 8)}, []),
        (dict.fromkeys(range(1, 9), (100, 100)) | {9: (5000, 5000)}, list(range(1, 9))),
        ({1: (0, 3)}, [1]),
        (dict.fromkeys(range(500), (2_000, 2_000)), list(range(65))),
        (dict.fromkeys(range(8), (130_000, 130_000)), []),
        (dict.fromkeys(range(7), (130_000, 130_000)) | {7: (40_000, 80_000)}, []),
        (
            {n: (130_000 - 20_000 * n,) * 2 for n in range(5)}
            | dict.fromkeys([5, 6, 7], (33_000,) * 2),
            [5, 6, 7],
        ),
    ],
)
def test_eight_of_a_size_or_half_deleted(
    counts: dict[int, tuple[int, int]], due: list[int]
) -> None:
    """Sizes in powers of eight."""
    assert _due(counts) == due


def answers(path: Path, encoder: object) -> list[list[str]]:
    """The ranking of documents for a few queries."""
    with Snapshot.open(path) as snapshot:
        opened = [Segment.open(path, row) for row in snapshot.segments]
        queries = encoder.encode_queries(["text 3", "text 7 8", "other"])
        _, ids = search(opened, queries, 20, snapshot.tombstones())
        return [
            [snapshot.passages([id])[id].document for id in row.tolist() if id >= 0] for row in ids
        ]


def test_small_commits_do_not_pile_up(tmp_path: Path, encoder: object) -> None:
    """Seventy commits of one passage leave few segments; each document is found as before."""
    with Index.open(tmp_path / "many", encoder=encoder) as index:
        for n in range(70):
            index.add([{"id": str(n), "text": f"text {n}"}])
    with Index.open(tmp_path / "one", encoder=encoder) as index:
        index.add([{"id": str(n), "text": f"text {n}"} for n in range(70)])
    with Snapshot.open(tmp_path / "many") as snapshot:
        assert len(snapshot.segments) < 16
        assert sum(row.passages for row in snapshot.segments) == 70
        assert len(list((tmp_path / "many" / "vectors").iterdir())) == len(snapshot.segments)
    assert answers(tmp_path / "many", encoder) == answers(tmp_path / "one", encoder)
    assert check(tmp_path / "many") == ()


def test_full_segments_are_left(
    tmp_path: Path, encoder: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No merge makes a larger one; each document is found as in a single segment."""
    monkeypatch.setattr(module, "FULL", 20)
    with Index.open(tmp_path / "many", encoder=encoder) as index:
        for n in range(70):
            index.add([{"id": str(n), "text": f"text {n}"}])
    with Index.open(tmp_path / "one", encoder=encoder) as index:
        index.add([{"id": str(n), "text": f"text {n}"} for n in range(70)])
    with Snapshot.open(tmp_path / "many") as snapshot:
        sizes = [row.passages for row in snapshot.segments]
        assert len(sizes) < 20
        assert max(sizes) <= 20
        assert sum(sizes) == 70
    assert answers(tmp_path / "many", encoder) == answers(tmp_path / "one", encoder)
    assert check(tmp_path / "many") == ()


def test_a_segment_that_is_half_deleted_is_written_again(tmp_path: Path, encoder: object) -> None:
    """At the end of the next run; the vectors that stay are the very same."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([{"id": str(n), "text": f"text {n}"} for n in range(9)])
        with Snapshot.open(tmp_path) as snapshot:
            before = Segment.open(tmp_path, snapshot.segments[0])
        index.remove([str(n) for n in range(5)])
        encoder.encoded.clear()
        index.add([])
        assert not encoder.encoded
    with Snapshot.open(tmp_path) as snapshot:
        assert not len(snapshot.tombstones())
        (row,) = snapshot.segments
    after = Segment.open(tmp_path, row)
    assert after.ids.tolist() == [6, 7, 8, 9]
    np.testing.assert_array_equal(after.vectors(after.ids), before.vectors(after.ids))


def test_a_merge_of_what_does_not_agree_is_refused(tmp_path: Path, encoder: object) -> None:
    """Nothing is committed."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([{"id": str(n), "text": f"text {n}"} for n in range(9)])
        index._store.database.execute("DELETE FROM passages WHERE id = 3")
        with pytest.raises(IndexDamaged, match="check --repair"):
            merge(index._store, [1])
        with Snapshot.open(tmp_path) as snapshot:
            assert [row.passages for row in snapshot.segments] == [9]
