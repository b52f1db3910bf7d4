"""Every kind of damage is named by check, and mended by repair where the text allows it."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clsearch.index import Index
from clsearch.index.batch import text_hash
from clsearch.index.check import check
from clsearch.index.errors import IndexDamaged, IndexMissing
from clsearch.index.files import segment_path
from clsearch.index.store import manifest
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment, build
from words_encoder import WordsEncoder

WORDS = ["alpha", "beta", "gamma", "delta"]


@pytest.fixture
def index(tmp_path: Path, encoder: object) -> Path:
    """Four documents of a folder, one added by hand, one deleted; two segments."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for word in WORDS:
        (folder / f"{word}.md").write_text(f"# {word}\n\nAbout {word} and other things.\n")
    with Index.open(tmp_path / "index", encoder=encoder) as opened:
        opened.sync([folder])
        opened.add([{"id": "1", "title": "By hand", "text": "epsilon"}, {"id": "2", "text": "x"}])
        opened.remove(["2"])
    return tmp_path / "index"


def change(index: Path, *statements: str) -> None:
    """Change the database behind the index's back."""
    connection = sqlite3.connect(index / "index.db")
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_a_whole_index_has_no_problems(index: Path, encoder: object) -> None:
    """And neither check nor repair changes a byte of it."""
    files = {path: path.read_bytes() for path in index.rglob("*.*") if path.is_file()}
    assert check(index) == ()
    with Index.open(index, encoder=encoder) as opened:
        report = opened.repair()
    assert (report.updated, report.encoded, report.recovered) == (0, 0, ())
    del files[index / "writer.lock"]
    assert all(path.read_bytes() == data for path, data in files.items())


def test_no_index(tmp_path: Path) -> None:
    """Is no problem of an index."""
    with pytest.raises(IndexMissing):
        check(tmp_path)


def test_vectors_made_without_headings_are_sound(tmp_path: Path, encoder: WordsEncoder) -> None:
    """As earlier versions made them: check is content, and a lost one is made again as it was."""
    text = "# T\n\n## Part\n\n" + "word " * 100
    with Index.open(tmp_path / "index", encoder=encoder) as opened:
        (tmp_path / "a.md").write_text(text)
        opened.sync([tmp_path / "a.md"])
    given = encoder.encoded[-1]
    assert given.startswith("T > Part\nword")
    earlier = given.replace(" > Part", "")
    change(
        tmp_path / "index",
        f"UPDATE passages SET hash = '{text_hash(earlier)}' WHERE hash = '{text_hash(given)}'",
    )
    assert check(tmp_path / "index") == ()
    lose(tmp_path / "index")
    with Index.open(tmp_path / "index", encoder=encoder) as opened:
        opened.repair()
    assert encoder.encoded[-1] == earlier
    assert check(tmp_path / "index") == ()


def stray_segment(index: Path) -> None:
    """A segment that holds another passage than the manifest says, with the right hash."""
    with Snapshot.open(index) as snapshot:
        row = snapshot.segments[0]
    segment = Segment.open(index, row)
    ids = np.append(segment.ids[:-1], 99)
    data = build([(ids, segment.vectors(segment.ids))], row.dimension, row.kind)
    name, digest = manifest.write_segment(index, data)
    segment_path(index, row.name).unlink()
    change(
        index,
        f"UPDATE segments SET name = '{name}', sha256 = '{digest}', bytes = {len(data)} "
        f"WHERE name = '{row.name}'",
    )


def flip(index: Path) -> None:
    """A bit in the middle of the first segment."""
    with Snapshot.open(index) as snapshot:
        path = segment_path(index, snapshot.segments[0].name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def lose(index: Path) -> None:
    """The first segment is gone."""
    with Snapshot.open(index) as snapshot:
        segment_path(index, snapshot.segments[0].name).unlink()


def sql(*statements: str) -> Callable[[Path], None]:
    """Damage by statements."""
    return lambda index: change(index, *statements)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (flip, "SHA-256"),
        (lose, "is missing"),
        (stray_segment, "holds other passages"),
        (sql("UPDATE segments SET fingerprint = 'x' WHERE id = 1"), "another encoder"),
        (sql("UPDATE passages SET segment = NULL WHERE id = 2"), "1 passages have no vector"),
        (sql("UPDATE passages SET segment = 2 WHERE id = 2"), "holds other passages"),
        (sql("DELETE FROM tombstones"), "holds other passages"),
        (sql("INSERT INTO tombstones VALUES (1, 1)"), "1 tombstones"),
        (sql("INSERT INTO tombstones VALUES (77, 66)"), "1 tombstones"),
        (sql("UPDATE passages SET start = 5000 WHERE id = 2"), "passage 2: stands at 5000"),
        (sql("UPDATE passages SET start = 3 WHERE id = 2"), "passage 2: its text is not"),
        (sql("UPDATE passages SET hash = 'x' WHERE id = 2"), "passage 2: its text is not"),
        (sql("UPDATE passages_fts SET text = 'x' WHERE rowid = 2"), "the full-text table has"),
        (sql("DELETE FROM passages_fts WHERE rowid = 2"), "the full-text table has"),
        (sql("INSERT INTO passages_fts (rowid, text) VALUES (99, 'x')"), "1 rows of no passage"),
        (sql("UPDATE passages_fts_content SET c2 = 'x' WHERE id = 2"), "full-text"),
        (sql("UPDATE passages_fts_data SET block = x'00' WHERE id > 10"), "full-text index"),
        (sql("DELETE FROM passages_fts_docsize"), "full-text index"),
        (sql("UPDATE passages SET document = 77 WHERE id = 2"), "refers to no row of documents"),
        (sql("DELETE FROM sources WHERE id = 1"), "refers to no row of sources"),
    ],
)
def test_damage_is_named_and_mended(
    index: Path, encoder: object, damage: Callable[[Path], None], problem: str
) -> None:
    """Afterwards each text is found by its words and by its vector, and check is content."""
    damage(index)
    problems = check(index)
    assert any(problem in line for line in problems), problems
    with Index.open(index, encoder=encoder) as opened:
        report = opened.repair()
    assert report.recovered
    assert check(index) == ()
    with Snapshot.open(index) as snapshot:
        opened = [Segment.open(index, row) for row in snapshot.segments]
        for word in [*WORDS, "epsilon"]:
            if problem == "refers to no row of documents" and word == WORDS[1]:
                continue
            ((id, _),) = snapshot.match(word, 9)
            assert word in snapshot.passages([id])[id].passage.text
            assert sum(segment.holds(np.array([id])).any() for segment in opened) == 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE documents SET text = replace(text, 'other', 'OTHER')",
        "UPDATE documents SET text = CAST(x'23ff' || text AS TEXT)",
        "UPDATE documents SET metadata = '{'",
        "UPDATE documents SET outline = 'x'",
        "UPDATE documents SET title = 'y'",
        "UPDATE documents SET hash = 'x'",
    ],
)
def test_an_altered_document_is_read_again(index: Path, encoder: object, damage: str) -> None:
    """Kept as it is by repair, and mended from its source by the next sync."""
    change(index, f"{damage} WHERE id = 'notes/beta.md'")
    assert any("'notes/beta.md': what is stored is not" in line for line in check(index))
    with Index.open(index, encoder=encoder) as opened:
        opened.repair()
    assert check(index) == ()
    with Index.open(index, encoder=encoder) as opened:
        opened.sync([index.parent / "notes"])
    assert check(index) == ()
    with Snapshot.open(index) as snapshot:
        document = snapshot.document("notes/beta.md")
    assert document.text == "# beta\n\nAbout beta and other things.\n"
    assert document.title == "beta"
    assert document.headings


def test_a_flipped_byte_anywhere_in_the_database(
    index: Path, encoder: object, tmp_path: Path
) -> None:
    """Never a traceback: repair mends it, or it is IndexDamaged."""
    whole = (index / "index.db").read_bytes()
    found = mended = 0
    refusals = []
    for place in range(0, len(whole), 1499):
        copy = tmp_path / "copy"
        shutil.copytree(index, copy)
        flipped = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        (copy / "index.db").write_bytes(flipped)
        found += bool(check(copy))
        try:
            with Index.open(copy, encoder=encoder) as opened:
                mended += bool(opened.repair().recovered)
        except IndexDamaged as error:
            refusals.append(str(error))
        else:
            assert check(copy) == ()
        shutil.rmtree(copy)
    assert found > mended > 0
    assert refusals
    assert all("index SOURCE" in message for message in refusals)


def test_beyond_repair(index: Path, encoder: object) -> None:
    """It says so, and what to do."""
    path = index / "index.db"
    path.write_bytes(path.read_bytes()[:-4096])
    assert check(index)
    with pytest.raises(IndexDamaged, match="index SOURCE"):
        Index.open(index, encoder=encoder).repair()
