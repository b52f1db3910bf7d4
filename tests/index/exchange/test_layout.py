"""What other programs find in an export, by their own means."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from clsearch.index import exchange
from clsearch.search import evaluate
from words_encoder import WordsEncoder


def test_parquet_is_two_tables_and_says_whose_vectors_these_are(
    index: Path, tmp_path: Path, encoder: WordsEncoder
) -> None:
    exchange.export(index, tmp_path / "out", "parquet")
    documents = pq.read_table(tmp_path / "out" / "documents.parquet")
    passages = pq.read_table(tmp_path / "out" / "passages.parquet")
    for table in (documents, passages):
        said = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        assert said["fingerprint"] == encoder.fingerprint
        assert (said["model"], said["dimension"]) == ("words", "32")
    assert documents.column_names == "id title text metadata outline mtime passages".split()
    expected = "id document start end line page heading text hash vector"
    assert passages.column_names == expected.split()
    assert str(passages.schema.field("vector").type) == "fixed_size_list<element: float>[32]"
    texts = dict(zip(*documents.select(["id", "text"]).to_pydict().values(), strict=True))
    for row in passages.to_pylist():
        assert texts[row["document"]][row["start"] : row["end"]] == row["text"]
        assert abs(np.linalg.norm(row["vector"]) - 1) < 1e-3


def test_the_vectors_are_read_as_the_page_says(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange.export(index, tmp_path / "notes-parquet", "parquet")
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[3] / "docs" / "operations.md"
    [block] = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["vectors"].shape == (15, 32)


def test_json_lines_are_one_object_a_document(index: Path, tmp_path: Path) -> None:
    exchange.export(index, tmp_path / "out", "jsonl")
    lines = (tmp_path / "out" / "documents.jsonl").read_bytes().splitlines()
    objects = [json.loads(line) for line in lines]
    assert len(objects) == 7
    for one in objects:
        assert list(one) == "id title text metadata outline mtime passages".split()
        for passage in one["passages"]:
            expected = "id start end line page heading text hash vector"
            assert list(passage) == expected.split()
            assert one["text"][passage["start"] : passage["end"]] == passage["text"]


def test_beir_is_evaluated_once_queries_are_there(index: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    exchange.export(index, out, "beir")
    (out / "queries.jsonl").write_text('{"_id": "q", "text": "iron"}\n')
    (out / "qrels").mkdir()
    (out / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ttwice\t1\n")
    collection = evaluate.of_beir(out, "test")
    assert collection.corpus
    assert collection.corpus.count() == 7
    assert [document.id for document in collection.corpus.documents()][-1] == "twice"
    passages = [json.loads(line) for line in (out / "passages.jsonl").open(encoding="utf-8")]
    assert len(passages) == 15
    assert {one["document"] for one in passages} >= {"twice", "notes/guide.md"}


def test_only_its_owner_reads_an_export(index: Path, tmp_path: Path) -> None:
    exchange.export(index, tmp_path / "out", "beir")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "out").iterdir()} == {0o600}
