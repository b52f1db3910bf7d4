"""Damage to any byte is found, or changes nothing; what can be restored is, and nothing else fails.

The proof is a sweep: one bit in every byte of a segment, every cut of it, and bits in every page of
the database. A disk that takes no more is here, too, by a limit on the size of a file.
"""

import json
import os
import random
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clsearch.index import Index
from clsearch.index.check import check
from clsearch.index.errors import ClsearchError, IndexDamaged, IndexMismatch
from clsearch.index.files import segment_path
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment
from clsearch.search import Searcher
from story import ACTS, FIRST, SECOND, Versions, encoder, word, write_files

MODES = ("lexical", "dense", "hybrid")
QUERY = f"part {word('a.txt', 2)} turns"  # each passage holds the first word
PAGE = 4096
LIMITS = (0, 3, 100, 500, 900, 4096, 30_000, 60_000, 80_000, 90_000, 100_000, 120_000)
HERE = Path(__file__).parent


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """An index with a second version, a removed document, a tombstone and two segments."""
    write_files(tmp_path / "docs", FIRST)
    with Index.open(tmp_path / "index", encoder=encoder()) as opened:
        opened.sync([tmp_path / "docs"])
        # Its heading is a column of its own, and its title is not its file's name.
        (tmp_path / "docs" / "g.md").write_text("# Gadget\n\nThe part that turns.\n")
        write_files_beside(tmp_path / "docs", SECOND)
        opened.sync([tmp_path / "docs"])
    return tmp_path / "index"


def write_files_beside(folder: Path, versions: dict[str, int]) -> None:
    """As `write_files`, and leave what is no text file alone."""
    kept = {path: path.read_text() for path in folder.glob("*.md")}
    write_files(folder, versions)
    for path, text in kept.items():
        path.write_text(text)


def answers(index: Path) -> list[dict]:
    """All that a reader is told, but passage ids, which a repair may give anew."""
    searcher = Searcher.open(index, encoder())
    found = []
    for mode in MODES:
        for hit in searcher.search(QUERY, 30, mode):
            told = hit.to_json() | {"marks": hit.marks}
            del told["passage"]["id"]
            found.append(told)
    return found


def unranked(answers: list[dict]) -> list[str]:
    """What was found, whatever the order: equal scores stand by passage id."""
    ordered = ("rank", "score")
    told = ({name: told[name] for name in told if name not in ordered} for told in answers)
    return sorted(json.dumps(one, sort_keys=True) for one in told)


def flipped(data: bytes, place: int, bit: int) -> bytes:
    """The data with one bit changed."""
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def test_one_bit_in_every_byte_of_a_segment(index: Path) -> None:
    """By whoever opens it: the segment, check, a search by vector and a hybrid one."""
    with Snapshot.open(index) as snapshot:
        row = min(snapshot.segments, key=lambda row: row.bytes)
    path = segment_path(index, row.name)
    whole = path.read_bytes()
    assert check(index) == ()
    for place in range(len(whole)):
        path.write_bytes(flipped(whole, place, place % 8))
        with pytest.raises(IndexDamaged, match="SHA-256"):
            Segment.open(index, row)
        if place % 3 == 0:
            assert any("SHA-256" in problem for problem in check(index))
            for mode in ("dense", "hybrid"):
                with pytest.raises(IndexDamaged, match="check --repair"):
                    Searcher.open(index, encoder()).search(QUERY, 3, mode)
    path.write_bytes(whole)
    assert check(index) == ()


def test_every_cut_of_a_segment(index: Path) -> None:
    """To each length, and one byte more than there was."""
    with Snapshot.open(index) as snapshot:
        row = snapshot.segments[0]
    path = segment_path(index, row.name)
    whole = path.read_bytes()
    for kept in (*(whole[:size] for size in range(len(whole))), whole + b"\0"):
        path.write_bytes(kept)
        with pytest.raises(IndexDamaged, match=f"has {len(kept)} bytes, not {len(whole)}"):
            Segment.open(index, row)
    assert any("bytes" in problem for problem in check(index))


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "gone"])
@pytest.mark.parametrize("mend", ["sync", "repair"])
def test_a_damaged_segment_is_made_again(index: Path, damage: str, mend: str) -> None:
    """From the text in the database; the damaged file is kept aside."""
    before = unranked(answers(index))
    with Snapshot.open(index) as snapshot:
        paths = [segment_path(index, row.name) for row in snapshot.segments]
    for path in paths:
        whole = path.read_bytes()
        path.unlink()
        if damage != "gone":
            kept = {"flipped": flipped(whole, len(whole) // 2, 3), "cut": whole[:-1], "empty": b""}
            path.write_bytes(kept[damage])
    with Index.open(index, encoder=encoder()) as opened:
        assert len(opened.recovered) == len(paths)
        report = opened.repair() if mend == "repair" else opened.sync([index.parent / "docs"])
    assert report.encoded > 0
    aside = {path.name for path in (index / "vectors" / "quarantine").glob("*")}
    assert aside == (set() if damage == "gone" else {path.name for path in paths})
    assert check(index) == ()
    assert unranked(answers(index)) == before


def put(index: Path, database: bytes) -> None:
    """Give the index another database, without what a journal may hold."""
    for journal in index.glob("index.db-*"):
        journal.unlink()
    (index / "index.db").write_bytes(database)


def struck(index: Path, before: list[dict], what: str) -> str:
    """What becomes of a damaged index. Errors that are not ours go on, and fail the test."""
    try:
        same = answers(index) == before
    except ClsearchError:
        same = False
    problems = check(index)
    assert problems or same, f"{what}: another answer, and check finds nothing"
    try:
        with Index.open(index, encoder=encoder()) as opened:
            opened.repair()
            opened.sync([index.parent / "docs"])
    except (IndexDamaged, IndexMismatch):  # a damaged fingerprint is that of another encoder
        return "refused"
    assert check(index) == (), what
    assert unranked(answers(index)) == unranked(before), what
    return "restored" if problems else "unharmed"


def written_places(database: bytes) -> Iterator[int]:
    """Bytes of a database that say something: not those amid zeros."""
    for place in range(len(database)):
        if any(database[max(0, place - 2) : place + 3]):
            yield place


def test_a_bit_in_every_page_of_the_database(index: Path, tmp_path: Path) -> None:
    """Found, or without effect on any answer; and mended, or said to be beyond it."""
    before = answers(index)
    whole = (index / "index.db").read_bytes()
    aside = shutil.copytree(index, tmp_path / "aside")
    dice = random.Random(7)
    by_page: dict[int, list[int]] = {}
    for place in written_places(whole):
        by_page.setdefault(place // PAGE, []).append(place)
    assert len(by_page) > 15
    ends = []
    for places in by_page.values():
        for place in dice.sample(places, 2):
            bit = dice.randrange(8)
            put(index, flipped(whole, place, bit))
            ends.append(struck(index, before, f"bit {bit} of byte {place}"))
            shutil.rmtree(index)
            shutil.copytree(aside, index)
    assert {"refused", "restored", "unharmed"} == set(ends)


# Found by flipping a bit of every byte. What stood there -> what stands there now, and what comes.
@pytest.mark.parametrize(
    ("statement", "problem", "end"),
    [
        ("UPDATE passages SET line = 7 WHERE start > 0", "line 7", "restored"),
        ("UPDATE passages SET page = 2 WHERE start > 0", "page 2", "restored"),
        ("UPDATE passages SET document = 77 WHERE start > 0", "is missing", "restored"),
        ("DELETE FROM passages WHERE start = 0", "is missing", "restored"),
        ("UPDATE documents SET source = 77 WHERE id = 'docs/b.txt'", "of sources", "restored"),
        ("UPDATE sources SET hash = CAST(x'ff' AS TEXT)", "source 1: what", "restored"),
        ("UPDATE sources SET root = CAST(x'ff' AS TEXT)", "source 1: what", "restored"),
        ("UPDATE documents SET id = 'dobs/b.txt' WHERE id = 'docs/b.txt'", "b.txt", "restored"),
        ("UPDATE documents SET text = CAST(text AS BLOB)", "no TEXT", "refused"),
        ("UPDATE documents SET title = CAST(title AS BLOB)", "no TEXT", "refused"),
        ("UPDATE passages SET heading = CAST(heading AS BLOB)", "no TEXT", "refused"),
        ("UPDATE passages SET page = x'00'", "no INTEGER", "refused"),
        ("UPDATE segments SET name = CAST(name AS BLOB)", "no TEXT", "refused"),
        ("UPDATE sources SET name = CAST(name AS BLOB)", "no TEXT", "refused"),
        ("UPDATE passages SET line = CAST('a' AS BLOB)", "no INTEGER", "refused"),
        ("UPDATE passages_fts_data SET block = x'' WHERE id = 1", "full-text", "restored"),
    ],
)
def test_a_value_that_was_never_written(
    index: Path, statement: str, problem: str, end: str
) -> None:
    """What SQLite itself does not mind."""
    before = answers(index)
    connection = sqlite3.connect(index / "index.db")
    with connection:
        assert connection.execute(statement).rowcount
    connection.close()
    assert any(problem in found for found in check(index)), check(index)
    assert struck(index, before, statement) == end


def test_a_schema_that_is_no_utf8(index: Path) -> None:
    """Is damage, whoever reads it."""
    before = answers(index)
    whole = (index / "index.db").read_bytes()
    put(index, whole.replace(b"CREATE TABLE", b"CREATE \xd4ABLE"))
    assert check(index)
    assert struck(index, before, "schema") == "refused"


def test_every_cut_of_the_database(index: Path) -> None:
    """At each page and amid each."""
    before = answers(index)
    whole = (index / "index.db").read_bytes()
    # What has not even a header is a database that was never made, to SQLite and to us.
    for size in range(512, len(whole), 3 * PAGE // 2 - 1):
        put(index, whole[:size])
        end = struck(index, before, f"cut to {size}")
        assert end == "refused" or (end == "unharmed" and not any(whole[size:]))


# Plays the acts from `first` on while no file may grow beyond `limit` bytes: a write over it fails,
# and Python ignores SIGXFSZ.
LIMITED = """
import json, resource, sys
from pathlib import Path
from clsearch.index import Index
from clsearch.index.errors import ClsearchError
from story import ACTS, encoder, write_files

for line in sys.stdin:
    index, folder, number, limit = json.loads(line)
    act = ACTS[number]
    write_files(Path(folder), act.files)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with Index.open(index, encoder=encoder()) as opened:
            act.play(opened, Path(folder))
        said = None
    except ClsearchError as error:
        said = f"{type(error).__name__}: {error}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    print(json.dumps(said), flush=True)
"""


def found(index: Path) -> Versions:
    """What a search by words and one by vector find, each document whole and in one version."""
    searcher = Searcher.open(index, encoder())
    versions: dict[str, int] = {}
    parts: list[set[tuple[str, str, int]]] = []
    for mode in ("lexical", "dense"):
        parts.append(set())
        for hit in searcher.search("part", 100, mode):
            name = Path(hit.document).name
            [(version, part)] = set(re.findall(r"zzv(\d+) part (\d)", hit.passage.text))
            assert versions.setdefault(name, int(version)) == int(version)
            parts[-1].add((name, part, int(version)))
    assert parts[0] == parts[1] == {(n, p, v) for n, v in versions.items() for p in "01"}
    return versions


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """During index, update, remove and merge: it is said, nothing lost, the next run ends."""
    command = [sys.executable, "-c", LIMITED]
    paths = os.pathsep.join((str(HERE), str(HERE.parent.parent)))
    environment = {**os.environ, "PYTHONPATH": paths}
    refusals = dict.fromkeys(range(4), 0)
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as player:

        def play(stage: Path, act: int, limit: int) -> str | None:
            assert player.stdin
            assert player.stdout
            request = [str(stage / "index"), str(stage / "docs"), act, limit]
            print(json.dumps(request), file=player.stdin, flush=True)
            said: str | None = json.loads(player.stdout.readline())
            return said

        (tmp_path / "0").mkdir()
        for number in refusals:
            stage = tmp_path / str(number)
            done = ACTS[number - 1].found if number else {}
            for limit in LIMITS:
                copy = shutil.copytree(stage, tmp_path / "copy")
                said = play(copy, number, limit)
                if said is None:
                    assert found(copy / "index") == ACTS[number].found
                else:
                    refusals[number] += 1
                    assert said.startswith("IndexUnwritable: "), said
                    assert "run the same command again" in said
                    if done:
                        assert found(copy / "index") in (done, ACTS[number].found)
                assert play(copy, number, resource.RLIM_INFINITY) is None
                assert found(copy / "index") == ACTS[number].found
                assert check(copy / "index") == ()
                shutil.rmtree(copy)
            shutil.copytree(stage, tmp_path / str(number + 1))
            assert play(tmp_path / str(number + 1), number, resource.RLIM_INFINITY) is None
        assert player.stdin
        player.stdin.close()
    assert min(refusals.values()) >= 2, refusals


def test_a_count_of_passages_that_is_damaged(index: Path) -> None:
    """No id is used twice while anything knows it."""
    connection = sqlite3.connect(index / "index.db")
    with connection:
        connection.execute("UPDATE sqlite_sequence SET name = 'passagez'")
        before = {id for (id,) in connection.execute("SELECT passage FROM tombstones")}
        before |= {id for (id,) in connection.execute("SELECT id FROM passages")}
    connection.close()
    with Index.open(index, encoder=encoder()) as opened:
        opened.add([{"id": "new", "text": "part of what is new"}])
    with Snapshot.open(index) as snapshot:
        assert not before & set(snapshot.passage_ids("new"))
    assert check(index) == ()
