"""Readers search all the time while a writer syncs, removes and merges: each answer is one commit.

Every sync writes a new version of all documents, so an answer with two versions would be a mixture.
"""

import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_lowercase

import pytest

import clsearch.index.store.store
from clsearch.index import Index, batch
from clsearch.index.check import check
from clsearch.index.errors import IndexLocked
from clsearch.index.passages import GOAL, encoded_text
from clsearch.index.store import postings
from clsearch.index.store.connection import journal_mode
from clsearch.index.store.snapshot import Snapshot
from clsearch.search import Searcher
from story import encoder, write_files
from words_encoder import WordsEncoder

HERE = Path(__file__).parent
NAMES = [f"{letter}.txt" for letter in "abcdefgh"]
MODES = ("lexical", "dense", "hybrid")
SECONDS = 4.0
# A reader waits for a commit to reach the disk, some milliseconds; far from SQLite's own patience.
LONGEST_WAIT = 5.0
SMALLER = 32  # times, than commits are in truth, where one is watched
SAFE_WAL = journal_mode(sqlite3.sqlite_version_info[:3])[0] == "wal"

# Says after each commit how many there were; ends when its input does.
WRITER = """
import select, sys, threading
from pathlib import Path
import clsearch.index.store.store as store
from clsearch.index import Index, batch
from story import encoder, write_files

index, folder, journal, *names = sys.argv[1:]
store.journal_mode = lambda version: (journal, "extra" if journal == "delete" else "full")
version = 1
while not select.select([sys.stdin], [], [], 0)[0]:
    version += 1
    write_files(Path(folder), dict.fromkeys(names, version))
    with Index.open(index, encoder=encoder()) as opened:
        opened.sync([folder])
        opened.remove([f"docs/{names[version % len(names)]}"])
        opened.optimize()
    print(version, flush=True)
"""


def python(code: str, *argv: str | Path) -> subprocess.Popen[str]:
    """Another process that knows the story."""
    paths = os.pathsep.join((str(HERE), str(HERE.parent.parent)))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, argv)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """The first version of all documents."""
    write_files(tmp_path / "docs", dict.fromkeys(NAMES, 1))
    with Index.open(tmp_path / "index", encoder=encoder()) as opened:
        opened.sync([tmp_path / "docs"])
    return tmp_path / "index"


def commit(searcher: Searcher, mode: str) -> tuple[int, bool]:
    """Which commit an answer shows: (version of all documents, whether one is removed)."""
    hits = searcher.search("part", 100, mode)
    found = set()
    for hit in hits:
        name = Path(hit.document).name
        versions = re.findall(rf"{name[0]}zzv(\d+) part (\d+) of {name}", hit.passage.text)
        [(version, part)] = set(versions)
        found.add((int(version), name, part))
        if "dense" in hit.scores:
            # The vector belongs to the text, which no other version shares.
            text = encoded_text(hit.title, hit.passage.heading, hit.passage.text)
            exact = encoder().encode_queries(["part", text])
            assert hit.scores["dense"] == pytest.approx(float(exact[0] @ exact[1]), abs=2e-3)
    [version] = {version for version, _, _ in found}
    whole = {(version, name, part) for name in NAMES for part in "01"}
    removed = {name for _, name, _ in whole - found}
    assert removed <= {NAMES[version % len(NAMES)]}, f"{mode}: lacks {removed} at {version}"
    assert found == {one for one in whole if one[1] not in removed}
    return version, bool(removed)


@dataclass
class Reader(threading.Thread):
    """Searches until told to stop. Answers must never go back to an earlier commit."""

    searcher: Searcher
    mode: str
    stop: threading.Event
    commits: list[tuple[int, bool]] = field(default_factory=list)
    longest: float = 0.0
    error: BaseException | None = None

    def __post_init__(self) -> None:
        super().__init__()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                began = time.monotonic()
                self.commits.append(commit(self.searcher, self.mode))
                self.longest = max(self.longest, time.monotonic() - began)
        except BaseException as error:
            self.error = error


@contextmanager
def reading(searchers: dict[str, Searcher]) -> Iterator[list[Reader]]:
    """Let threads search, each in a mode; then hold them to what a reader is promised."""
    stop = threading.Event()
    readers = [Reader(searcher, mode, stop) for mode, searcher in searchers.items()]
    for reader in readers:
        reader.start()
    try:
        yield readers
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    for reader in readers:
        if reader.error:
            raise reader.error
        assert reader.commits == sorted(reader.commits)
        assert reader.longest < LONGEST_WAIT


@pytest.mark.parametrize(
    "journal",
    [
        "delete",
        pytest.param("wal", marks=pytest.mark.skipif(not SAFE_WAL, reason="SQLite's WAL bug")),
    ],
)
def test_each_answer_is_one_commit(index: Path, journal: str) -> None:
    """Over many merges, by searchers that were open before all of them."""
    shared = Searcher.open(index, encoder())
    searchers = {"lexical": shared, "dense": shared, "hybrid": Searcher.open(index, encoder())}
    with python(WRITER, index, index.parent / "docs", journal, *NAMES) as writer:
        assert writer.stdout
        with reading(searchers) as readers:
            writer.stdout.readline()
            time.sleep(SECONDS)
            output, _ = writer.communicate("stop\n", timeout=60)
            last = int(output.split()[-1])
        assert writer.returncode == 0
    for reader in readers:
        # The writer waits for readers, and is not starved by them; nor are they by it.
        assert len(set(reader.commits)) >= 5, reader.mode
    assert last >= 4
    assert check(index) == ()
    for mode, searcher in searchers.items():
        assert commit(searcher, mode) == (last, True)


def test_a_reader_beside_a_writer_in_one_process(index: Path) -> None:
    """Closing a file drops all of a process's locks on it: none may be closed under a reader."""
    folder = index.parent / "docs"
    searchers = {mode: Searcher.open(index, encoder()) for mode in MODES}
    with reading(searchers) as readers:
        for version in range(2, 8):
            write_files(folder, dict.fromkeys(NAMES, version))
            with Index.open(index, encoder=encoder()) as opened:
                opened.sync([folder])
                opened.remove([f"docs/{NAMES[version % len(NAMES)]}"])
                opened.optimize()
    assert {version for reader in readers for version, _ in reader.commits} > {1}
    assert check(index) == ()


def test_a_commit_waits_for_a_snapshot_in_rollback_mode(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot goes on to see its generation; once it is closed, the commit is there."""
    monkeypatch.setattr(
        clsearch.index.store.store, "journal_mode", lambda version: ("delete", "extra")
    )
    searcher = Searcher.open(index, encoder())
    write_files(index.parent / "docs", dict.fromkeys(NAMES, 2))
    done = threading.Event()

    def write() -> None:
        with Index.open(index, encoder=encoder()) as opened:
            opened.sync([index.parent / "docs"])
        done.set()

    with Snapshot.open(index) as snapshot:
        before = snapshot.passages(snapshot.passage_ids("docs/a.txt"))
        writer = threading.Thread(target=write)
        writer.start()
        assert not done.wait(0.7)
        assert snapshot.passages(snapshot.passage_ids("docs/a.txt")) == before
        assert snapshot.counts().tombstones == 0
    writer.join(LONGEST_WAIT)
    assert done.is_set()
    assert commit(searcher, "hybrid") == (2, False)


def test_the_second_writer_is_refused(index: Path) -> None:
    """Here or in another process, at once, and changes nothing; readers do not care."""
    hold = (
        "import sys\nfrom clsearch.index import Index\nfrom story import encoder\n"
        "opened = Index.open(sys.argv[1], encoder=encoder())\nprint(flush=True)\nsys.stdin.read()"
    )
    searcher = Searcher.open(index, encoder())
    with python(hold, index) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(IndexLocked, match=rf"process {other.pid} is writing.*Wait"):
            Index.open(index, encoder=encoder())
        assert commit(searcher, "hybrid") == (1, False)
        other.kill()
    with Index.open(index, encoder=encoder()) as first:
        with pytest.raises(IndexLocked, match=f"process {os.getpid()} is writing"):
            Index.open(index, encoder=encoder())
        # The refusal took nothing from the first.
        assert first.remove(["docs/b.txt"]) == 1
    assert commit(searcher, "hybrid") == (1, True)
    assert check(index) == ()


def test_a_full_commit_that_merges_lets_readers_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes fits into the cache: else it would be in the file, and readers out, before.

    All of it is smaller: commits, merges, cache.
    """
    store = clsearch.index.store.store
    monkeypatch.setattr(store, "journal_mode", lambda version: ("delete", "extra"))
    monkeypatch.setattr(store, "CACHE_KIBIBYTES", store.CACHE_KIBIBYTES // SMALLER)
    monkeypatch.setattr(batch, "PASSAGES", batch.PASSAGES // SMALLER)
    monkeypatch.setattr(postings, "HELD", postings.HELD // SMALLER)
    bounds = [bound // SMALLER for bound in postings.BOUNDS if bound >= SMALLER]
    monkeypatch.setattr(postings, "BOUNDS", bounds)
    written: list[list[int]] = []  # the sizes of the blocks, at each commit

    def reach(step: str) -> None:
        if step == "commit.ready":
            with closing(sqlite3.connect(tmp_path / "index.db", timeout=0)) as reader:
                reader.execute("SELECT count(*) FROM settings").fetchone()
            connection = opened._store.database.conn
            written.append(
                [n for (n,) in connection.execute("SELECT passages FROM postings_blocks")]
            )

    made = random.Random(0)
    vocabulary = [
        "".join(made.choices(ascii_lowercase, k=made.randint(3, 10))) for _ in range(20_000)
    ]
    often = [1 / place for place in range(1, len(vocabulary) + 1)]
    texts = (" ".join(made.choices(vocabulary, often, k=GOAL)) for _ in range(9 * batch.PASSAGES))
    words = WordsEncoder()
    words.room = 2 * GOAL
    with Index.open(tmp_path, encoder=words) as opened:
        monkeypatch.setattr(store.faults, "reach", reach)
        opened.add({"id": str(number), "text": text} for number, text in enumerate(texts))
    assert [8 * batch.PASSAGES] in written, "a merge of the largest kind that commits make"
