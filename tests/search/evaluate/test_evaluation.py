"""A small collection evaluated end to end, against arithmetic done by hand."""

import json
from collections.abc import Callable
from math import log2
from pathlib import Path
from typing import Any

import pytest

from clsearch.index.encoder import Encoder
from clsearch.index.errors import UsageError
from clsearch.index.index import Index
from clsearch.search.evaluate import evaluate


@pytest.fixture(autouse=True)
def words(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake encoder is the one that is loaded."""
    monkeypatch.setattr(Encoder, "load", lambda *_, **__: encoder)


@pytest.fixture
def collection(tmp_path: Path) -> Callable[..., Path]:
    """Writes a BEIR folder of documents and queries {id: text} and judgments."""

    def write(
        documents: dict[str, str],
        queries: dict[str, str],
        qrels: list[tuple[str, str, int]],
    ) -> Path:
        folder = tmp_path / "stones"
        (folder / "qrels").mkdir(parents=True)
        for name, texts in (("corpus", documents), ("queries", queries)):
            lines = [json.dumps({"_id": id, "text": text}) for id, text in texts.items()]
            (folder / f"{name}.jsonl").write_text("\n".join(lines))
        judged = "".join(f"{query}\t{document}\t{score}\n" for query, document, score in qrels)
        (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
        return folder

    return write


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_by_hand(collection: Callable[..., Path], mode: Any) -> None:
    """One query is answered first, one at the second place, and one has no answer to find."""
    folder = collection(
        {"near": "jade jade", "far": "jade iron iron iron iron", "other": "basalt"},
        {"q1": "jade", "q2": "jade jade", "q3": "copper", "unjudged": "iron"},
        [("q1", "near", 1), ("q2", "far", 2), ("q3", "nowhere", 1)],
    )
    report = evaluate(folder, mode=mode).to_json()
    assert report == {
        "collection": "stones",
        "split": "test",
        "mode": mode,
        "queries": 3,
        "documents": 3,
        "metrics": {
            "nDCG@10": round((1 + 1 / log2(3)) / 3, 5),
            "Recall@100": round(2 / 3, 5),
            "MRR@10": round((1 + 1 / 2) / 3, 5),
            "MAP@100": round((1 + 1 / 2) / 3, 5),
        },
    }
    assert list(report) == ["collection", "split", "mode", "queries", "documents", "metrics"]
    assert json.loads(json.dumps(report)) == report


def test_a_document_counts_once_with_its_best_passage(collection: Callable[..., Path]) -> None:
    """However many passages of others stand between: a hundred documents are looked at."""
    long = "jade. " * 400
    documents = {f"long{n}": f"{n} {long}" for n in range(5)} | {
        f"short{n}": f"jade iron {n}" for n in range(94)
    }
    folder = collection(documents | {"wanted": "jade iron basalt flint"}, {"q": "jade"}, [])
    (folder / "qrels" / "test.tsv").write_text("q\twanted\t1\n")
    for mode in ("dense", "lexical"):
        measured = evaluate(folder, mode=mode).metrics
        assert measured["Recall@100"] == 1
        assert measured["MAP@100"] == pytest.approx(1 / 100)


def test_a_document_with_the_id_of_the_query_is_no_answer(collection: Callable[..., Path]) -> None:
    """As in BEIR: where queries are documents of the collection, each would find itself."""
    folder = collection(
        {"a": "jade iron", "b": "jade iron basalt"}, {"a": "jade iron"}, [("a", "b", 1)]
    )
    assert evaluate(folder).metrics["MRR@10"] == 1


def test_an_index_is_kept_and_used_again(
    collection: Callable[..., Path], tmp_path: Path, encoder: Any
) -> None:
    """The second evaluation encodes no passage; what is in it must be the collection alone."""
    folder = collection({"a": "jade", "b": "iron"}, {"q": "jade"}, [("q", "a", 1)])
    kept = tmp_path / "kept"
    first = evaluate(folder, index=kept)
    encoder.encoded.clear()
    assert evaluate(folder, index=kept) == first
    assert encoder.encoded == []
    with Index.open(kept, encoder=encoder) as index:
        index.add([{"id": "c", "text": "flint"}])
    with pytest.raises(UsageError, match="holds 3 documents, the collection 2"):
        evaluate(folder, index=kept)


def test_judged_queries_without_text(collection: Callable[..., Path]) -> None:
    """They are named, before anything is indexed."""
    folder = collection({"a": "x"}, {"q1": "x", "q2": " "}, [("q1", "a", 1), ("q2", "a", 1)])
    with pytest.raises(UsageError, match=r"1 judged queries have no text.*q2"):
        evaluate(folder)


def test_what_is_missing_is_said_before_anything_is_indexed(tmp_path: Path) -> None:
    """Not after ten minutes of encoding."""
    with pytest.raises(UsageError, match="no BEIR collection"):
        evaluate(tmp_path / "nothing", index=tmp_path / "index")
    assert not (tmp_path / "index").exists()
