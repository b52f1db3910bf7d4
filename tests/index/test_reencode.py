"""Another encoder, from the text in the index."""

from pathlib import Path

import numpy as np
import pytest

from clsearch.index import Index, reencode
from clsearch.index.analysis import asked
from clsearch.index.check import check
from clsearch.index.store.fulltext import match_any
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment


def made(tmp_path: Path, encoder: object) -> Path:
    """An index of a folder that is gone, and of added documents, with tombstones."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for n in range(5):
        (folder / f"{n}.md").write_text(f"# Title {n}\n\ntext {n % 3}\n")
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.sync([folder])
        index.add([{"id": "a", "text": "word " * 200}, {"id": "b", "text": "gone"}])
        index.remove(["b"])
    for path in folder.iterdir():
        path.unlink()
    return tmp_path / "index"


def test_everything_is_split_and_encoded_again(
    tmp_path: Path, encoder: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another dimension and room, over several segments; the old files are gone."""
    monkeypatch.setattr(reencode, "SEGMENT_PASSAGES", 4)
    index = made(tmp_path, encoder)
    with Snapshot.open(index) as snapshot:
        last = max(max(snapshot.passage_ids(id)) for id in snapshot.document_ids())
    other = type(encoder)(dimension=16)
    other.room = 20
    with Index.open(index) as opened:
        report = opened.reencode(encoder=other)
    assert report.updated == 6
    assert report.encoded + report.reused > 10
    with Snapshot.open(index) as snapshot:
        assert snapshot.fingerprint == other.fingerprint
        assert snapshot.options.model == "words"
        assert len(snapshot.segments) > 2
        assert not len(snapshot.tombstones())
        files = {path.stem for path in (index / "vectors").iterdir()}
        assert files == {row.name for row in snapshot.segments}
        for row in snapshot.segments:
            segment = Segment.open(index, row)
            assert segment.ids[0] > last
            found = snapshot.passages(segment.ids.tolist())
            for id, vector in zip(segment.ids.tolist(), segment.vectors(segment.ids), strict=True):
                stored = found[id]
                text = stored.passage.text
                title = "" if stored.document == "a" or text.startswith("#") else stored.title
                exact = other.encode_queries([f"{title}\n{text}"])[0]
                np.testing.assert_allclose(vector, exact, atol=1e-3)
        assert snapshot.match(match_any(asked("title")), 9)
    assert check(index) == ()
    with Index.open(index, encoder=other) as opened:
        assert opened.add([{"id": "c", "text": "more"}]).added == 1


def test_interrupted_it_has_changed_nothing(
    tmp_path: Path, encoder: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its segments go at the next opening; then it can be done."""
    monkeypatch.setattr(reencode, "SEGMENT_PASSAGES", 4)
    index = made(tmp_path, encoder)
    before = (index / "index.db").read_bytes()
    other = type(encoder)(seed="other")
    encode = type(encoder).encode_passages

    def stop(self: object, texts: list[str]) -> object:
        if self.encoded:
            raise KeyboardInterrupt
        return encode(self, texts)

    with monkeypatch.context() as patch, Index.open(index) as opened:
        patch.setattr(type(encoder), "encode_passages", stop)
        with pytest.raises(KeyboardInterrupt):
            opened.reencode(encoder=other)
        assert (index / "index.db").read_bytes() == before
        other.encoded.clear()
        patch.undo()
        opened.reencode(encoder=other)
    with Index.open(index, encoder=other) as opened:
        assert opened.recovered == ("removed 1 segment files of an interrupted run",)
    assert check(index) == ()
