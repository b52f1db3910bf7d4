"""Opening `index.db`: journal modes, odd names, read-only folders, journals left behind, damage."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from clsearch.index.errors import (
    IndexDamaged,
    IndexLocked,
    IndexMismatch,
    IndexMissing,
    IndexUnwritable,
)
from clsearch.index.index import Index
from clsearch.index.store.connection import connect, journal_mode, named_errors
from clsearch.index.store.snapshot import Snapshot


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ((3, 40, 1), "delete"),
        ((3, 44, 5), "delete"),
        ((3, 44, 6), "wal"),
        ((3, 44, 99), "wal"),
        ((3, 45, 0), "delete"),
        ((3, 50, 6), "delete"),
        ((3, 50, 7), "wal"),
        ((3, 51, 0), "delete"),
        ((3, 51, 2), "delete"),
        ((3, 51, 3), "wal"),
        ((3, 52, 0), "wal"),
        ((4, 0, 0), "wal"),
    ],
)
def test_wal_only_where_it_loses_nothing(version: tuple[int, int, int], mode: str) -> None:
    """The fixed versions, and the gaps between them."""
    assert journal_mode(version) == (mode, {"wal": "full", "delete": "extra"}[mode])


def made(path: Path, encoder: object) -> Path:
    """An index of one document."""
    with Index.open(path, encoder=encoder) as index:
        index.add([{"id": "1", "text": "the first document"}])
    return path


@pytest.mark.parametrize(
    "name", ["a?b", "a#b", "a%41b", "a\nb", "a b", "ä", "\udcff", "?mode=memory", "x" * 255]
)
def test_any_name_of_a_folder(tmp_path: Path, encoder: object, name: str) -> None:
    """Each byte reaches SQLite as it is."""
    index = made(tmp_path / name, encoder)
    assert (index / "index.db").stat().st_size > 0
    with Snapshot.open(index) as snapshot:
        assert snapshot.document("1").text == "the first document"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_path_with_two_slashes(tmp_path: Path, encoder: object) -> None:
    """Which in a URI would begin with the name of a machine."""
    index = made(tmp_path / "index", encoder)
    with Snapshot.open(f"/{index}") as snapshot:
        assert snapshot.counts().documents == 1


def test_no_index(tmp_path: Path) -> None:
    """No folder, no database, an empty one."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(IndexMissing, match="clsearch index"):
            Snapshot.open(path)
    (tmp_path / "index.db").touch()
    with pytest.raises(IndexMissing, match="never finished"):
        Snapshot.open(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["index.db"]


def test_a_newer_schema(tmp_path: Path, encoder: object) -> None:
    """Neither read nor written, and nothing is changed."""
    index = made(tmp_path / "index", encoder)
    with sqlite3.connect(index / "index.db") as connection:
        connection.execute("UPDATE settings SET value = '99' WHERE key = 'schema'")
    connection.close()
    before = (index / "index.db").read_bytes()
    with pytest.raises(IndexMismatch, match=r"schema 99.*Upgrade"):
        Snapshot.open(index)
    with pytest.raises(IndexMismatch, match=r"schema 99.*Upgrade"):
        Index.open(index, encoder=encoder)
    assert (index / "index.db").read_bytes() == before


@pytest.mark.parametrize("damage", ["junk", "cut", "header", "schema", "settings"])
def test_a_damaged_database(tmp_path: Path, encoder: object, damage: str) -> None:
    """A clear error with the next step, for reader and writer."""
    index = made(tmp_path / "index", encoder)
    path = index / "index.db"
    data = path.read_bytes()
    if damage == "settings":
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE settings SET value = '{' WHERE key = 'options'")
        connection.close()
    else:
        path.write_bytes(
            {
                "junk": b"This is no database at all. " * 1000,
                "cut": data[:5000],
                "header": b"\0" * 16 + data[16:],
                "schema": data[:100] + b"\xff" * 2000 + data[2100:],
            }[damage]
        )
    with pytest.raises(IndexDamaged, match="index SOURCE"):
        Snapshot.open(index)
    with pytest.raises(IndexDamaged, match="index SOURCE"):
        Index.open(index, encoder=encoder)


def test_text_that_is_no_utf8(tmp_path: Path, encoder: object) -> None:
    """A flipped bit that SQLite does not notice."""
    index = made(tmp_path / "index", encoder)
    path = index / "index.db"
    data = path.read_bytes()
    assert data.count(b"the first document") == 2
    path.write_bytes(data.replace(b"the first", b"the fir\xff\xfe"))
    with Snapshot.open(index) as snapshot, pytest.raises(IndexDamaged):
        snapshot.document("1")
    with Snapshot.open(index) as snapshot, pytest.raises(IndexDamaged):
        snapshot.passages(snapshot.passage_ids("1"))


def test_a_database_that_another_program_keeps_locked(
    tmp_path: Path, encoder: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and not taken for damage."""
    index = made(tmp_path / "index", encoder)
    monkeypatch.setattr("clsearch.index.store.connection.BUSY_SECONDS", 0.05)
    other = sqlite3.connect(index / "index.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(IndexLocked, match="another program"):
        Snapshot.open(index)
    other.close()


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A folder that a process of another user can reach, unlike `tmp_path`."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700)
    shutil.rmtree(folder)


NOBODY = 65534

DROP = """
import os, sys
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


def run_unprivileged(imports: str, code: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run Python as nobody where we are root, whom no permission stops.

    It becomes nobody after the imports: the interpreter may stand where only root can look.
    """
    return subprocess.run(
        [sys.executable, "-c", imports + DROP + code, *argv],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def make_read_only(index: Path) -> None:
    """Give an index to nobody, who may not write to it."""
    for path in (index, *index.rglob("*")):
        if os.getuid() == 0:
            os.chown(path, NOBODY, NOBODY)
        path.chmod(0o500 if path.is_dir() else 0o400)


READ = (
    """
from clsearch.index.store.snapshot import Snapshot
""",
    """
with Snapshot.open(sys.argv[1]) as snapshot:
    print(snapshot.document("1").text, snapshot.match("first", 9)[0][0])
""",
)

WRITE = (
    """
from clsearch.index.errors import IndexUnwritable
from clsearch.index.index import Index
""",
    """
try:
    Index.open(sys.argv[1])
except IndexUnwritable as error:
    print(error)
""",
)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_index_that_may_only_be_read(foreign: Path, encoder: object, mode: str) -> None:
    """Is read; what writes says so. In WAL mode, too, where readers like to make files."""
    index = made(foreign / "index", encoder)
    with sqlite3.connect(index / "index.db") as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.close()
    make_read_only(index)
    names = sorted(path.name for path in index.rglob("*"))
    done = run_unprivileged(*READ, str(index))
    assert (done.stdout, done.stderr) == ("the first document 1\n", "")
    done = run_unprivileged(*WRITE, str(index))
    assert "cannot be written here" in done.stdout, done.stderr
    assert sorted(path.name for path in index.rglob("*")) == names


DIE_IN_A_COMMIT = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE documents SET title = 'half'")
connection.execute("CREATE TABLE much (data BLOB)")
for _ in range(200):
    connection.execute("INSERT INTO much VALUES (randomblob(4000))")
os.kill(os.getpid(), 9)
"""


def test_a_journal_left_behind(foreign: Path, encoder: object) -> None:
    """A reader who may write rolls it back; one who may not refuses, and reads no half commit."""
    index = made(foreign / "index", encoder)
    code = [sys.executable, "-c", DIE_IN_A_COMMIT, str(index / "index.db")]
    assert subprocess.run(code, check=False).returncode == -9
    assert (index / "index.db-journal").stat().st_size > 0
    frozen = foreign / "frozen"
    shutil.copytree(index, frozen)
    make_read_only(frozen)
    done = run_unprivileged(*READ, str(frozen))
    assert "must be rolled back" in done.stderr
    with Snapshot.open(index) as snapshot:
        assert snapshot.document("1").title == ""
    assert not (index / "index.db-journal").exists()


@pytest.mark.parametrize(
    ("pragma", "error", "message"),
    [("max_page_count = 1", IndexUnwritable, "disk is full")],
)
def test_a_full_disk(
    tmp_path: Path, encoder: object, pragma: str, error: type, message: str
) -> None:
    """SQLite's own limit gives the error of a full disk."""
    index = made(tmp_path / "index", encoder)
    connection = connect(index, "rw")
    connection.execute(f"PRAGMA {pragma}")
    with pytest.raises(error, match=message), named_errors(index):
        connection.execute("CREATE TABLE much AS SELECT randomblob(1000000)")
    connection.close()
