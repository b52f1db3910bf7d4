"""A large segment is hashed once for each change of its file, and never trusted after one."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from clsearch.index import files
from clsearch.index.errors import IndexDamaged
from clsearch.index.types import SegmentRow

DATA = os.urandom(files.LARGE)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The sizes of what was hashed whole; notes are kept in a cache folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "FRESH", -60.0)
    sizes: list[int] = []
    compare = files._compare

    def counted(index: Path, row: SegmentRow, data: bytes) -> None:
        sizes.append(len(data))
        compare(index, row, data)

    monkeypatch.setattr(files, "_compare", counted)
    return sizes


def segment(index: Path, data: bytes = DATA) -> tuple[Path, SegmentRow]:
    path = files.segment_path(index, "a")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path, SegmentRow("a", "k", 1, 1, len(data), hashlib.sha256(data).hexdigest(), "1", "f")


def test_once(tmp_path: Path, hashed: list[int]) -> None:
    """Then what was noted is trusted; `verify_segment` trusts nothing."""
    _, row = segment(tmp_path)
    for _ in range(3):
        assert bytes(files.map_segment(tmp_path, row)[:100]) == DATA[:100]
    assert hashed == [len(DATA)]
    files.verify_segment(tmp_path, row)
    assert len(hashed) == 2


def test_the_manifest_says_another_hash(tmp_path: Path, hashed: list[int]) -> None:
    """What is noted is of one SHA-256."""
    _, row = segment(tmp_path)
    files.map_segment(tmp_path, row)
    other = SegmentRow("a", "k", 1, 1, len(DATA), "0" * 64, "1", "f")
    with pytest.raises(IndexDamaged, match="SHA-256"):
        files.map_segment(tmp_path, other)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("back", [True, False])
def test_a_change_is_seen(tmp_path: Path, hashed: list[int], in_place: bool, back: bool) -> None:
    """Of one bit, in the file or in a new one of its name, also where its time is set back."""
    path, row = segment(tmp_path)
    files.map_segment(tmp_path, row)
    before = path.stat()
    time.sleep(0.02)  # longer than the clock of a file system takes to a tick
    damaged = DATA[:-1] + bytes([DATA[-1] ^ 1])
    if in_place:
        with path.open("r+b") as file:
            file.seek(len(DATA) - 1)
            file.write(damaged[-1:])
    else:
        path.with_name("b").write_bytes(damaged)
        path.with_name("b").rename(path)
    if back:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(IndexDamaged, match="SHA-256"):
            files.map_segment(tmp_path, row)
    assert len(hashed) == 3


def test_a_fresh_file_is_not_noted(
    tmp_path: Path, hashed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may change again with the same time."""
    monkeypatch.setattr(files, "FRESH", 10.0)
    _, row = segment(tmp_path)
    for _ in range(2):
        files.map_segment(tmp_path, row)
    assert len(hashed) == 2


def test_a_small_file_is_always_hashed(tmp_path: Path, hashed: list[int]) -> None:
    """No note would be sooner looked up."""
    _, row = segment(tmp_path, b"few")
    for _ in range(2):
        files.map_segment(tmp_path, row)
    assert hashed == [3, 3]
    assert not (tmp_path / "cache").exists()


def test_without_a_cache_folder(tmp_path: Path, hashed: list[int]) -> None:
    """Where it cannot be written, each opening hashes."""
    (tmp_path / "cache").write_text("a file")
    _, row = segment(tmp_path)
    for _ in range(2):
        files.map_segment(tmp_path, row)
    assert len(hashed) == 2


def test_old_notes_go(tmp_path: Path, hashed: list[int]) -> None:
    """When a new one comes; what they said is hashed again."""
    path, row = segment(tmp_path)
    files.map_segment(tmp_path, row)
    (note,) = (tmp_path / "cache" / "clsearch" / "verified").iterdir()
    assert note.stat().st_size == 0
    os.utime(note, (0, 0))
    path.write_bytes(DATA)
    files.map_segment(tmp_path, row)
    (newer,) = note.parent.iterdir()
    assert newer != note
