"""What `optimize` makes of segments, and that what is found does not depend on it."""

import random
from pathlib import Path
from sqlite3 import connect

import numpy as np
import pytest

from clsearch.index import Index
from clsearch.index.check import check, recall
from clsearch.index.errors import IndexDamaged, UsageError
from clsearch.index.files import segment_path
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.types import SegmentRow
from clsearch.index.vectors import Segment, kinds, scan, search

WORDS = [f"word{n}" for n in range(60)]
COUNT = 400


def documents(first: int, count: int) -> list[dict[str, str]]:
    """Of eight words out of sixty each."""
    return [
        {"id": str(n), "text": " ".join(random.Random(n).sample(WORDS, 8))}
        for n in range(first, first + count)
    ]


def rows(path: Path) -> list[SegmentRow]:
    with Snapshot.open(path) as snapshot:
        return list(snapshot.segments)


def found(path: Path, encoder: object) -> float:
    """recall@10 of texts that are not in the index, by the ids that a scan finds."""
    queries = encoder.encode_queries([one["text"] for one in documents(9000, 50)])
    with Snapshot.open(path) as snapshot:
        opened = [Segment.open(path, row) for row in snapshot.segments]
        gone = snapshot.tombstones()
    _, near = search(opened, queries, 10, gone)
    _, truth = scan(opened, queries, 10, gone)
    pairs = zip(near.tolist(), truth.tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in pairs]))


@pytest.fixture
def index(tmp_path: Path, encoder: object):
    with Index.open(tmp_path / "index", encoder=encoder) as opened:
        opened.add(documents(0, COUNT))
        yield opened


def test_small_is_exact(index: Index) -> None:
    """By size; nothing is tuned."""
    report = index.optimize()
    assert (report.kind, report.recall, report.segments) == ("exact", None, 1)
    assert [row.kind for row in rows(index.path)] == ["flat-fp16"]


@pytest.mark.parametrize("kind", ["compact", "fast"])
def test_made_without_encoding(index: Index, encoder: object, kind: str) -> None:
    """All is found as before, to the recall that is reported, and the file is sound."""
    encoder.encoded.clear()
    report = index.optimize(kind, 0.97)
    assert not encoder.encoded
    assert (report.kind, report.segments) == (kind, 1)
    assert report.recall >= 0.97
    (row,) = rows(index.path)
    assert row.kind.startswith(kinds.NAMES[kind])
    assert found(index.path, encoder) > 0.9
    assert check(index.path) == ()


def test_a_small_tail_stays_beside(index: Index, encoder: object) -> None:
    """It is found at once; commits and `optimize` leave the large segment alone."""
    index.optimize("compact")
    (made,) = rows(index.path)
    for n in range(12):
        index.add(documents(COUNT + n, 1))
    index.remove(["3"])
    assert rows(index.path)[0] == made
    query = encoder.encode_queries([documents(COUNT + 5, 1)[0]["text"]])
    with Snapshot.open(index.path) as snapshot:
        opened = [Segment.open(index.path, row) for row in snapshot.segments]
        _, ids = search(opened, query, 1, snapshot.tombstones())
        stored = snapshot.passages(ids[0].tolist())
        assert [one.document for one in stored.values()] == [str(COUNT + 5)]
    report = index.optimize()
    assert report.kind == "compact"
    assert [row.passages for row in rows(index.path)] == [COUNT, 12]
    assert rows(index.path)[0] == made
    assert check(index.path) == ()


def test_a_large_tail_is_taken_in(index: Index, encoder: object) -> None:
    """Also many deletions are; the kind stays."""
    index.optimize("fast")
    index.add(documents(COUNT, 50))
    assert len(rows(index.path)) == 2
    report = index.optimize()
    assert (report.kind, report.segments, report.tombstones) == ("fast", 1, 0)
    index.remove([str(n) for n in range(60)])
    assert found(index.path, encoder) > 0.9
    assert index.optimize().tombstones == 0
    assert [row.passages for row in rows(index.path)] == [COUNT - 10]
    assert check(index.path) == ()


def test_tuned_again_in_the_same_file(index: Index) -> None:
    """A greater recall costs no more than its measurement."""
    index.optimize("compact", 0.5)
    (low,) = rows(index.path)
    report = index.optimize(recall=0.99)
    (high,) = rows(index.path)
    assert (low.name, low.sha256) == (high.name, high.sha256)
    assert report.recall >= 0.99
    efforts = [kinds.Kind.parse(row.kind).effort for row in (low, high)]
    assert efforts[0] < efforts[1]


def test_a_graph_of_an_earlier_version(index: Index, encoder: object) -> None:
    """It is still searched, exactly; the next `optimize` makes the graph of today."""
    index.optimize()
    with connect(index.path / "index.db") as database:
        database.execute("UPDATE segments SET kind = 'hnsw-fp16 effort=64 refine=1'")
    database.close()
    assert found(index.path, encoder) == 1
    assert check(index.path) == ()
    report = index.optimize(recall=0.97)
    assert (report.kind, report.segments) == ("fast", 1)
    assert [row.kind.split()[0] for row in rows(index.path)] == ["hnsw-int8"]
    assert found(index.path, encoder) > 0.9


def test_back_to_exact(index: Index, encoder: object) -> None:
    """Where it is asked for."""
    index.optimize("compact")
    assert index.optimize("exact").kind == "exact"
    assert [row.kind for row in rows(index.path)] == ["flat-fp16"]
    assert found(index.path, encoder) == 1


def test_compact_from_so_many_on(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """By size, without being asked for."""
    monkeypatch.setattr(kinds, "COMPACT_FROM", COUNT)
    assert index.optimize().kind == "compact"


def test_wrong_use(index: Index) -> None:
    """Named, before anything changes."""
    with pytest.raises(UsageError, match="exact, compact, fast"):
        index.optimize("small")
    with pytest.raises(UsageError, match=r"1\.5"):
        index.optimize("compact", 1.5)


def test_the_audit_says_what_to_do(index: Index) -> None:
    """Of a flat index all is found; one that searches too little is told, and mended as told."""
    measured, advice = recall(index.path, 100)
    assert (measured.mean, measured.queries, advice) == (1.0, 100, "")
    index.optimize("compact")
    with index._store.transaction() as database:
        database.execute("UPDATE segments SET kind = 'ivf-rabitq effort=1 refine=2'")
    measured, advice = recall(index.path, 100)
    assert measured.mean < 0.9
    assert "clsearch optimize --recall 0.99" in advice
    index.optimize(recall=0.99)
    measured, advice = recall(index.path, 100)
    assert measured.mean > 0.95
    assert advice == ""


def test_the_audit_tells_of_a_large_tail(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is found, and slowly."""
    monkeypatch.setattr("clsearch.index.check.COMPACT_FROM", COUNT - 1)
    measured, advice = recall(index.path, 20)
    assert measured.mean == 1
    assert f"compares with {COUNT} passages one by one: `clsearch optimize`" in advice
    index.optimize("compact", 0.99)
    assert "one by one" not in recall(index.path, 20)[1]


def test_the_audit_of_nothing(tmp_path: Path, encoder: object) -> None:
    """Of no passage, and of a single one."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([])
        assert recall(tmp_path, 10)[0].queries == 0
        index.add(documents(0, 1))
        measured, advice = recall(tmp_path, 10)
        assert (measured.mean, measured.queries, advice) == (1.0, 1, "")


def test_a_flipped_bit_in_a_structure_is_found_and_mended(index: Index, encoder: object) -> None:
    """Quarantined, encoded again, and everything is found."""
    index.optimize("compact")
    (row,) = rows(index.path)
    path = segment_path(index.path, row.name)
    data = bytearray(path.read_bytes())
    data[-500] ^= 8
    path.write_bytes(data)
    assert any("SHA-256" in problem for problem in check(index.path))
    with pytest.raises(IndexDamaged):
        Segment.open(index.path, row)
    index.repair()
    assert check(index.path) == ()
    assert found(index.path, encoder) == 1
