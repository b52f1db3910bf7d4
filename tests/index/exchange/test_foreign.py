"""Files that others have made come in, and what is wrong in a file is named."""

import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clsearch.index import Index, exchange
from clsearch.index.errors import UsageError
from clsearch.index.exchange.origin import Origin
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.types import Document
from words_encoder import WordsEncoder


def taken(source: Path, tmp_path: Path, encoder: WordsEncoder) -> dict[str, Document]:
    """The documents of an index after an import."""
    with Index.open(tmp_path / "again", encoder=encoder) as opened:
        opened.import_from(source)
    with Snapshot.open(tmp_path / "again") as snapshot:
        documents = [snapshot.document(id) for id in snapshot.document_ids()]
    return {one.id: one for one in documents if one}


def test_a_beir_corpus(tmp_path: Path, encoder: WordsEncoder) -> None:
    lines = [
        '{"_id": 7, "title": "A", "text": "iron", "metadata": {"url": "x"}}',
        "",
        '{"_id": "8", "text": "jade"}',
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    found = taken(tmp_path, tmp_path, encoder)
    assert found["7"] == Document("7", "A", "iron", {"url": "x"})
    assert found["8"].text == "jade"
    assert encoder.encoded == ["A\niron", "jade"]


def test_json_lines_of_any_name(tmp_path: Path, encoder: WordsEncoder) -> None:
    (tmp_path / "mine.txt").write_text(
        '\ufeff{"body": "iron", "lang": "en"}\n{"id": "b", "text": "x"}'
    )
    found = taken(tmp_path / "mine.txt", tmp_path, encoder)
    assert found["mine.txt#1"].metadata == {"lang": "en"}
    assert found["b"].text == "x"


def test_parquet_without_the_vectors_of_others(tmp_path: Path, encoder: WordsEncoder) -> None:
    table = pa.table(
        {
            "doc_id": [1, 2],
            "contents": ["iron", "jade"],
            "day": [date(2024, 5, 1), None],
            "tags": [["a"], []],
            "embedding": [[0.5, 0.5], [1.0, 0.0]],
        }
    )
    pq.write_table(table, tmp_path / "table")
    found = taken(tmp_path / "table", tmp_path, encoder)
    assert found["1"] == Document("1", "", "iron", {"day": "2024-05-01", "tags": ["a"]})
    assert found["2"].metadata == {"day": None, "tags": []}


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"there is no documents\.parquet, documents\.jsonl, corp"):
        exchange.find(tmp_path / "empty")
    with pytest.raises(UsageError, match=r"there is no corpus\.jsonl"):
        exchange.find(tmp_path / "empty", "beir")
    with pytest.raises(UsageError, match="cannot be read: no such file or directory"):
        exchange.find(tmp_path / "absent")
    with pytest.raises(UsageError, match="there are parquet, jsonl, beir"):
        exchange.export(tmp_path, tmp_path / "out", "csv")


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "clsearch.index.exchange.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'clsearch\[parquet\]'"):
        exchange.export(tmp_path, tmp_path / "out", "parquet")


VECTOR = [1.0] + [0.0] * 31
PASSAGE = {"hash": "0" * 64, "vector": VECTOR}
OUTLINE = {"headings": [[0, 1, "A"]], "pages": [0], "line": 1, "lined": True}
RECORD = {
    "id": "a",
    "title": "",
    "text": "iron",
    "metadata": {},
    "outline": OUTLINE,
    "mtime": 1.5,
    "passages": [PASSAGE],
}


def changed(**values: Any) -> dict[str, Any]:
    return {**RECORD, **values}


def with_vector(vector: Any) -> dict[str, Any]:
    return changed(passages=[{**PASSAGE, "vector": vector}])


def outlined(**values: Any) -> dict[str, Any]:
    return changed(outline={**OUTLINE, **values})


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (changed(id=""), "line 1: 'id' is '', where text that is not empty is needed; mend it"),
        (changed(id=3), "line 1: 'id' is 3, where text is needed"),
        (changed(text=None), "line 1: 'text' is None"),
        (changed(metadata=[]), r"line 1: 'metadata' is \[\], where an object is needed"),
        (changed(mtime="now"), "line 1: 'mtime' is 'now', where a number of seconds"),
        (changed(mtime=1e300), r"line 1: 'mtime' is 1e\+300"),
        (changed(passages=2), "line 1: 'passages' is 2, where a list is needed"),
        (changed(passages=[1]), "line 1, passage 0: not an object: 1"),
        (changed(passages=[{**PASSAGE, "hash": 1}]), "passage 0: 'hash' is 1, where text"),
        (changed(outline=1), "line 1: 'outline' is 1, where an object is needed"),
        (outlined(headings=[[99, 1, "A"]]), r"'outline.headings' is \[\[99, 1, 'A'\]\], where a l"),
        (outlined(headings=[[0, 1, 2]]), r"'outline.headings' is"),
        (outlined(pages=[-1]), r"'outline.pages' is \[-1\], where a list of places"),
        (outlined(line=0), "'outline' is .* a number from 1 on"),
        (with_vector(VECTOR[:-1]), "passage 0: 'vector' has 31 numbers, where the export says 32"),
        (with_vector([[1.0]] * 32), "'vector' has 32x1 numbers"),
        (with_vector("no"), "'vector' is 'no', where a list of numbers is needed"),
        (with_vector([None] * 32), "'vector' holds a value that is not finite"),
        (with_vector([float("nan")] * 32), "'vector' holds a value that is not finite"),
        (with_vector([1e9] * 32), "'vector' holds a value that is not finite"),
        (with_vector([10**400] * 32), "where a list of numbers is needed"),
        (with_vector([0.5] * 32), r"'vector' has length 2\.8284, where 1 is needed"),
        (with_vector([0.0] * 32), r"'vector' has length 0\.0000, where 1 is needed"),
    ],
)
def test_a_value_that_cannot_be_right_is_named(
    tmp_path: Path, encoder: WordsEncoder, record: dict[str, Any], said: str
) -> None:
    Origin("jsonl", "words", None, encoder.fingerprint, 32).write(tmp_path, 1, 1)
    (tmp_path / "documents.jsonl").write_text(json.dumps(record))
    with pytest.raises(UsageError, match=said):
        taken(tmp_path, tmp_path, encoder)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "line 1: not JSON: .*; mend the line"),
        (b"[1]", "line 1: not a JSON object"),
        (b"\xff", "line 1: not JSON: 'utf-8' codec"),
        (b"[" * 100_000, "line 1: not JSON"),
        (
            b'{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}',
            "line 2: the id 'a' is taken by .*line 1",
        ),
        (b'{"id": "a", "text": " "}', "line 1: there is no text in it"),
        (b"PAR1 and then nothing", "cannot be read as Parquet: .* with --format"),
    ],
)
def test_a_file_that_is_none_is_refused(
    tmp_path: Path, encoder: WordsEncoder, data: bytes, said: str
) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(UsageError, match=said):
        taken(tmp_path / "file", tmp_path, encoder)


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("is not what `clsearch export` wrote", lambda said: said.pop("fingerprint")),
        ("is not what `clsearch export` wrote", lambda said: said.update(dimension=-1)),
        ("is not what `clsearch export` wrote", lambda said: said.update(model=[1])),
        ("has version 2; this clsearch reads 1", lambda said: said.update(version=2)),
        ("export.json says 16 dimensions, where", lambda said: said.update(dimension=16)),
    ],
)
def test_an_export_that_contradicts_itself_is_refused(
    index: Path,
    tmp_path: Path,
    encoder: WordsEncoder,
    said: str,
    change: Callable[[dict[str, Any]], object],
) -> None:
    exchange.export(index, tmp_path / "out", "jsonl")
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    change(about)
    (tmp_path / "out" / "export.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match=said):
        taken(tmp_path / "out", tmp_path, encoder)


def test_passages_that_do_not_follow_are_refused(
    index: Path, tmp_path: Path, encoder: WordsEncoder
) -> None:
    """A document taken out of one file and not out of the other."""
    exchange.export(index, tmp_path / "beir", "beir")
    corpus = tmp_path / "beir" / "corpus.jsonl"
    corpus.write_text("".join(corpus.open(encoding="utf-8").readlines()[1:]))
    with pytest.raises(UsageError, match=r"passages\.jsonl: the 1 passages of 'notes/plain\.txt'"):
        taken(tmp_path / "beir", tmp_path, encoder)

    exchange.export(index, tmp_path / "parquet", "parquet")
    file = tmp_path / "parquet" / "passages.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    with pytest.raises(UsageError, match=r"passages\.parquet: the 10 passages of 'no"):
        taken(tmp_path / "parquet", tmp_path, encoder)
    pq.write_table(table.drop_columns("vector"), file)
    with pytest.raises(UsageError, match="column 'vector' is missing"):
        taken(tmp_path / "parquet", tmp_path, encoder)


@pytest.mark.parametrize("count", [-1, 2**62, True, 1.0, None])
def test_a_count_that_cannot_be_right_is_named(
    index: Path, tmp_path: Path, encoder: WordsEncoder, count: object
) -> None:
    exchange.export(index, tmp_path / "out", "beir")
    corpus = tmp_path / "out" / "corpus.jsonl"
    first = json.loads(corpus.read_text(encoding="utf-8").split("\n")[0])
    corpus.write_text(json.dumps(first | {"passages": count}))
    with pytest.raises(UsageError, match=r"line 1: 'passages' is .*, where a number from 0 on"):
        taken(tmp_path / "out", tmp_path, encoder)


@pytest.mark.parametrize(
    ("format", "file"), [("beir", "corpus.jsonl"), ("parquet", "documents.parquet")]
)
def test_passages_that_are_left_over_are_refused(
    index: Path, tmp_path: Path, encoder: WordsEncoder, format: str, file: str
) -> None:
    """The last document is taken out, and its passages are not."""
    exchange.export(index, tmp_path / "out", format)
    path = tmp_path / "out" / file
    if format == "beir":
        path.write_text("".join(path.open(encoding="utf-8").readlines()[:-1]), encoding="utf-8")
    else:
        table = pq.read_table(path)
        pq.write_table(table.slice(0, table.num_rows - 1), path)
    with pytest.raises(UsageError, match="passages are left over after the last document"):
        taken(tmp_path / "out", tmp_path, encoder)


@pytest.mark.parametrize(
    ("format", "file"), [("beir", "passages.jsonl"), ("parquet", "passages.parquet")]
)
def test_passages_that_are_gone_are_named(
    index: Path, tmp_path: Path, encoder: WordsEncoder, format: str, file: str
) -> None:
    exchange.export(index, tmp_path / "out", format)
    (tmp_path / "out" / file).unlink()
    with pytest.raises(UsageError, match=rf"{file}'? cannot be read"):
        taken(tmp_path / "out", tmp_path, encoder)


def test_a_passage_without_a_vector_is_encoded(
    index: Path, tmp_path: Path, encoder: WordsEncoder
) -> None:
    exchange.export(index, tmp_path / "out", "parquet")
    file = tmp_path / "out" / "passages.parquet"
    table = pq.read_table(file)
    vectors = table.column("vector").to_pylist()
    vectors[3] = None
    field = table.schema.field("vector")
    place = table.schema.get_field_index("vector")
    pq.write_table(table.set_column(place, field, pa.array(vectors, field.type)), file)
    with Index.open(tmp_path / "again", encoder=encoder) as opened:
        report = opened.import_from(tmp_path / "out")
    assert (report.encoded, report.reused) == (1, 14)
