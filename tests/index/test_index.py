"""Index: what a Python user calls."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clsearch.index import Document, Index
from clsearch.index.check import check
from clsearch.index.errors import IndexLocked, IndexMismatch, ModelError, UsageError
from clsearch.index.store.snapshot import Counts, Snapshot
from clsearch.index.types import Heading


def texts(path: Path) -> dict[str, str]:
    """The documents in the index."""
    with Snapshot.open(path) as snapshot:
        return {id: snapshot.document(id).text for id in snapshot.document_ids()}


def test_add_is_an_upsert_by_id(tmp_path: Path, encoder: object) -> None:
    """Ids as given; the last of one id counts, in one call and in the next."""
    with Index.open(tmp_path, encoder=encoder) as index:
        report = index.add(
            [
                {"id": "7", "title": "Seven", "text": "one text", "metadata": {"lang": "en"}},
                Document("a/b#c", "", "other text"),
                {"id": "7", "text": "new text"},
            ]
        )
        assert (report.added, report.updated, report.unchanged) == (2, 1, 0)
        report = index.add([{"id": "7", "text": "new text"}, {"id": "8", "text": ""}])
        assert (report.added, report.updated, report.unchanged) == (1, 0, 1)
    assert texts(tmp_path) == {"7": "new text", "8": "", "a/b#c": "other text"}
    assert check(tmp_path) == ()


def test_passages_are_parts_of_their_documents(tmp_path: Path, encoder: object) -> None:
    """Behind a NUL character and one beyond the first plane, too; each document is read once."""
    given = {"a": "Über 😀 \0 alles. " * 300, "b": "\n\n".join(f"Part {n}." * 40 for n in range(9))}
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add({"id": id, "text": text} for id, text in given.items())
    with Snapshot.open(tmp_path) as snapshot:
        ids = [id for document in given for id in snapshot.passage_ids(document)]
        asked: list[str] = []
        snapshot._connection.set_trace_callback(asked.append)
        found = snapshot.passages([*ids, 999])
    assert list(found) == ids
    assert len(ids) > 10
    for of in found.values():
        assert of.passage.text == given[of.document][of.passage.start : of.passage.end]
    [reading] = [statement for statement in asked if "text" in statement]
    assert "passages" not in reading


def test_put_says_what_became_of_each(tmp_path: Path, encoder: object) -> None:
    """Two of one id, one after the other; a text that is there under another id has its vector."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([{"id": "1", "text": "one"}])
        puts = index.put(
            [
                {"id": "1", "text": "one"},
                {"id": "2", "text": "two"},
                {"id": "2", "text": "one"},
                {"id": "3", "text": ""},
            ]
        )
    told = [(put.document, put.result, put.encoded, put.reused) for put in puts]
    assert told == [
        ("1", "unchanged", 0, 0),
        ("2", "created", 1, 0),
        ("2", "updated", 0, 1),
        ("3", "created", 0, 0),
    ]
    assert texts(tmp_path) == {"1": "one", "2": "one", "3": ""}


def test_a_document_comes_back_whole(tmp_path: Path, encoder: object) -> None:
    """Every field of it."""
    given = Document(
        id="ü 1",
        title="A title",
        text="# One\n\ntext é\n\n# Two\n\nmore 😀\n",
        metadata={"n": 1, "deep": {"list": [1.5, None, True, "x"]}},
        headings=(Heading(0, 1, "One"), Heading(15, 1, "Two")),
        pages=(0, 15),
        line=3,
        lined=False,
    )
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([given])
    with Snapshot.open(tmp_path) as snapshot:
        assert snapshot.document("ü 1") == given
        assert snapshot.document("1") is None
        ids = snapshot.passage_ids("ü 1")
        found = snapshot.passages([*ids, 999])
    assert list(found) == ids
    for stored in found.values():
        passage = stored.passage
        assert given.text[passage.start : passage.end] == passage.text
        assert (stored.document, stored.title) == ("ü 1", "A title")
        assert stored.metadata == given.metadata
        assert passage.page in (1, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": "x"}, "'id' must be a string, not None"),
        ({"id": 7, "text": "x"}, "'id' must be a string, not 7"),
        ({"id": "", "text": "x"}, "'id' must not be empty"),
        ({"id": "7"}, "'text' must be a string"),
        ({"id": "7", "text": b"x"}, "'text' must be a string, not b'x'"),
        ({"id": "7", "text": "x", "title": 3}, "'title' must be a string"),
        ({"id": "7", "text": "x", "metadata": [1]}, "'metadata' must be a mapping"),
        ({"id": "7", "text": "x", "metadata": {"a": {1, 2}}}, "'metadata' is not JSON"),
        ({"id": "7", "text": "x", "metadata": {"a": float("inf")}}, "'metadata' is not JSON"),
        ({"id": "7", "text": "x", "metadata": {1: "a"}}, "strings for keys"),
        ({"id": "7", "text": "x", "lang": "en"}, "unknown key 'lang'.*metadata"),
        ("7", "document 0 is no mapping"),
    ],
)
def test_what_is_no_document(tmp_path: Path, encoder: object, given: object, message: str) -> None:
    """Is named, and nothing of it is stored."""
    with Index.open(tmp_path, encoder=encoder) as index, pytest.raises(UsageError, match=message):
        index.add([given])
    assert texts(tmp_path) == {}


def test_remove(tmp_path: Path, encoder: object) -> None:
    """Says how many there were; the ids of their passages never come again."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([{"id": str(n), "text": f"text {n}"} for n in range(4)])
        assert index.remove(["\udcff", "none"]) == 0  # as a shell gives what is no UTF-8
        assert index.remove(["1", "3", "1", "none"]) == 2
        assert index.remove(["1"]) == 0
        with pytest.raises(UsageError, match=r"\['1'\]"):
            index.remove("1")
        index.add([{"id": "5", "text": "text 5"}])
    assert set(texts(tmp_path)) == {"0", "2", "5"}
    with Snapshot.open(tmp_path) as snapshot:
        assert snapshot.tombstones().tolist() == [2, 4]
        assert snapshot.passage_ids("5") == [5]
        assert snapshot.counts() == Counts(0, 3, 3, 0, 2)
        assert [id for id, _ in snapshot.match("text", 9)] == [1, 3, 5]
    assert check(tmp_path) == ()


def test_ids_are_not_reused_after_all_is_gone(tmp_path: Path, encoder: object) -> None:
    """Nor after a merge that leaves nothing."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([{"id": "1", "text": "one"}])
        index.remove(["1"])
        index.optimize()
        index.add([{"id": "1", "text": "one"}])
    with Snapshot.open(tmp_path) as snapshot:
        assert snapshot.passage_ids("1") == [2]


def test_full_text_is_composed_and_folded(tmp_path: Path, encoder: object) -> None:
    """NFC, without diacritics, stems of English; scores are greater where better; ties by id."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add(
            [
                {"id": "1", "text": "cafe\u0301 routers"},
                {"id": "2", "text": "nothing here"},
                {"id": "3", "text": "caf\u00e9 routers"},
                {"id": "4", "text": "cafe cafe routing"},
            ]
        )
    with Snapshot.open(tmp_path) as snapshot:
        found = snapshot.match("cafe", 9)
        assert [id for id, _ in found] == [4, 1, 3]
        assert found[0][1] > found[1][1] == found[2][1] > 0
        assert snapshot.match("cafe", 1) == found[:1]
        assert [id for id, _ in snapshot.match("router", 9)] == [1, 3]
        with pytest.raises(UsageError, match="full-text"):
            snapshot.match('"', 9)


def test_a_snapshot_sees_one_generation(tmp_path: Path, encoder: object) -> None:
    """The writer waits for it, or it goes on unseen; a new snapshot sees what was committed."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([{"id": "1", "text": "one"}])
        with Snapshot.open(tmp_path) as snapshot:
            generation = snapshot.generation
        index.add([{"id": "2", "text": "two"}])
        with Snapshot.open(tmp_path) as snapshot:
            assert snapshot.generation > generation
            assert len(snapshot.segments) == 2


def test_optimize(tmp_path: Path, encoder: object) -> None:
    """One segment, no tombstones, the same answers, a smaller file."""
    long = "much text to take room " * 500
    with Index.open(tmp_path, encoder=encoder) as index:
        for n in range(3):
            index.add([{"id": str(n), "text": f"text {n}"}, {"id": f"x{n}", "text": f"{n} {long}"}])
        index.remove(["x0", "x1", "x2"])
        report = index.optimize()
        assert (report.segments_before, report.segments) == (3, 1)
        assert report.tombstones_before > 3
        assert report.tombstones == 0
        assert report.bytes < report.bytes_before / 2
        with Snapshot.open(tmp_path) as snapshot:
            before = snapshot.segments
        index.optimize()
        with Snapshot.open(tmp_path) as snapshot:
            assert snapshot.segments == before
    assert set(texts(tmp_path)) == {"0", "1", "2"}
    assert [path.stem for path in (tmp_path / "vectors").iterdir()] == [before[0].name]
    assert check(tmp_path) == ()


def test_one_writer(tmp_path: Path, encoder: object) -> None:
    """The second is refused; a reader is not."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([{"id": "1", "text": "one"}])
        with pytest.raises(IndexLocked, match=str(os.getpid())):
            Index.open(tmp_path, encoder=encoder)
        assert texts(tmp_path) == {"1": "one"}
    Index.open(tmp_path, encoder=encoder).close()


def test_another_encoder_is_refused(tmp_path: Path, encoder: object) -> None:
    """By name, both of them, with the command that encodes again."""
    Index.open(tmp_path, encoder=encoder).close()
    other = type(encoder)(seed="other")
    other.name = "other model"
    message = (
        rf"'words' \({encoder.fingerprint[:12]}\), not with 'other model' "
        rf"\({other.fingerprint[:12]}\).*--reencode --model 'other model'"
    )
    with pytest.raises(IndexMismatch, match=message):
        Index.open(tmp_path, encoder=other)


def test_a_model_that_is_not_there_makes_no_index(tmp_path: Path) -> None:
    """Not even a folder."""
    with pytest.raises(ModelError):
        Index.open(tmp_path / "index", model=str(tmp_path / "no-model"))
    assert not list(tmp_path.iterdir())


def test_the_encoder_is_loaded_when_it_is_needed(tmp_path: Path, encoder: object) -> None:
    """To remove and to optimize, an index needs no model; `words` is none that could be loaded."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([{"id": "1", "text": "one"}, {"id": "2", "text": "two"}])
    with Index.open(tmp_path) as index:
        assert index.remove(["1"]) == 1
        index.optimize()
        with pytest.raises(ModelError):
            index.add([{"id": "3", "text": "three"}])
    assert set(texts(tmp_path)) == {"2"}


def test_nothing_of_the_write_side_is_imported_to_read(tmp_path: Path, encoder: object) -> None:
    """A snapshot needs sqlite3 and NumPy."""
    with Index.open(tmp_path, encoder=encoder) as index:
        index.add([{"id": "1", "text": "one"}])
    code = (
        "import sys; from clsearch.index.store.snapshot import Snapshot\n"
        "with Snapshot.open(sys.argv[1]) as s: s.match('one', 1)\n"
        "print({'faiss', 'sqlite_utils', 'torch', 'tokenizers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_in_wal_mode(tmp_path: Path, encoder: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a version of SQLite where it is safe: a reader does not hold up a writer."""
    with monkeypatch.context() as patch:
        patch.setattr("clsearch.index.store.store.journal_mode", lambda _: ("wal", "full"))
        with Index.open(tmp_path, encoder=encoder) as index:
            index.add([{"id": "1", "text": "one"}])
            with Snapshot.open(tmp_path) as before:
                index.add([{"id": "2", "text": "two"}])
                index.optimize()
                assert before.document_ids() == ["1"]
                assert len(before.segments) == 1
            assert check(tmp_path) == ()
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("index.db*")}
            assert modes == dict.fromkeys(["index.db", "index.db-wal", "index.db-shm"], 0o600)
    with Index.open(tmp_path, encoder=encoder) as index:
        assert index.add([{"id": "3", "text": "three"}]).added == 1
        assert not (tmp_path / "index.db-wal").exists()
    assert set(texts(tmp_path)) == {"1", "2", "3"}
