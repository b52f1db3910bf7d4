"""BEIR folders, whole and broken."""

from pathlib import Path

import pytest

from clsearch.index.errors import UsageError
from clsearch.index.types import Document
from clsearch.search.evaluate.beir import read_corpus, read_qrels, read_queries


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Two documents, two queries, three judgments."""
    (tmp_path / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "Café", "text": "Un texte.", "metadata": {"url": "x"}}\n'
        "\n"
        '{"_id": 2, "text": "no title\\nat all"}\n',
        encoding="utf-8",
    )
    (tmp_path / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "what?"}\n{"_id": "q2", "text": "unjudged"}\n'
    )
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\t2\t0\r\nq3\td1\t1\n"
    )
    (tmp_path / "qrels" / "train.tsv").write_text("q2\td1\t1\n")
    return tmp_path


def test_a_whole_collection(collection: Path) -> None:
    """Ids stay as they are; a number becomes its text."""
    assert list(read_corpus(collection)) == [
        Document(id="d1", title="Café", text="Un texte."),
        Document(id="2", title="", text="no title\nat all"),
    ]
    assert read_queries(collection) == {"q1": "what?", "q2": "unjudged"}
    assert read_qrels(collection, "test") == {"q1": {"d1": 2, "2": 0}, "q3": {"d1": 1}}


def test_qrels_without_a_header(collection: Path) -> None:
    """The first line is a judgment where its third field is a number."""
    assert read_qrels(collection, "train") == {"q2": {"d1": 1}}


def test_a_split_that_is_not_there(collection: Path) -> None:
    """The message names those that are."""
    with pytest.raises(UsageError, match=r"no split 'dev'.*test, train"):
        read_qrels(collection, "dev")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels"])
def test_a_file_that_is_missing(tmp_path: Path, name: str) -> None:
    """The message names it, and what belongs to a collection."""
    with pytest.raises(UsageError, match=f"{name} is missing"):
        list(read_corpus(tmp_path)) if name == "corpus.jsonl" else (
            read_queries(tmp_path) if name == "queries.jsonl" else read_qrels(tmp_path, "test")
        )


@pytest.mark.parametrize("content", ["", "query-id\tcorpus-id\tscore\n", "\n\n"])
def test_no_judgments(collection: Path, content: str) -> None:
    """A header alone is none."""
    (collection / "qrels" / "test.tsv").write_text(content)
    with pytest.raises(UsageError, match="no judgments"):
        read_qrels(collection, "test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q\td\t1\nq d 1\n", "line 2"),
        ("q\td\t1\nq\td\tyes\n", "line 2"),
        ("one field\n", "line 1"),
    ],
)
def test_a_line_that_is_no_judgment(collection: Path, content: str, message: str) -> None:
    """The message names the line."""
    (collection / "qrels" / "test.tsv").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_qrels(collection, "test")


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"_id": "x"}',
        b'{"text": "x"}',
        b'{"_id": null, "text": "x"}',
        b'{"_id": "x", "text": 7}',
        b'{"_id": "x", "text": "\xff"}',
    ],
)
def test_a_line_that_is_no_record(collection: Path, line: bytes) -> None:
    """The message names the file."""
    for name in ("corpus.jsonl", "queries.jsonl"):
        (collection / name).write_bytes(line + b"\n")
    with pytest.raises(UsageError, match=r"corpus\.jsonl"):
        list(read_corpus(collection))
    with pytest.raises(UsageError, match=r"queries\.jsonl"):
        read_queries(collection)
