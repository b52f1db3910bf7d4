"""Collections of all three kinds, and what is missing from them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clsearch.index.errors import UsageError
from clsearch.index.index import Index
from clsearch.search.evaluate import Setting, check_file, evaluate, of_beir, of_pairs, of_trec

QRELS = "51 0 D1 1\n51 0 D2 0\n52 0 D3 1\n"


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """An index of records and files; D2 is ambiguous, D3 an id of its own."""
    with Index.open(tmp_path / "index") as index:
        texts = {"a.jsonl#D1": "jade", "a.jsonl#D2": "iron", "b.jsonl#D2": "iron", "D3": "flint"}
        index.add([{"id": id, "text": text} for id, text in texts.items()])
    (tmp_path / "qrels").write_text(QRELS)
    (tmp_path / "topics").write_text("051\tjade\n52\tflint\n53\tunjudged\n")
    return tmp_path


def test_trec_about_an_index(records: Path) -> None:
    """Ids of records lead to their judgments, and stand in runs; 051 is 51."""
    collection = of_trec(records / "topics", records / "qrels", records / "index")
    assert collection.queries == {"51": "jade", "52": "flint"}
    assert collection.judged_as == {"a.jsonl#D1": "D1", "D3": "D3"}
    (row,) = evaluate(collection, [Setting("lexical")]).rows
    assert row.metrics["MRR@10"] == 1
    assert row.run == {"51": {"D1": 1.0}, "52": {"D3": 1.0}}


def test_trec_ids_with_blanks(records: Path) -> None:
    """A judgment names them as a run file does."""
    with Index.open(records / "index") as index:
        index.add([{"id": "my notes.md", "text": "opal"}])
    (records / "topics").write_text("1\topal\n")
    (records / "qrels").write_text("1 0 my%20notes.md 1\n")
    collection = of_trec(records / "topics", records / "qrels", records / "index")
    (row,) = evaluate(collection, [Setting("lexical")]).rows
    assert row.run == {"1": {"my%20notes.md": 1.0}}
    assert row.metrics["MRR@10"] == 1


def test_trec_about_another_index(records: Path) -> None:
    """None of the relevant documents is there: it is said, with one of them."""
    (records / "qrels").write_text("51 0 X1 1\n")
    with pytest.raises(UsageError, match=r"none of the 1 relevant documents.*'X1' is missing"):
        of_trec(records / "topics", records / "qrels", records / "index")


def test_trec_judgments_alone(records: Path) -> None:
    """Enough to measure a run, not to ask."""
    collection = of_trec(None, records / "qrels", None)
    (records / "a.run").write_text("51 Q0 D1 1 1 x\n")
    found = evaluate(collection, [], [records / "a.run"])
    assert (found.documents, found.rows[0].metrics["MRR@10"]) == (None, 0.5)
    with pytest.raises(UsageError, match="--topics"):
        evaluate(collection)


def test_a_query_without_a_topic(records: Path) -> None:
    """It is named."""
    (records / "topics").write_text("51\tjade\n")
    with pytest.raises(UsageError, match=r"1 judged queries have no text in .*topics: 52"):
        of_trec(records / "topics", records / "qrels", records / "index")


def test_a_file_of_ones_own(notes: Path, encoders: dict[str, Any]) -> None:
    """Asked of the index as it is; of another model only where one is named."""
    (notes / "own.tsv").write_text("reset\tnotes/router.md\nwater\tnotes/old bread.md\n")
    collection = of_pairs(notes / "own.tsv", notes / ".clsearch")
    assert collection.queries == {"reset": "reset", "water": "water"}
    encoders["embedded"].encoded.clear()
    found = evaluate(collection, [Setting(), Setting(model="embedded"), Setting(model="other")])
    assert encoders["embedded"].encoded == []
    assert [row.metrics["MRR@10"] for row in found.rows] == [1, 1, 1]
    said = found.to_json()
    assert (said["collection"], said["split"], said["documents"]) == ("own.tsv", None, 3)


def test_an_index_with_a_model_and_a_pooling_of_its_own(tmp_path: Path, cache: Path) -> None:
    """Is asked as it is, unless another one is named."""
    with Index.open(tmp_path / "index", "other", "mean") as index:
        index.add([{"id": "a", "text": "jade"}])
    (tmp_path / "own.tsv").write_text("jade\ta\n")
    collection = of_pairs(tmp_path / "own.tsv", tmp_path / "index")
    same = [Setting(), Setting("dense", "other"), Setting("dense", pooling="mean")]
    assert [row.metrics["MRR@10"] for row in evaluate(collection, same).rows] == [1, 1, 1]
    assert not cache.exists()
    evaluate(collection, [Setting(model="other", pooling="cls")])
    assert len(list(cache.glob("clsearch/eval/*/index"))) == 1


def test_a_query_may_be_a_name_of_its_own(notes: Path) -> None:
    """In BEIR a document with the id of the query is no answer; here it is one."""
    with Index.open(notes / ".clsearch") as index:
        index.add([{"id": "moss", "text": "moss"}])
    (notes / "own.tsv").write_text("moss\tmoss\n")
    (row,) = evaluate(of_pairs(notes / "own.tsv", notes / ".clsearch")).rows
    assert row.metrics["MRR@10"] == 1


def test_judged_queries_without_text(write_beir: Callable[..., Path], cache: Path) -> None:
    """They are named, before anything is indexed."""
    folder = write_beir({"a": "x"}, {"q1": "x", "q2": " "}, [("q1", "a", 1), ("q2", "a", 1)])
    with pytest.raises(UsageError, match=r"1 judged queries have no text.*q2"):
        of_beir(folder, "test")
    assert not cache.exists()


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_what_is_missing_is_said_before_anything_is_indexed(stones: Path, name: str) -> None:
    """Not after ten minutes of encoding."""
    (stones / name).unlink()
    with pytest.raises(UsageError, match=rf"no BEIR collection, {name} is missing"):
        of_beir(stones, "test")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Says what it could be."""
    with pytest.raises(UsageError, match=r"no file .*nowhere.*BEIR.*a tab"):
        check_file(tmp_path / "nowhere")
