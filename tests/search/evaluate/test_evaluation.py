"""A small collection evaluated end to end, against arithmetic done by hand."""

import json
from collections.abc import Callable
from math import log2
from pathlib import Path
from typing import Any

import pytest

from clsearch.index.errors import UsageError
from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.search.evaluate import Metric, Setting, evaluate, of_beir
from clsearch.search.evaluate.asking import names
from clsearch.search.evaluate.runs import read_run

MODES: tuple[Any, ...] = ("hybrid", "dense", "lexical")


@pytest.mark.parametrize("mode", MODES)
def test_by_hand(stones: Path, mode: Any) -> None:
    """One query is answered first, one at the second place, and one has no answer to find."""
    report = evaluate(of_beir(stones, "test"), [Setting(mode)]).to_json()
    assert report == {
        "collection": "stones",
        "split": "test",
        "mode": mode,
        "queries": 3,
        "documents": 3,
        "metrics": {
            "nDCG@10": round((1 + 1 / log2(3)) / 3, 7),
            "Recall@100": round(2 / 3, 7),
            "MRR@10": round((1 + 1 / 2) / 3, 7),
            "MAP@100": round((1 + 1 / 2) / 3, 7),
        },
    }
    assert list(report) == ["collection", "split", "mode", "queries", "documents", "metrics"]
    assert json.loads(json.dumps(report)) == report


def test_rows_are_compared_with_the_first(stones: Path, tmp_path: Path) -> None:
    """Run files stand first; the difference of each query is tested; all queries on request."""
    file = tmp_path / "best.run"
    file.write_text("q1 Q0 near 1 1 x\nq2 Q0 far 1 1 x\n")
    found = evaluate(of_beir(stones, "test"), [Setting("dense"), Setting("lexical")], [file])
    said: Any = found.to_json(per_query=True)
    assert list(said) == ["collection", "split", "queries", "documents", "rows", "per_query"]
    first, dense, lexical = said["rows"]
    assert [row["name"] for row in said["rows"]] == ["best.run", "dense", "lexical"]
    assert (first["run"], first["mode"], first["versus_first"]) == (str(file), None, {})
    assert (dense["run"], dense["mode"]) == (None, "dense")
    assert dense["versus_first"]["MRR@10"] == {
        "difference": round((1 + 1 / 2) / 3 - 2 / 3, 7),
        "p": 1.0,
        "p_holm": 1.0,
    }
    assert dense["versus_first"] == lexical["versus_first"]
    assert [one["id"] for one in said["per_query"]] == ["q1", "q2", "q3"]
    assert said["per_query"][1]["query"] == "jade jade"
    assert [row["MRR@10"] for row in said["per_query"][1]["metrics"]] == [1, 0.5, 0.5]


def test_p_and_its_correction(write_beir: Callable[..., Path], tmp_path: Path) -> None:
    """Eight queries all lost: p is 2 of 256, twice that for two rows; nothing lost is p 1."""
    queries = {f"q{n}": "jade" for n in range(8)}
    folder = write_beir({"a": "x"}, queries, [(query, "a", 1) for query in queries])
    good, bad = tmp_path / "good.run", tmp_path / "bad.run"
    good.write_text("".join(f"{query} Q0 a 1 1 x\n" for query in queries))
    bad.write_text("".join(f"{query} Q0 b 1 1 x\n" for query in queries))
    copy = tmp_path / "copy.run"
    copy.write_text(good.read_text())
    found = evaluate(of_beir(folder, "test"), [], [good, bad, copy], [Metric.parse("MRR")])
    assert found.documents is None
    _, lost, same = found.rows
    assert (lost.versus["MRR"].mean, lost.versus["MRR"].p) == (-1, 2 / 256)
    assert lost.versus["MRR"].adjusted == 2 * 2 / 256
    assert (same.versus["MRR"].mean, same.versus["MRR"].adjusted) == (0, 1)


def test_a_written_run_measures_the_same(stones: Path, tmp_path: Path) -> None:
    """One to a file, several to a folder; read as rows, they equal what was asked."""
    collection = of_beir(stones, "test")
    settings = [Setting(mode) for mode in MODES]
    asked = evaluate(collection, settings, save=tmp_path / "runs")
    files = [tmp_path / "runs" / f"{mode}.run" for mode in MODES]
    read = evaluate(collection, [], files)
    assert [row.metrics for row in read.rows] == [row.metrics for row in asked.rows]
    evaluate(collection, [Setting("dense")], save=tmp_path / "one.run")
    assert read_run(tmp_path / "one.run", collection.qrels) == asked.rows[1].run


def test_a_document_counts_once_with_its_best_passage(write_beir: Callable[..., Path]) -> None:
    """However many passages of others stand between: a hundred documents are looked at."""
    long = "jade. " * 400
    documents = {f"long{n}": f"{n} {long}" for n in range(5)} | {
        f"short{n}": f"jade iron {n}" for n in range(94)
    }
    folder = write_beir(
        documents | {"wanted": "jade iron basalt flint"}, {"q": "jade"}, [("q", "wanted", 1)]
    )
    found = evaluate(of_beir(folder, "test"), [Setting("dense"), Setting("lexical")])
    for row in found.rows:
        assert row.metrics["Recall@100"] == 1
        assert row.metrics["MAP@100"] == pytest.approx(1 / 100)


def test_a_document_with_the_id_of_the_query_is_no_answer(write_beir: Callable[..., Path]) -> None:
    """As in BEIR: where queries are documents of the collection, each would find itself."""
    folder = write_beir(
        {"a": "jade iron", "b": "jade iron basalt"}, {"a": "jade iron"}, [("a", "b", 1)]
    )
    metrics = [Metric.parse("MRR@10"), Metric.parse("Success@1")]
    assert evaluate(of_beir(folder, "test"), metrics=metrics).rows[0].metrics["MRR@10"] == 1
    # Nor does it take the place of one where only the first is looked at.
    (row,) = evaluate(of_beir(folder, "test"), metrics=metrics[1:]).rows
    assert row.metrics == {"Success@1": 1}


def test_an_index_of_ones_own_is_kept_and_used_again(
    stones: Path, tmp_path: Path, encoders: dict[str, Any], cache: Path
) -> None:
    """The second evaluation encodes no passage; what is in it must be the collection alone."""
    kept, collection = tmp_path / "kept", of_beir(stones, "test")
    first = evaluate(collection, index=kept).to_json()
    encoders["embedded"].encoded.clear()
    assert evaluate(collection, index=kept).to_json() == first
    assert encoders["embedded"].encoded == []
    assert not cache.exists()
    with pytest.raises(UsageError, match="vectors of one model"):
        evaluate(collection, [Setting(model="a"), Setting(model="b")], index=kept)


def test_an_index_of_other_documents_stays_as_it_is(
    stones: Path, tmp_path: Path, encoders: dict[str, Any]
) -> None:
    """One's own notes are not mixed with a collection: it is refused before anything is added."""
    notes = tmp_path / "notes"
    with Index.open(notes) as index:
        index.add([{"id": "c", "text": "flint"}])
    with pytest.raises(UsageError, match="holds 'c', which is not of the collection"):
        evaluate(of_beir(stones, "test"), index=notes)
    with Snapshot.open(notes) as snapshot:
        assert snapshot.document_ids() == ["c"]


def test_models_side_by_side(stones: Path, encoders: dict[str, Any]) -> None:
    """Each has an index of its own, made once for all of its modes."""
    settings = [Setting(mode, model) for model in (None, "other") for mode in ("dense", "lexical")]
    found = evaluate(of_beir(stones, "test"), [*settings, settings[0]])
    assert [row.name for row in found.rows] == [
        "dense, embedded",
        "lexical, embedded",
        "dense, other",
        "lexical, other",
    ]
    assert len(encoders["other"].encoded) == len(encoders["embedded"].encoded)
    assert found.rows[1].run == found.rows[3].run


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ([Setting()], ["hybrid"]),
        ([Setting("dense"), Setting("lexical")], ["dense", "lexical"]),
        ([Setting(model="a"), Setting()], ["a", "embedded"]),
        ([Setting(model="a", pooling="mean"), Setting(model="a")], ["mean", "declared pooling"]),
        ([Setting("dense", "a"), Setting("dense", "b")], ["a", "b"]),
        ([], []),
    ],
)
def test_a_row_is_named_for_what_makes_it_different(
    settings: list[Setting], shown: list[str]
) -> None:
    """And for its mode where nothing does."""
    assert names(settings) == shown
