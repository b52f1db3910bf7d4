"""Sync: the index says what the sources say now, and does no more work than it must."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from clsearch.index import Index, Progress, SyncReport, batch
from clsearch.index import sync as sync_module
from clsearch.index.batch import text_hash
from clsearch.index.check import check
from clsearch.index.errors import ModelError, SourceError, UsageError
from clsearch.index.files import segment_path
from clsearch.index.report import Tally
from clsearch.index.store.rows import SourceRow
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.types import Document, Skipped
from clsearch.index.vectors import Segment, vectors

OLD = 1_000_000_000  # seconds: a time at which nothing is still changing
PATH = "index"


class Notes:
    """A folder of files with old mtimes, and an index beside it."""

    def __init__(self, root: Path, encoder: object) -> None:
        """Made by the fixture `notes`."""
        self.root = root
        self.index = root / PATH
        self.encoder = encoder
        self.folder = root / "notes"
        self.folder.mkdir()
        self._clock = OLD

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file whose mtime is old, and unlike any before."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        self._clock += 1
        os.utime(path, (self._clock, self._clock))
        return path

    def sync(self, *sources: Path, prune: bool = True) -> SyncReport:
        """Sync in a new session, and check the index afterwards."""
        self.encoder.encoded.clear()
        with Index.open(self.index, encoder=self.encoder) as index:
            report = index.sync(sources or [self.folder], prune=prune)
        assert check(self.index) == ()
        return report

    def texts(self) -> dict[str, str]:
        """The documents in the index."""
        with Snapshot.open(self.index) as snapshot:
            return {id: snapshot.document(id).text for id in snapshot.document_ids()}

    def passages(self, id: str) -> list[tuple[int, str]]:
        """(id, text) of the passages of a document."""
        with Snapshot.open(self.index) as snapshot:
            ids = snapshot.passage_ids(id)
            found = snapshot.passages(ids)
            return [(id, found[id].passage.text) for id in ids]


@pytest.fixture
def notes(tmp_path: Path, encoder: object) -> Notes:
    """An empty folder."""
    return Notes(tmp_path, encoder)


def counts(report: SyncReport) -> tuple[int, int, int, int]:
    """(added, updated, removed, unchanged)."""
    return report.added, report.updated, report.removed, report.unchanged


def paragraphs(*words: str) -> str:
    """Paragraphs that fill a passage each: 40 tokens of the 62 there is room for."""
    return "\n\n".join(" ".join([word] * 39) + "." for word in words)


def test_the_index_follows_its_sources(notes: Notes) -> None:
    """New, changed, renamed, vanished, unchanged; ids are paths beside the index."""
    notes.write("a.txt", "alpha")
    notes.write("b.txt", "beta")
    notes.write("deep/c.txt", "gamma")
    assert counts(notes.sync()) == (3, 0, 0, 0)
    assert notes.texts() == {
        "notes/a.txt": "alpha",
        "notes/b.txt": "beta",
        "notes/deep/c.txt": "gamma",
    }
    assert counts(notes.sync()) == (0, 0, 0, 3)
    notes.write("a.txt", "alpha two")
    (notes.folder / "b.txt").rename(notes.folder / "z.txt")
    (notes.folder / "deep" / "c.txt").unlink()
    assert counts(notes.sync()) == (1, 1, 2, 0)
    assert notes.texts() == {"notes/a.txt": "alpha two", "notes/z.txt": "beta"}
    assert notes.encoder.encoded == ["a.txt\nalpha two", "z.txt\nbeta"]


def test_an_unchanged_file_costs_a_stat(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not even opened, nothing is committed, and the encoder is not asked."""
    for number in range(20):
        notes.write(f"{number}.txt", f"text {number}")
    notes.sync()
    with Snapshot.open(notes.index) as snapshot:
        generation = snapshot.generation
    opened: list[object] = []
    monkeypatch.setattr(sync_module, "read", lambda *a: opened.append(a))
    monkeypatch.setattr(sync_module, "_file_hash", lambda *a: opened.append(a))
    monkeypatch.setattr(type(notes.encoder), "token_spans", lambda *a: opened.append(a))
    report = notes.sync()
    assert counts(report) == (0, 0, 0, 20)
    assert not opened
    assert not notes.encoder.encoded
    with Snapshot.open(notes.index) as snapshot:
        assert snapshot.generation == generation


def test_a_touched_file_is_hashed_and_not_read(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And next time costs a stat again."""
    path = notes.write("a.txt", "alpha")
    notes.sync()
    os.utime(path, (OLD - 5, OLD - 5))
    monkeypatch.setattr(sync_module, "read", lambda *_: pytest.fail("it was read"))
    assert counts(notes.sync()) == (0, 0, 0, 1)
    monkeypatch.setattr(sync_module, "_file_hash", lambda *_: pytest.fail("it was hashed"))
    assert counts(notes.sync()) == (0, 0, 0, 1)


def test_a_change_within_the_grain_of_the_clock_is_seen(notes: Notes) -> None:
    """Same size, same mtime, but so recent that the mtime proves nothing."""
    path = notes.folder / "a.txt"
    path.write_text("alpha")
    stamp = time.time_ns()
    os.utime(path, ns=(stamp, stamp))
    notes.sync()
    path.write_text("omega")
    os.utime(path, ns=(stamp, stamp))
    assert counts(notes.sync()) == (0, 1, 0, 0)
    assert notes.texts() == {"notes/a.txt": "omega"}


def test_a_file_that_changes_while_it_is_read_is_read_again(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read and what is there now may not be the same."""
    path = notes.write("a.txt", "alpha")
    read = sync_module.read

    def read_and_change(*args: str) -> list[object]:
        items = list(read(*args))
        notes.write("a.txt", "omega")
        return items

    with monkeypatch.context() as patch:
        patch.setattr(sync_module, "read", read_and_change)
        notes.sync()
    os.utime(path, (OLD + 1, OLD + 1))
    notes.sync()
    assert notes.texts() == {"notes/a.txt": "omega"}


def test_a_passage_whose_text_stays_keeps_id_and_vector(notes: Notes) -> None:
    """Its place moves; only the new passage is encoded."""
    notes.write("a.txt", paragraphs("one", "two", "three"))
    assert notes.sync().encoded == 3
    before = notes.passages("notes/a.txt")
    notes.write("a.txt", paragraphs("new", "one", "three"))
    report = notes.sync()
    assert (report.encoded, report.reused) == (1, 2)
    assert notes.encoder.encoded == ["a.txt\n" + paragraphs("new")]
    after = notes.passages("notes/a.txt")
    assert [text for _, text in after] == [paragraphs(w) for w in ("new", "one", "three")]
    assert after[1:] == [before[0], before[2]]
    assert after[0][0] > before[2][0]
    with Snapshot.open(notes.index) as snapshot:
        assert snapshot.tombstones().tolist() == [before[1][0]]
        assert not snapshot.match("two", 9)
        assert snapshot.match("new", 9)[0][0] == after[0][0]


def test_a_new_title_changes_what_is_found_by_it(notes: Notes) -> None:
    """Also where the passage is found in the text and only its row of full text changes."""
    with Index.open(notes.index, encoder=notes.encoder) as index:
        index.add([{"id": "1", "title": "Old", "text": "Old things."}])
        index.add([{"id": "1", "title": "", "text": "Old things."}])
    assert len(notes.encoder.encoded) == 1
    with Snapshot.open(notes.index) as snapshot:
        assert not snapshot.match("title: old", 9)
        assert snapshot.match("text: old", 9)
    assert check(notes.index) == ()


def test_equal_texts_are_encoded_once(notes: Notes) -> None:
    """In one run, in later ones, and after a rename: the vector is copied, and is the same."""
    for name in ("a", "b", "c"):
        notes.write(f"{name}.md", "# Same\n\nthe same text")
    report = notes.sync()
    assert (report.encoded, report.reused) == (1, 2)
    notes.write("d.md", "# Same\n\nthe same text")
    (notes.folder / "a.md").rename(notes.folder / "e.md")
    report = notes.sync()
    assert (report.encoded, report.reused, counts(report)) == (0, 2, (2, 0, 1, 2))
    with Snapshot.open(notes.index) as snapshot:
        ids = np.array([snapshot.passage_ids(id)[0] for id in snapshot.document_ids()])
        opened = [Segment.open(notes.index, row) for row in snapshot.segments]
    kept, found = vectors(opened, ids)
    assert len(kept) == 4
    exact = notes.encoder.encode_queries(["# Same\n\nthe same text"]).astype(np.float16)
    np.testing.assert_array_equal(found, np.repeat(exact.astype(np.float32), 4, axis=0))


def test_records(notes: Notes) -> None:
    """Of a changed file only those that changed are encoded; those that vanished leave."""
    records = [{"_id": str(n), "text": f"record {n}"} for n in range(5)]
    notes.write("r.jsonl", "\n".join(map(json.dumps, records)))
    assert counts(notes.sync()) == (5, 0, 0, 0)
    records[1]["text"] = "another"
    del records[3]
    notes.write("r.jsonl", "\n".join(map(json.dumps, [*records, {"_id": "9", "text": "new"}])))
    # The last of the old ones stands on another line now, and is written for that.
    assert counts(notes.sync()) == (1, 2, 1, 2)
    assert sorted(notes.encoder.encoded) == ["another", "new"]
    assert "notes/r.jsonl#3" not in notes.texts()
    assert notes.texts()["notes/r.jsonl#1"] == "another"


def test_records_of_one_id_keep_the_first(notes: Notes) -> None:
    """The other is named, and they do not take turns."""
    lines = ['{"_id": "1", "text": "first"}', '{"_id": "1", "text": "second"}']
    notes.write("r.jsonl", "\n".join(lines))
    report = notes.sync()
    assert counts(report) == (1, 0, 0, 0)
    assert [item.name for item in report.skipped] == ["notes/r.jsonl:2"]
    notes.write("r.jsonl", "\n".join([*lines, '{"_id": "2", "text": "third"}']))
    assert counts(notes.sync()) == (1, 0, 0, 1)
    assert notes.texts() == {"notes/r.jsonl#1": "first", "notes/r.jsonl#2": "third"}


def test_a_record_that_cannot_be_read_costs_no_other(notes: Notes) -> None:
    """It is named; and what is not in the file any more stays, as it may be what is broken."""
    notes.write("r.jsonl", '{"_id": "1", "text": "one"}\n{"_id": "2", "text": "two"}')
    notes.sync()
    notes.write("r.jsonl", '{"_id": "1", "text": "one!"}\n{"_id": "2", "text": ')
    report = notes.sync()
    assert [item.name for item in report.skipped] == ["notes/r.jsonl:2"]
    assert counts(report) == (0, 1, 0, 0)
    assert notes.texts() == {"notes/r.jsonl#1": "one!", "notes/r.jsonl#2": "two"}


def test_a_file_that_cannot_be_read_keeps_its_last_good_version(notes: Notes) -> None:
    """It is named in every run until it can, or is gone."""
    path = notes.write("a.txt", "alpha")
    notes.write("b.txt", "beta")
    notes.sync()
    notes.write("a.txt", os.urandom(5000) + b"\0" * 100)
    for _ in range(2):
        report = notes.sync()
        assert [item.name for item in report.skipped] == ["notes/a.txt"]
        assert counts(report) == (0, 0, 0, 1)
        assert notes.texts() == {"notes/a.txt": "alpha", "notes/b.txt": "beta"}
    path.unlink()
    assert counts(notes.sync()) == (0, 0, 1, 1)
    assert notes.texts() == {"notes/b.txt": "beta"}


def test_a_file_that_breaks_off_in_the_middle_changes_nothing(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where it is too large to be held back whole."""
    monkeypatch.setattr(sync_module, "HELD_CHARACTERS", 10)
    monkeypatch.setattr(batch, "DOCUMENTS", 1)
    lines = [json.dumps({"_id": str(n), "text": f"record {n}"}) for n in range(9)]
    notes.write("r.jsonl", "\n".join(lines))
    assert counts(notes.sync()) == (9, 0, 0, 0)
    before = notes.texts()
    read = sync_module.read

    def break_off(path: str, id: str) -> object:
        for number, item in enumerate(read(path, id)):
            if number == 7:
                raise sync_module.ReadError("it breaks off")
            yield item

    monkeypatch.setattr(sync_module, "read", break_off)
    notes.write("r.jsonl", "\n".join(line.replace("record", "item") for line in lines))
    report = notes.sync()
    assert report.skipped == (Skipped("notes/r.jsonl", "it breaks off"),)
    assert notes.texts() == before


def test_what_holds_no_text_is_ignored_and_not_looked_at_again(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is what the user named."""
    picture = notes.write("a.png", b"\x89PNG\r\n\x1a\n" + os.urandom(200))
    notes.write("b.txt", "beta")
    report = notes.sync()
    assert (report.ignored, report.skipped, report.added) == (1, (), 1)
    monkeypatch.setattr(sync_module, "read", lambda *_: pytest.fail("it was read"))
    assert notes.sync().ignored == 1
    monkeypatch.undo()
    other = notes.write("c.png", picture.read_bytes())
    report = notes.sync(other)
    assert [item.name for item in report.skipped] == ["notes/c.png"]
    with Snapshot.open(notes.index) as snapshot:
        assert snapshot.counts().sources == 1


def test_without_prune_what_vanished_stays(notes: Notes) -> None:
    """Files and records."""
    path = notes.write("a.txt", "alpha")
    notes.write("r.jsonl", '{"_id": "1", "text": "one"}\n{"_id": "2", "text": "two"}')
    notes.sync()
    path.unlink()
    notes.write("r.jsonl", '{"_id": "1", "text": "one"}')
    assert counts(notes.sync(prune=False)) == (0, 0, 0, 1)
    assert len(notes.texts()) == 3


def test_a_missing_source_changes_nothing(notes: Notes) -> None:
    """Not even of the sources before it."""
    notes.write("a.txt", "alpha")
    notes.sync()
    notes.write("a.txt", "changed")
    with pytest.raises(SourceError, match="nowhere"):
        notes.sync(notes.folder, notes.root / "nowhere")
    assert notes.texts() == {"notes/a.txt": "alpha"}
    notes.folder.rename(notes.root / "elsewhere")
    with pytest.raises(SourceError, match="notes"):
        notes.sync()
    assert notes.texts() == {"notes/a.txt": "alpha"}


def test_nothing_leaves_below_a_folder_that_cannot_be_listed(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below its neighbours it does."""
    notes.write("closed/a.txt", "alpha")
    notes.write("closed.txt", "beta")
    notes.write("open/b.txt", "gamma")
    notes.sync()
    (notes.folder / "open" / "b.txt").unlink()
    (notes.folder / "closed.txt").unlink()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("clsearch.index.sources.os.scandir", refuse)
    report = notes.sync()
    assert [item.name for item in report.skipped] == ["notes/closed"]
    assert notes.texts() == {"notes/closed/a.txt": "alpha"}


def test_a_sync_of_one_source_leaves_the_others_alone(notes: Notes) -> None:
    """A source inside another is taken in by it; a hidden one, which it leaves out, is not."""
    notes.write("a.txt", "alpha")
    inner = notes.write("inner/b.txt", "beta").parent
    hidden = notes.write(".hidden/c.txt", "gamma").parent
    assert counts(notes.sync(inner, hidden)) == (2, 0, 0, 0)
    assert counts(notes.sync()) == (1, 0, 0, 1)
    assert set(notes.texts()) == {"notes/a.txt", "notes/inner/b.txt", "notes/.hidden/c.txt"}
    (inner / "b.txt").unlink()
    (notes.folder / "a.txt").unlink()
    assert counts(notes.sync(inner)) == (0, 0, 1, 0)
    assert set(notes.texts()) == {"notes/a.txt", "notes/.hidden/c.txt"}
    (hidden / "c.txt").unlink()
    assert counts(notes.sync()) == (0, 0, 2, 0)


def test_a_source_named_twice_is_read_once(notes: Notes) -> None:
    """Also by another name."""
    path = notes.write("a.txt", "alpha")
    report = notes.sync(notes.folder, notes.folder / ".." / "notes", path)
    assert counts(report) == (1, 0, 0, 0)


def test_added_documents_are_no_source_s(notes: Notes) -> None:
    """Sync leaves them alone."""
    with Index.open(notes.index, encoder=notes.encoder) as index:
        index.add([{"id": "notes/mine", "text": "by hand"}])
    notes.write("a.txt", "alpha")
    assert counts(notes.sync()) == (1, 0, 0, 0)
    assert set(notes.texts()) == {"notes/mine", "notes/a.txt"}


def test_a_removed_document_comes_back_while_its_file_is_there(notes: Notes) -> None:
    """As the index says what the sources say."""
    notes.write("a.txt", "alpha")
    notes.write("r.jsonl", '{"_id": "1", "text": "one"}\n{"_id": "2", "text": "two"}')
    notes.sync()
    with Index.open(notes.index, encoder=notes.encoder) as index:
        assert index.remove(["notes/a.txt", "notes/r.jsonl#2", "no such"]) == 2
    assert set(notes.texts()) == {"notes/r.jsonl#1"}
    assert counts(notes.sync()) == (2, 0, 0, 1)
    assert len(notes.texts()) == 3


def test_it_commits_in_batches_and_goes_on_where_it_stopped(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed is not encoded again, records in the middle of a file included."""
    monkeypatch.setattr(batch, "PASSAGES", 4)
    monkeypatch.setattr(batch, "SLICE", 2)
    lines = [json.dumps({"_id": str(n), "text": f"record {n}"}) for n in range(20)]
    notes.write("a.txt", "alpha")
    notes.write("r.jsonl", "\n".join(lines))
    encode = type(notes.encoder).encode_passages

    def stop(self: object, texts: list[str]) -> object:
        if "record 9" in texts:
            raise KeyboardInterrupt
        return encode(self, texts)

    with monkeypatch.context() as patch:
        patch.setattr(type(notes.encoder), "encode_passages", stop)
        with pytest.raises(KeyboardInterrupt):
            notes.sync()
    assert check(notes.index) == ()
    done = notes.texts()
    assert 4 <= len(done) < 10
    report = notes.sync()
    assert len(notes.texts()) == 21
    assert counts(report) == (21 - len(done), 0, 0, len(done))
    assert report.encoded == 21 - len(done)


def test_an_encoder_that_fails_is_no_file_that_fails(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that which is read when it is heard of; and what could not be encoded still waits."""
    monkeypatch.setattr(batch, "SLICE", 2)
    for n in range(8):
        notes.write(f"{n}.txt", f"note {n}")
    encode, calls = type(notes.encoder).encode_passages, iter(range(100))

    def fail_once(self: object, texts: list[str]) -> object:
        if next(calls) == 0:
            raise ConnectionError("no answer")
        return encode(self, texts)

    monkeypatch.setattr(type(notes.encoder), "encode_passages", fail_once)
    with pytest.raises(ModelError, match="no answer"):
        notes.sync()
    assert check(notes.index) == ()
    assert counts(notes.sync()) == (8, 0, 0, 0)

    calls = iter(range(100))
    documents = [Document(str(n), "", f"record {n}") for n in range(4)]
    with Index.open(notes.root / "other", encoder=notes.encoder) as index:
        waiting = batch.Batch(index._store, notes.encoder, Tally())
        for document in documents:
            waiting.put(document, None, None)
            if document.id == "1":
                with pytest.raises(ModelError, match="no answer"):
                    waiting._take_encoded()
        waiting.flush()
    with Snapshot.open(notes.root / "other") as snapshot:
        assert len(snapshot.document_ids()) == 4


def test_a_document_is_committed_whole(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many passages it has."""
    monkeypatch.setattr(batch, "PASSAGES", 3)
    monkeypatch.setattr(batch, "SLICE", 2)
    seen: list[int] = []
    write = batch.Batch._commit

    def watch(self: batch.Batch) -> None:
        write(self)
        with Snapshot.open(notes.index) as snapshot:
            seen.append(len(snapshot.passage_ids("notes/a.txt")))

    monkeypatch.setattr(batch.Batch, "_commit", watch)
    notes.write("a.txt", paragraphs(*(f"word{n}" for n in range(10))))
    notes.write("b.txt", paragraphs(*(f"other{n}" for n in range(10))))
    notes.sync()
    assert set(seen) == {0, 10}


def test_a_commit_is_written_while_what_follows_is_encoded(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder begins the first texts of the next commit before, and ends them after."""
    monkeypatch.setattr(batch, "PASSAGES", 4)
    monkeypatch.setattr(batch, "SLICE", 2)
    encode = type(notes.encoder).encode_passages
    begun, committed = threading.Event(), threading.Event()
    write = batch.Batch._write_plans

    def writes(self: batch.Batch, *arguments: object) -> None:
        assert begun.wait(10), "the encoder had nothing to do meanwhile"
        write(self, *arguments)
        committed.set()

    def waits(self: object, texts: list[str]) -> np.ndarray:
        if any("record 4" in text for text in texts):
            begun.set()
            assert committed.wait(10), "nothing was written meanwhile"
        return encode(self, texts)

    monkeypatch.setattr(batch.Batch, "_write_plans", writes)
    monkeypatch.setattr(type(notes.encoder), "encode_passages", waits)
    with Index.open(notes.index, encoder=notes.encoder) as index:
        report = index.add(Document(str(n), "", f"record {n}") for n in range(10))
    assert (report.added, report.encoded) == (10, 10)
    assert check(notes.index) == ()


def test_what_is_encoded_waits_for_no_more_changes(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is committed while records, and files, that are as they were go by."""
    monkeypatch.setattr(batch, "PASSAGES", 4)
    monkeypatch.setattr(batch, "PATIENCE", 0.1)
    monkeypatch.setattr(batch, "TOGETHER", 1)
    old = [Document(f"old {n}", "", "old") for n in range(50)]
    new = [Document(f"{n}", "", f"record {n}") for n in range(4)]
    committed: list[bool] = []

    def look() -> None:
        with Snapshot.open(notes.index) as snapshot:
            committed.append({"0", "1", "2", "3"} <= set(snapshot.document_ids()))

    def some() -> Iterator[Document]:
        for document in [*new, *old]:
            yield document
            if document.id.startswith("old"):
                time.sleep(0.01)
                look()

    with Index.open(notes.index, encoder=notes.encoder) as index:
        index.add(old)
        index.add(some())
    assert committed[-1]
    assert committed == sorted(committed)

    kept = [notes.write(f"{n:02}.txt", f"file {n}") for n in range(50)]
    notes.sync()
    kept[0].write_text(paragraphs(*(f"changed{n}" for n in range(4))))
    seen: list[int] = []

    def tell(_: Progress) -> None:
        time.sleep(0.01)
        with Snapshot.open(notes.index) as snapshot:
            seen.append(len(snapshot.passage_ids("notes/00.txt")))

    with Index.open(notes.index, encoder=notes.encoder) as index:
        index.sync([notes.folder], progress=tell)
    assert (seen[0], seen[-1]) == (1, 4)
    assert check(notes.index) == ()


def test_a_batch_goes_on_after_the_encoder_has_failed(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what was asked of it, and with more, whichever slice it was that failed."""
    monkeypatch.setattr(batch, "PASSAGES", 4)
    encode = type(notes.encoder).encode_passages
    documents = [Document(str(n), "", f"record {n}") for n in range(20)]
    for slice_size, failing in [(512, 0), (2, 0), (2, 1), (2, 3), (512, 1)]:
        monkeypatch.setattr(batch, "SLICE", slice_size)
        calls = iter(range(1000))

        def fail(
            self: object, texts: list[str], calls: Iterator[int] = calls, failing: int = failing
        ) -> np.ndarray:
            if next(calls) == failing:
                raise ConnectionError("no answer")
            return encode(self, texts)

        monkeypatch.setattr(type(notes.encoder), "encode_passages", fail)
        failed: list[str] = []
        path = notes.root / f"{slice_size} {failing}"
        with Index.open(path, encoder=notes.encoder) as index:
            waiting = batch.Batch(index._store, notes.encoder, Tally())
            for document in documents:
                try:
                    waiting.put(document, None, None)
                except ModelError:
                    failed.append(document.id)
            waiting.flush()
            assert waiting.tally.encoded == 20
        assert len(failed) == 1
        with Snapshot.open(path) as snapshot:
            assert {document.id for document in documents} - {*snapshot.document_ids()} <= {*failed}
        assert check(path) == ()


def test_what_is_closed_and_not_yet_written_counts(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document that it brings up to date is not removed, and a file that it has is known."""
    monkeypatch.setattr(batch, "PASSAGES", 1)
    with Index.open(notes.index, encoder=notes.encoder) as index:
        index.add([Document("a", "", "before")])
        waiting = batch.Batch(index._store, notes.encoder, Tally())
        row = SourceRow(waiting.new_source_id(), "a.txt", "", None, 5, None)
        waiting.put_source(row)
        put = waiting.put(Document("a", "", "after"), row.id, None)
        assert waiting._closed.plans, "it was to be closed, and not written"
        assert waiting.waiting_source("a.txt") == row
        waiting.remove(put.key)
        waiting.flush()
        assert (waiting.tally.updated, waiting.tally.removed) == (1, 0)
    with Snapshot.open(notes.index) as snapshot:
        assert snapshot.document("a").text == "after"
    assert check(notes.index) == ()


def test_a_vector_that_is_given_while_its_text_is_encoded(notes: Notes) -> None:
    """What is on its way is waited for, and counted."""
    [vector] = notes.encoder.encode_passages(["text"])
    notes.encoder.encoded.clear()
    with Index.open(notes.index, encoder=notes.encoder) as index:
        waiting = batch.Batch(index._store, notes.encoder, Tally())
        waiting.put(Document("a", "", "text"), None, None)
        waiting.put(Document("b", "", "text"), None, None, {text_hash("text"): vector})
        waiting.flush()
        assert (waiting.tally.encoded, waiting.tally.reused) == (1, 1)
        waiting.put(Document("c", "", "another"), None, None, {text_hash("another"): vector})
        waiting.flush()
        assert (waiting.tally.encoded, waiting.tally.reused) == (1, 2)
    assert notes.encoder.encoded == ["text"]
    assert check(notes.index) == ()


def test_what_two_commits_share_is_encoded_once(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts that the commit before has, or has on their way; and the later document of one id."""
    monkeypatch.setattr(batch, "PASSAGES", 3)
    monkeypatch.setattr(batch, "SLICE", 2)
    texts = ["a", "b", "c", "a", "b", "d", "c", "e", "a", "f", "d", "g"]
    documents = [Document(f"{n}", "", f"text {text}") for n, text in enumerate(texts)]
    with Index.open(notes.index, encoder=notes.encoder) as index:
        report = index.add([*documents, Document("1", "", "text h"), Document("11", "", "text a")])
    assert sorted(notes.encoder.encoded) == [f"text {text}" for text in "abcdefgh"]
    assert (report.added, report.updated) == (12, 2)
    assert (report.encoded, report.reused) == (8, 6)
    assert check(notes.index) == ()
    expected = notes.encoder.encode_passages(["text a", "text h"])
    with Snapshot.open(notes.index) as snapshot:
        ids = [snapshot.passage_ids(id) for id in ("8", "11", "1")]
        segments = [Segment.open(notes.index, row) for row in snapshot.segments]
        found = vectors(segments, np.array(sorted(id for [id] in ids)))
    by_id = dict(zip(found[0].tolist(), found[1], strict=True))
    for [id], vector in zip(ids, expected[[0, 0, 1]], strict=True):
        np.testing.assert_allclose(by_id[id], vector, atol=1e-3)


def test_a_commit_is_due_after_a_while(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little has come together."""
    monkeypatch.setattr(batch, "SECONDS", 0.0)
    for number in range(3):
        notes.write(f"{number}.txt", f"text {number}")
    notes.sync()
    with Snapshot.open(notes.index) as snapshot:
        assert [row.passages for row in snapshot.segments] == [1, 1, 1]


def test_documents_that_come_slowly_are_committed_meanwhile(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not wait for as many as are cut together."""
    monkeypatch.setattr(batch, "SECONDS", 0.0)
    seen: list[list[str]] = []

    def slowly() -> Iterator[Document]:
        for id in "abcd":
            yield Document(id, "", f"record {id}")
            with Snapshot.open(notes.index) as snapshot:
                seen.append(snapshot.document_ids())

    with Index.open(notes.index, encoder=notes.encoder) as index:
        report = index.add(slowly())
    assert seen == [[], ["a"], ["a", "b"], ["a", "b", "c"]]
    assert report.added == 4


def test_progress_counts_up_to_the_total(notes: Notes) -> None:
    """Files and passages."""
    for number in range(3):
        notes.write(f"{number}.txt", f"text {number}")
    told: list[Progress] = []
    with Index.open(notes.index, encoder=notes.encoder) as index:
        index.sync([notes.folder], progress=told.append)
    assert [step.files for step in told] == sorted(step.files for step in told)
    assert {step.total for step in told} == {3}
    assert told[-1] == Progress(files=3, total=3, documents=3, passages=3)


@pytest.mark.parametrize("break_it", [Path.unlink, lambda path: path.write_bytes(b"junk")])
def test_the_next_sync_makes_a_lost_segment_again(
    notes: Notes, break_it: Callable[[Path], object]
) -> None:
    """Without the sources having changed, and without repair."""
    notes.write("a.txt", paragraphs("one", "two"))
    notes.sync()
    ids = notes.passages("notes/a.txt")
    with Snapshot.open(notes.index) as snapshot:
        break_it(segment_path(notes.index, snapshot.segments[0].name))
    report = notes.sync()
    assert counts(report) == (0, 0, 0, 1)
    assert report.encoded == 2
    assert report.recovered
    assert notes.passages("notes/a.txt") == ids


def test_strange_text_is_stored_with_its_offsets(notes: Notes) -> None:
    """NUL, lone surrogates, numbers that are none, characters beyond the first plane."""
    given = Document("1", "", "a\0b 😀 \ud800 c", {"x": float("nan"), "y": ["\udfff"]})
    with Index.open(notes.index, encoder=notes.encoder) as index:
        index.add([given])
        assert counts(index.add([given])) == (0, 0, 0, 1)
    assert check(notes.index) == ()
    with Snapshot.open(notes.index) as snapshot:
        document = snapshot.document("1")
        (id,) = snapshot.passage_ids("1")
        passage = snapshot.passages([id])[id].passage
    assert document.text == "a\0b 😀 \ufffd c"
    assert passage.text == document.text[passage.start : passage.end] == document.text
    assert document.metadata == {"x": None, "y": ["\ufffd"]}


def test_an_index_inside_its_source(notes: Notes) -> None:
    """Does not index itself; a file with the same text may stand anywhere."""
    notes.index = notes.folder / ".clsearch"
    notes.write("a.txt", "alpha")
    notes.sync()
    assert notes.texts() == {"a.txt": "alpha"}
    assert counts(notes.sync()) == (0, 0, 0, 1)


def test_one_source_where_a_list_is_due(notes: Notes) -> None:
    """Is not taken for a list of letters."""
    index = Index.open(notes.index, encoder=notes.encoder)
    with index, pytest.raises(UsageError, match=r"\['notes'\]"):
        index.sync("notes")
