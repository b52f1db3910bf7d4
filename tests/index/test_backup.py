"""A backup is whole, of one commit, and an index again; or it is not there."""

import errno
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clsearch.index import Index, destination
from clsearch.index.backup import back_up, restore
from clsearch.index.check import check
from clsearch.index.errors import IndexDamaged, IndexUnwritable, UsageError
from clsearch.index.files import DATABASE, VECTORS
from clsearch.index.store import copy
from clsearch.index.store.snapshot import Snapshot
from clsearch.search import Searcher
from words_encoder import WordsEncoder

HERE = Path(__file__).parent
QUESTIONS = ("amber and flint", "iron", '"copper jade"', "nothing of the kind")


@pytest.fixture
def index(tmp_path: Path, encoder: WordsEncoder) -> Path:
    """An index with a removed document, and several segments."""
    path = tmp_path / "index"
    stones = ("amber", "copper jade", "flint", "iron ore", "garnet")
    with Index.open(path, encoder=encoder) as opened:
        for number, stone in enumerate(stones):
            text = f"{stone} is stone {number}. " * 40
            opened.add([{"id": f"{number}", "title": stone, "text": text, "metadata": {"n": 1}}])
        opened.remove(["3"])
    return path


def answers(path: Path, encoder: WordsEncoder) -> str:
    """All answers as JSON, to the last digit of each score."""
    searcher = Searcher.open(path, encoder)
    return json.dumps(
        [[hit.to_json() for hit in hits] for hits in searcher.search_many(QUESTIONS, k=50)]
    )


def partial(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if destination.PARTIAL in path.name]


def test_what_is_restored_gives_the_same_answers(
    index: Path, tmp_path: Path, encoder: WordsEncoder
) -> None:
    made = back_up(index, tmp_path / "kept")
    again = restore(tmp_path / "kept", tmp_path / "restored")
    assert made == again
    assert (made.documents, made.segments) == (4, 5)
    for path in (tmp_path / "kept", tmp_path / "restored"):
        assert check(path) == ()
        assert answers(path, encoder) == answers(index, encoder)
        files = [file for file in path.rglob("*") if file.is_file()]
        assert made.bytes == sum(file.stat().st_size for file in files)
    with Index.open(tmp_path / "restored", encoder=encoder) as opened:
        assert opened.recovered == ()
        assert opened.add([{"id": "new", "text": "amber"}]).added == 1
    assert partial(tmp_path) == []


def test_only_its_owner_can_read_a_backup(index: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        back_up(index, tmp_path / "kept")
    finally:
        os.umask(before)
    for path in (tmp_path / "kept", *(tmp_path / "kept").rglob("*")):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


WRITER = """
import itertools, sys
from clsearch.index import Index
from clsearch.index.errors import IndexLocked
from words_encoder import WordsEncoder

with Index.open(sys.argv[1], encoder=WordsEncoder()) as index:
    for n in itertools.count():
        pair = [{"id": name, "text": f"version {n} of both. " * 30} for name in ("a", "b")]
        index.add([*pair, {"id": f"extra {n}", "text": f"only once {n}"}])
        index.remove([f"extra {n - 2}"])
        if n % 5 == 0:
            index.optimize()
        print(n, flush=True)
"""


@pytest.fixture
def writer(index: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that adds, updates, removes and merges all the time."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(HERE.parent)])}
    command = [sys.executable, "-c", WRITER, str(index)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def test_a_backup_is_of_one_commit_while_another_process_writes(
    index: Path, tmp_path: Path, writer: subprocess.Popen[str], encoder: WordsEncoder
) -> None:
    """The two documents of a commit are of one version, and generations go forward."""
    generations = []
    for number in range(12):
        kept, restored = tmp_path / f"kept{number}", tmp_path / f"restored{number}"
        generations.append(back_up(index, kept).generation)
        restore(kept, restored)
        assert check(restored) == ()
        with Snapshot.open(restored) as snapshot:
            a, b = snapshot.document("a"), snapshot.document("b")
            assert a
            assert b
            assert a.text == b.text
        assert answers(kept, encoder) == answers(restored, encoder)
    assert writer.poll() is None, "the writer was kept from writing"
    assert generations == sorted(generations)
    assert generations[0] < generations[-1]


def test_a_later_commit_is_taken_where_a_merge_removes_a_file(
    index: Path, tmp_path: Path, encoder: WordsEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merge comes between the reading of the manifest and the opening of its files."""

    class Late(Snapshot):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            if merges:
                merges.pop()
                rows = self.segments
                self.close()
                with Index.open(index, encoder=encoder) as opened:
                    opened.optimize()
                self.segments = rows

    merges = [1]
    monkeypatch.setattr(copy, "Snapshot", Late)
    assert back_up(index, tmp_path / "kept").segments == 1
    assert not merges


KILLED = """
import os, signal, sys
from clsearch.index import backup, destination

module, name = sys.argv[3].split(".")
def die(*given, **named):
    os.kill(os.getpid(), signal.SIGKILL)
setattr({"backup": backup, "destination": destination}[module], name, die)
backup.back_up(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize(
    "at",
    [
        "backup.copy_commit",
        "backup._copy_segment",
        "backup.check_documents",
        "destination.sync_folder",
    ],
)
def test_killed_it_leaves_nothing_that_looks_like_a_backup(
    index: Path, tmp_path: Path, at: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(index), str(tmp_path / "kept"), at]
    killed = subprocess.run(command, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "kept").exists()
    assert all(name.startswith(".kept.partial-") for name in partial(tmp_path))
    assert not [
        path for path in tmp_path.iterdir() if path.name not in ("index", *partial(tmp_path))
    ]
    assert check(index) == ()
    back_up(index, tmp_path / "kept")
    assert check(tmp_path / "kept") == ()


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))
from clsearch.index.backup import back_up
from clsearch.index.errors import IndexUnwritable
try:
    back_up(sys.argv[1], sys.argv[2])
except IndexUnwritable as error:
    print(error)
"""


@pytest.mark.parametrize("kept", [DATABASE, VECTORS])
def test_a_full_disk_leaves_nothing_and_is_explained(
    index: Path, tmp_path: Path, kept: str
) -> None:
    """No file may grow beyond a limit: that of the database first, then one that it fits in."""
    with Index.open(index, encoder=WordsEncoder()) as opened:
        many = "every word of this is one of many. " * 20_000
        opened.add([{"id": "long", "text": many}])
        opened.optimize()
        opened.remove(["long"])
        opened._store.compact()
    database = (index / DATABASE).stat().st_size
    limit = database // 2 if kept == DATABASE else database
    assert max(file.stat().st_size for file in (index / VECTORS).iterdir()) > limit
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL, str(index), str(tmp_path / "kept"), str(limit)]
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert f"{str(tmp_path / 'kept')!r} could not be written" in ran.stdout
    assert "make room there" in ran.stdout
    assert not (tmp_path / "kept").exists()
    assert partial(tmp_path) == []


def test_what_the_system_refuses_is_explained(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(destination.os, "fsync", refuse)
    with pytest.raises(IndexUnwritable, match=r"kept' could not be written \(Disk quota exceeded"):
        back_up(index, tmp_path / "kept")
    assert partial(tmp_path) == []


def test_what_may_not_be_on_the_disk_is_not_left(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system fails when the folder has its name already."""
    sync = destination.sync_folder

    def refuse(folder: Path) -> None:
        if folder == tmp_path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(folder)

    monkeypatch.setattr(destination, "sync_folder", refuse)
    with pytest.raises(IndexUnwritable, match="Nothing of it is left"):
        back_up(index, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    assert partial(tmp_path) == []


@pytest.mark.parametrize("damaged", [VECTORS, DATABASE])
def test_what_is_damaged_is_not_copied(index: Path, tmp_path: Path, damaged: str) -> None:
    back_up(index, tmp_path / "kept")
    (segment, *_) = (tmp_path / "kept" / VECTORS).iterdir()
    path = segment if damaged == VECTORS else tmp_path / "kept" / DATABASE
    data = bytearray(path.read_bytes())
    place = len(data) // 2 if damaged == VECTORS else data.index(b"is stone 2")
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(IndexDamaged, match=r"is damaged: .* take an earlier one"):
        restore(tmp_path / "kept", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
    assert partial(tmp_path) == []


def test_a_damaged_document_is_not_backed_up(index: Path, tmp_path: Path) -> None:
    data = (index / DATABASE).read_bytes()
    (index / DATABASE).write_bytes(data.replace(b"is stone 2", b"is stone 3"))
    with pytest.raises(IndexDamaged, match=r"document '2': what is stored is not what was read"):
        back_up(index, tmp_path / "kept")
    assert partial(tmp_path) == []


def test_what_can_be_made_again_is_mended_in_the_backup(
    index: Path, tmp_path: Path, encoder: WordsEncoder
) -> None:
    """Damage to the full text is found by a restore, and need not keep anyone from a backup."""
    with sqlite3.connect(index / DATABASE) as connection:
        connection.execute("DELETE FROM passages_terms WHERE term = 'flint'")
    back_up(index, tmp_path / "kept")
    with pytest.raises(IndexDamaged, match=r"clsearch check --repair`, as a backup can be"):
        restore(tmp_path / "kept", tmp_path / "restored")
    with Index.open(tmp_path / "kept", encoder=encoder) as opened:
        opened.repair()
    restore(tmp_path / "kept", tmp_path / "restored")
    assert check(tmp_path / "restored") == ()


def test_a_missing_segment_is_named(index: Path, tmp_path: Path) -> None:
    (segment, *_) = (index / VECTORS).iterdir()
    segment.unlink()
    with pytest.raises(IndexDamaged, match=f"has lost '{segment}'"):
        back_up(index, tmp_path / "kept")
    assert partial(tmp_path) == []


def test_nothing_is_written_over(index: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(UsageError, match=r"there is something at .*kept' already"):
        back_up(index, tmp_path / "kept")
    with pytest.raises(UsageError, match="lies inside the index"):
        back_up(index, index / "kept")
    with pytest.raises(UsageError, match=r"there is no folder .*absent'; make it first"):
        back_up(index, tmp_path / "absent" / "kept")
    with pytest.raises(UsageError, match="there is no backup at"):
        restore(tmp_path / "kept", tmp_path / "restored")
    back_up(index, tmp_path / "good")
    with pytest.raises(UsageError, match="nothing is written over: move it away"):
        restore(tmp_path / "good", index)
