"""Segment files: written to stay, recovered, never lost."""

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from clsearch.index.errors import IndexUnwritable
from clsearch.index.files import segment_path
from clsearch.index.index import Index
from clsearch.index.store import manifest
from clsearch.index.store.snapshot import Snapshot

STRAY = "12345678-1234-1234-1234-123456789abc.faiss"


def files(index: Path) -> set[str]:
    """What is below vectors/."""
    return {str(path.relative_to(index / "vectors")) for path in (index / "vectors").rglob("*")}


def test_a_segment_is_written_whole(tmp_path: Path) -> None:
    """Under its own name, private, and nothing else is left."""
    (tmp_path / "vectors").mkdir()
    data = os.urandom(100_000)
    name, digest = manifest.write_segment(tmp_path, data)
    path = segment_path(tmp_path, name)
    assert files(tmp_path) == {path.name}
    assert path.read_bytes() == data
    assert digest == hashlib.sha256(data).hexdigest()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("function", "number", "message"),
    [
        ("write", errno.ENOSPC, "disk is full.*make room"),
        ("fsync", errno.EIO, "disk failed"),
        ("rename", errno.EROFS, "cannot be written here"),
        ("open", errno.EDQUOT, "disk is full"),
    ],
)
def test_a_disk_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int, message: str
) -> None:
    """At any step: a clear error, and no half-written file."""
    (tmp_path / "vectors").mkdir()

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(f"clsearch.index.store.manifest.os.{function}", fail)
        with pytest.raises(IndexUnwritable, match=message):
            manifest.write_segment(tmp_path, b"data")
    assert files(tmp_path) == set()


def test_a_disk_that_gives_back_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is found before the file counts."""
    (tmp_path / "vectors").mkdir()
    write = os.write
    for wrong in (b"dat?", b"dat", b"data!"):
        with monkeypatch.context() as patch:
            patch.setattr(
                "clsearch.index.store.manifest.os.write",
                lambda fd, data, wrong=wrong: write(fd, wrong) and len(data),
            )
            with pytest.raises(IndexUnwritable, match="other bytes"):
                manifest.write_segment(tmp_path, b"data")
        assert files(tmp_path) == set()


def test_a_short_write_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take less than it was given."""
    (tmp_path / "vectors").mkdir()
    write = os.write
    monkeypatch.setattr(
        "clsearch.index.store.manifest.os.write", lambda fd, data: write(fd, data[:7])
    )
    name, _ = manifest.write_segment(tmp_path, bytes(range(100)))
    assert segment_path(tmp_path, name).read_bytes() == bytes(range(100))


def made(path: Path, encoder: object) -> Path:
    """An index of two segments."""
    with Index.open(path, encoder=encoder) as index:
        index.add([{"id": "1", "text": "the first document"}, {"id": "2", "text": "one of two"}])
        index.add([{"id": "3", "text": "the third document"}])
        index.remove(["2"])
    return path


def test_files_that_no_manifest_lists_go_and_others_stay(tmp_path: Path, encoder: object) -> None:
    """Only names of our own pattern."""
    index = made(tmp_path / "index", encoder)
    listed = files(index)
    for name in (STRAY, STRAY + ".tmp", "notes.txt", "mine.faiss", STRAY.upper()):
        (index / "vectors" / name).write_text("x")
    (index / "vectors" / (sorted(listed)[0] + ".tmp")).write_text("x")
    with Index.open(index, encoder=encoder) as opened:
        assert opened.recovered == ("removed 3 segment files of an interrupted run",)
    assert files(index) == listed | {"notes.txt", "mine.faiss", STRAY.upper()}
    with Index.open(index, encoder=encoder) as opened:
        assert opened.recovered == ()


@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
def test_a_damaged_segment_is_kept_aside_and_made_again(
    tmp_path: Path, encoder: object, damage: str
) -> None:
    """Quarantined, never deleted; its passages wait, keep their ids, and are encoded again."""
    index = made(tmp_path / "index", encoder)
    with Snapshot.open(index) as snapshot:
        first = snapshot.segments[0]
        assert (first.passages, len(snapshot.tombstones())) == (2, 1)
        ids = snapshot.passage_ids("1")
    path = segment_path(index, first.name)
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[:-9] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 4]))
        data = path.read_bytes()
    encoder.encoded.clear()
    with Index.open(index, encoder=encoder) as opened:
        (message,) = opened.recovered
        assert first.name in message
        assert "1 passages are encoded again" in message
        with Snapshot.open(index) as snapshot:
            assert snapshot.counts().waiting == 1
            assert [row.passages for row in snapshot.segments] == [1]
            assert not len(snapshot.tombstones())
        report = opened.add([])
        assert report.encoded == 1
        assert report.recovered == (message,)
    assert encoder.encoded == ["the first document"]
    aside = index / "vectors" / "quarantine" / path.name
    assert aside.exists() == (damage != "missing")
    assert damage == "missing" or aside.read_bytes() == data
    with Snapshot.open(index) as snapshot:
        assert snapshot.counts().waiting == 0
        assert snapshot.passage_ids("1") == ids
    with Index.open(index, encoder=encoder) as opened:
        assert opened.recovered == ()
